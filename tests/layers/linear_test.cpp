#include <gtest/gtest.h>

#include "plainnet/layers/linear.hpp"
#include "support/compare.hpp"
#include "support/random.hpp"

namespace plainnet {
namespace {

using test::Numbers;

template <class T>
class LinearOf : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(LinearOf, Scalars);

static_assert(Layer<Linear<float>, float>);

TYPED_TEST(LinearOf, MultipliesTheChannelsOfEveryPixel) {
  using T = TypeParam;
  test::Random random(1);
  for (Index in_channels : {1, 7, 33}) {
    for (Index out_channels : {1, 5, 64}) {
      for (bool bias : {false, true}) {
        SCOPED_TRACE(concatenate(in_channels, " to ", out_channels, bias ? ", bias" : ""));
        Linear<T> linear(in_channels, out_channels, bias);
        random.fill_network(linear);
        const Tensor<T> in = random.map<T>({.batch = 2, .height = 3, .width = 2, .channels = in_channels});
        const Numbers biases = bias ? Numbers(*linear.bias) : Numbers();
        const test::Map map = test::to_reference(in);
        const test::Map expected =
            test::reference_convolution(map, Numbers(linear.weight), biases, out_channels, Window{}, 1);
        const test::Map sizes = test::reference_convolution(map.magnitudes(), Numbers(linear.weight).magnitudes(),
                                                            biases.magnitudes(), out_channels, Window{}, 1);
        const double tolerance = test::rounding_error<T>(in_channels + 1, test::largest_magnitude(sizes));
        ASSERT_TRUE(test::near_everywhere(linear.forward(in), expected, tolerance));
      }
    }
  }
}

TEST(Linear, KnowsItsSizes) {
  const Linear<float> linear(7, 5);
  EXPECT_EQ(linear.weight.extents(), (Extents{5, 7}));
  EXPECT_EQ(linear.bias->extents(), (Extents{5}));
  EXPECT_FALSE(Linear<float>(7, 5, false).bias.has_value());
  const Shape in{.batch = 2, .height = 3, .width = 4, .channels = 7};
  EXPECT_EQ(linear.output_shape(in), (Shape{.batch = 2, .height = 3, .width = 4, .channels = 5}));
  EXPECT_EQ(linear.macs(in), 24 * 35);
}

TEST(Linear, RefusesAnotherNumberOfInputs) {
  const Linear<float> linear(7, 5);
  EXPECT_EQ(test::error_of([&] { linear.forward(Tensor<float>({.channels = 8})); }),
            "a linear layer of 7 inputs was given 8");
}

}  // namespace
}  // namespace plainnet
