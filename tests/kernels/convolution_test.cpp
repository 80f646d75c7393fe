#include <limits>

#include <gtest/gtest.h>

#include "plainnet/kernels/convolution.hpp"
#include "support/compare.hpp"
#include "support/convolution_rows.hpp"
#include "support/isas.hpp"
#include "support/random.hpp"

namespace plainnet::kernels {
namespace {

using test::Map;
using test::Numbers;

template <class T>
struct Weights {
  Parameter<T> weight;
  Parameter<T> bias;

  Weights(const test::ConvolutionRow& row, test::Random& random)
      : weight({row.out_channels, row.in.channels / row.groups, row.window.kernel.height, row.window.kernel.width}),
        bias({row.out_channels}) {
    random.fill(weight);
    random.fill(bias);
  }

  PackedConvolution<T> pack(const test::ConvolutionRow& row, Isa isa) const {
    return pack_convolution(weight.data(), row.bias ? bias.data() : nullptr, row.in.channels, row.out_channels,
                            row.window, row.groups, isa);
  }
};

template <class T>
Tensor<T> run(const Tensor<T>& in, const PackedConvolution<T>& packed, const Epilogue<T>& epilogue, ThreadPool& pool) {
  Tensor<T> out(output_shape(in.shape(), packed.window, packed.out_channels));
  AlignedVector<T> scratch(static_cast<std::size_t>(packed.scratch() * pool.size()));
  convolve<T>(in, packed, epilogue, out.view(), scratch.data(), pool);
  return out;
}

template <class T>
class ConvolveOf : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(ConvolveOf, Scalars);

TYPED_TEST(ConvolveOf, SumsWeightTimesInputOverItsWindow) {
  using T = TypeParam;
  test::Random random(1);
  ThreadPool one(1);
  ThreadPool three(3);
  for (const test::ConvolutionRow& row : test::convolution_rows()) {
    const Weights<T> weights(row, random);
    const Tensor<T> in = random.map<T>(row.in);
    const Numbers bias = row.bias ? Numbers(weights.bias) : Numbers();
    const Map map = test::to_reference(in);
    const Map expected =
        test::reference_convolution(map, Numbers(weights.weight), bias, row.out_channels, row.window, row.groups);
    const Map sizes = test::reference_convolution(map.magnitudes(), Numbers(weights.weight).magnitudes(),
                                                  bias.magnitudes(), row.out_channels, row.window, row.groups);
    const Index terms = weights.weight.size() / row.out_channels + 3;
    const double tolerance = test::rounding_error<T>(terms, test::largest_magnitude(sizes));
    const Epilogue<T> slope{.activation = Activation::leaky_relu, .slope = T{0.25}};
    for (Isa isa : test::supported_isas()) {
      SCOPED_TRACE(concatenate(to_string(isa), ": ", to_string(row)));
      const PackedConvolution<T> packed = weights.pack(row, isa);
      const Tensor<T> out = run<T>(in, packed, {}, one);
      ASSERT_TRUE(test::near_everywhere(out, expected, tolerance));
      ASSERT_TRUE(
          test::near_everywhere(run(in, packed, slope, one), test::reference_leaky_relu(expected, 0.25), tolerance));
      ASSERT_TRUE(test::same_bits(run<T>(in, packed, {}, three), out)) << "three threads";
    }
  }
}

TYPED_TEST(ConvolveOf, GivesAnImageOfABatchTheBitsItHasAlone) {
  using T = TypeParam;
  test::Random random(2);
  const test::ConvolutionRow row{
      {.batch = 3, .height = 9, .width = 7, .channels = 6}, 20, Window{.kernel = 3, .stride = 2, .padding = 1}, 2};
  const Weights<T> weights(row, random);
  const Tensor<T> in = random.map<T>(row.in);
  Shape one_image = row.in;
  one_image.batch = 1;
  ThreadPool pool(2);
  for (Isa isa : test::supported_isas()) {
    const PackedConvolution<T> packed = weights.pack(row, isa);
    const Tensor<T> all = run<T>(in, packed, {}, pool);
    for (Index n = 0; n < 3; ++n) {
      Tensor<T> image(one_image);
      std::copy_n(in.view().pixel(n, 0, 0), one_image.elements(), image.data());
      const Tensor<T> alone = run<T>(image, packed, {}, pool);
      EXPECT_TRUE(test::same_bits<T>(TensorView<const T>(all.view().pixel(n, 0, 0), alone.shape()), alone.view()))
          << to_string(isa) << ", image " << n;
    }
  }
}

TYPED_TEST(ConvolveOf, SpreadsNaNOnlyToOutputsThatSeeIt) {
  using T = TypeParam;
  test::Random random(3);
  const test::ConvolutionRow row{
      {.batch = 1, .height = 5, .width = 6, .channels = 2}, 19, Window{.kernel = 3, .padding = 1}};
  const Weights<T> weights(row, random);
  for (T bad : {std::numeric_limits<T>::quiet_NaN(), std::numeric_limits<T>::infinity()}) {
    Tensor<T> in = random.map<T>(row.in);
    in(0, 1, 4, 1) = bad;
    ThreadPool pool(1);
    for (Isa isa : test::supported_isas()) {
      const Tensor<T> out = run<T>(in, weights.pack(row, isa), {}, pool);
      for (Index y = 0; y < 5; ++y) {
        for (Index x = 0; x < 6; ++x) {
          for (Index c = 0; c < 19; ++c) {
            ASSERT_EQ(std::isfinite(out(0, y, x, c)), y > 2 || x < 3) << to_string(isa) << ": " << y << ", " << x;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace plainnet::kernels
