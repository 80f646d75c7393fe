#include <gtest/gtest.h>

#include "plainnet/layers/activation.hpp"
#include "plainnet/layers/convolution.hpp"
#include "plainnet/layers/normalization.hpp"
#include "plainnet/layers/pooling.hpp"
#include "plainnet/layers/sequential.hpp"
#include "support/compare.hpp"
#include "support/random.hpp"

namespace plainnet {
namespace {

constexpr Shape input{.batch = 2, .height = 6, .width = 8, .channels = 3};

Conv2d<float> conv(Index in, Index out, Index kernel = 1) {
  return Conv2d<float>({.in_channels = in, .out_channels = out, .window = {.kernel = kernel}});
}

using Three = Sequential<Conv2d<float>, Relu<float>, Conv2d<float>>;
static_assert(Layer<Three, float>);
static_assert(Layer<Sequential<Three, Three>, float>, "A Sequential is a layer itself.");
static_assert(Layer<OneOf<Conv2d<float>, Three>, float>);

template <class L>
std::string names(const L& layer) {
  std::string all;
  for_each_parameter(layer, [&](const std::string& name, const auto&, ParameterKind) { all += name + " "; });
  return all;
}

TEST(Sequential, RunsItsLayersInOrder) {
  test::Random random(1);
  Three layers(conv(3, 5, 3), Relu<float>{}, conv(5, 2));
  random.fill_network(layers);
  const Tensor<float> in = random.map<float>(input);
  const Tensor<float> expected = layers.get<2>().forward(Relu<float>{}.forward(layers.get<0>().forward(in)));
  EXPECT_TRUE(test::same_bits(layers.forward(in), expected));
  EXPECT_TRUE(test::same_bits(layers.forward(in.view()), expected));
  EXPECT_EQ(layers.output_shape(input), expected.shape());
}

TEST(Sequential, OfOneLayerIsThatLayer) {
  test::Random random(2);
  Sequential<Conv2d<float>> layers(conv(3, 5));
  random.fill_network(layers);
  const Tensor<float> in = random.map<float>(input);
  EXPECT_TRUE(test::same_bits(layers.forward(in), layers.get<0>().forward(in)));
  EXPECT_EQ(names(layers), "0.weight 0.bias ");
}

TEST(Sequential, NamesItsLayersByTheirPlace) {
  EXPECT_EQ(names(Three(conv(3, 5), Relu<float>{}, conv(5, 2))), "0.weight 0.bias 2.weight 2.bias ");
  const Sequential nested(conv(3, 5), Sequential(Relu<float>{}, BatchNorm2d<float>(5, 1e-6)));
  EXPECT_EQ(names(nested), "0.weight 0.bias 1.1.weight 1.1.bias 1.1.running_mean 1.1.running_var ");
}

TEST(Sequential, AddsTheMultiplyAddsOfItsLayersOnWhatTheySee) {
  const Sequential layers(conv(3, 5, 3), MaxPool2d<float>(Window{.kernel = 2, .stride = 2}), conv(5, 2));
  // 4 × 6 positions of 5 · 3 · 9 weights, then 2 × 3 of 2 · 5, for 2 images.
  EXPECT_EQ(layers.macs(input), 2 * (4 * 6 * 5 * 3 * 9 + 2 * 3 * 2 * 5));
}

TEST(Sequential, CopiesAreIndependent) {
  test::Random random(3);
  Three layers(conv(3, 5, 3), Relu<float>{}, conv(5, 2));
  random.fill_network(layers);
  const Tensor<float> in = random.map<float>(input);
  const Three copy = layers;
  const Tensor<float> before = layers.forward(in);
  layers.get<0>().weight[0] += 1.0f;
  EXPECT_TRUE(test::same_bits(copy.forward(in), before));
  EXPECT_FALSE(test::same_bits(layers.forward(in), before));
}

TEST(Sequential, PassesOnTheErrorOfTheLayerThatCannotTakeItsInput) {
  const Three layers(conv(3, 5), Relu<float>{}, conv(4, 2));
  const std::string message = "a convolution of 4 channels was given 5";
  EXPECT_EQ(test::error_of([&] { layers.output_shape(input); }), message);
  EXPECT_EQ(test::error_of([&] { layers.macs(input); }), message);
  EXPECT_EQ(test::error_of([&] { layers.forward(Tensor<float>(input)); }), message);
}

TEST(OneOf, IsWhicheverLayerItHolds) {
  test::Random random(4);
  const Tensor<float> in = random.map<float>(input);
  Three three(conv(3, 5, 3), Relu<float>{}, conv(5, 2));
  Conv2d<float> one = conv(3, 4);
  random.fill_network(three);
  random.fill_network(one);
  OneOf<Conv2d<float>, Three> layer = one;
  EXPECT_TRUE(std::holds_alternative<Conv2d<float>>(layer.choice()));
  EXPECT_TRUE(test::same_bits(layer.forward(in), one.forward(in)));
  EXPECT_EQ(layer.output_shape(input), one.output_shape(input));
  EXPECT_EQ(layer.macs(input), one.macs(input));
  layer = three;
  EXPECT_TRUE(std::holds_alternative<Three>(layer.choice()));
  EXPECT_TRUE(test::same_bits(layer.forward(in.view()), three.forward(in)));
  EXPECT_EQ(layer.output_shape(input), three.output_shape(input));
  EXPECT_EQ(layer.macs(input), three.macs(input));
}

TEST(OneOf, TakesTheNamesOfItsChoice) {
  OneOf<Conv2d<float>, Three> layer = conv(3, 4);
  EXPECT_EQ(names(layer), "weight bias ");
  EXPECT_EQ(names(Sequential(layer, Relu<float>{})), "0.weight 0.bias ");
  layer = Three(conv(3, 5), Relu<float>{}, conv(5, 2));
  EXPECT_EQ(names(layer), "0.weight 0.bias 2.weight 2.bias ");
  for_each_parameter(layer,
                     [](const std::string&, Parameter<float>& parameter, ParameterKind) { parameter[0] = 7.0f; });
  EXPECT_EQ(std::get<Three>(layer.choice()).get<2>().weight[0], 7.0f);
}

}  // namespace
}  // namespace plainnet
