#include "plainnet/networks/parameters.hpp"

#include <gtest/gtest.h>

#include "plainnet/layers/convolution.hpp"
#include "plainnet/layers/normalization.hpp"
#include "plainnet/layers/sequential.hpp"

namespace plainnet {
namespace {

TEST(CountParameters, LeavesStatisticsOut) {
  const Sequential layers(Conv2d<float>({.in_channels = 3, .out_channels = 5, .window = {.kernel = 2}}),
                          BatchNorm2d<float>(5, 1e-6));
  EXPECT_EQ(count_parameters(layers), 5 * 3 * 4 + 5 + 5 + 5);
}

}  // namespace
}  // namespace plainnet
