#include <gtest/gtest.h>

#include "plainnet/layers/scaled_std_conv.hpp"
#include "support/compare.hpp"
#include "support/random.hpp"

namespace plainnet {
namespace {

using test::Map;
using test::Numbers;

template <class T>
class ScaledStdConv2dOf : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(ScaledStdConv2dOf, Scalars);

static_assert(Layer<ScaledStdConv2d<float>, float> && Layer<ScaledStdConv2d<double>, double>);

struct StandardizedRow {
  Shape in;
  Index out_channels;
  Window window;
  Index groups;
  double gamma;
  double eps;
};

std::vector<StandardizedRow> rows() {
  constexpr Window same3{.kernel = 3, .same = true};
  constexpr Window same3_by2{.kernel = 3, .stride = 2, .same = true};
  constexpr Window padded3_by2{.kernel = 3, .stride = 2, .padding = 1};
  return {
      {{.batch = 2, .height = 5, .width = 4, .channels = 13}, 7, {}, 1, 1.0, 1e-5},
      {{.batch = 2, .height = 5, .width = 4, .channels = 13}, 7, {}, 1, 1.7, 0.5},  // ε as large as the variance
      {{.batch = 1, .height = 5, .width = 4, .channels = 1}, 3, {}, 1, 1.7, 1e-5},  // one weight: nothing is left of it
      {{.batch = 1, .height = 6, .width = 5, .channels = 12}, 9, {}, 3, 1.7, 1e-5},  // four weights of each group
      {{.batch = 2, .height = 6, .width = 8, .channels = 10}, 15, same3, 5, 1.0, 1e-5},
      {{.batch = 1, .height = 6, .width = 8, .channels = 10}, 15, same3_by2, 5, 1.7, 1e-5},  // even maps
      {{.batch = 1, .height = 7, .width = 9, .channels = 10}, 15, same3_by2, 5, 1.7, 1e-5},  // odd ones
      {{.batch = 1, .height = 7, .width = 8, .channels = 3}, 5, same3_by2, 1, 1.0, 1e-5},
      {{.batch = 1, .height = 6, .width = 8, .channels = 10}, 15, padded3_by2, 5, 1.0, 1e-5},
      {{.batch = 1, .height = 7, .width = 9, .channels = 10}, 15, padded3_by2, 5, 1.7, 1e-5},
      {{.batch = 1, .height = 9, .width = 8, .channels = 3},
       5,
       Window{.kernel = 7, .stride = 2, .padding = 3},
       1,
       1.7,
       1e-5},
  };
}

TYPED_TEST(ScaledStdConv2dOf, IsTheConvolutionOfItsStandardizedWeights) {
  using T = TypeParam;
  test::Random random(1);
  for (const StandardizedRow& row : rows()) {
    SCOPED_TRACE(concatenate(to_string(row.in), " to ", row.out_channels, ", kernel ", row.window.kernel.height,
                             ", stride ", row.window.stride.height, row.window.same ? ", SAME" : "", ", groups ",
                             row.groups, ", gamma ", row.gamma, ", eps ", row.eps));
    ScaledStdConv2d<T> conv({row.in.channels, row.out_channels, row.window, row.groups}, row.gamma, row.eps);
    random.fill(conv.weight, -1, 3);  // of mean 1 and variance 4/3
    random.fill(conv.bias);
    random.fill(conv.gain, -2, 2);
    const Tensor<T> in = random.map<T>(row.in, -1, 2);

    const Index fan_in = row.in.channels / row.groups * row.window.kernel.height * row.window.kernel.width;
    const double scale = row.gamma / std::sqrt(static_cast<double>(fan_in));
    const Numbers weight = test::reference_standardized(Numbers(conv.weight), Numbers(conv.gain), scale, row.eps);
    const Window window = row.window.same ? test::reference_same(row.window, row.in.height, row.in.width) : row.window;
    const auto convolved = [&](const Map& map, const Numbers& numbers, const Numbers& bias) {
      return test::reference_convolution(map, numbers, bias, row.out_channels, window, row.groups);
    };
    const Map map = test::to_reference(in);
    // A weight and its mean are at most 3, their difference loses as much as both; one weight alone has no variance but
    // ε, and few have little: at least 1/100 here.
    const double of_weight = 2.0 * scale * (3.0 + 3.0) / std::sqrt(fan_in == 1 ? row.eps : 0.01);
    const Numbers largest(conv.weight.size(), of_weight);
    const double size = test::largest_magnitude(convolved(map.magnitudes(), largest, Numbers(conv.bias).magnitudes()));
    const double tolerance = test::rounding_error<T>(2, size);
    ASSERT_TRUE(test::near_everywhere(conv.forward(in), convolved(map, weight, Numbers(conv.bias)), tolerance));
    ASSERT_EQ(conv.output_shape(row.in), conv.forward(in).shape());
  }
}

TYPED_TEST(ScaledStdConv2dOf, OfWeightsThatAreAllEqualIsItsBias) {
  using T = TypeParam;
  test::Random random(2);
  ScaledStdConv2d<T> conv({.in_channels = 4, .out_channels = 6, .window = {.kernel = 3, .same = true}}, 1.7, 1e-5);
  random.fill(conv.bias);
  random.fill(conv.gain, 1, 2);
  const Tensor<T> in = random.map<T>({.batch = 1, .height = 3, .width = 5, .channels = 4});
  for (const double value : {0.0, 0.5}) {  // their mean is exact
    std::fill(conv.weight.begin(), conv.weight.end(), static_cast<T>(value));
    const Tensor<T> out = conv.forward(in);
    for (Index p = 0; p < 15; ++p) {
      for (Index o = 0; o < 6; ++o) EXPECT_EQ(out.data()[6 * p + o], conv.bias[o]) << p << ", " << o;
    }
  }
}

TEST(ScaledStdConv2d, LeavesItsWeightsAsTheyAre) {
  test::Random random(3);
  ScaledStdConv2d<float> conv({.in_channels = 4, .out_channels = 6}, 1.0, 1e-5);
  random.fill_network(conv);
  const Tensor<float> in = random.map<float>({.batch = 1, .height = 3, .width = 5, .channels = 4});
  const Tensor<float> first = conv.forward(in);
  EXPECT_TRUE(test::same_bits(conv.forward(in), first));
}

TEST(ScaledStdConv2d, KnowsItsSizesAndNamesItsParameters) {
  const Window window{.kernel = {3, 5}, .stride = 2, .same = true};
  const ScaledStdConv2d<float> conv({.in_channels = 6, .out_channels = 4, .window = window, .groups = 2}, 3.0, 1e-5);
  EXPECT_EQ(conv.window(), window);
  EXPECT_EQ(conv.groups(), 2);
  EXPECT_EQ(conv.out_channels(), 4);
  EXPECT_EQ(conv.scale(), 3.0 / std::sqrt(3.0 * 3.0 * 5.0));
  std::vector<std::pair<std::string, Extents>> found;
  for_each_parameter(conv, [&](const std::string& name, const auto& parameter, ParameterKind kind) {
    EXPECT_EQ(kind, ParameterKind::learned);
    for (const float value : parameter) EXPECT_EQ(value, name == "gain" ? 1.0f : 0.0f) << name;
    found.emplace_back(name, parameter.extents());
  });
  EXPECT_EQ(found, (std::vector<std::pair<std::string, Extents>>{
                       {"weight", {4, 3, 3, 5}}, {"bias", {4}}, {"gain", {4, 1, 1, 1}}}));
  // 4 · 3 positions, 4 outputs, 3 inputs of its group, 3 × 5 taps each.
  EXPECT_EQ(conv.macs({.batch = 2, .height = 7, .width = 6, .channels = 6}), 2 * 4 * 3 * 4 * 3 * 15);
}

TEST(ScaledStdConv2d, RefusesWhatItCannotTake) {
  EXPECT_THROW(ScaledStdConv2d<float>({.in_channels = 6, .out_channels = 4, .groups = 4}, 1.0, 1e-5), Error);
  const ScaledStdConv2d<float> conv({.in_channels = 3, .out_channels = 4, .window = {.kernel = 3}}, 1.0, 1e-5);
  const Tensor<float> four_channels({.batch = 1, .height = 5, .width = 5, .channels = 4});
  EXPECT_EQ(test::error_of([&] { conv.forward(four_channels); }), "a convolution of 3 channels was given 4");
  EXPECT_EQ(test::error_of([&] { conv.macs(four_channels.shape()); }), "a convolution of 3 channels was given 4");
  EXPECT_THROW(conv.output_shape({.batch = 1, .height = 2, .width = 5, .channels = 3}), Error);
}

}  // namespace
}  // namespace plainnet
