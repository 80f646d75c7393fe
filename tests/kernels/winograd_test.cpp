#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include <gtest/gtest.h>

#include "plainnet/core/thread_pool.hpp"
#include "plainnet/kernels/winograd.hpp"
#include "support/compare.hpp"
#include "support/executors.hpp"
#include "support/isas.hpp"
#include "support/random.hpp"

namespace plainnet::kernels {
namespace {

using test::Map;
using test::Numbers;

struct WinogradRow {
  Shape in;
  Index out_channels;
  Padding padding = 1;
  Index groups = 1;
  bool bias = true;

  Window window(Index stride = 1) const { return {.kernel = 3, .stride = stride, .padding = padding}; }
};

std::string to_string(const WinogradRow& row) {
  const Padding& p = row.padding;
  return concatenate(plainnet::to_string(row.in), " to ", row.out_channels, ", padding ", p.top, " ", p.bottom, " ",
                     p.left, " ", p.right, ", groups ", row.groups, row.bias ? ", bias" : "");
}

constexpr ConvolutionMethod methods[] = {ConvolutionMethod::winograd_2x2, ConvolutionMethod::winograd_4x4,
                                         ConvolutionMethod::winograd_4x4_of_taps,
                                         ConvolutionMethod::winograd_2x2_stride_2};

Index stride_of(ConvolutionMethod method) { return method == ConvolutionMethod::winograd_2x2_stride_2 ? 2 : 1; }

Index tile_of(ConvolutionMethod method) {
  return method == ConvolutionMethod::winograd_2x2 || stride_of(method) == 2 ? 2 : 4;
}

std::string to_string(ConvolutionMethod method) {
  const char* const weights = method == ConvolutionMethod::winograd_4x4_of_taps ? ", of taps" : "";
  return concatenate("tile ", tile_of(method), ", stride ", stride_of(method), weights);
}

std::vector<WinogradRow> winograd_rows() {
  std::vector<WinogradRow> rows = {
      {{.batch = 1, .height = 1, .width = 1, .channels = 1}, 1},
      {{.batch = 1, .height = 8, .width = 8, .channels = 16}, 32},
      {{.batch = 1, .height = 8, .width = 8, .channels = 16}, 32, 1, 1, false},
      {{.batch = 1, .height = 3, .width = 3, .channels = 5}, 3, 0},  // one output
      {{.batch = 1, .height = 5, .width = 4, .channels = 33}, 17, Padding(0, 1, 0, 1)},
      {{.batch = 3, .height = 7, .width = 9, .channels = 6 * 9}, 6 * 5, 1, 6},
      {{.batch = 1, .height = 2, .width = 3, .channels = 4}, 6, Padding(3, 2, 4, 5)},  // tiles of nothing but padding
      {{.batch = 1, .height = 11, .width = 6, .channels = 2 * 130}, 2 * 20, 1, 2},     // several portions of terms
      {{.batch = 2, .height = 37, .width = 25, .channels = 12}, 9, 1, 3},              // several portions of tiles
  };
  test::Random random(42);
  while (rows.size() < 40) {
    const Index groups = random.integer(1, 3);
    const WinogradRow row{
        .in = {.batch = random.integer(1, 2),
               .height = random.integer(1, 13),
               .width = random.integer(1, 13),
               .channels = groups * random.integer(1, 40)},
        .out_channels = groups * random.integer(1, 40),
        .padding = {random.integer(0, 3), random.integer(0, 3), random.integer(0, 3), random.integer(0, 3)},
        .groups = groups,
        .bias = random.coin()};
    const Padding& p = row.padding;
    if (row.in.height + p.top + p.bottom >= 3 && row.in.width + p.left + p.right >= 3) rows.push_back(row);
  }
  return rows;
}

template <class T>
struct Weights {
  Parameter<T> weight;
  Parameter<T> bias;

  Weights(const WinogradRow& row, test::Random& random)
      : weight({row.out_channels, row.in.channels / row.groups, 3, 3}), bias({row.out_channels}) {
    random.fill(weight);
    random.fill(bias);
  }

  PackedWinograd<T> pack(const WinogradRow& row, ConvolutionMethod method, Isa isa,
                         Executor& pool = callers_thread()) const {
    return pack_winograd(weight.data(), row.bias ? bias.data() : nullptr, row.in.channels, row.out_channels,
                         row.window(stride_of(method)), row.groups, method, isa, pool);
  }
};

template <class T>
Tensor<T> run(const Tensor<T>& in, const PackedWinograd<T>& packed, const Epilogue<T>& epilogue, ThreadPool& pool) {
  Tensor<T> out(output_shape(in.shape(), packed.window, packed.out_channels));
  AlignedVector<T> scratch(static_cast<std::size_t>(packed.scratch() * pool.size()));
  convolve<T>(in, packed, epilogue, out.view(), scratch.data(), pool);
  return out;
}

/// The magnitudes of the transforms, written out: |Bᵀ|, |G|, |Aᵀ|.
struct Magnitudes {
  std::vector<std::vector<double>> input, weight, output;

  explicit Magnitudes(ConvolutionMethod method) {
    if (stride_of(method) == 2) {
      input = {{1, 0, 1, 0, 0}, {0, 0, 1, 0, 0}, {0, 0, 1, 0, 1}, {0, 1, 0, 0, 0}, {0, 0, 0, 1, 0}};
      weight = {{1, 0, 0}, {1, 0, 1}, {0, 0, 1}, {0, 1, 0}, {0, 1, 0}};
      output = {{1, 1, 0, 1, 0}, {0, 1, 1, 0, 1}};
      return;
    }
    if (tile_of(method) == 2) {
      input = {{1, 0, 1, 0}, {0, 1, 1, 0}, {0, 1, 1, 0}, {0, 1, 0, 1}};
      weight = {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, 0.5, 0.5}, {0, 0, 1}};
      output = {{1, 1, 1, 0}, {0, 1, 1, 1}};
      return;
    }
    const double a = 5.0 / 8, b = 3.0 / 2;
    const double at_a = 1 / (2 * a * a * (b * b - a * a)), at_b = 1 / (2 * b * b * (b * b - a * a));
    input = {{a * a * b * b, 0, a * a + b * b, 0, 1, 0},
             {0, a * b * b, b * b, a, 1, 0},
             {0, a * b * b, b * b, a, 1, 0},
             {0, a * a * b, a * a, b, 1, 0},
             {0, a * a * b, a * a, b, 1, 0},
             {0, a * a * b * b, 0, a * a + b * b, 0, 1}};
    weight = {{1 / (a * a * b * b), 0, 0},    {at_a, a * at_a, a * a * at_a}, {at_a, a * at_a, a * a * at_a},
              {at_b, b * at_b, b * b * at_b}, {at_b, b * at_b, b * b * at_b}, {0, 0, 1}};
    output = {{1, 1, 1, 1, 1, 0},
              {0, a, a, b, b, 0},
              {0, a * a, a * a, b * b, b * b, 0},
              {0, a * a * a, a * a * a, b * b * b, b * b * b, 1}};
  }
};

/// |A|ᵀ [ Σ_c (|G| |g| |G|ᵀ) ⊙ (|B|ᵀ |d| |B|) ] |A| for every output, the bias's magnitude added.
Map error_scale(const Map& in, const Numbers& weight, const Numbers& bias, const WinogradRow& row,
                ConvolutionMethod method) {
  const Magnitudes m(method);
  const Index tile = tile_of(method);
  const Index stride = stride_of(method);
  const Index side = static_cast<Index>(m.input.size());
  const Index group_in = row.in.channels / row.groups;
  const Index group_out = row.out_channels / row.groups;
  const auto at = [](const std::vector<std::vector<double>>& matrix, Index i, Index j) {
    return matrix.at(static_cast<std::size_t>(i)).at(static_cast<std::size_t>(j));
  };
  // Position (i, j) of the transformed tile that begins at output (y, x), channels first.
  const auto [batch, height, width, channels] = output_shape(row.in, row.window(stride), row.out_channels);
  const Index positions = side * side;
  const auto transformed = [&](Index n, Index c, Index y, Index x, Index position) {
    double sum = 0;
    for (Index k = 0; k < side; ++k) {
      for (Index l = 0; l < side; ++l) {
        const Index from_y = y * stride + k - row.padding.top;
        const Index from_x = x * stride + l - row.padding.left;
        if (!in.has(from_y, from_x)) continue;
        sum +=
            at(m.input, position / side, k) * at(m.input, position % side, l) * std::abs(in.at(n, c, from_y, from_x));
      }
    }
    return sum;
  };
  const auto transformed_weight = [&](Index o, Index i, Index position) {
    double sum = 0;
    for (Index k = 0; k < 3; ++k) {
      for (Index l = 0; l < 3; ++l) {
        sum += at(m.weight, position / side, k) * at(m.weight, position % side, l) *
               std::abs(weight[((o * group_in + i) * 3 + k) * 3 + l]);
      }
    }
    return sum;
  };
  Numbers weights(row.out_channels * group_in * positions);
  for (Index k = 0; k < weights.size(); ++k) {
    weights[k] = transformed_weight(k / (group_in * positions), k / positions % group_in, k % positions);
  }
  Map scale(batch, channels, height, width);
  for (Index n = 0; n < in.batch; ++n) {
    for (Index y = 0; y < height; y += tile) {
      for (Index x = 0; x < width; x += tile) {
        Numbers inputs(row.in.channels * positions);
        for (Index k = 0; k < inputs.size(); ++k) inputs[k] = transformed(n, k / positions, y, x, k % positions);
        for (Index o = 0; o < row.out_channels; ++o) {
          for (Index p = 0; p < positions; ++p) {
            double sum = 0;
            for (Index i = 0; i < group_in; ++i) {
              sum +=
                  weights[(o * group_in + i) * positions + p] * inputs[(o / group_out * group_in + i) * positions + p];
            }
            for (Index r = 0; r < tile && y + r < height; ++r) {
              for (Index s = 0; s < tile && x + s < width; ++s) {
                scale.at(n, o, y + r, x + s) += at(m.output, r, p / side) * at(m.output, s, p % side) * sum;
              }
            }
          }
          for (Index r = 0; r < tile && y + r < height; ++r) {
            for (Index s = 0; s < tile && x + s < width; ++s) {
              scale.at(n, o, y + r, x + s) += bias.size() > 0 ? std::abs(bias[o]) : 0.0;
            }
          }
        }
      }
    }
  }
  return scale;
}

/// Every output within ε · terms · scale of the expected.
template <class T>
testing::AssertionResult near_within(const Tensor<T>& actual, const Map& expected, const Map& scale, Index terms) {
  const Map found = test::to_reference(actual);
  if (found.values.size() != expected.values.size()) return testing::AssertionFailure() << "another shape";
  for (Index n = 0; n < found.batch; ++n) {
    for (Index c = 0; c < found.channels; ++c) {
      for (Index y = 0; y < found.height; ++y) {
        for (Index x = 0; x < found.width; ++x) {
          const double difference = std::abs(found.at(n, c, y, x) - expected.at(n, c, y, x));
          const double tolerance = test::rounding_error<T>(terms, scale.at(n, c, y, x));
          if (!(difference <= tolerance)) {
            return testing::AssertionFailure() << "n " << n << ", y " << y << ", x " << x << ", c " << c
                                               << ": apart by " << difference << ", tolerance " << tolerance;
          }
        }
      }
    }
  }
  return testing::AssertionSuccess();
}

/// Of a sum of `channels` terms in portions, and of all around it (winograd.hpp).
Index terms_of(Index channels, Index tile) {
  const Index portion = winograd_terms_in_portion(tile);
  return 24 + std::min(channels, portion) + channels / portion;
}

template <class T>
class WinogradOf : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(WinogradOf, Scalars);

TYPED_TEST(WinogradOf, IsTheConvolutionWithinItsErrorBound) {
  using T = TypeParam;
  test::Random random(1);
  ThreadPool one(1);
  for (const WinogradRow& row : winograd_rows()) {
    const Weights<T> weights(row, random);
    const Tensor<T> in = random.map<T>(row.in);
    const Map map = test::to_reference(in);
    const Numbers weight(weights.weight);
    const Numbers bias = row.bias ? Numbers(weights.bias) : Numbers();
    for (ConvolutionMethod method : methods) {
      const Window window = row.window(stride_of(method));
      const Map expected = test::reference_convolution(map, weight, bias, row.out_channels, window, row.groups);
      const Index tile = tile_of(method);
      const Map scale = error_scale(map, weight, bias, row, method);
      for (Isa isa : test::supported_isas()) {
        SCOPED_TRACE(concatenate(to_string(isa), ", ", to_string(method), ": ", to_string(row)));
        const PackedWinograd<T> packed = weights.pack(row, method, isa);
        const Tensor<T> out = run<T>(in, packed, {}, one);
        ASSERT_TRUE(near_within(out, expected, scale, terms_of(row.in.channels / row.groups, tile)));
        for (Index threads : {2, 3, 7}) {
          ThreadPool pool(threads);
          ASSERT_TRUE(test::same_bits(run<T>(in, packed, {}, pool), out)) << threads << " threads";
        }
      }
    }
  }
}

TYPED_TEST(WinogradOf, AddsAScaledResidualAfterTheActivation) {
  using T = TypeParam;
  test::Random random(2);
  ThreadPool two(2);
  for (const WinogradRow& row : winograd_rows()) {
    const Weights<T> weights(row, random);
    const Tensor<T> in = random.map<T>(row.in);
    AlignedVector<T> scale(static_cast<std::size_t>(row.out_channels));
    random.fill(scale.data(), scale.data() + row.out_channels, 0.5, 1.5);
    const bool has_scale = random.coin();
    const Map map = test::to_reference(in);
    const Numbers weight(weights.weight);
    const Numbers bias = row.bias ? Numbers(weights.bias) : Numbers();
    for (ConvolutionMethod method : methods) {
      const Index tile = tile_of(method);
      const Window window = row.window(stride_of(method));
      const Tensor<T> residual = random.map<T>(output_shape(row.in, window, row.out_channels));
      const Map added = test::to_reference(residual);
      const auto scaled = [&](Index n, Index c, Index y, Index x) {
        return (has_scale ? static_cast<double>(scale[static_cast<std::size_t>(c)]) : 1.0) * added.at(n, c, y, x);
      };
      const Epilogue<T> epilogue{.activation = Activation::leaky_relu,
                                 .slope = T{0.25},
                                 .residual = residual.data(),
                                 .residual_stride = row.out_channels,
                                 .residual_scale = has_scale ? scale.data() : nullptr};
      Map expected = test::reference_leaky_relu(
          test::reference_convolution(map, weight, bias, row.out_channels, window, row.groups), 0.25);
      Map tolerance = error_scale(map, weight, bias, row, method);
      for (Index n = 0; n < expected.batch; ++n) {
        for (Index c = 0; c < expected.channels; ++c) {
          for (Index y = 0; y < expected.height; ++y) {
            for (Index x = 0; x < expected.width; ++x) {
              expected.at(n, c, y, x) += scaled(n, c, y, x);
              tolerance.at(n, c, y, x) += std::abs(scaled(n, c, y, x));
            }
          }
        }
      }
      for (Isa isa : test::supported_isas()) {
        SCOPED_TRACE(concatenate(to_string(isa), ", ", to_string(method), ": ", to_string(row)));
        ASSERT_TRUE(near_within(run<T>(in, weights.pack(row, method, isa), epilogue, two), expected, tolerance,
                                terms_of(row.in.channels / row.groups, tile)));
      }
    }
  }
}

TYPED_TEST(WinogradOf, GivesAnImageOfABatchTheBitsItHasAlone) {
  using T = TypeParam;
  test::Random random(3);
  const WinogradRow row{{.batch = 3, .height = 9, .width = 7, .channels = 60}, 20, Padding(0, 1, 1, 2), 2};
  const Weights<T> weights(row, random);
  const Tensor<T> in = random.map<T>(row.in);
  Shape one_image = row.in;
  one_image.batch = 1;
  ThreadPool pool(2);
  for (ConvolutionMethod method : methods) {
    for (Isa isa : test::supported_isas()) {
      const PackedWinograd<T> packed = weights.pack(row, method, isa);
      const Tensor<T> all = run<T>(in, packed, {}, pool);
      for (Index n = 0; n < 3; ++n) {
        Tensor<T> image(one_image);
        std::copy_n(in.view().pixel(n, 0, 0), one_image.elements(), image.data());
        const Tensor<T> alone = run<T>(image, packed, {}, pool);
        EXPECT_TRUE(test::same_bits<T>(TensorView<const T>(all.view().pixel(n, 0, 0), alone.shape()), alone.view()))
            << to_string(isa) << ", " << to_string(method) << ", image " << n;
      }
    }
  }
}

// Threads that take whole portions of a group, whole groups, and tiles of several portions and groups.
TYPED_TEST(WinogradOf, GivesTheSameBitsForEveryNumberOfThreads) {
  using T = TypeParam;
  test::Random random(11);
  ThreadPool one(1);
  int whole_portions = 0, others = 0;
  for (const auto& [height, width, channels, groups] :
       {std::array<Index, 4>{18, 18, 128, 1}, {25, 22, 128, 1}, {16, 16, 256, 2}, {18, 15, 384, 6}}) {
    const WinogradRow row{.in = {1, height, width, channels}, .out_channels = 24 * groups, .groups = groups};
    const Weights<T> weights(row, random);
    const Tensor<T> in = random.map<T>(row.in);
    for (Isa isa : test::supported_isas()) {
      for (ConvolutionMethod method : methods) {
        const PackedWinograd<T> packed = weights.pack(row, method, isa);
        const Tensor<T> expected = run(in, packed, {}, one);
        const WinogradPortions portions = packed.portions(packed.group_tiles(expected.shape()));
        for (Index threads : {2, 3, 4}) {
          const bool is_whole = !packed.keeps_taps && portions.count > 1 && groups * portions.count % threads == 0 &&
                                portions.are_equal();
          (is_whole ? whole_portions : others) += 1;
          ThreadPool pool(threads);
          EXPECT_TRUE(test::same_bits(run(in, packed, {}, pool), expected))
              << to_string(row) << ", " << to_string(isa) << ", " << to_string(method) << ", " << threads << " threads";
        }
      }
    }
  }
  EXPECT_GT(whole_portions, 0);
  EXPECT_GT(others, 0);
}

TYPED_TEST(WinogradOf, SpreadsNaNOnlyToTilesThatSeeIt) {
  using T = TypeParam;
  test::Random random(4);
  const WinogradRow row{{.batch = 1, .height = 10, .width = 13, .channels = 9}, 19};
  const Weights<T> weights(row, random);
  Tensor<T> in = random.map<T>(row.in);
  in(0, 2, 9, 5) = std::numeric_limits<T>::quiet_NaN();
  ThreadPool pool(1);
  for (ConvolutionMethod method : methods) {
    const Index tile = tile_of(method);
    const Index stride = stride_of(method);
    const Index side = (tile - 1) * stride + 3;
    for (Isa isa : test::supported_isas()) {
      const Tensor<T> out = run<T>(in, weights.pack(row, method, isa), {}, pool);
      for (Index y = 0; y < out.shape().height; ++y) {
        for (Index x = 0; x < out.shape().width; ++x) {
          const Index top = y / tile * tile * stride - 1,
                      left = x / tile * tile * stride - 1;  // what its tile sees first
          const bool sees = top <= 2 && 2 < top + side && left <= 9 && 9 < left + side;
          if (std::abs(y * stride - 2) <= 1 && std::abs(x * stride - 9) <= 1) {
            ASSERT_TRUE(std::isnan(out(0, y, x, 18)))
                << to_string(isa) << ", " << to_string(method) << ": " << y << ", " << x;
          }
          if (!sees) {
            ASSERT_TRUE(std::isfinite(out(0, y, x, 0)))
                << to_string(isa) << ", " << to_string(method) << ": " << y << ", " << x;
          }
        }
      }
    }
  }
}

/// The definition in float, summed in portions of 256 terms, those of a tap side by side.
Tensor<float> sum_in_portions_of_256(const Tensor<float>& in, const WinogradRow& row, Index stride,
                                     const Weights<float>& weights) {
  Tensor<float> out(output_shape(row.in, row.window(stride), row.out_channels));
  const Index channels = row.in.channels;
  for (Index y = 0; y < out.shape().height; ++y) {
    for (Index x = 0; x < out.shape().width; ++x) {
      for (Index o = 0; o < row.out_channels; ++o) {
        float total = 0, sum = 0;
        for (Index k = 0; k < 9 * channels; ++k) {
          const Index tap = k / channels, c = k % channels;
          const Index from_y = y * stride + tap / 3 - 1, from_x = x * stride + tap % 3 - 1;
          const bool is_inside = from_y >= 0 && from_y < row.in.height && from_x >= 0 && from_x < row.in.width;
          const float pixel = is_inside ? in(0, from_y, from_x, c) : 0.0f;
          sum = std::fma(pixel, weights.weight.data()[(o * channels + c) * 9 + tap], sum);
          if (k % 256 == 255 || k + 1 == 9 * channels) total += std::exchange(sum, 0.0f);
        }
        out(0, y, x, o) = total + weights.bias.data()[o];
      }
    }
  }
  return out;
}

/// The claim of winograd.hpp: 0.9 to 1.1 and 2.1 to 2.4, with stride 2 0.9 to 1.0 times the error of the definition.
TEST(Winograd, HasAFewTimesTheErrorOfTheDefinition) {
  test::Random random(5);
  ThreadPool one(1);
  const WinogradRow row{{.batch = 1, .height = 16, .width = 16, .channels = 128}, 32};
  const Weights<float> weights(row, random);
  for (double low : {-1.0, 0.0}) {
    const Tensor<float> in = random.map<float>(row.in, low, 1);
    for (Index stride : {1, 2}) {
      const Window window = row.window(stride);
      const Map expected = test::reference_convolution(test::to_reference(in), Numbers(weights.weight),
                                                       Numbers(weights.bias), row.out_channels, window, 1);
      const auto error = [&](const Tensor<float>& out) {
        const Map found = test::to_reference(out);
        double sum = 0;
        for (Index i = 0; i < found.values.size(); ++i) {
          sum += (found.values[i] - expected.values[i]) * (found.values[i] - expected.values[i]);
        }
        return std::sqrt(sum);
      };
      const double unit = error(sum_in_portions_of_256(in, row, stride, weights));
      ASSERT_GT(unit, 0);
      for (Isa isa : test::supported_isas()) {
        const PackedConvolution<float> direct =
            pack_convolution(weights.weight.data(), weights.bias.data(), 128, row.out_channels, window, 1, isa);
        Tensor<float> out(output_shape(row.in, window, row.out_channels));
        AlignedVector<float> scratch(static_cast<std::size_t>(direct.scratch(out.shape())));
        convolve<float>(in, direct, {}, out.view(), scratch.data(), one);
        EXPECT_LT(error(out), 0.85 * unit) << to_string(isa) << ", direct, in portions of 128";
        for (ConvolutionMethod method : methods) {
          if (stride_of(method) != stride) continue;
          const double most = tile_of(method) == 2 ? 1.2 : 3.0;
          EXPECT_LT(error(run<float>(in, weights.pack(row, method, isa), {}, one)), most * unit)
              << to_string(isa) << ", " << to_string(method);
        }
      }
    }
  }
}

TEST(Winograd, TransformsWholeBlocksOfTilesAtATime) {
  for (Isa isa : all_isas) {
    for (const auto& [tile, stride] : {std::pair<Index, Index>{2, 1}, {4, 1}, {2, 2}}) {
      for (Index channels : {1, 16, 128, 1000, 100000}) {
        PackedWinograd<float> packed;
        packed.isa = isa;
        packed.tile = tile;
        packed.window.stride = stride;
        packed.in_channels = channels;
        EXPECT_EQ(packed.tiles_in_cache() % (isa == Isa::avx512 ? 14 : 6), 0) << channels;
        EXPECT_GE(packed.tiles_in_cache(), 16) << channels;
        EXPECT_LE(packed.tiles_in_cache(), winograd_most_tiles) << channels;
      }
    }
  }
}

// Every tile once, as many at a time as there is room for.
TEST(Winograd, CutsTilesIntoPortionsOfBlocksAlike) {
  for (Index rows : {6, 14}) {
    for (Index most : {2, 3, 6}) {
      for (Index tiles = 1; tiles <= 300; ++tiles) {
        SCOPED_TRACE(concatenate(tiles, " tiles, blocks of ", rows, ", at most ", most));
        const WinogradPortions portions(tiles, rows, most);
        Index end = 0;
        for (Index i = 0; i < portions.count; ++i) {
          const Range part = portions(i);
          ASSERT_EQ(part.begin, end);
          ASSERT_GT(part.size(), 0);
          ASSERT_LE(part.size(), most * rows);
          end = part.end;
        }
        ASSERT_EQ(end, tiles);
      }
    }
  }
  const auto sizes = [](const WinogradPortions& portions) {
    std::vector<Index> all;
    for (Index i = 0; i < portions.count; ++i) all.push_back(portions(i).size());
    return all;
  };
  EXPECT_EQ(sizes({16, 14, 3}), (std::vector<Index>{16}));
  EXPECT_EQ(sizes({64, 14, 3}), (std::vector<Index>{39, 25}));  // blocks of 13, 13, 13, 13, 12
  EXPECT_EQ(sizes({64, 14, 2}), (std::vector<Index>{26, 26, 12}));
  EXPECT_FALSE(WinogradPortions(64, 14, 2).are_equal());
  EXPECT_EQ(sizes({75, 14, 3}), (std::vector<Index>{39, 36}));  // six blocks of 13 or 12
  EXPECT_TRUE(WinogradPortions(75, 14, 3).are_equal());
  EXPECT_EQ(sizes({30, 14, 1}), (std::vector<Index>{14, 14, 2}));  // none alike
}

// Groups of several panels, the last of which has columns to spare, which are zeros.
TYPED_TEST(WinogradOf, PacksTheSameWhoeverPacksWhichPanels) {
  using T = TypeParam;
  test::Random random(10);
  const WinogradRow row{.in = {1, 8, 8, 10}, .out_channels = 142, .groups = 2};
  const Weights<T> weights(row, random);
  for (Isa isa : test::supported_isas()) {
    for (ConvolutionMethod method : methods) {
      SCOPED_TRACE(concatenate(to_string(isa), ", ", to_string(method)));
      const PackedWinograd<T> expected = weights.pack(row, method, isa);
      const Index width = matmul_panel_columns<T>(isa);
      const Index spare = expected.group_panels() * width - expected.group_out();
      ASSERT_GT(spare, 0);
      const Index zeros = std::count(expected.weights.begin(), expected.weights.end(), T{0});
      EXPECT_EQ(zeros, spare * row.groups * expected.panel_size() / width);
      ThreadPool three(3);
      test::InOrder only_last(4, {3});
      for (Executor* pool : {static_cast<Executor*>(&three), static_cast<Executor*>(&only_last)}) {
        const PackedWinograd<T> packed = weights.pack(row, method, isa, *pool);
        EXPECT_EQ(packed.weights, expected.weights);
        EXPECT_EQ(packed.bias, expected.bias);
      }
    }
  }
}

TEST(Winograd, RefusesWindowsOfAnotherMethod) {
  using enum ConvolutionMethod;
  const float weight[9] = {};
  const Window one{.kernel = 3}, two{.kernel = 3, .stride = 2};
  for (const std::pair<ConvolutionMethod, Window>& row : {std::pair{direct, one},
                                                          {winograd_2x2, two},
                                                          {winograd_4x4, two},
                                                          {winograd_2x2_stride_2, one},
                                                          {winograd_2x2, Window{.kernel = 1}}}) {
    const std::string message =
        test::error_of([&] { pack_winograd<float>(weight, nullptr, 1, 1, row.second, 1, row.first, Isa::baseline); });
    EXPECT_NE(message.find("window"), std::string::npos) << message;
  }
}

// One packed convolution for maps of even and odd extents, which SAME pads differently where the stride is 2.
TYPED_TEST(WinogradOf, PadsEachMapByTheSameRule) {
  using T = TypeParam;
  test::Random random(13);
  ThreadPool pool(2);
  for (ConvolutionMethod method : methods) {
    const WinogradRow row{.in = {1, 8, 8, 19}, .out_channels = 21};
    const Weights<T> weights(row, random);
    const Window same{.kernel = 3, .stride = stride_of(method), .same = true};
    const auto pack = [&](const Window& window) {
      return pack_winograd(weights.weight.data(), weights.bias.data(), 19, 21, window, 1, method, best_isa());
    };
    const PackedWinograd<T> packed = pack(same);
    for (const auto& [height, width] : {std::pair<Index, Index>{8, 8}, {9, 8}, {8, 5}, {11, 7}}) {
      const Tensor<T> in = random.map<T>({1, height, width, 19});
      const Tensor<T> expected = run<T>(in, pack(padded_for(in.shape(), same)), {}, pool);
      EXPECT_TRUE(test::same_bits(run<T>(in, packed, {}, pool), expected))
          << to_string(method) << ": " << height << "x" << width;
    }
  }
}

// Taps in every run give the bits that weights transformed beforehand give.
TYPED_TEST(WinogradOf, GivesTheSameBitsWheneverWeightsAreTransformed) {
  using T = TypeParam;
  test::Random random(12);
  ThreadPool pool(2);
  for (const WinogradRow& row : winograd_rows()) {
    const Weights<T> weights(row, random);
    const Tensor<T> in = random.map<T>(row.in);
    for (Isa isa : test::supported_isas()) {
      const PackedWinograd<T> before = weights.pack(row, ConvolutionMethod::winograd_4x4, isa);
      const PackedWinograd<T> in_run = weights.pack(row, ConvolutionMethod::winograd_4x4_of_taps, isa);
      EXPECT_EQ(in_run.weights.size() * 4, before.weights.size());
      EXPECT_TRUE(test::same_bits(run<T>(in, in_run, {}, pool), run<T>(in, before, {}, pool)))
          << to_string(isa) << ": " << to_string(row);
    }
  }
}

}  // namespace
}  // namespace plainnet::kernels
