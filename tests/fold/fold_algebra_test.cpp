#include <cmath>

#include <gtest/gtest.h>

#include "plainnet/fold/fold_algebra.hpp"
#include "support/random.hpp"

namespace plainnet {
namespace {

Vector random_vector(test::Random& random, Index size, double low, double high) {
  Vector vector(static_cast<std::size_t>(size));
  random.fill(vector.data(), vector.data() + size, low, high);
  return vector;
}

template <class T>
Parameter<T> random_matrix(test::Random& random, Index rows, Index columns) {
  Parameter<T> matrix({rows, columns});
  random.fill(matrix.begin(), matrix.end(), -1, 1);
  return matrix;
}

ChannelAffine random_affine(test::Random& random, Index size) {
  return {random_vector(random, size, -2, 2), random_vector(random, size, -1, 1)};
}

double at(const Vector& vector, Index i) { return vector[static_cast<std::size_t>(i)]; }

template <class T>
double at(const Parameter<T>& matrix, Index row, Index column) {
  return static_cast<double>(matrix[row * matrix.columns() + column]);
}

TEST(BatchNormAffine, IsTheBatchNorm) {
  test::Random random(1);
  const Index size = 13;
  const Vector gamma = random_vector(random, size, -2, 2);
  const Vector beta = random_vector(random, size, -1, 1);
  const Vector mean = random_vector(random, size, -1, 1);
  const Vector variance = random_vector(random, size, 0.1, 2);
  for (double eps : {1e-6, 0.5}) {
    const ChannelAffine affine = batch_norm_affine(gamma, beta, mean, variance, eps);
    for (Index c = 0; c < size; ++c) {
      for (double x : {-3.0, 0.0, 1.75}) {
        const double expected = at(gamma, c) * (x - at(mean, c)) / std::sqrt(at(variance, c) + eps) + at(beta, c);
        // Terms up to 2 · (3 + 1) / √0.1 + 1.
        EXPECT_NEAR(at(affine.scale, c) * x + at(affine.shift, c), expected, 0x1p-52 * 6 * 27)
            << "channel " << c << ", x " << x;
      }
    }
  }
}

TEST(ChannelAffine, OfIdentityChangesNothing) {
  const ChannelAffine identity = ChannelAffine::identity(3);
  EXPECT_EQ(identity.scale, Vector(3, 1.0));
  EXPECT_EQ(identity.shift, Vector(3, 0.0));
}

template <class T>
class FoldAlgebraOf : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(FoldAlgebraOf, Scalars);

TYPED_TEST(FoldAlgebraOf, ScaleOutputsScalesFiltersAndBias) {
  using T = TypeParam;
  test::Random random(2);
  for (const auto& [out, in] : {std::pair<Index, Index>{1, 1}, {13, 7}, {5, 48}}) {
    const Parameter<T> weight = random_matrix<T>(random, out, in);
    const Vector bias = random_vector(random, out, -1, 1);
    const ChannelAffine affine = random_affine(random, out);
    Parameter<T> out_weight({out, in});
    Parameter<T> out_bias({out});
    scale_outputs(affine, weight, bias, out_weight, out_bias);
    for (Index o = 0; o < out; ++o) {
      EXPECT_EQ(out_bias[o], static_cast<T>(at(affine.scale, o) * at(bias, o) + at(affine.shift, o))) << o;
      for (Index i = 0; i < in; ++i) {
        EXPECT_EQ(out_weight[o * in + i], static_cast<T>(at(affine.scale, o) * at(weight, o, i))) << o << ", " << i;
      }
    }
  }
}

struct ComposeRow {
  Index out, middle, in, threads;
};

// Around the 512 columns that are computed at a time, and the panels and rows of the product below.
TYPED_TEST(FoldAlgebraOf, ComposeIsOneMapAfterTheOther) {
  using T = TypeParam;
  test::Random random(3);
  for (const ComposeRow& row : {ComposeRow{1, 1, 1, 1},
                                {13, 7, 5, 1},
                                {3, 17, 511, 2},
                                {5, 3, 512, 1},
                                {4, 9, 513, 3},
                                {31, 2, 1100, 2},
                                {64, 33, 48, 3}}) {
    SCOPED_TRACE(concatenate(row.out, " after ", row.middle, " of ", row.in, ", ", row.threads, " threads"));
    const Parameter<T> weight1 = random_matrix<T>(random, row.middle, row.in);
    const Parameter<T> weight2 = random_matrix<T>(random, row.out, row.middle);
    const Vector bias1 = random_vector(random, row.middle, -1, 1);
    const Vector bias2 = random_vector(random, row.out, -1, 1);
    const ChannelAffine affine1 = random_affine(random, row.middle);
    const ChannelAffine affine2 = random_affine(random, row.out);
    Parameter<T> weight({row.out, row.in});
    Parameter<T> bias({row.out});
    ThreadPool pool(row.threads);
    compose(weight2, bias2, affine2, weight1, bias1, affine1, weight, bias, pool);
    const double u = 0x1p-52;
    const double rounding = sizeof(T) == 4 ? 0x1p-24 : 0x1p-53;  // of the result to T
    for (Index o = 0; o < row.out; ++o) {
      double expected = at(affine2.scale, o) * at(bias2, o) + at(affine2.shift, o);
      double magnitude = 3;
      for (Index m = 0; m < row.middle; ++m) {
        const double w2 = at(affine2.scale, o) * at(weight2, o, m);
        expected += w2 * (at(affine1.scale, m) * at(bias1, m) + at(affine1.shift, m));
        magnitude += std::abs(w2) * 3;
      }
      ASSERT_NEAR(static_cast<double>(bias[o]), expected,
                  u * static_cast<double>(row.middle + 5) * magnitude + rounding * std::abs(expected))
          << "bias " << o;
      for (Index i = 0; i < row.in; ++i) {
        expected = 0;
        magnitude = 0;
        for (Index m = 0; m < row.middle; ++m) {
          const double term = at(affine2.scale, o) * at(weight2, o, m) * at(affine1.scale, m) * at(weight1, m, i);
          expected += term;
          magnitude += std::abs(term);
        }
        ASSERT_NEAR(at(weight, o, i), expected,
                    u * static_cast<double>(row.middle + 5) * magnitude + rounding * std::abs(expected))
            << "weight " << o << ", " << i;
      }
    }
  }
}

}  // namespace
}  // namespace plainnet
