#include <limits>

#include <gtest/gtest.h>

#include "plainnet/layers/convolution.hpp"
#include "support/compare.hpp"
#include "support/convolution_rows.hpp"
#include "support/random.hpp"

namespace plainnet {
namespace {

using test::Numbers;

template <class T>
class Conv2dOf : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(Conv2dOf, Scalars);

static_assert(Layer<Conv2d<float>, float> && Layer<Conv2d<double>, double>);

TYPED_TEST(Conv2dOf, SumsWeightTimesInputOverItsWindow) {
  using T = TypeParam;
  test::Random random(1);
  for (const test::ConvolutionRow& row : test::convolution_rows()) {
    SCOPED_TRACE(to_string(row));
    Conv2d<T> conv({row.in.channels, row.out_channels, row.window, row.groups, row.bias});
    random.fill(conv.weight);
    if (conv.bias) random.fill(*conv.bias);
    const Tensor<T> in = random.map<T>(row.in);

    const Numbers bias = conv.bias ? Numbers(*conv.bias) : Numbers();
    const test::Map map = test::to_reference(in);
    const test::Map expected =
        test::reference_convolution(map, Numbers(conv.weight), bias, row.out_channels, row.window, row.groups);
    const test::Map sizes = test::reference_convolution(map.magnitudes(), Numbers(conv.weight).magnitudes(),
                                                        bias.magnitudes(), row.out_channels, row.window, row.groups);
    const Index terms = conv.weight.size() / row.out_channels + 1;
    const double tolerance = test::rounding_error<T>(terms, test::largest_magnitude(sizes));
    const Tensor<T> out = conv.forward(in);
    ASSERT_TRUE(test::near_everywhere(out, expected, tolerance));
    ASSERT_EQ(conv.output_shape(row.in), out.shape());
  }
}

TYPED_TEST(Conv2dOf, PadsAsTheMapDemandsWhereItsPaddingIsSame) {
  using T = TypeParam;
  test::Random random(4);
  for (const Index kernel : {1, 2, 3, 7}) {
    for (const Index stride : {1, 2, 3}) {
      for (const auto& [height, width] : {std::pair<Index, Index>{6, 8}, {7, 9}, {6, 9}, {1, 2}}) {
        SCOPED_TRACE(concatenate("kernel ", kernel, ", stride ", stride, ", ", height, "x", width));
        Conv2d<T> conv({.in_channels = 6,
                        .out_channels = 4,
                        .window = {.kernel = kernel, .stride = stride, .same = true},
                        .groups = 2});
        random.fill_network(conv);
        const Tensor<T> in = random.map<T>({.batch = 2, .height = height, .width = width, .channels = 6});
        const test::Map expected =
            test::reference_convolution(test::to_reference(in), Numbers(conv.weight), Numbers(*conv.bias), 4,
                                        test::reference_same(conv.window(), height, width), 2);
        // Weights are at most √3 / √terms, inputs at most 1.
        const Index terms = 3 * kernel * kernel;
        const double tolerance = test::rounding_error<T>(terms + 1, std::sqrt(3.0 * static_cast<double>(terms)) + 0.5);
        ASSERT_TRUE(test::near_everywhere(conv.forward(in), expected, tolerance));
        ASSERT_EQ(conv.output_shape(in.shape()), conv.forward(in).shape());
        ASSERT_EQ(conv.macs(in.shape()), conv.output_shape(in.shape()).elements() * terms);
      }
    }
  }
}

TYPED_TEST(Conv2dOf, SpreadsNaNOnlyToOutputsThatSeeIt) {
  using T = TypeParam;
  test::Random random(2);
  Conv2d<T> conv({.in_channels = 2, .out_channels = 3, .window = {.kernel = 3, .padding = 1}});
  random.fill(conv.weight);
  Tensor<T> in = random.map<T>({.batch = 1, .height = 5, .width = 6, .channels = 2});
  in(0, 1, 4, 1) = std::numeric_limits<T>::quiet_NaN();
  const Tensor<T> out = conv.forward(in);
  for (Index y = 0; y < 5; ++y) {
    for (Index x = 0; x < 6; ++x) {
      for (Index c = 0; c < 3; ++c) EXPECT_EQ(std::isnan(out(0, y, x, c)), y <= 2 && x >= 3) << y << ", " << x;
    }
  }
}

TEST(Conv2d, KnowsItsSizes) {
  const Conv2dSizes sizes{
      .in_channels = 6, .out_channels = 4, .window = {.kernel = {3, 5}, .stride = 2}, .groups = 2, .bias = false};
  const Conv2d<float> conv(sizes);
  EXPECT_EQ(conv.weight.extents(), (Extents{4, 3, 3, 5}));
  EXPECT_FALSE(conv.bias.has_value());
  EXPECT_EQ(conv.in_channels(), 6);
  EXPECT_EQ(conv.out_channels(), 4);
  EXPECT_EQ(conv.groups(), 2);
  EXPECT_EQ(conv.window(), sizes.window);
  EXPECT_EQ(conv.sizes().in_channels, 6);
  EXPECT_EQ(conv.sizes().out_channels, 4);
  EXPECT_EQ(conv.sizes().window, sizes.window);
  EXPECT_EQ(conv.sizes().groups, 2);
  EXPECT_FALSE(conv.sizes().bias);
  EXPECT_EQ(Conv2d<float>({.in_channels = 1, .out_channels = 7}).bias->extents(), (Extents{7}));
}

TEST(Conv2d, CountsAMultiplyAddForEachWeightThatAnOutputUses) {
  const Window window{.kernel = {3, 5}, .stride = {2, 1}, .padding = {1, 1, 2, 2}};
  const Conv2d<float> conv({.in_channels = 6, .out_channels = 4, .window = window, .groups = 2});
  // 2 · 3 · 5 positions, 4 outputs, 3 inputs of its group, 3 × 5 taps each.
  EXPECT_EQ(conv.macs({.batch = 2, .height = 6, .width = 5, .channels = 6}), 2 * 3 * 5 * 4 * 3 * 15);
}

TEST(Conv2d, NamesItsParameters) {
  Conv2d<float> conv({.in_channels = 6, .out_channels = 4});
  std::vector<std::string> names;
  for_each_parameter(conv, [&](const std::string& name, auto&, ParameterKind kind) {
    EXPECT_EQ(kind, ParameterKind::learned);
    names.push_back(name);
  });
  EXPECT_EQ(names, (std::vector<std::string>{"weight", "bias"}));
  conv.bias.reset();
  names.clear();
  for_each_parameter(conv, [&](const std::string& name, auto&, ParameterKind) { names.push_back(name); });
  EXPECT_EQ(names, (std::vector<std::string>{"weight"}));
}

TEST(Conv2d, CopiesAreIndependent) {
  test::Random random(3);
  Conv2d<float> conv({.in_channels = 3, .out_channels = 4, .window = {.kernel = 3}});
  random.fill_network(conv);
  const Tensor<float> in = random.map<float>({.batch = 1, .height = 5, .width = 5, .channels = 3});
  const Tensor<float> before = conv.forward(in);
  const Conv2d<float> copy = conv;
  EXPECT_TRUE(test::same_bits(copy.forward(in), before));
  random.fill_network(conv);
  EXPECT_TRUE(test::same_bits(copy.forward(in), before));
  EXPECT_FALSE(test::same_bits(conv.forward(in), before));
  conv = copy;
  EXPECT_TRUE(test::same_bits(conv.forward(in), before));
}

TEST(Conv2d, RefusesChannelsThatItsGroupsDoNotDivide) {
  EXPECT_NE(
      test::error_of([] { Conv2d<float>({.in_channels = 6, .out_channels = 4, .groups = 4}); }).find("6 in, 4 out"),
      std::string::npos);
  EXPECT_THROW(Conv2d<float>({.in_channels = 4, .out_channels = 6, .groups = 4}), Error);
  EXPECT_THROW(Conv2d<float>({.in_channels = 0, .out_channels = 4}), Error);
  EXPECT_THROW(Conv2d<float>({.in_channels = 4, .out_channels = 0}), Error);
  EXPECT_THROW(Conv2d<float>({.in_channels = 4, .out_channels = 4, .groups = 0}), Error);
  EXPECT_THROW(Conv2d<float>({.in_channels = 4, .out_channels = 4, .groups = -2}), Error);
  EXPECT_THROW(Conv2d<float>({.in_channels = 4, .out_channels = 4, .window = {.kernel = -1}}), Error);
}

TEST(Conv2d, TakesOverParameters) {
  test::Random random(5);
  const Window window{.kernel = {3, 2}, .stride = 2, .same = true};
  Conv2d<float> conv({.in_channels = 6, .out_channels = 4, .window = window, .groups = 2});
  random.fill_network(conv);
  const Tensor<float> in = random.map<float>({.batch = 1, .height = 5, .width = 4, .channels = 6});
  Parameter<float> weight = conv.weight;
  const float* const numbers = weight.data();
  const Conv2d<float> other(std::move(weight), conv.bias, window, 2);
  EXPECT_EQ(other.weight.data(), numbers);  // not copied
  EXPECT_EQ(other.in_channels(), 6);
  EXPECT_EQ(other.out_channels(), 4);
  EXPECT_EQ(other.groups(), 2);
  EXPECT_EQ(other.window(), window);
  EXPECT_TRUE(test::same_bits(other.forward(in), conv.forward(in)));
  EXPECT_FALSE(Conv2d<float>(conv.weight, std::nullopt, window, 2).bias);
}

TEST(Conv2d, RefusesParametersThatDoNotFitOneAnother) {
  const auto message = [](const Extents& weight, Index bias, const Window& window, Index groups) {
    return test::error_of([&] { Conv2d<float>(Parameter<float>(weight), Parameter<float>({bias}), window, groups); });
  };
  const Window window{.kernel = {3, 2}};
  EXPECT_NO_THROW(Conv2d<float>(Parameter<float>({4, 3, 3, 2}), Parameter<float>({4}), window, 2));
  EXPECT_EQ(message({4, 3, 2, 3}, 4, window, 2),
            "a convolution's weight of shape (4, 3, 2, 3) does not fit its window, groups or bias");
  EXPECT_NE(message({4, 3, 3, 2}, 4, window, 3), "");
  EXPECT_NE(message({4, 3, 3, 2}, 4, window, 0), "");
  EXPECT_NE(message({4, 3, 3, 2}, 4, window, -2), "");
  EXPECT_NE(message({4, 3, 3, 2}, 5, window, 2), "");
  EXPECT_NE(message({4, 6}, 4, Window{}, 1), "");
  EXPECT_NE(message({0, 3, 3, 2}, 0, window, 1), "");
  EXPECT_NE(message({4, 0, 3, 2}, 4, window, 1), "");
  EXPECT_NE(message({4, 3, 3, 2, 1}, 4, window, 1), "");
}

TEST(Conv2d, RefusesMapsItCannotTake) {
  const Conv2d<float> conv({.in_channels = 3, .out_channels = 4, .window = {.kernel = 3}});
  const Tensor<float> four_channels({.batch = 1, .height = 5, .width = 5, .channels = 4});
  EXPECT_EQ(test::error_of([&] { conv.forward(four_channels); }), "a convolution of 3 channels was given 4");
  const Tensor<float> small({.batch = 1, .height = 5, .width = 2, .channels = 3});
  EXPECT_NE(test::error_of([&] { conv.forward(small); }).find("5x2 is too small for a 3x3 window"), std::string::npos);
  EXPECT_THROW(conv.macs(small.shape()), Error);
}

}  // namespace
}  // namespace plainnet
