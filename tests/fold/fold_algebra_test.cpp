#include <array>
#include <cmath>

#include <gtest/gtest.h>

#include "plainnet/core/thread_pool.hpp"
#include "plainnet/fold/fold_algebra.hpp"
#include "support/compare.hpp"
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

TYPED_TEST(FoldAlgebraOf, StandardizeGivesEveryRowMeanZeroAndTheGivenDeviation) {
  using T = TypeParam;
  test::Random random(4);
  for (const auto& [rows, columns] : {std::pair<Index, Index>{1, 1}, {13, 1}, {7, 2}, {5, 27}, {3, 1000}}) {
    for (const double eps : {1e-5, 0.5}) {
      SCOPED_TRACE(concatenate(rows, " rows of ", columns, ", eps ", eps));
      Parameter<T> weight({rows, columns, 1, 1});
      random.fill(weight, -1, 3);
      const Vector scale = random_vector(random, rows, -2, 2);
      test::Numbers gain(rows);
      for (Index o = 0; o < rows; ++o) gain[o] = at(scale, o);
      const test::Numbers expected = test::reference_standardized(test::Numbers(weight), gain, 1.0, eps);
      standardize(weight, scale, eps);
      ASSERT_EQ(weight.extents(), (Extents{rows, columns, 1, 1}));
      // In double: sums of numbers up to 3, divided by √ε at least; then rounded to T.
      const double tolerance = 0x1p-52 * 2 * static_cast<double>(columns + 3) * 3 * 2 / std::sqrt(eps);
      for (Index i = 0; i < weight.size(); ++i) {
        ASSERT_NEAR(static_cast<double>(weight[i]), expected[i],
                    tolerance + test::rounding_error<T>(1, std::abs(expected[i])))
            << i;
      }
    }
  }
}

TYPED_TEST(FoldAlgebraOf, StandardizeLeavesNothingOfEqualWeights) {
  using T = TypeParam;
  for (const double value : {0.0, -0.5}) {
    Parameter<T> weight({2, 9});
    std::fill(weight.begin(), weight.end(), static_cast<T>(value));
    standardize(weight, {3.0, -1.0}, 1e-5);
    for (const T number : weight) EXPECT_EQ(number, T{0});
  }
}

// A variance computed as E[x²] − E[x]² would be lost here.
TEST(Standardize, KeepsTheDigitsOfSmallDifferences) {
  Parameter<double> weight({1, 4});
  for (Index i = 0; i < 4; ++i) weight[i] = 1e9 + static_cast<double>(i % 2);
  standardize(weight, {1.0}, 0.0);
  for (Index i = 0; i < 4; ++i) EXPECT_EQ(weight[i], i % 2 == 0 ? -1.0 : 1.0);
}

TEST(Standardize, RefusesAnotherNumberOfGains) {
  Parameter<float> weight({3, 4});
  EXPECT_EQ(test::error_of([&] { standardize(weight, {1.0, 2.0}, 1e-5); }), "3 outputs, but 2 gains");
}

TYPED_TEST(FoldAlgebraOf, AffineAroundIsAffineLinearAffine) {
  using T = TypeParam;
  test::Random random(2);
  for (const auto& [out, in, taps] : {std::array<Index, 3>{1, 1, 1}, {13, 7, 1}, {5, 48, 1}, {3, 5, 9}}) {
    const Parameter<T> weight = random_matrix<T>(random, out, in * taps);
    const Vector bias = random_vector(random, out, -1, 1);
    ChannelAffine before = random_affine(random, in);
    if (taps > 1) before.shift = Vector(before.shift.size(), 0.0);
    const ChannelAffine after = random_affine(random, out);
    Parameter<T> out_weight({out, in * taps});
    Parameter<T> out_bias({out});
    affine_around(before, weight, bias, after, out_weight, &out_bias);
    for (Index o = 0; o < out; ++o) {
      double sum = at(bias, o);
      for (Index i = 0; i < in * taps; ++i) {
        const double expected = at(after.scale, o) * at(weight, o, i) * at(before.scale, i / taps);
        EXPECT_EQ(out_weight[o * in * taps + i], static_cast<T>(expected)) << o << ", " << i;
        sum += at(weight, o, i) * at(before.shift, i / taps);
      }
      EXPECT_NEAR(out_bias[o], at(after.scale, o) * sum + at(after.shift, o), test::rounding_error<T>(1, 2 * 50 + 1))
          << o;
    }
  }
}

TEST(AffineAround, RefusesWhatIsNotExact) {
  Parameter<float> weight({2, 18});
  Parameter<float> bias({2});
  const Vector none(2, 0.0);
  const ChannelAffine identity = ChannelAffine::identity(2);
  ChannelAffine shifted = identity;
  shifted.shift[1] = 1.0;
  const auto message = [&](const ChannelAffine& before, const Vector& b, const ChannelAffine& after, auto* out_bias) {
    return test::error_of([&] { affine_around(before, weight, b, after, weight, out_bias); });
  };
  EXPECT_EQ(message(shifted, none, identity, &bias), "a shift does not fold into a convolution of more than one tap");
  EXPECT_EQ(message(identity, none, shifted, static_cast<Parameter<float>*>(nullptr)), "this fold needs a bias");
  EXPECT_EQ(message(identity, {0.0, 1.0}, identity, static_cast<Parameter<float>*>(nullptr)), "this fold needs a bias");
  EXPECT_EQ(message(identity, Vector(3, 0.0), identity, &bias), "2 outputs, but a scale of 2 and a bias of 3");
  EXPECT_EQ(message(ChannelAffine::identity(4), none, identity, &bias), "18 inputs, but a scale of 4");
}

struct ComposeRow {
  Index out, middle, in, threads;
};

// Around vectors, panels and blocks of the product below.
TYPED_TEST(FoldAlgebraOf, ComposeIsOneMapAfterTheOther) {
  using T = TypeParam;
  test::Random random(3);
  AlignedVector<double> workspace;
  for (const ComposeRow& row : {ComposeRow{1, 1, 1, 1},
                                {13, 7, 5, 1},
                                {3, 17, 511, 2},
                                {5, 3, 512, 1},
                                {4, 9, 513, 3},
                                {31, 2, 1100, 2},
                                {64, 33, 48, 3},
                                {513, 530, 521, 2}}) {
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
    compose(weight2, bias2, affine2, weight1, bias1, affine1, weight, bias, pool, workspace);
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

// Sums of large and small rows would leave the small ones few digits: a float has them all, a double has not.
TEST(Compose, OfDoublesKeepsTheDigitsOfSmallRowsBesideLargeOnes) {
  test::Random random(4);
  const Index size = 512;
  const Parameter<double> weight1 = random_matrix<double>(random, size, size);
  Parameter<double> weight2 = random_matrix<double>(random, size, size);
  for (Index i = 0; i < weight2.size() / 2; ++i) weight2[i] *= 0x1p40;
  const Vector zeros(static_cast<std::size_t>(size), 0.0);
  const ChannelAffine identity = ChannelAffine::identity(zeros.size());
  Parameter<double> weight({size, size});
  Parameter<double> bias({size});
  ThreadPool pool(2);
  AlignedVector<double> workspace;
  compose(weight2, zeros, identity, weight1, zeros, identity, weight, bias, pool, workspace);
  for (Index o = size / 2; o < size; ++o) {
    double expected = 0;
    for (Index m = 0; m < size; ++m) expected += at(weight2, o, m) * at(weight1, m, o);
    ASSERT_NEAR(at(weight, o, o), expected, 0x1p-52 * static_cast<double>(size) * static_cast<double>(size)) << o;
  }
}

}  // namespace
}  // namespace plainnet
