#include <limits>

#include <gtest/gtest.h>

#include "plainnet/core/thread_pool.hpp"
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

// To the bit, with a row and a column that no window of the pool sees.
TYPED_TEST(ConvolveOf, PoolsWhatItComputesAsAPoolAfterItDoes) {
  using T = TypeParam;
  test::Random random(5);
  ThreadPool one(1);
  ThreadPool three(3);
  for (const Extent2D pool : {Extent2D{2}, Extent2D{1, 3}, Extent2D{3, 1}, Extent2D{1, 2}}) {
    for (const Index groups : {1, 2}) {
      const Shape shape{.batch = 2, .height = 7, .width = 11, .channels = 10};
      const test::ConvolutionRow row{
          .in = shape, .out_channels = 38, .window = Window{}, .groups = groups, .bias = true};
      const Weights<T> weights(row, random);
      const Tensor<T> in = random.map<T>(shape);
      const Window window{.kernel = pool, .stride = pool};
      ASSERT_TRUE(PackedConvolution<T>::can_pool(row.window, window));
      for (Isa isa : test::supported_isas()) {
        SCOPED_TRACE(concatenate(to_string(isa), ", ", groups, " groups, ", pool.height, " x ", pool.width));
        PackedConvolution<T> packed = weights.pack(row, isa);
        const test::Map expected = test::reference_max_pool(test::to_reference(run<T>(in, packed, {}, one)), window);
        packed.pool = pool;
        for (ThreadPool* threads : {&one, &three}) {
          Tensor<T> out(output_shape(shape, window, 38));
          AlignedVector<T> scratch(static_cast<std::size_t>(packed.scratch() * threads->size()));
          convolve<T>(in, packed, {}, out.view(), scratch.data(), *threads);
          ASSERT_TRUE(test::near_everywhere(out, expected, 0.0)) << threads->size() << " threads";
        }
      }
    }
  }
}

TEST(Convolve, PoolsOnlyWhatStandsSideBySide) {
  const auto can = [](const Window& window, const Window& pool) {
    return PackedConvolution<float>::can_pool(window, pool);
  };
  EXPECT_TRUE(can({}, {.kernel = 2, .stride = 2}));
  EXPECT_FALSE(can({.kernel = 3, .padding = 1}, {.kernel = 2, .stride = 2}));
  EXPECT_FALSE(can({}, {.kernel = 3, .stride = 2}));
  EXPECT_FALSE(can({}, {.kernel = 2, .stride = 2, .padding = 1}));
  EXPECT_FALSE(can({}, {.kernel = 2, .stride = 2, .dilation = 2}));
  EXPECT_FALSE(can({}, {.kernel = 2, .stride = 2, .rounding = Rounding::ceil}));
  EXPECT_FALSE(can({}, {.kernel = 2, .stride = 2, .same = true}));
  EXPECT_FALSE(can({}, {.kernel = 3, .stride = 3}));  // nine rows at a time are too many
}

TYPED_TEST(ConvolveOf, GivesAnImageOfABatchTheBitsItHasAlone) {
  using T = TypeParam;
  test::Random random(2);
  for (Index channels : {6, 60}) {  // packed and read in place
    const test::ConvolutionRow row{{.batch = 3, .height = 9, .width = 7, .channels = channels},
                                   20,
                                   Window{.kernel = 3, .stride = 2, .padding = 1},
                                   2};
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
}

TYPED_TEST(ConvolveOf, SpreadsNaNOnlyToOutputsThatSeeIt) {
  using T = TypeParam;
  test::Random random(3);
  for (Index channels : {2, 9}) {  // packed and read in place
    const test::ConvolutionRow row{
        {.batch = 1, .height = 5, .width = 6, .channels = channels}, 19, Window{.kernel = 3, .padding = 1}};
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
}

/// Sizes whose pixels are read in place: several chunks, several portions of a sum, panels and blocks that are not
/// full.
std::vector<test::ConvolutionRow> rows_read_in_place() {
  const Window same{.kernel = 3, .padding = 1};
  return {
      {{.batch = 1, .height = 8, .width = 8, .channels = 8}, 32, same},
      {{.batch = 1, .height = 1, .width = 1, .channels = 29}, 17, same},
      {{.batch = 2, .height = 5, .width = 7, .channels = 45}, 33, same},           // depth 405
      {{.batch = 3, .height = 4, .width = 5, .channels = 6 * 9}, 6 * 5, same, 6},  // thirty panels of five columns
      {{.batch = 1, .height = 25, .width = 27, .channels = 9}, 70, same},          // two chunks
      {{.batch = 2, .height = 19, .width = 17, .channels = 16}, 6, Window{.kernel = 7, .padding = 3}},  // eight chunks
      {{.batch = 1, .height = 16, .width = 15, .channels = 2 * 130},
       2 * 20,
       Window{.kernel = 3, .stride = 2, .padding = {0, 1, 0, 1}},
       2},
      {{.batch = 1, .height = 6, .width = 9, .channels = 257},
       19,
       Window{.kernel = {2, 1}, .stride = {1, 2}, .dilation = {3, 1}, .padding = {2, 0, 1, 3}}},
      {{.batch = 1, .height = 4, .width = 5, .channels = 8}, 9, Window{.kernel = {15, 19}, .padding = 9}},  // 285 taps
      {{.batch = 1, .height = 5, .width = 4, .channels = 300}, 18, Window{.stride = {2, 1}, .padding = {1, 0, 0, 1}}},
  };
}

TYPED_TEST(ConvolveOf, HasTheBitsOfAProductOfPatches) {
  using T = TypeParam;
  test::Random random(4);
  ThreadPool one(1);
  for (const test::ConvolutionRow& row : rows_read_in_place()) {
    const Weights<T> weights(row, random);
    const Tensor<T> in = random.map<T>(row.in);
    for (Isa isa : test::supported_isas()) {
      SCOPED_TRACE(concatenate(to_string(isa), ": ", to_string(row)));
      const PackedConvolution<T> packed = weights.pack(row, isa);
      ASSERT_TRUE(packed.reads_in_place());
      Tensor<T> expected(output_shape(row.in, row.window, row.out_channels));
      AlignedVector<T> scratch(static_cast<std::size_t>(matmul_scratch<T>(packed.depth())));
      for (Index g = 0; g < row.groups; ++g) {
        const WindowRows<T> patches(in, row.window, expected.shape(), g * packed.group_in(), packed.group_in());
        multiply<T>(patches, expected.shape().pixels(), packed.groups[static_cast<std::size_t>(g)], {},
                    expected.data() + g * packed.group_out(), row.out_channels, scratch.data(), one);
      }
      for (Index threads : {1, 2, 3, 7}) {
        ThreadPool pool(threads);
        ASSERT_TRUE(test::same_bits(run<T>(in, packed, {}, pool), expected)) << threads << " threads";
      }
    }
  }
}

TYPED_TEST(ConvolveOf, AddsAScaledResidualAfterTheActivation) {
  using T = TypeParam;
  test::Random random(5);
  std::vector<test::ConvolutionRow> rows = rows_read_in_place();
  rows.push_back({{.batch = 2, .height = 5, .width = 7, .channels = 12}, 18, Window{}, 3});
  rows.push_back({{.batch = 2, .height = 6, .width = 7, .channels = 6}, 10, Window{.kernel = 3, .padding = 1}, 2});
  rows.push_back(  // by inner products where they are the faster
      {{.batch = 2, .height = 7, .width = 6, .channels = 2 * 25},
       2 * 64,
       Window{.kernel = 3, .stride = 2, .padding = 1},
       2});
  for (const test::ConvolutionRow& row : rows) {
    const Weights<T> weights(row, random);
    const Tensor<T> in = random.map<T>(row.in);
    const Shape out_shape = output_shape(row.in, row.window, row.out_channels);
    const Tensor<T> residual = random.map<T>(out_shape);
    AlignedVector<T> scale(static_cast<std::size_t>(row.out_channels));
    random.fill(scale.data(), scale.data() + row.out_channels, 0.5, 1.5);
    const Map map = test::to_reference(in);
    const Numbers weight(weights.weight), bias(weights.bias);
    const Map convolved =
        test::reference_convolution(map, weight, row.bias ? bias : Numbers(), row.out_channels, row.window, row.groups);
    const Map sizes = test::reference_convolution(map.magnitudes(), weight.magnitudes(), bias.magnitudes(),
                                                  row.out_channels, row.window, row.groups);
    const Map activated = test::reference_leaky_relu(convolved, 0.25);
    const Map added = test::to_reference(residual);
    const Map expected =
        test::make_map(out_shape.batch, out_shape.channels, out_shape.height, out_shape.width,
                       [&](Index n, Index c, Index y, Index x) {
                         return activated.at(n, c, y, x) +
                                static_cast<double>(scale[static_cast<std::size_t>(c)]) * added.at(n, c, y, x);
                       });
    const Index terms = weights.weight.size() / row.out_channels + 5;
    const double tolerance = test::rounding_error<T>(terms, test::largest_magnitude(sizes) + 1.5);
    const Epilogue<T> epilogue{.activation = Activation::leaky_relu,
                               .slope = T{0.25},
                               .residual = residual.data(),
                               .residual_stride = row.out_channels,
                               .residual_scale = scale.data()};
    ThreadPool one(1);
    ThreadPool two(2);
    for (Isa isa : test::supported_isas()) {
      SCOPED_TRACE(concatenate(to_string(isa), ": ", to_string(row)));
      const PackedConvolution<T> packed = weights.pack(row, isa);
      const Tensor<T> out = run<T>(in, packed, epilogue, one);
      ASSERT_TRUE(test::near_everywhere(out, expected, tolerance));
      ASSERT_TRUE(test::same_bits(run<T>(in, packed, epilogue, two), out)) << "two threads";
    }
  }
}

}  // namespace
}  // namespace plainnet::kernels
