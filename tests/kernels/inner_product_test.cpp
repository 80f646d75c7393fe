#include <cmath>
#include <limits>
#include <map>

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
struct Product {
  Index rows, depth, columns;
  Index gap = 3;
  AlignedVector<T> a, b, bias, residual, scale;

  Product(Index rows_, Index depth_, Index columns_, test::Random& random)
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

  T& left(Index r, Index k) { return a[static_cast<std::size_t>(r * depth + k)]; }
  T& right(Index k, Index c) { return b[static_cast<std::size_t>(k * columns + c)]; }

  PackedMatrix<T> pack(Isa isa, bool with_bias = true, MatmulMethod method = MatmulMethod::inner_products,
                       Executor& pool = callers_thread()) const {
    return pack_matrix<T, T>({b.data(), depth, columns, columns, 1}, with_bias ? bias.data() : nullptr, isa, pool,
                             method);
  }

  /// Rows first … first + count − 1, without the gaps, which must be left as they are.
  AlignedVector<T> run(const PackedMatrix<T>& packed, const Epilogue<T>& epilogue, Executor& pool, Index first,
                       Index count) const {
    const T untouched = 12345;
    const Index out_rows = count / epilogue.pool;
    const Index stride = columns + gap;
    AlignedVector<T> out(static_cast<std::size_t>(out_rows * stride - gap), untouched);
    AlignedVector<T> scratch(static_cast<std::size_t>(matmul_scratch<T>(depth) * pool.size()));
    const MatrixRows<T> source{a.data() + first * depth, depth};
    multiply<T>(source, count, packed, epilogue, out.data(), stride, scratch.data(), pool);
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
  AlignedVector<T> run(const PackedMatrix<T>& packed) const { return run(packed, {}, callers_thread()); }

  double exact(Index r, Index c) const {
    double sum = 0;
    for (Index k = 0; k < depth; ++k)
      sum += static_cast<double>(a[static_cast<std::size_t>(r * depth + k)]) *
             static_cast<double>(b[static_cast<std::size_t>(k * columns + c)]);
    return sum;
  }

  /// Root mean square of the error of a product without bias, in ε of the result's.
  double error(const AlignedVector<T>& out) const {
    double errors = 0, squares = 0;
    for (Index i = 0; i < rows * columns; i += 7) {
      const double expected = exact(i / columns, i % columns);
      errors += std::pow(static_cast<double>(out[static_cast<std::size_t>(i)]) - expected, 2);
      squares += expected * expected;
    }
    return std::sqrt(errors / squares) / static_cast<double>(std::numeric_limits<T>::epsilon());
  }
};

template <class T>
class InnerProductsOf : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(InnerProductsOf, Scalars);

// Blocks of every height, several portions of rows; no whole portion of terms, one,
// several and a rest of every size modulo 3; one panel and more than are written side by side; with what an epilogue
// has.
TYPED_TEST(InnerProductsOf, AreTheSumOfProductsForEveryInstructionSet) {
  using T = TypeParam;
  test::Random random(1);
  for (const auto& [rows, depth, columns] : std::vector<std::array<Index, 3>>{
           {1, 1, 32},   {2, 2, 32},     {3, 3, 32},    {4, 4, 64},    {5, 63, 32},   {6, 64, 32},   {7, 65, 96},
           {8, 127, 32}, {9, 128, 32},   {10, 130, 32}, {11, 200, 64}, {12, 320, 32}, {13, 66, 32},  {14, 67, 32},
           {15, 68, 32}, {25, 512, 320}, {29, 512, 64}, {49, 640, 64}, {56, 256, 32}, {131, 96, 32}, {399, 512, 32}}) {
    const Product<T> product(rows, depth, columns, random);
    const bool with_bias = random.coin();
    std::vector<double> exact;
    for (Index r = 0; r < rows; ++r) {
      for (Index c = 0; c < columns; ++c)
        exact.push_back(product.exact(r, c) +
                        (with_bias ? static_cast<double>(product.bias[static_cast<std::size_t>(c)]) : 0.0));
    }
    const double tolerance = test::rounding_error<T>(10, static_cast<double>(depth + 3));
    for (Isa isa : test::supported_isas()) {
      SCOPED_TRACE(concatenate(to_string(isa), ": ", rows, " × ", depth, " × ", columns));
      const PackedMatrix<T> packed = product.pack(isa, with_bias);
      ASSERT_EQ(packed.view().method(), MatmulMethod::inner_products);
      const AlignedVector<T> out = product.run(packed);
      const AlignedVector<T> finished = product.run(packed,
                                                    {.activation = Activation::leaky_relu,
                                                     .slope = T{0.25},
                                                     .residual = product.residual.data(),
                                                     .residual_stride = columns,
                                                     .residual_scale = product.scale.data()},
                                                    callers_thread());
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

// As inner_product.hpp says. Powers of two, by which rows and columns differ, change little; channels that are larger
// than all others, with weights that are as much smaller, add to the error of their portions of terms.
TEST(InnerProducts, HaveAboutTheErrorOfTheDefinition) {
  enum class Relu { nowhere, everywhere, in_every_other_portion };
  struct Case {
    const char* name;
    Relu relu;
    double rows_by, columns_by, channels_by;
    double definition, inner_products;
  };
  for (const Case& c :
       {Case{"normal", Relu::nowhere, 1, 1, 1, 1.5, 1.85}, Case{"relu", Relu::everywhere, 1, 1, 1, 1.25, 1.85},
        Case{"relu in every other portion", Relu::in_every_other_portion, 1, 1, 1, 1.5, 2.25},
        Case{"other rows", Relu::nowhere, 0x1p-60, 1, 1, 1.5, 1.85},
        Case{"other columns", Relu::nowhere, 1, 0x1p50, 1, 1.5, 1.95},
        Case{"channels", Relu::nowhere, 1, 1, 0x1p4, 1.5, 2.25},
        Case{"extreme channels", Relu::nowhere, 1, 1, 0x1p8, 1.5, 10}}) {
    test::Random random(2);
    Product<float> product(112, 2048, 64, random);
    for (auto* values : {&product.a, &product.b}) {
      for (float& x : *values) {  // a sum of uniform numbers is nearly normal
        x = 0;
        for (int i = 0; i < 6; ++i) x += static_cast<float>(random.uniform(-1, 1));
      }
    }
    for (Index k = 0; k < product.depth; ++k) {
      if (c.relu == Relu::nowhere || (c.relu == Relu::in_every_other_portion && k / inner_product_terms % 2 != 0))
        continue;
      for (Index r = 0; r < product.rows; ++r) product.left(r, k) = std::max(product.left(r, k), 0.0f);
    }
    for (Index k = 0; k < product.depth; ++k) {
      for (Index r = 0; r < product.rows; r += 3) product.left(r, k) *= static_cast<float>(c.rows_by);
      for (Index column = 0; column < product.columns; column += 3)
        product.right(k, column) *= static_cast<float>(c.columns_by);
    }
    for (Index k = 100; k < product.depth; k += 300) {
      for (Index r = 0; r < product.rows; ++r) product.left(r, k) *= static_cast<float>(c.channels_by);
      for (Index column = 0; column < product.columns; ++column)
        product.right(k, column) /= static_cast<float>(c.channels_by);
    }
    for (Isa isa : test::supported_isas()) {
      SCOPED_TRACE(concatenate(to_string(isa), ", ", c.name));
      EXPECT_NEAR(product.error(product.run(product.pack(isa, false, MatmulMethod::definition))), c.definition, 0.2);
      EXPECT_NEAR(product.error(product.run(product.pack(isa, false))), c.inner_products, 0.12 * c.inner_products);
    }
  }
}

// Numbers whose squares are too small or too large for their type.
TYPED_TEST(InnerProductsOf, KeepNumbersOfEverySize) {
  using T = TypeParam;
  test::Random random(3);
  using Limits = std::numeric_limits<T>;
  for (const T size :
       {Limits::min() * 64, std::sqrt(Limits::min()) / 64, std::sqrt(Limits::max()) * 64, Limits::max() / 100}) {
    for (const bool is_left : {true, false}) {
      Product<T> product(7, 100, 32, random);
      for (T& x : is_left ? product.a : product.b) x *= size;
      for (Isa isa : test::supported_isas()) {
        const AlignedVector<T> out = product.run(product.pack(isa, false));
        for (std::size_t i = 0; i < out.size(); ++i) {
          const double expected = product.exact(static_cast<Index>(i) / 32, static_cast<Index>(i) % 32);
          ASSERT_NEAR(static_cast<double>(out[i] / size), expected / static_cast<double>(size),
                      test::rounding_error<T>(10, 100))
              << to_string(isa) << ", " << size << (is_left ? " left" : " right");
        }
      }
    }
  }
}

// Not what is left of sums of weights by rounding.
TYPED_TEST(InnerProductsOf, AreTheBiasWhereAllIsZero) {
  using T = TypeParam;
  test::Random random(4);
  Product<T> product(30, 150, 64, random);
  for (Index k = 0; k < product.depth; ++k) {
    product.left(17, k) = 0;
    product.right(k, 40) = 0;
  }
  for (bool with_bias : {true, false}) {
    for (Isa isa : test::supported_isas()) {
      const AlignedVector<T> out = product.run(product.pack(isa, with_bias));
      for (Index i = 0; i < product.rows * product.columns; ++i) {
        if (i / product.columns != 17 && i % product.columns != 40) continue;
        const T bias = product.bias[static_cast<std::size_t>(i % product.columns)];
        ASSERT_EQ(out[static_cast<std::size_t>(i)], with_bias ? bias : T{0}) << to_string(isa) << ", " << i;
      }
    }
  }
}

// What is no number comes out where it went in, and nowhere else: not in other rows, nor in other columns.
TYPED_TEST(InnerProductsOf, KeepNaNAndInfinityInTheirRowOrColumn) {
  using T = TypeParam;
  test::Random random(5);
  for (T value :
       {std::numeric_limits<T>::quiet_NaN(), std::numeric_limits<T>::infinity(), -std::numeric_limits<T>::infinity()}) {
    for (const Index term : {0, 100, 127, 128, 149}) {
      Product<T> product(30, 150, 64, random);
      product.left(16, term) = value;
      product.right(term, 35) = value;
      for (Isa isa : test::supported_isas()) {
        const AlignedVector<T> out = product.run(product.pack(isa));
        for (Index i = 0; i < product.rows * product.columns; ++i) {
          const bool has_one = i / product.columns == 16 || i % product.columns == 35;
          ASSERT_EQ(!std::isfinite(out[static_cast<std::size_t>(i)]), has_one) << to_string(isa) << ", " << i;
        }
      }
    }
  }
}

// By rows and by columns, in one and several portions, pooled or not; threads in any order, or not at all.
TYPED_TEST(InnerProductsOf, GiveTheSameBitsWhoeverComputesWhat) {
  using T = TypeParam;
  test::Random random(6);
  int by_rows = 0, by_columns = 0;
  for (const auto& [rows, depth, columns] : {std::array<Index, 3>{672, 512, 192},
                                             {108, 512, 288},
                                             {392, 320, 192},
                                             {107, 768, 192},
                                             {12, 512, 128},
                                             {5, 100, 352}}) {
    const Product<T> product(rows, depth, columns, random);
    for (Isa isa : test::supported_isas()) {
      const PackedMatrix<T> packed = product.pack(isa);
      for (Index pooled : {1, 2, 3, 4}) {
        if (rows % pooled != 0) continue;
        const Epilogue<T> epilogue{.pool = pooled};
        const AlignedVector<T> expected = product.run(packed, epilogue, callers_thread());
        for (Index size : {2, 3, 70}) {
          SCOPED_TRACE(concatenate(to_string(isa), ": ", rows, " rows, pool ", pooled, ", ", size, " threads"));
          (multiplies_by_rows<T>(rows, pooled, packed, size) ? by_rows : by_columns) += 1;
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

TYPED_TEST(InnerProductsOf, GiveARowTheSameBitsWhereverItStands) {
  using T = TypeParam;
  test::Random random(7);
  for (Index depth : {512, 100}) {
    const Product<T> product(58, depth, 64, random);
    for (Isa isa : test::supported_isas()) {
      const PackedMatrix<T> packed = product.pack(isa);
      const AlignedVector<T> all = product.run(packed);
      for (Index count = 1; count <= 29; ++count) {
        for (Index first = 0; first + count <= product.rows; first += 5) {
          const AlignedVector<T> part = product.run(packed, {}, callers_thread(), first, count);
          ASSERT_TRUE(std::equal(part.begin(), part.end(), all.begin() + first * product.columns))
              << to_string(isa) << ": rows " << first << " to " << first + count - 1 << " of " << depth << " terms";
        }
      }
    }
  }
}

// In several portions of rows.
TYPED_TEST(InnerProductsOf, KeepTheLargestOfRowsThatArePooled) {
  using T = TypeParam;
  test::Random random(8);
  const Product<T> product(420, 512, 64, random);
  for (Isa isa : test::supported_isas()) {
    const PackedMatrix<T> packed = product.pack(isa);
    const AlignedVector<T> all = product.run(packed);
    for (Index pool : {2, 3, 4}) {
      const AlignedVector<T> out = product.run(packed, {.pool = pool}, callers_thread());
      const Epilogue<T> relu{.activation = Activation::relu, .pool = pool};
      ASSERT_EQ(product.run(packed, relu, callers_thread()), out) << "without activation";
      for (Index i = 0; i < 420 / pool * 64; ++i) {
        T largest = -std::numeric_limits<T>::infinity();
        for (Index r = 0; r < pool; ++r)
          largest = std::max(largest, all[static_cast<std::size_t>((i / 64 * pool + r) * 64 + i % 64)]);
        ASSERT_EQ(out[static_cast<std::size_t>(i)], largest) << to_string(isa) << ", pool " << pool << ", " << i;
      }
    }
  }
}

TYPED_TEST(InnerProductsOf, ArePackedTheSameByEveryNumberOfThreads) {
  using T = TypeParam;
  test::Random random(9);
  const Product<T> product(1, 333, 416, random);
  ThreadPool three(3);
  for (Isa isa : test::supported_isas()) {
    const PackedMatrix<T> expected = product.pack(isa);
    const PackedMatrix<T> packed = product.pack(isa, true, MatmulMethod::inner_products, three);
    EXPECT_TRUE(packed.panels == expected.panels);
    EXPECT_TRUE(packed.scales == expected.scales);
  }
}

// 1×1 windows, pooled or not, and patches: Isa::zen4 takes inner products, and must agree with AVX-512's definition;
// Isa::zen5 with it to the bit.
TEST(InnerProducts, ConvolveAsTheDefinitionDoes) {
  if (!is_supported(Isa::zen4)) GTEST_SKIP() << "no AVX-512";
  test::Random random(10);
  ThreadPool three(3);
  struct Case {
    Index channels;
    Window window;
    Index pool;
  };
  for (const Case& c : {Case{128, {.kernel = 1}, 1}, Case{128, {.kernel = 1}, 2},
                        Case{5, {.kernel = 5, .stride = 2, .padding = 2}, 1}}) {
    Parameter<float> weight({192, c.channels, c.window.kernel.height, c.window.kernel.width}), bias({192});
    random.fill(weight);
    random.fill(bias);
    const Tensor<float> in = random.map<float>({2, 13, 11, c.channels});
    std::map<Isa, Tensor<float>> out;
    for (Isa isa : {Isa::avx512, Isa::zen4, Isa::zen5}) {
      PackedConvolution<float> packed =
          pack_convolution(weight.data(), bias.data(), c.channels, 192, c.window, 1, isa, three);
      EXPECT_EQ(packed.groups.front().view().method() == MatmulMethod::inner_products, isa >= Isa::zen4);
      packed.pool = c.pool;
      Shape shape = output_shape(in.shape(), c.window, 192);
      shape.height /= c.pool, shape.width /= c.pool;
      Tensor<float>& result = out[isa] = Tensor<float>(shape);
      AlignedVector<float> scratch(static_cast<std::size_t>(packed.scratch() * three.size()));
      convolve<float>(in.view(), packed, {}, result.view(), scratch.data(), three);
    }
    const auto difference =
        static_cast<double>((out[Isa::zen4].matrix() - out[Isa::avx512].matrix()).cwiseAbs().maxCoeff());
    EXPECT_LT(difference, test::rounding_error<float>(10, 128));
    EXPECT_GT(difference, 0) << "inner products round otherwise";
    EXPECT_TRUE(out[Isa::zen5].matrix() == out[Isa::zen4].matrix());
  }
}

TEST(InnerProducts, AreForLayersThatTheyAreFasterFor) {
  const auto method = [](Index depth, Index columns) { return matmul_method<float>(Isa::zen4, depth, columns); };
  EXPECT_EQ(method(2048, 4096), MatmulMethod::inner_products);
  EXPECT_EQ(method(64, 256), MatmulMethod::inner_products);
  EXPECT_EQ(method(256, 64), MatmulMethod::inner_products);
  EXPECT_EQ(method(147, 64), MatmulMethod::inner_products);
  EXPECT_EQ(method(64, 64), MatmulMethod::definition);
  EXPECT_EQ(method(96, 96), MatmulMethod::definition);
  EXPECT_EQ(method(48, 512), MatmulMethod::definition);
  EXPECT_EQ(method(4096, 32), MatmulMethod::definition);
  EXPECT_EQ(method(4096, 1000), MatmulMethod::definition) << "no whole panels";
  EXPECT_EQ(matmul_method<float>(Isa::zen5, 2048, 4096), MatmulMethod::inner_products);
  for (Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512})
    EXPECT_EQ(matmul_method<float>(isa, 2048, 4096), MatmulMethod::definition) << to_string(isa);
  EXPECT_EQ(matmul_method<double>(Isa::zen4, 2048, 4096), MatmulMethod::definition) << "double is for accuracy";
}

}  // namespace
}  // namespace plainnet::kernels
