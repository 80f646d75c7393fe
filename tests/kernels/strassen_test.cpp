#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "plainnet/core/thread_pool.hpp"
#include "plainnet/kernels/convolution.hpp"
#include "plainnet/kernels/shared_matmul.hpp"
#include "support/compare.hpp"
#include "support/executors.hpp"
#include "support/isas.hpp"
#include "support/random.hpp"

namespace plainnet::kernels {
namespace {

/// A product whose operands lie in exactly the memory that they need, the rows of the result with a gap between them.
template <class T>
struct HalvedProduct {
  Index rows, depth, columns;
  Index gap = 3;
  AlignedVector<T> a, b, bias, residual, scale;

  HalvedProduct(Index rows_, Index depth_, Index columns_, test::Random& random)
      : rows(rows_), depth(depth_), columns(columns_) {
    fill(a, rows * depth, random);
    fill(b, depth * columns, random);
    fill(bias, columns, random);
    fill(residual, rows * columns, random);
    fill(scale, columns, random);
  }

  static void fill(AlignedVector<T>& values, Index count, test::Random& random) {
    values.resize(static_cast<std::size_t>(count));
    random.fill(values.data(), values.data() + count, -1, 1);
  }

  PackedMatrix<T> pack(Isa isa, bool with_bias = true) const {
    return pack_matrix<T, T>({b.data(), depth, columns, columns, 1}, with_bias ? bias.data() : nullptr, isa);
  }

  /// Rows first … first + count − 1, without the gaps, which must be left as they are.
  AlignedVector<T> run(const PackedMatrix<T>& packed, const Epilogue<T>& epilogue, Executor& pool, Index first,
                       Index count, MatmulMethod method = MatmulMethod::strassen) const {
    const T untouched = 12345;
    const Index out_rows = count / epilogue.pool;
    const Index stride = columns + gap;
    AlignedVector<T> out(static_cast<std::size_t>(out_rows * stride - gap), untouched);
    AlignedVector<T> scratch(static_cast<std::size_t>(multiply_scratch<T>(depth, method) * pool.size()));
    const MatrixRows<T> source{a.data() + first * depth, depth};
    multiply<T>(source, count, packed, epilogue, out.data(), stride, scratch.data(), pool, method);
    AlignedVector<T> dense;
    for (Index r = 0; r < out_rows; ++r) {
      const T* const row = out.data() + r * stride;
      dense.insert(dense.end(), row, row + columns);
      for (Index c = 0; r + 1 < out_rows && c < gap; ++c) EXPECT_EQ(row[columns + c], untouched);
    }
    return dense;
  }
  AlignedVector<T> run(const PackedMatrix<T>& packed, const Epilogue<T>& epilogue, Executor& pool) const {
    return run(packed, epilogue, pool, 0, rows);
  }

  double exact(Index r, Index c) const {
    double sum = 0;
    for (Index k = 0; k < depth; ++k)
      sum += static_cast<double>(a[static_cast<std::size_t>(r * depth + k)]) *
             static_cast<double>(b[static_cast<std::size_t>(k * columns + c)]);
    return sum;
  }
};

template <class T>
class StrassenOf : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(StrassenOf, Scalars);

// Pairs that fill no block, a row without a partner, blocks of every height, several portions of terms, one and several
// pairs of panels, several portions of rows; with and without what an epilogue has.
TYPED_TEST(StrassenOf, IsTheSumOfProductsForEveryInstructionSet) {
  using T = TypeParam;
  test::Random random(1);
  ThreadPool one(1);
  for (const auto& [rows, depth, columns] : std::vector<std::array<Index, 3>>{
           {1, 512, 64},  {2, 512, 64},   {27, 512, 64},  {29, 1024, 128}, {55, 512, 64}, {399, 512, 64},
           {33, 768, 64}, {56, 2304, 64}, {4, 512, 128},  {14, 1024, 64},  {24, 512, 64}, {26, 512, 64},
           {28, 512, 64}, {30, 512, 64},  {34, 1536, 64}, {57, 320, 64},   {30, 640, 64}, {31, 1280, 128},
           {58, 384, 64}, {29, 352, 64},  {90, 512, 192}, {398, 512, 64}}) {
    const HalvedProduct<T> product(rows, depth, columns, random);
    ASSERT_TRUE(strassen_fits<T>(depth, columns));
    const bool with_bias = random.coin();
    std::vector<double> exact;
    for (Index r = 0; r < rows; ++r) {
      for (Index c = 0; c < columns; ++c)
        exact.push_back(product.exact(r, c) +
                        (with_bias ? static_cast<double>(product.bias[static_cast<std::size_t>(c)]) : 0.0));
    }
    // Of every term as large as can be, seven products, sums and differences of two.
    const double tolerance = test::rounding_error<T>(40, static_cast<double>(depth));
    for (Isa isa : test::supported_isas()) {
      SCOPED_TRACE(concatenate(to_string(isa), ": ", rows, " × ", depth, " × ", columns));
      const PackedMatrix<T> packed = product.pack(isa, with_bias);
      const AlignedVector<T> out = product.run(packed, {}, one);
      const AlignedVector<T> finished = product.run(packed,
                                                    {.activation = Activation::leaky_relu,
                                                     .slope = T{0.25},
                                                     .residual = product.residual.data(),
                                                     .residual_stride = columns,
                                                     .residual_scale = product.scale.data()},
                                                    one);
      for (std::size_t i = 0; i < exact.size(); ++i) {
        ASSERT_NEAR(static_cast<double>(out[i]), exact[i], tolerance) << "element " << i;
        const T scale = product.scale[i % static_cast<std::size_t>(columns)];
        const double expected =
            std::max(exact[i], 0.25 * exact[i]) + static_cast<double>(scale) * static_cast<double>(product.residual[i]);
        ASSERT_NEAR(static_cast<double>(finished[i]), expected, tolerance) << "element " << i;
      }
    }
  }
}

// Root mean squares, the error's in ε of the result's, as strassen.hpp says.
TEST(Strassen, HasAnErrorByItsHalves) {
  struct Case {
    Index depth, half;
    double error;
  };
  test::Random random(2);
  ThreadPool one(1);
  for (const Case& c : {Case{1280, 160, 4.0}, Case{768, 192, 4.2}, Case{2048, 256, 5.0}}) {
    ASSERT_EQ(strassen_half(c.depth), c.half);
    const HalvedProduct<float> product(112, c.depth, 64, random);
    for (Isa isa : test::supported_isas()) {
      const PackedMatrix<float> packed = product.pack(isa, false);
      double error[2];
      for (MatmulMethod method : {MatmulMethod::direct, MatmulMethod::strassen}) {
        const AlignedVector<float> out = product.run(packed, {}, one, 0, product.rows, method);
        double errors = 0, squares = 0;
        for (Index i = 0; i < product.rows * product.columns; i += 7) {
          const double exact = product.exact(i / product.columns, i % product.columns);
          errors += std::pow(static_cast<double>(out[static_cast<std::size_t>(i)]) - exact, 2);
          squares += exact * exact;
        }
        error[method == MatmulMethod::strassen] =
            std::sqrt(errors / squares) / static_cast<double>(std::numeric_limits<float>::epsilon());
      }
      SCOPED_TRACE(concatenate(to_string(isa), ", ", c.depth, " terms"));
      EXPECT_NEAR(error[0], 1.4, 0.15);
      EXPECT_NEAR(error[1], c.error, 0.25);
    }
  }
}

// By rows and by columns, in one and several portions, pooled or not; threads in any order, or not at all.
TYPED_TEST(StrassenOf, GivesTheSameBitsWhoeverComputesWhat) {
  using T = TypeParam;
  test::Random random(3);
  ThreadPool one(1);
  int by_rows = 0, by_columns = 0;
  for (const auto& [rows, depth, columns] : {std::array<Index, 3>{672, 512, 192},
                                             {675, 512, 192},
                                             {108, 512, 256},
                                             {109, 768, 192},
                                             {392, 320, 192},
                                             {108, 1280, 192},
                                             {12, 512, 128},
                                             {13, 512, 128}}) {
    const HalvedProduct<T> product(rows, depth, columns, random);
    for (Isa isa : test::supported_isas()) {
      const PackedMatrix<T> packed = product.pack(isa);
      for (Index pooled : {1, 2, 3, 4}) {
        if (rows % pooled != 0) continue;
        const Epilogue<T> epilogue{.pool = pooled};
        const AlignedVector<T> expected = product.run(packed, epilogue, one);
        for (Index size : {2, 3, 70}) {
          SCOPED_TRACE(concatenate(to_string(isa), ": ", rows, " rows, pool ", pooled, ", ", size, " threads"));
          const bool is_by_rows =
              multiplies_by_rows<T>(rows, pooled % 2 ? 2 * pooled : pooled, packed, size, MatmulMethod::strassen);
          (is_by_rows ? by_rows : by_columns) += 1;
          test::InOrder last(size, {size - 1});
          ASSERT_TRUE(product.run(packed, epilogue, last) == expected);
          if (size == 70) continue;
          ThreadPool pool(size);
          ASSERT_TRUE(product.run(packed, epilogue, pool) == expected);
        }
      }
    }
  }
  EXPECT_GT(by_rows, 0);
  EXPECT_GT(by_columns, 0);
}

TYPED_TEST(StrassenOf, GivesAPairOfRowsTheSameBitsWhereverItStands) {
  using T = TypeParam;
  test::Random random(4);
  ThreadPool one(1);
  for (Index depth : {512, 320, 768}) {
    const HalvedProduct<T> product(114, depth, 64, random);
    for (Isa isa : test::supported_isas()) {
      const PackedMatrix<T> packed = product.pack(isa);
      const AlignedVector<T> all = product.run(packed, {}, one);
      for (Index count : {2, 14, 26, 28, 58}) {
        for (Index first = 0; first + count <= product.rows; first += 6) {
          const AlignedVector<T> part = product.run(packed, {}, one, first, count);
          ASSERT_TRUE(std::equal(part.begin(), part.end(), all.begin() + first * product.columns))
              << to_string(isa) << ": rows " << first << " to " << first + count - 1 << " of " << depth << " terms";
        }
      }
    }
  }
}

// In several portions of rows.
TYPED_TEST(StrassenOf, KeepsTheLargestOfRowsThatArePooled) {
  using T = TypeParam;
  test::Random random(5);
  ThreadPool one(1);
  const HalvedProduct<T> product(420, 512, 64, random);
  for (Isa isa : test::supported_isas()) {
    const PackedMatrix<T> packed = product.pack(isa);
    const AlignedVector<T> all = product.run(packed, {}, one);
    for (Index pool : {2, 3, 4}) {
      const AlignedVector<T> out = product.run(packed, {.pool = pool}, one);
      ASSERT_EQ(product.run(packed, {.activation = Activation::relu, .pool = pool}, one), out) << "without activation";
      for (Index i = 0; i < 420 / pool * 64; ++i) {
        T largest = -std::numeric_limits<T>::infinity();
        for (Index r = 0; r < pool; ++r)
          largest = std::max(largest, all[static_cast<std::size_t>((i / 64 * pool + r) * 64 + i % 64)]);
        ASSERT_EQ(out[static_cast<std::size_t>(i)], largest) << to_string(isa) << ", pool " << pool << ", " << i;
      }
    }
  }
}

// What is no number comes out wherever it went in, and in the row beside it at most.
TYPED_TEST(StrassenOf, KeepsNaNAndInfinityInAPairOfRows) {
  using T = TypeParam;
  test::Random random(6);
  ThreadPool one(1);
  for (T value : {std::numeric_limits<T>::quiet_NaN(), std::numeric_limits<T>::infinity()}) {
    HalvedProduct<T> product(58, 512, 64, random);
    for (Index row : {5, 56}) product.a[static_cast<std::size_t>(row * 512 + 300)] = value;
    for (Isa isa : test::supported_isas()) {
      const AlignedVector<T> out = product.run(product.pack(isa), {}, one);
      for (Index r = 0; r < 58; ++r) {
        for (Index c = 0; c < 64; ++c) {
          const bool is_number = std::isfinite(out[static_cast<std::size_t>(r * 64 + c)]);
          const bool has_one = r == 5 || r == 56;
          const bool is_beside_one = r == 4 || r == 57;
          if (!is_beside_one) {
            ASSERT_EQ(is_number, !has_one) << to_string(isa) << ", row " << r;
          }
        }
      }
    }
  }
}

// An image has its bits whatever is beside it, and whoever computes it, though its last row may have no partner; small
// maps are multiplied directly, an odd row and column that no window of a pool sees are no part of it.
TYPED_TEST(StrassenOf, ConvolvesAnImageTheSameInEveryBatch) {
  using T = TypeParam;
  test::Random random(7);
  ThreadPool one(1), three(3);
  struct Case {
    Index height, width, pool;
    bool is_halved;
  };
  for (const Case& c : {Case{12, 10, 1, true},
                        {11, 11, 1, true},
                        {13, 9, 1, true},
                        {15, 13, 2, true},
                        {7, 7, 1, true},
                        {6, 8, 1, false}}) {
    Parameter<T> weight({512, 512, 1, 1}), bias({512});
    random.fill(weight);
    random.fill(bias);
    const Tensor<T> in = random.map<T>({3, c.height, c.width, 512});
    const Tensor<T> added = random.map<T>({3, c.height, c.width, 512});
    PackedConvolution<T> packed = pack_convolution(weight.data(), bias.data(), 512, 512, {.kernel = 1}, 1, best_isa());
    packed.pool = c.pool;
    const auto convolve_images = [&](Index first, Index count, ThreadPool& threads) {
      const Shape shape{count, c.height, c.width, 512};
      const TensorView<const T> images(in.data() + first * c.height * c.width * 512, shape);
      Tensor<T> out(Shape{count, c.height / c.pool, c.width / c.pool, 512});
      EXPECT_EQ(packed.method(out.shape()) == MatmulMethod::strassen, c.is_halved) << c.height << " × " << c.width;
      AlignedVector<T> scratch(static_cast<std::size_t>(packed.scratch(out.shape()) * threads.size()));
      Epilogue<T> epilogue;
      if (c.pool == 1) {
        epilogue.residual = added.data() + first * c.height * c.width * 512;
        epilogue.residual_stride = 512;
      }
      convolve<T>(images, packed, epilogue, out.view(), scratch.data(), threads);
      return out;
    };
    const Tensor<T> all = convolve_images(0, 3, one);
    EXPECT_TRUE(test::same_bits(convolve_images(0, 3, three), all));
    for (Index n = 0; n < 3; ++n) {
      const Tensor<T> alone = convolve_images(n, 1, three);
      const Index elements = alone.shape().elements();
      EXPECT_TRUE(std::equal(alone.data(), alone.data() + elements, all.data() + n * elements)) << "image " << n;
    }
  }
}

TEST(Strassen, HalvesAreOf160To256TermsThatDivideTheDepth) {
  for (const auto& [depth, half] : {std::pair<Index, Index>{512, 256},
                                    {1536, 256},
                                    {4096, 256},
                                    {768, 192},
                                    {2304, 192},
                                    {320, 160},
                                    {640, 160},
                                    {1280, 160},
                                    {352, 176},
                                    {384, 192},
                                    {448, 224},
                                    {1152, 192},
                                    {256, 0},
                                    {300, 0},
                                    {288, 0},
                                    {816, 0},
                                    {48, 0}}) {
    EXPECT_EQ(strassen_half(depth), half) << depth;
  }
}

TEST(Strassen, TheMethodDependsOnAnImageAndItsLayer) {
  EXPECT_EQ(matmul_method<float>(56 * 56, 512, 1024), MatmulMethod::strassen);
  EXPECT_EQ(matmul_method<float>(14 * 14, 2048, 4096), MatmulMethod::strassen);
  EXPECT_EQ(matmul_method<float>(14 * 14, 2048, 512), MatmulMethod::strassen);
  EXPECT_EQ(matmul_method<float>(19 * 19, 3072, 3072), MatmulMethod::strassen);
  EXPECT_EQ(matmul_method<float>(7 * 7, 4096, 4096), MatmulMethod::strassen);
  EXPECT_EQ(matmul_method<float>(6 * 6, 4096, 4096), MatmulMethod::direct);  // few rows for the weights
  EXPECT_EQ(matmul_method<float>(16 * 16, 768, 1536), MatmulMethod::strassen);
  EXPECT_EQ(matmul_method<float>(14 * 14, 320, 1280), MatmulMethod::strassen);
  EXPECT_EQ(matmul_method<float>(14 * 14, 1280, 320), MatmulMethod::direct);  // few columns
  EXPECT_EQ(matmul_method<float>(14 * 14, 352, 2560), MatmulMethod::strassen);
  EXPECT_EQ(matmul_method<float>(14 * 14, 816, 2560), MatmulMethod::direct);   // no whole portions of terms
  EXPECT_EQ(matmul_method<float>(28 * 28, 128, 512), MatmulMethod::direct);    // few terms
  EXPECT_EQ(matmul_method<float>(28 * 28, 1024, 256), MatmulMethod::direct);   // few columns
  EXPECT_EQ(matmul_method<float>(28 * 28, 1024, 1000), MatmulMethod::direct);  // panels without a partner
  EXPECT_EQ(matmul_method<double>(28 * 28, 1024, 1024), MatmulMethod::strassen);
}

}  // namespace
}  // namespace plainnet::kernels
