#include <gtest/gtest.h>

#include "plainnet/layers/token_mixers.hpp"
#include "support/compare.hpp"
#include "support/random.hpp"

namespace plainnet {
namespace {

using test::Map;
using test::Numbers;

static_assert(TokenMixer<PoolMixer<float>, float> && TokenMixer<Attention<float>, float> &&
              TokenMixer<SpatialMixing<float>, float> && TokenMixer<SepConv<float>, float> &&
              TokenMixer<Identity<float>, float>);

template <class T>
class TokenMixerOf : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(TokenMixerOf, Scalars);

TYPED_TEST(TokenMixerOf, PoolMixerIsTheMeanAroundLessThePixel) {
  using T = TypeParam;
  test::Random random(1);
  for (const Shape& shape : {Shape{2, 5, 7, 3}, Shape{1, 1, 1, 5}, Shape{1, 1, 4, 2}, Shape{3, 2, 2, 17}}) {
    const Tensor<T> in = random.map<T>(shape);
    EXPECT_TRUE(test::near_everywhere(PoolMixer<T>{}.forward(in), test::reference_pool_mixer(test::to_reference(in)),
                                      test::rounding_error<T>(11, 2.0)))
        << to_string(shape);
  }
}

TYPED_TEST(TokenMixerOf, AttentionMixesByTheSoftmaxOfItsHeads) {
  using T = TypeParam;
  test::Random random(2);
  // Three heads; one head that is narrower than the channels; channels fewer than a head has.
  for (const auto& [channels, head_dim] : {std::pair<Index, Index>{15, 5}, {7, 5}, {3, 4}}) {
    for (const bool with_bias : {false, true}) {
      Attention<T> attention(channels, with_bias, head_dim);
      random.fill_network(attention);
      EXPECT_EQ(attention.heads(), std::max<Index>(1, channels / head_dim));
      const Shape shape{2, 3, 5, channels};
      const Tensor<T> in = random.map<T>(shape, -2, 2);
      const Map qkv = test::reference_linear(test::to_reference(in), Numbers(attention.qkv.weight), Numbers());
      const Map mixed = test::reference_attention(qkv, head_dim, 1.0 / std::sqrt(static_cast<double>(head_dim)));
      const Map expected = test::reference_linear(mixed, Numbers(attention.proj.weight),
                                                  with_bias ? Numbers(*attention.proj.bias) : Numbers());
      // Rounding of an exponent of up to some tens is a relative error of that many ε.
      EXPECT_TRUE(test::near_everywhere(attention.forward(in), expected, test::rounding_error<T>(400, 10.0)))
          << channels;
      const Index inner = attention.heads() * head_dim;
      EXPECT_EQ(attention.macs(shape), 2 * 15 * channels * 4 * inner + 2 * 2 * 15 * 15 * inner);
    }
  }
}

TEST(Attention, OfLargeProductsIsFinite) {
  Attention<float> attention(4, false, 4);
  for (float& w : attention.qkv.weight) w = 100;
  for (Index i = 0; i < 4; ++i) attention.proj.weight[5 * i] = 1;
  Tensor<float> in({1, 1, 3, 4});
  std::fill_n(in.data(), 12, 3.0f);
  EXPECT_TRUE(test::near_everywhere(attention.forward(in),
                                    test::reference_each(test::to_reference(in), [](double) { return 1200.0; }), 1e-2));
}

TYPED_TEST(TokenMixerOf, SpatialMixingWeighsTokens) {
  using T = TypeParam;
  test::Random random(3);
  SpatialMixing<T> mixing(15, "random_matrix");
  random.fill_network(mixing);
  const Tensor<T> in = random.map<T>({2, 3, 5, 7});
  EXPECT_TRUE(test::near_everywhere(mixing.forward(in),
                                    test::reference_mixing(test::to_reference(in), Numbers(mixing.weight)),
                                    test::rounding_error<T>(16, std::sqrt(3.0 * 15))));
  EXPECT_EQ(mixing.macs(in.shape()), 2 * 15 * 15 * 7);
}

TEST(SpatialMixing, RefusesOtherSizesOfImage) {
  const SpatialMixing<float> mixing(15, "fc.weight");
  EXPECT_EQ(test::error_of([&] {
              mixing.forward(Tensor<float>({1, 4, 4, 7}));
            }),
            "a mixing of 15 tokens was given a map of 4x4: this network works at one size of image only");
  for_each_parameter(mixing, [](const std::string& name, auto&, ParameterKind) { EXPECT_EQ(name, "fc.weight"); });
}

TYPED_TEST(TokenMixerOf, SepConvIsSeparable) {
  using T = TypeParam;
  test::Random random(4);
  SepConv<T> mixer(5);
  random.fill_network(mixer);
  const Tensor<T> in = random.map<T>({2, 4, 9, 5}, -2, 2);
  Map x = test::reference_linear(test::to_reference(in), Numbers(mixer.pwconv1.weight), Numbers());
  const double scale = static_cast<double>(mixer.act1.scale[0]);
  const double bias = static_cast<double>(mixer.act1.bias[0]);
  x = test::reference_each(x, [&](double v) { return scale * (v > 0 ? v * v : 0.0) + bias; });
  x = test::reference_convolution(x, Numbers(mixer.dwconv.weight), Numbers(), 10, {.kernel = 7, .padding = 3}, 10);
  x = test::reference_linear(x, Numbers(mixer.pwconv2.weight), Numbers());
  EXPECT_TRUE(test::near_everywhere(mixer.forward(in), x, test::rounding_error<T>(49 + 15, 10 * largest_magnitude(x))));
  EXPECT_EQ(mixer.macs(in.shape()), 72 * (5 * 10 + 10 * 49 + 10 * 5));
}

}  // namespace
}  // namespace plainnet
