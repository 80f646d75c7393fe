#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "plainnet/core/thread_pool.hpp"
#include "plainnet/kernels/attention.hpp"
#include "support/compare.hpp"
#include "support/isas.hpp"
#include "support/random.hpp"

namespace plainnet::kernels {
namespace {

template <class T>
class AttentionOf : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(AttentionOf, Scalars);

/// `shape` is that of q, k and v together.
template <class T>
Tensor<T> run(const AttentionInput<T>& in, Shape shape, Index heads, Isa isa, Index threads) {
  ThreadPool pool(threads);
  shape.channels /= 3;
  Tensor<T> out(shape);
  AlignedVector<T> scratch(static_cast<std::size_t>(
      threads * attention_scratch<T>(shape.height * shape.width, shape.channels / heads, isa)));
  attend<T>(in, heads, out.view(), scratch.data(), isa, pool);
  return out;
}

template <class T>
Tensor<T> run(const Tensor<T>& qkv, Index heads, Isa isa, Index threads) {
  return run(AttentionInput<T>::of_map(qkv, heads), qkv.shape(), heads, isa, threads);
}

/// Head by head, token by token, in double.
template <class T>
test::Map reference(const Tensor<T>& qkv, Index heads) {
  const Shape& shape = qkv.shape();
  const Index tokens = shape.height * shape.width;
  const Index dim = shape.channels / 3 / heads;
  const auto at = [&](Index n, Index token, Index which, Index head, Index d) {
    return static_cast<double>(qkv.data()[(((n * tokens + token) * 3 + which) * heads + head) * dim + d]);
  };
  return test::make_map(shape.batch, heads * dim, shape.height, shape.width,
                        [&](Index n, Index c, Index row, Index column) {
                          const Index m = row * shape.width + column;
                          const Index head = c / dim;
                          std::vector<double> scores;
                          double largest = -std::numeric_limits<double>::infinity();
                          for (Index t = 0; t < tokens; ++t) {
                            double score = 0;
                            for (Index d = 0; d < dim; ++d) score += at(n, m, 0, head, d) * at(n, t, 1, head, d);
                            scores.push_back(score);
                            largest = std::max(largest, score);
                          }
                          double sum = 0;
                          double result = 0;
                          for (Index t = 0; t < tokens; ++t) {
                            const double p = std::exp(scores[static_cast<std::size_t>(t)] - largest);
                            sum += p;
                            result += p * at(n, t, 2, head, c % dim);
                          }
                          return result / sum;
                        });
}

TYPED_TEST(AttentionOf, IsTheSoftmaxWeightedMeanOfValues) {
  using T = TypeParam;
  test::Random random(1);
  struct Row {
    Index batch, height, width, heads, dim;
    double size;
  };
  // Some have more tokens, and more values of a head, than rows are located at a time. Tokens fill vectors of 16 and 8
  // lanes, or leave some behind them, few or not, and more than one portion of them.
  for (const Row& row :
       {Row{1, 1, 1, 1, 1, 1},    Row{3, 3, 5, 2, 32, 1},    Row{2, 7, 7, 3, 32, 1},   Row{1, 3, 11, 1, 5, 2},
        Row{2, 4, 8, 2, 16, 1},   Row{1, 5, 13, 2, 37, 0.5}, Row{1, 18, 17, 1, 8, 1},  Row{1, 4, 5, 2, 3, 20},
        Row{1, 19, 18, 1, 3, 1},  Row{1, 2, 3, 1, 341, 0.2}, Row{2, 14, 14, 3, 32, 1}, Row{1, 1, 197, 2, 24, 1},
        Row{1, 14, 14, 1, 72, 1}, Row{1, 1, 97, 1, 64, 1},   Row{1, 1, 113, 2, 1, 1},  Row{1, 8, 16, 1, 33, 1},
        Row{2, 5, 10, 2, 24, 1},  Row{1, 1, 5, 1, 72, 0.5},  Row{1, 1, 2, 1, 1, 1},    Row{1, 12, 16, 2, 16, 1}}) {
    const Tensor<T> qkv = random.map<T>(
        {.batch = row.batch, .height = row.height, .width = row.width, .channels = 3 * row.heads * row.dim}, -row.size,
        row.size);
    const test::Map expected = reference(qkv, row.heads);
    // A score's error is its terms' times their size; it multiplies p, and so does the exponential's own 4e-7 twice.
    // The sums over tokens are of positive p.
    const double score = static_cast<double>(row.dim) * row.size * row.size;
    const double exponential = sizeof(T) == 4 ? 2 * 4e-7 : 0.0;
    const double tolerance = row.size * (2 * test::rounding_error<T>(row.dim + 2, score) +
                                         test::rounding_error<T>(2 * (row.height * row.width + 4), 1.0) + exponential);
    for (Isa isa : test::supported_isas()) {
      SCOPED_TRACE(concatenate(to_string(isa), ": ", to_string(qkv.shape()), ", ", row.heads, " heads"));
      const Tensor<T> out = run(qkv, row.heads, isa, 1);
      ASSERT_TRUE(test::near_everywhere(out, expected, tolerance));
      for (Index threads : {2, 3, 4})
        ASSERT_TRUE(test::same_bits(run(qkv, row.heads, isa, threads), out)) << threads << " threads";
    }
  }
}

TYPED_TEST(AttentionOf, ScoresOfAnySizeDoNotOverflow) {
  using T = TypeParam;
  test::Random random(2);
  Tensor<T> qkv = random.map<T>({.batch = 1, .height = 5, .width = 9, .channels = 3 * 4});
  for (Index t = 0; t < 45; ++t) {
    for (Index d = 0; d < 4; ++d) {
      qkv.data()[t * 12 + d] = T{100};                                     // q
      qkv.data()[t * 12 + 4 + d] = t == 17 ? T{100} : static_cast<T>(-t);  // k: token 17 alone is seen
    }
  }
  for (Isa isa : test::supported_isas()) {
    const Tensor<T> out = run(qkv, 1, isa, 1);
    for (Index t = 0; t < 45; ++t) {
      for (Index d = 0; d < 4; ++d) ASSERT_EQ(out.data()[t * 4 + d], qkv.data()[17 * 12 + 8 + d]) << to_string(isa);
    }
  }
}

TYPED_TEST(AttentionOf, GivesAnImageOfABatchTheBitsItHasAloneAndKeepsNaNInItsHead) {
  using T = TypeParam;
  test::Random random(3);
  const Shape shape{.batch = 3, .height = 5, .width = 7, .channels = 3 * 2 * 8};
  Tensor<T> qkv = random.map<T>(shape);
  qkv(1, 2, 3, 16 + 8 + 1) = std::numeric_limits<T>::quiet_NaN();  // a key of head 1
  Shape one_image = shape;
  one_image.batch = 1;
  for (Isa isa : test::supported_isas()) {
    const Tensor<T> all = run(qkv, 2, isa, 2);
    for (Index n = 0; n < 3; ++n) {
      Tensor<T> image(one_image);
      std::copy_n(qkv.view().pixel(n, 0, 0), one_image.elements(), image.data());
      const Tensor<T> alone = run(image, 2, isa, 3);
      for (Index p = 0; p < 35; ++p) {
        for (Index c = 0; c < 16; ++c) {
          const T value = all.data()[(n * 35 + p) * 16 + c];
          if (n == 1 && c >= 8) {
            ASSERT_TRUE(std::isnan(value)) << to_string(isa);
          } else {
            ASSERT_EQ(value, alone.data()[p * 16 + c]) << to_string(isa);
          }
        }
      }
    }
  }
}

/// Weights and rows of a product that is q, k and v of `heads` heads, a panel each. Its columns are of unlike size.
template <class T>
struct HeadsOfPanels {
  static constexpr Index depth = 11, heads = 3;
  Isa isa;
  Index dim = matmul_panel_columns<T>(isa);
  Shape shape{.batch = 2, .height = 5, .width = 7, .channels = 3 * heads * dim};  // three tokens behind 32
  std::vector<T> weights = std::vector<T>(static_cast<std::size_t>(depth * shape.channels));
  std::vector<T> in = std::vector<T>(static_cast<std::size_t>(depth * shape.pixels()));

  HeadsOfPanels(Isa isa_, test::Random& random) : isa(isa_) {
    random.fill(weights.data(), weights.data() + weights.size(), -1, 1);
    random.fill(in.data(), in.data() + in.size(), -1, 1);
    for (Index c = 0; c < shape.channels; ++c) {
      const T size = std::ldexp(T{1}, static_cast<int>(c % (heads * dim) % 9));  // alike in q, k and v
      const T factor = c < heads * dim ? size : c < 2 * heads * dim ? static_cast<T>(0.2) / size : size / 16;
      for (Index k = 0; k < depth; ++k) weights[static_cast<std::size_t>(c * depth + k)] *= factor;
    }
  }

  PackedMatrix<T> packed(MatmulMethod method, const T* bias) const {
    return pack_matrix<T, T>({weights.data(), depth, shape.channels, 1, depth}, bias, isa, callers_thread(), method);
  }
  void multiply(const PackedView<T>& b, bool is_unfinished, T* out, Index stride) const {
    AlignedVector<T> scratch(static_cast<std::size_t>(matmul_scratch<T>(depth)));
    multiply_part<T>(MatrixRows<T>(in.data(), depth), {0, shape.pixels()}, b, {0, b.panel_count()},
                     {.is_unfinished = is_unfinished}, out, stride, scratch.data());
  }
};

// To the bit, since scales are powers of two.
TYPED_TEST(AttentionOf, ReadsSumsOfAProductAsWhatTheyBecome) {
  using T = TypeParam;
  test::Random random(7);
  for (Isa isa : test::supported_isas()) {
    const HeadsOfPanels<T> of(isa, random);
    const PackedMatrix<T> packed = of.packed(MatmulMethod::inner_products, nullptr);
    ASSERT_TRUE(attends_to_sums<T>(packed, of.dim));
    Tensor<T> qkv(of.shape), sums(of.shape);
    of.multiply(packed, false, qkv.data(), of.shape.channels);
    const Index panel_stride = of.shape.pixels() * of.dim;
    of.multiply(packed, true, sums.data(), panel_stride);
    const auto in = AttentionInput<T>::of_sums(sums.data(), panel_stride, packed);
    for (Index threads : {1, 2, 5})
      ASSERT_TRUE(test::same_bits(run(in, of.shape, of.heads, isa, threads), run(qkv, of.heads, isa, 1)))
          << to_string(isa) << ", " << threads << " threads";
  }
}

// A bias is not in the sums; and only a product by inner products has them, of which a head is a panel.
TYPED_TEST(AttentionOf, ReadsNoOtherSums) {
  using T = TypeParam;
  test::Random random(8);
  for (Isa isa : test::supported_isas()) {
    const HeadsOfPanels<T> of(isa, random);
    std::vector<T> bias(static_cast<std::size_t>(of.shape.channels));
    EXPECT_TRUE(attends_to_sums<T>(of.packed(MatmulMethod::inner_products, bias.data()), of.dim));
    EXPECT_FALSE(attends_to_sums<T>(of.packed(MatmulMethod::inner_products, bias.data()), of.dim / 2));
    EXPECT_FALSE(attends_to_sums<T>(of.packed(MatmulMethod::definition, bias.data()), of.dim));
    bias.back() = T{1};
    EXPECT_FALSE(attends_to_sums<T>(of.packed(MatmulMethod::inner_products, bias.data()), of.dim));
  }
}

// One token alone is seen, by scores that are large, or so large that their sum is infinite; or all tokens alike.
TEST(Attention, KeepsScoresOfEverySize) {
  constexpr Index tokens = 196, dim = 4;  // the last of them behind whole vectors
  test::Random random(6);
  for (const float size : {100.0f, 1e18f, 0.0f}) {
    for (const Index seen : {0, 1, 17, 194, 195}) {
      Tensor<float> qkv = random.map<float>({.batch = 1, .height = 1, .width = tokens, .channels = 3 * dim});
      double mean[dim] = {};
      for (Index t = 0; t < tokens; ++t) {
        for (Index d = 0; d < dim; ++d) {
          qkv(0, 0, t, d) = size;
          qkv(0, 0, t, dim + d) = size * (t == seen ? 1.0f : 0.9f);
          mean[d] += static_cast<double>(qkv(0, 0, t, 2 * dim + d)) / tokens;
        }
      }
      for (Isa isa : test::supported_isas()) {
        const Tensor<float> out = run(qkv, 1, isa, 1);
        for (Index i = 0; i < tokens * dim; ++i) {
          const double expected = size > 0 ? static_cast<double>(qkv(0, 0, seen, 2 * dim + i % dim)) : mean[i % dim];
          ASSERT_NEAR(static_cast<double>(out.data()[i]), expected, 2e-6)
              << to_string(isa) << ", " << size << ", token " << seen << ", element " << i;
        }
      }
    }
  }
}

// A value that is no number comes out at its channel, a query's in its token, both in their head.
TEST(Attention, KeepsNaNAndInfinityWhereTheyBelong) {
  constexpr Index tokens = 196, dim = 8;
  test::Random random(7);
  const Tensor<float> qkv = random.map<float>({.batch = 1, .height = 1, .width = tokens, .channels = 3 * 2 * dim});
  for (const float none : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                           -std::numeric_limits<float>::infinity()}) {
    for (const Index token : {Index{0}, Index{63}, Index{130}, Index{195}}) {
      Tensor<float> value = qkv, query = qkv;
      value(0, 0, token, 2 * 2 * dim + dim + 3) = none;  // of head 1
      query(0, 0, token, dim + 5) = none;
      for (Isa isa : test::supported_isas()) {
        const Tensor<float> by_value = run(value, 2, isa, 1), by_query = run(query, 2, isa, 1);
        for (Index t = 0; t < tokens; ++t) {
          for (Index c = 0; c < 2 * dim; ++c) {
            ASSERT_EQ(!std::isfinite(by_value(0, 0, t, c)), c == dim + 3) << to_string(isa) << ", " << token;
            ASSERT_EQ(!std::isfinite(by_query(0, 0, t, c)), t == token && c >= dim) << to_string(isa) << ", " << token;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace plainnet::kernels
