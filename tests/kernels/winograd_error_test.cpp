// How far Winograd's convolutions are from the definition: within the bound of winograd.hpp, and as far as it says.

#include <algorithm>
#include <cmath>
#include <utility>

#include <gtest/gtest.h>

#include "support/compare.hpp"
#include "support/isas.hpp"
#include "support/winograd_rows.hpp"

namespace plainnet::kernels {
namespace {

using test::Map;
using test::Numbers;

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
class WinogradErrorOf : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(WinogradErrorOf, Scalars);

TYPED_TEST(WinogradErrorOf, IsTheConvolutionWithinItsErrorBound) {
  using T = TypeParam;
  test::Random random(1);
  ThreadPool one(1);
  for (const WinogradRow& row : winograd_rows()) {
    const WinogradWeights<T> weights(row, random);
    const Tensor<T> in = random.map<T>(row.in);
    const Map map = test::to_reference(in);
    const Numbers weight(weights.weight);
    const Numbers bias = row.bias ? Numbers(weights.bias) : Numbers();
    for (ConvolutionMethod method : winograd_methods) {
      const Window window = row.window(stride_of(method));
      const Map expected = test::reference_convolution(map, weight, bias, row.out_channels, window, row.groups);
      const Index tile = tile_of(method);
      const Map scale = error_scale(map, weight, bias, row, method);
      for (Isa isa : test::supported_isas()) {
        SCOPED_TRACE(concatenate(to_string(isa), ", ", to_string(method), ": ", to_string(row)));
        const PackedWinograd<T> packed = weights.pack(row, method, isa);
        const Tensor<T> out = run_winograd<T>(in, packed, {}, one);
        ASSERT_TRUE(near_within(out, expected, scale, terms_of(row.in.channels / row.groups, tile)));
        for (Index threads : {2, 3, 7}) {
          ThreadPool pool(threads);
          ASSERT_TRUE(test::same_bits(run_winograd<T>(in, packed, {}, pool), out)) << threads << " threads";
        }
      }
    }
  }
}

TYPED_TEST(WinogradErrorOf, AddsAScaledResidualAfterTheActivation) {
  using T = TypeParam;
  test::Random random(2);
  ThreadPool two(2);
  for (const WinogradRow& row : winograd_rows()) {
    const WinogradWeights<T> weights(row, random);
    const Tensor<T> in = random.map<T>(row.in);
    AlignedVector<T> scale(static_cast<std::size_t>(row.out_channels));
    random.fill(scale.data(), scale.data() + row.out_channels, 0.5, 1.5);
    const bool has_scale = random.coin();
    const Map map = test::to_reference(in);
    const Numbers weight(weights.weight);
    const Numbers bias = row.bias ? Numbers(weights.bias) : Numbers();
    for (ConvolutionMethod method : winograd_methods) {
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
        ASSERT_TRUE(near_within(run_winograd<T>(in, weights.pack(row, method, isa), epilogue, two), expected, tolerance,
                                terms_of(row.in.channels / row.groups, tile)));
      }
    }
  }
}

/// The definition in float, summed in portions of 256 terms, those of a tap side by side.
Tensor<float> sum_in_portions_of_256(const Tensor<float>& in, const WinogradRow& row, Index stride,
                                     const WinogradWeights<float>& weights) {
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

/// Every 50th channel times a factor, its weights divided by it.
void move_from_weights_to_inputs(float factor, const WinogradRow& row, WinogradWeights<float>& weights,
                                 Tensor<float>& in) {
  const Index channels = row.in.channels;
  for (Index i = 0; i < row.in.elements(); ++i) in.data()[i] *= i % channels % 50 == 7 ? factor : 1;
  for (Index i = 0; i < row.out_channels * channels * 9; ++i)
    weights.weight.data()[i] /= i / 9 % channels % 50 == 7 ? factor : 1;
}

/// The claim of winograd.hpp: 0.7 to 1.0, by inner products 1.0 to 1.1, and 1.2 to 2.4 times the error of the
/// definition; by inner products more where some channels are larger than the others and their weights as much smaller,
/// where direct ones have more too.
TEST(Winograd, HasAFewTimesTheErrorOfTheDefinition) {
  struct Case {
    double low;
    float factor;
    double direct_by_inner_products;
    double by_inner_products;
  };
  ThreadPool one(1);
  const WinogradRow row{{.batch = 1, .height = 16, .width = 16, .channels = 128}, 64};
  for (const auto& [low, factor, direct_by_inner_products, by_inner_products] :
       {Case{-1, 1, 0.85, 1.2}, Case{0, 1, 1.1, 1.2}, Case{-1, 16, 1.0, 1.9}, Case{-1, 256, 9, 23}}) {
    test::Random random(5);
    WinogradWeights<float> weights(row, random);
    Tensor<float> in = random.map<float>(row.in, low, 1);
    move_from_weights_to_inputs(factor, row, weights, in);
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
        AlignedVector<float> scratch(static_cast<std::size_t>(direct.scratch()));
        convolve<float>(in, direct, {}, out.view(), scratch.data(), one);
        const bool reads_in_place = direct.reads_in_place();  // by the definition, in portions of 64
        EXPECT_LT(error(out), (reads_in_place ? 0.85 : direct_by_inner_products) * unit)
            << to_string(isa) << ", direct, factor " << factor;
        for (ConvolutionMethod method : winograd_methods) {
          if (stride_of(method) != stride) continue;
          const PackedWinograd<float> packed = weights.pack(row, method, isa);
          const double most = packed.is_by_inner_products() ? by_inner_products : tile_of(method) == 2 ? 1.2 : 3.0;
          EXPECT_LT(error(run_winograd<float>(in, packed, {}, one)), most * unit)
              << to_string(isa) << ", " << to_string(method) << ", factor " << factor;
        }
      }
    }
  }
}

}  // namespace
}  // namespace plainnet::kernels
