#include <algorithm>
#include <vector>

#include <gtest/gtest.h>

#include "plainnet/layers/convolution.hpp"
#include "plainnet/layers/normalization.hpp"
#include "plainnet/layers/sequential.hpp"
#include "plainnet/networks/parameters.hpp"

namespace plainnet {
namespace {

TEST(CountParameters, LeavesStatisticsOut) {
  const Sequential layers(Conv2d<float>({.in_channels = 3, .out_channels = 5, .window = {.kernel = 2}}),
                          BatchNorm2d<float>(5, 1e-6));
  EXPECT_EQ(count_parameters(layers), 5 * 3 * 4 + 5 + 5 + 5);
}

TEST(FillRandomly, GivesTheSameNumbersEveryTime) {
  const auto numbers = [] {
    Sequential layers(Conv2d<float>({.in_channels = 3, .out_channels = 5, .window = {.kernel = 2}}),
                      BatchNorm2d<float>(5, 1e-6));
    fill_randomly(layers);
    std::vector<float> all;
    for_each_parameter(layers, [&](const std::string& name, const auto& parameter, ParameterKind) {
      all.insert(all.end(), parameter.begin(), parameter.end());
      if (!name.ends_with("running_var")) return;
      for (float variance : parameter) EXPECT_GT(variance, 0.0f);
    });
    return all;
  };
  const std::vector<float> once = numbers();
  EXPECT_EQ(numbers(), once);
  EXPECT_EQ(std::count(once.begin(), once.end(), 0.0f), 0);
}

// A weight of n inputs in [−√(3/n), √(3/n)) has the variance 1/n, so that a sum keeps the variance of its terms.
TEST(FillRandomly, KeepsTheSizeOfWhatPasses) {
  Conv2d<double> conv({.in_channels = 100, .out_channels = 50, .window = {.kernel = 2}, .bias = false});
  fill_randomly(conv);
  double sum = 0;
  for (double weight : conv.weight) sum += weight * weight;
  EXPECT_NEAR(sum / static_cast<double>(conv.weight.size()), 1.0 / 400, 0.05 / 400);
}

}  // namespace
}  // namespace plainnet
