#include <array>

#include <gtest/gtest.h>

#include "plainnet/layers/channel_attention.hpp"
#include "support/compare.hpp"
#include "support/random.hpp"

namespace plainnet {
namespace {

using test::Map;
using test::Numbers;

template <class T>
class ChannelAttentionOf : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(ChannelAttentionOf, Scalars);

static_assert(Layer<SqueezeExcite<float>, float> && Layer<EfficientChannelAttention<double>, double>);
static_assert(Layer<ChannelAttention<float>, float>);

constexpr double largest_input = 4.0;

/// A map, of another range in every channel, so that no channel's mean is another's.
template <class T>
Tensor<T> map_of(test::Random& random, const Shape& shape) {
  Tensor<T> map = random.map<T>(shape, -1, 1);
  for (Index c = 0; c < shape.channels; ++c) map.matrix().col(c).array() += static_cast<T>(random.uniform(-3, 3));
  return map;
}

/// Gates are between 0 and 1; the sigmoid's slope is at most 1/4, so what rounding did before it counts a quarter.
template <class T>
void expect_gates(const auto& layer, const Tensor<T>& in, const Map& expected, double error_before) {
  const double tolerance = test::rounding_error<T>(4, 1.0) + error_before / 4;
  const Tensor<T> gates = layer.gates(in);
  EXPECT_TRUE(test::near_everywhere(gates, expected, tolerance));
  EXPECT_TRUE(test::near_everywhere(layer.forward(in), test::reference_gated(test::to_reference(in), expected),
                                    largest_input * (tolerance + test::rounding_error<T>(1, 1.0))));
  EXPECT_EQ(layer.output_shape(in.shape()), in.shape());
  EXPECT_TRUE(test::same_bits(gates_of(ChannelAttention<T>(layer), in.view()), gates));
  EXPECT_TRUE(test::same_bits(ChannelAttention<T>(layer).forward(in), layer.forward(in)));
}

TYPED_TEST(ChannelAttentionOf, SqueezeExciteIsTwoLinearMapsOfTheMean) {
  using T = TypeParam;
  test::Random random(1);
  for (const auto& [channels, hidden, height, width] :
       {std::array<Index, 4>{1, 1, 1, 1}, {13, 5, 3, 4}, {24, 12, 1, 7}, {7, 19, 5, 5}}) {
    SCOPED_TRACE(concatenate(channels, " channels, ", hidden, " hidden, ", height, "x", width));
    SqueezeExcite<T> layer(channels, hidden);
    random.fill_network(layer);
    const Tensor<T> in = map_of<T>(random, {.batch = 3, .height = height, .width = width, .channels = channels});
    const Map mean = test::reference_global_mean(test::to_reference(in));
    const auto linear = [](const Map& map, const Linear<T>& by) {
      return test::reference_linear(map, Numbers(by.weight), Numbers(*by.bias));
    };
    const Map squeezed = test::reference_leaky_relu(linear(mean, layer.fc1), 0.0);
    const Map expected = test::reference_each(linear(squeezed, layer.fc2), test::reference_sigmoid);
    // Weights are at most √3 / √inputs.
    const double of_hidden = std::sqrt(3.0 * static_cast<double>(channels)) * largest_input + 0.5;
    const double of_gate = std::sqrt(3.0 * static_cast<double>(hidden)) * of_hidden + 0.5;
    expect_gates(layer, in, expected, test::rounding_error<T>(height * width + channels + hidden + 3, of_gate));
  }
}

TYPED_TEST(ChannelAttentionOf, EfficientAttentionSeesNeighbouringChannelsAndZerosBeyond) {
  using T = TypeParam;
  test::Random random(2);
  for (const Index channels : {1, 2, 13, 140}) {  // 140: five neighbours
    SCOPED_TRACE(concatenate(channels, " channels"));
    EfficientChannelAttention<T> layer(channels);
    random.fill(layer.weight, 0.2, 1);
    const Tensor<T> in = map_of<T>(random, {.batch = 3, .height = 3, .width = 5, .channels = channels});
    const Map mean = test::reference_global_mean(test::to_reference(in));
    const Map expected =
        test::reference_each(test::reference_along_channels(mean, Numbers(layer.weight)), test::reference_sigmoid);
    expect_gates(layer, in, expected, test::rounding_error<T>(15 + 5 + 1, 5 * largest_input));
  }
}

// timm: t = int(abs(log(channels, 2) + 1) / 2); max(t if t % 2 else t + 1, 3). Here without a logarithm: t is the
// largest number with 2^(2t − 1) <= channels.
TEST(EfficientChannelAttention, HasTheKernelOfTimm) {
  for (Index channels = 1; channels <= 4096; ++channels) {
    Index t = 0;
    while ((Index{1} << (2 * (t + 1) - 1)) <= channels) ++t;
    const Index expected = std::max<Index>(3, t % 2 == 1 ? t : t + 1);
    ASSERT_EQ(EfficientChannelAttention<float>::kernel_of(channels), expected) << channels;
  }
  const std::vector<std::pair<Index, Index>> table = {{64, 3},   {127, 3},  {128, 5},  {256, 5},  {512, 5},
                                                      {1024, 5}, {1536, 5}, {2047, 5}, {2048, 7}, {4096, 7}};
  for (const auto& [channels, kernel] : table) {
    EXPECT_EQ(EfficientChannelAttention<float>::kernel_of(channels), kernel) << channels;
    EXPECT_EQ(EfficientChannelAttention<float>(channels).weight.extents(), (Extents{1, 1, kernel})) << channels;
  }
}

TEST(ChannelAttention, NamesItsParametersAsTimm) {
  const auto names_of = [](const auto& layer) {
    std::vector<std::pair<std::string, Extents>> names;
    for_each_parameter(layer, [&](const std::string& name, const auto& parameter, ParameterKind) {
      names.emplace_back(name, parameter.extents());
    });
    return names;
  };
  using Names = std::vector<std::pair<std::string, Extents>>;
  EXPECT_EQ(names_of(SqueezeExcite<float>(6, 4)),
            (Names{{"fc1.weight", {4, 6}}, {"fc1.bias", {4}}, {"fc2.weight", {6, 4}}, {"fc2.bias", {6}}}));
  EXPECT_EQ(names_of(EfficientChannelAttention<float>(6)), (Names{{"conv.weight", {1, 1, 3}}}));
}

TEST(ChannelAttention, CountsTheLinearMapsOfOnePixelAnImage) {
  const Shape in{.batch = 3, .height = 5, .width = 7, .channels = 6};
  EXPECT_EQ(SqueezeExcite<float>(6, 4).macs(in), 3 * (6 * 4 + 4 * 6));
  EXPECT_EQ(EfficientChannelAttention<float>(6).macs(in), 0);  // as the published counts
}

TEST(SqueezeExcite, RefusesOtherChannels) {
  const SqueezeExcite<float> layer(6, 4);
  const Tensor<float> in({.batch = 1, .height = 2, .width = 2, .channels = 5});
  EXPECT_EQ(test::error_of([&] { layer.output_shape(in.shape()); }), "a linear layer of 6 inputs was given 5");
  EXPECT_THROW(layer.forward(in), Error);
  EXPECT_THROW(layer.macs(in.shape()), Error);
}

}  // namespace
}  // namespace plainnet
