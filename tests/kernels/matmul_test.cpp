#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "plainnet/core/thread_pool.hpp"
#include "plainnet/kernels/shared_matmul.hpp"
#include "support/compare.hpp"
#include "support/executors.hpp"
#include "support/isas.hpp"
#include "support/random.hpp"

namespace plainnet::kernels {
namespace {

/// A product with everything in buffers of exactly the size that is needed, so that a sanitizer sees a step too far.
template <class T>
struct Product {
  Index rows;
  Index depth;
  Index columns;
  Index row_stride;
  Index out_stride;
  AlignedVector<T> a;     // row r at r · row_stride
  AlignedVector<T> b;     // (depth, columns)
  AlignedVector<T> bias;  // (columns)

  Product(Index rows_, Index depth_, Index columns_, test::Random& random, Index gap = 0)
      : rows(rows_),
        depth(depth_),
        columns(columns_),
        row_stride(depth_ + gap),
        out_stride(columns_ + gap),
        a(size_of(rows_, depth_, row_stride)),
        b(static_cast<std::size_t>(depth_ * columns_)),
        bias(static_cast<std::size_t>(columns_)) {
    for (auto* values : {&a, &b, &bias}) random.fill(values->data(), values->data() + values->size(), -1, 1);
  }

  static std::size_t size_of(Index rows, Index width, Index stride) {
    return static_cast<std::size_t>(rows == 0 ? 0 : (rows - 1) * stride + width);
  }

  T& left(Index r, Index k) { return a[static_cast<std::size_t>(r * row_stride + k)]; }
  T left(Index r, Index k) const { return a[static_cast<std::size_t>(r * row_stride + k)]; }
  T right(Index k, Index c) const { return b[static_cast<std::size_t>(k * columns + c)]; }

  PackedMatrix<T> pack(Isa isa, bool with_bias = true) const {
    return pack_matrix<T, T>({b.data(), depth, columns, columns, 1}, with_bias ? bias.data() : nullptr, isa);
  }

  /// Rows first … first + count − 1 of the product, with `untouched` between them.
  AlignedVector<T> run(const PackedMatrix<T>& packed, const Epilogue<T>& epilogue, ThreadPool& pool, Index first,
                       Index count) const {
    AlignedVector<T> out(size_of(count, columns, out_stride), untouched);
    AlignedVector<T> scratch(static_cast<std::size_t>(matmul_scratch<T>(depth) * pool.size()));
    const MatrixRows<T> source{a.data() + first * row_stride, row_stride};
    multiply<T>(source, count, packed, epilogue, out.data(), out_stride, scratch.data(), pool);
    return out;
  }

  static constexpr T untouched = T{12345};
};

/// Rows of a matrix anywhere in memory.
template <class T>
struct ScatteredMatrix final : RowSource<T> {
  AlignedVector<T> memory;
  std::vector<Index> begins;  // of the rows, elements
  Index depth;

  ScatteredMatrix(const Product<T>& product, std::vector<Index> begins_)
      : memory(static_cast<std::size_t>(*std::max_element(begins_.begin(), begins_.end()) + product.depth)),
        begins(std::move(begins_)),
        depth(product.depth) {
    for (Index r = 0; r < product.rows; ++r) {
      const T* const row = product.a.data() + r * product.row_stride;
      std::copy(row, row + depth, memory.begin() + begins[static_cast<std::size_t>(r)]);
    }
  }

  void locate(Isa, Index first, Index count, T*, const T** list) const override {
    for (Index i = 0; i < count; ++i) list[i] = memory.data() + begins[static_cast<std::size_t>(first + i)];
  }
};

template <class T>
Epilogue<T> leaky_relu(T slope) {
  return {.activation = Activation::leaky_relu, .slope = slope};
}

template <class T>
testing::AssertionResult is_product(const Product<T>& p, const AlignedVector<T>& out, bool with_bias,
                                    const double* slope) {
  for (Index r = 0; r < p.rows; ++r) {
    for (Index c = 0; c < p.out_stride; ++c) {
      const std::size_t place = static_cast<std::size_t>(r * p.out_stride + c);
      if (place >= out.size()) continue;
      if (c >= p.columns) {
        if (out[place] != p.untouched) return testing::AssertionFailure() << "wrote between rows, after row " << r;
        continue;
      }
      double expected = with_bias ? static_cast<double>(p.bias[static_cast<std::size_t>(c)]) : 0.0;
      double magnitude = std::abs(expected);
      for (Index k = 0; k < p.depth; ++k) {
        const double term = static_cast<double>(p.left(r, k)) * static_cast<double>(p.right(k, c));
        expected += term;
        magnitude += std::abs(term);
      }
      if (slope && expected < 0) expected *= *slope;
      const double found = static_cast<double>(out[place]);
      if (!(std::abs(found - expected) <= test::rounding_error<T>(p.depth + 3, magnitude))) {
        return testing::AssertionFailure()
               << "row " << r << ", column " << c << ": " << found << ", expected " << expected;
      }
    }
  }
  return testing::AssertionSuccess();
}

template <class T>
class MatmulOf : public testing::Test {
 protected:
  static std::vector<std::array<Index, 3>> shapes() {
    std::vector<std::array<Index, 3>> all;
    for (Index rows : {0, 1, 2, 3, 4, 6, 7, 8, 13, 14, 15, 27, 28, 29, 41, 42, 43, 60}) {
      for (Index columns : {1, 2, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 70}) {
        for (Index depth : {0, 1, 2, 5, 63, 64, 65, 100}) all.push_back({rows, depth, columns});
      }
    }
    for (Index rows : {25, 49, 61, 91, 104, 118, 196}) {  // blocks of full height, of one less, and padded ones
      for (Index columns : {16, 37}) all.push_back({rows, 11, columns});
    }
    for (Index depth : {255, 256, 257, 512, 513, 700}) {  // sums are made in portions of 256 terms
      for (Index rows : {1, 3, 15}) all.push_back({rows, depth, 19});
    }
    return all;
  }
};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(MatmulOf, Scalars);

TYPED_TEST(MatmulOf, IsTheSumOfProductsForEveryInstructionSet) {
  using T = TypeParam;
  test::Random random(1);
  ThreadPool one(1);
  ThreadPool three(3);
  for (const auto& [rows, depth, columns] : this->shapes()) {
    const Product<T> product(rows, depth, columns, random, random.integer(0, 3));
    const bool with_bias = random.coin();
    const double slopes[] = {0.0, 0.3, 1.0};
    const double slope = slopes[random.integer(0, 2)];
    const Epilogue<T> leaky = leaky_relu(static_cast<T>(slope));
    const double rounded_slope = static_cast<double>(leaky.slope);
    for (Isa isa : test::supported_isas()) {
      SCOPED_TRACE(concatenate(to_string(isa), ": (", rows, ", ", depth, ") times (", depth, ", ", columns, ")",
                               with_bias ? " with bias" : "", ", slope ", slope));
      const PackedMatrix<T> packed = product.pack(isa, with_bias);
      const AlignedVector<T> plain = product.run(packed, {}, one, 0, rows);
      ASSERT_TRUE(is_product<T>(product, plain, with_bias, nullptr));
      const AlignedVector<T> activated = product.run(packed, leaky, one, 0, rows);
      ASSERT_TRUE(is_product<T>(product, activated, with_bias, &rounded_slope));
      ASSERT_EQ(product.run(packed, {}, three, 0, rows), plain) << "three threads";
      ASSERT_EQ(product.run(packed, leaky, three, 0, rows), activated) << "three threads";
    }
  }
}

double activated(Activation activation, double x) {
  switch (activation) {
    case Activation::gelu: return x * std::erfc(-x / std::sqrt(2.0)) / 2;
    case Activation::squared_relu: return x < 0 ? 0 : x * x;
    case Activation::sigmoid: return 1 / (1 + std::exp(-x));
    default: return x;
  }
}

// act(sum + bias) + scale · residual, of all activations, with rows and columns that fill no block; the residual lies
// in exactly the memory that it needs.
TYPED_TEST(MatmulOf, FinishesWithActivationAndResidual) {
  using T = TypeParam;
  test::Random random(7);
  ThreadPool one(1);
  ThreadPool three(3);
  for (Index rows : {1, 2, 6, 7, 14, 15, 33}) {
    for (Index columns : {1, 7, 16, 31, 32, 33, 65}) {
      const Product<T> product(rows, 21, columns, random, random.integer(0, 2));
      const Index residual_stride = columns + random.integer(0, 2);
      AlignedVector<T> residual(Product<T>::size_of(rows, columns, residual_stride));
      AlignedVector<T> scale(static_cast<std::size_t>(columns));
      random.fill(residual.data(), residual.data() + residual.size(), -1, 1);
      random.fill(scale.data(), scale.data() + scale.size(), -1, 1);
      for (Activation activation :
           {Activation::none, Activation::gelu, Activation::squared_relu, Activation::sigmoid}) {
        for (const T* scales : {static_cast<const T*>(nullptr), static_cast<const T*>(scale.data())}) {
          const Epilogue<T> epilogue{.activation = activation,
                                     .residual = residual.data(),
                                     .residual_stride = residual_stride,
                                     .residual_scale = scales};
          for (Isa isa : test::supported_isas()) {
            SCOPED_TRACE(concatenate(to_string(isa), ": (", rows, ", ", columns, "), activation ",
                                     static_cast<int>(activation), scales ? ", scaled" : ""));
            const PackedMatrix<T> packed = product.pack(isa);
            const AlignedVector<T> out = product.run(packed, epilogue, one, 0, rows);
            ASSERT_EQ(product.run(packed, epilogue, three, 0, rows), out) << "three threads";
            for (Index r = 0; r < rows; ++r) {
              for (Index c = 0; c < columns; ++c) {
                double sum = static_cast<double>(product.bias[static_cast<std::size_t>(c)]);
                for (Index k = 0; k < 21; ++k)
                  sum += static_cast<double>(product.left(r, k)) * static_cast<double>(product.right(k, c));
                const double factor = scales ? static_cast<double>(scales[c]) : 1.0;
                const double expected =
                    activated(activation, sum) +
                    factor * static_cast<double>(residual[static_cast<std::size_t>(r * residual_stride + c)]);
                // Sums are at most 22, squares 484; derivatives at most 44; gelu's own bound is 4e-7 of 22.
                const double tolerance = test::rounding_error<T>(24, 22.0 * 44) + (sizeof(T) == 4 ? 4e-7 * 22 : 0.0);
                ASSERT_NEAR(static_cast<double>(out[static_cast<std::size_t>(r * product.out_stride + c)]), expected,
                            tolerance)
                    << "row " << r << ", column " << c;
              }
            }
            for (Index first = 0; first < rows; first += 4) {  // a row alone has the bits it has among others
              Epilogue<T> of_row = epilogue.from(first, 0);
              const AlignedVector<T> row = product.run(packed, of_row, one, first, 1);
              ASSERT_TRUE(std::equal(row.begin(), row.end(), out.begin() + first * product.out_stride)) << first;
            }
          }
        }
      }
    }
  }
}

// Of rows side by side the largest, to the bit, with rows and columns that fill no block and portions of rows.
TYPED_TEST(MatmulOf, KeepsTheLargestOfRowsThatArePooled) {
  using T = TypeParam;
  test::Random random(8);
  ThreadPool one(1);
  ThreadPool three(3);
  for (Index pool : {2, 3, 4}) {
    for (Index pooled_rows : {1, 2, 7, 33}) {
      for (Index columns : {1, 16, 37}) {
        for (Index depth : {19, 5000}) {
          if (depth == 5000 && pooled_rows != 33) continue;
          Product<T> product(pool * pooled_rows, depth, columns, random);
          product.left(pool * pooled_rows - 1, 3) = std::numeric_limits<T>::quiet_NaN();
          for (Isa isa : test::supported_isas()) {
            SCOPED_TRACE(concatenate(to_string(isa), ": ", pool, " of ", product.rows, " rows, ", columns, " columns"));
            const PackedMatrix<T> packed = product.pack(isa);
            const AlignedVector<T> all = product.run(packed, {}, one, 0, product.rows);
            for (ThreadPool* threads : {&one, &three}) {
              AlignedVector<T> out(static_cast<std::size_t>(pooled_rows * (columns + 1)), product.untouched);
              AlignedVector<T> scratch(static_cast<std::size_t>(matmul_scratch<T>(depth) * threads->size()));
              const MatrixRows<T> source{product.a.data(), product.row_stride};
              multiply<T>(source, product.rows, packed, {.pool = pool}, out.data(), columns + 1, scratch.data(),
                          *threads);
              for (Index r = 0; r < pooled_rows; ++r) {
                const T* row = out.data() + r * (columns + 1);
                ASSERT_EQ(row[columns], product.untouched);
                for (Index c = 0; c < columns; ++c) {
                  T largest = -std::numeric_limits<T>::infinity();
                  for (Index i = 0; i < pool; ++i)
                    largest = std::max(largest, all[static_cast<std::size_t>((r * pool + i) * columns + c)]);
                  if (r + 1 == pooled_rows) {
                    ASSERT_TRUE(std::isnan(row[c])) << "column " << c;
                  } else {
                    ASSERT_EQ(row[c], largest) << "row " << r << ", column " << c;
                  }
                }
              }
            }
          }
        }
      }
    }
  }
}

// So that a picture's logits do not depend on what else is in its batch, nor on how many threads run.
TYPED_TEST(MatmulOf, GivesARowTheSameBitsWhereverItStands) {
  using T = TypeParam;
  test::Random random(2);
  const Product<T> product(61, 600, 45, random);
  const Epilogue<T> slope = leaky_relu(T{0.25});
  for (Isa isa : test::supported_isas()) {
    const PackedMatrix<T> packed = product.pack(isa);
    ThreadPool one(1);
    const AlignedVector<T> all = product.run(packed, slope, one, 0, 61);
    for (Index threads = 1; threads <= 4; ++threads) {
      ThreadPool pool(threads);
      ASSERT_EQ(product.run(packed, slope, pool, 0, 61), all) << to_string(isa) << ", " << threads << " threads";
    }
    for (Index count : {1, 2, 5, 7, 15}) {
      for (Index first = 0; first + count <= 61; first += 3) {
        const AlignedVector<T> part = product.run(packed, slope, one, first, count);
        ASSERT_TRUE(std::equal(part.begin(), part.end(), all.begin() + first * 45))
            << to_string(isa) << ": rows " << first << " to " << first + count - 1;
      }
    }
  }
}

// In any order, with other distances in each block, 4 KB or a multiple of it apart, or with one in the middle of a
// block that is not where it would be.
TYPED_TEST(MatmulOf, ReadsRowsWhereverTheyLie) {
  using T = TypeParam;
  test::Random random(11);
  constexpr Index page = 4096 / sizeof(T);
  const Product<T> product(61, 37, 45, random);
  std::vector<std::vector<Index>> places(5);
  for (Index r = 0; r < 61; ++r) {
    places[0].push_back((r * 17 % 61) * 40);
    places[1].push_back(r * r * 37);
    places[2].push_back(r * page);
    places[3].push_back((60 - r) * 2 * page);
    places[4].push_back((r % 10 == 5 ? 61 + r : r) * 37);
  }
  ThreadPool one(1), two(2);
  for (Isa isa : test::supported_isas()) {
    const PackedMatrix<T> packed = product.pack(isa);
    const AlignedVector<T> expected = product.run(packed, {}, one, 0, 61);
    for (const std::vector<Index>& place : places) {
      const ScatteredMatrix<T> rows(product, place);
      for (ThreadPool* pool : {&one, &two}) {
        for (Index count : {61, 16, 5}) {
          AlignedVector<T> out(static_cast<std::size_t>(count * 45));
          AlignedVector<T> scratch(static_cast<std::size_t>(matmul_scratch<T>(37) * pool->size()));
          multiply<T>(rows, count, packed, {}, out.data(), 45, scratch.data(), *pool);
          ASSERT_TRUE(std::equal(out.begin(), out.end(), expected.begin()))
              << to_string(isa) << ": " << count << " rows, the second at " << place[1];
        }
      }
    }
  }
}

// A block has rows that nobody wants: they are the last wanted one, whatever lies behind it in memory and in the list.
TYPED_TEST(MatmulOf, CopiesABlockThatReachesOverTheLastRow) {
  using T = TypeParam;
  constexpr Index depth = 5;
  for (Index wanted : {1, 2, 5, 9}) {  // two are a block of three
    for (bool goes_on : {false, true}) {
      SCOPED_TRACE(concatenate(wanted, " rows, ", goes_on ? "and more" : "and nothing"));
      AlignedVector<T> rows(static_cast<std::size_t>(wanted * depth), T{3});
      rows.resize(30 * depth, T{9});
      const T* list[30];
      for (Index r = 0; r < 30; ++r) list[r] = r < wanted || goes_on ? rows.data() + r * depth : nullptr;
      AlignedVector<T> copies(static_cast<std::size_t>(30 * copied_row_stride<T>(depth)), T{7});
      baseline::space_out<T>(list, wanted, depth, copies.data());
      for (Index first = 0, height = 0; first < wanted; first += height) {
        height = baseline::block_height<T>(wanted - first);
        for (Index r = first; r < first + height; ++r) {
          ASSERT_NE(list[r], nullptr) << r;
          EXPECT_EQ(std::count(list[r], list[r] + depth, T{3}), depth) << r;
          EXPECT_EQ(list[r] - list[first], (r - first) * (height > 1 ? list[first + 1] - list[first] : 0)) << r;
        }
      }
    }
  }
}

// Several panels with every block of rows, and fewer in the last group or where other threads help.
TYPED_TEST(MatmulOf, MultipliesByGroupsOfPanels) {
  using T = TypeParam;
  test::Random random(12);
  const Product<T> product(29, 300, 605, random, 3);
  for (Isa isa : test::supported_isas()) {
    const PackedMatrix<T> packed = product.pack(isa);
    const Index at_once = matmul_panels_at_once<T>(isa, 300);
    ASSERT_TRUE(at_once > 1 && packed.view().panel_count() > 2 * at_once);
    ThreadPool one(1);
    const AlignedVector<T> all = product.run(packed, leaky_relu(T{0.5}), one, 0, 29);
    const double slope = 0.5;
    ASSERT_TRUE(is_product<T>(product, all, true, &slope)) << to_string(isa);
    for (Index threads = 2; threads <= 5; ++threads) {
      ThreadPool pool(threads);
      ASSERT_EQ(product.run(packed, leaky_relu(T{0.5}), pool, 0, 29), all)
          << to_string(isa) << ", " << threads << " threads";
    }
  }
}

// Blocks of every height, alike or padded, in shares of rows and of columns.
TYPED_TEST(MatmulOf, CutsAnyNumberOfRowsIntoBlocks) {
  using T = TypeParam;
  test::Random random(10);
  const Product<T> product(101, 9, 33, random);
  ThreadPool one(1), two(2), three(3);
  for (Isa isa : test::supported_isas()) {
    const PackedMatrix<T> packed = product.pack(isa);
    AlignedVector<T> all;  // row by row
    for (Index r = 0; r < 101; ++r) {
      const AlignedVector<T> row = product.run(packed, {}, one, r, 1);
      all.insert(all.end(), row.begin(), row.end());
    }
    for (Index count = 1; count <= 101; ++count) {
      for (ThreadPool* pool : {&one, &two, &three}) {
        const AlignedVector<T> out = product.run(packed, {}, *pool, 0, count);
        ASSERT_EQ(static_cast<Index>(out.size()), count * 33);
        ASSERT_TRUE(std::equal(out.begin(), out.end(), all.begin()))
            << to_string(isa) << ": " << count << " rows, " << pool->size() << " threads";
      }
    }
  }
}

#if PLAINNET_X86
// Rows that nobody wants are multiplied only where no cut into that many blocks does without them.
TEST(Matmul, FewNumbersOfRowsArePaddedInBlocksOf14) {
  if (!is_supported(Isa::avx512)) GTEST_SKIP() << "no AVX-512";
  std::vector<Index> padded;
  for (Index count = 1; count <= 300; ++count) {
    Index rows = 0;
    for (; rows < count; rows += avx512::block_height<float>(count - rows)) {
    }
    if (rows > count) padded.push_back(count);
  }
  EXPECT_EQ(padded, (std::vector<Index>{2, 3, 4, 5, 6, 9, 10, 11, 17, 18, 23}));
}
#endif

// More rows than are located at a time: 56 at this depth.
TYPED_TEST(MatmulOf, GoesOnWhereTheLocatedRowsEnd) {
  using T = TypeParam;
  test::Random random(3);
  const Index depth = 3500;
  ASSERT_LT(matmul_rows_in_cache<T>(depth), 130);
  const Product<T> product(130, depth, 33, random);
  for (Isa isa : test::supported_isas()) {
    for (Index threads : {1, 2}) {
      ThreadPool pool(threads);
      const AlignedVector<T> out = product.run(product.pack(isa), {}, pool, 0, 130);
      ASSERT_TRUE(is_product<T>(product, out, true, nullptr)) << to_string(isa) << ", " << threads << " threads";
    }
  }
}

TYPED_TEST(MatmulOf, KeepsNaNAndInfinityInTheirRow) {
  using T = TypeParam;
  test::Random random(4);
  const T nan = std::numeric_limits<T>::quiet_NaN();
  const T infinity = std::numeric_limits<T>::infinity();
  for (T slope_value : {T{0}, T{0.5}, T{1}}) {
    Product<T> product(17, 5, 35, random);
    product.left(3, 2) = nan;
    product.left(15, 4) = infinity;
    const Epilogue<T> slope = leaky_relu(slope_value);
    for (Isa isa : test::supported_isas()) {
      ThreadPool pool(1);
      const AlignedVector<T> out = product.run(product.pack(isa), slope, pool, 0, 17);
      for (Index r = 0; r < 17; ++r) {
        for (Index c = 0; c < 35; ++c) {
          const T value = out[static_cast<std::size_t>(r * 35 + c)];
          if (r == 3) {
            ASSERT_TRUE(std::isnan(value)) << to_string(isa) << ", column " << c;
          } else if (r == 15) {
            // 0 · −∞ is NaN, in PyTorch's leaky ReLU too.
            const bool positive = product.right(4, c) > 0;
            ASSERT_TRUE(positive          ? value == infinity
                        : slope_value > 0 ? value == -infinity
                                          : std::isnan(value))
                << to_string(isa) << ", column " << c << ": " << value;
          } else {
            ASSERT_TRUE(std::isfinite(value)) << to_string(isa) << ", row " << r << ", column " << c;
          }
        }
      }
    }
  }
}

TYPED_TEST(MatmulOf, ComputesWithSubnormalNumbers) {
  using T = TypeParam;
  const T tiny = std::numeric_limits<T>::denorm_min();
  test::Random random(5);
  Product<T> product(3, 2, 20, random);
  for (T& value : product.a) value = tiny;
  for (T& value : product.b) value = T{3};
  for (T& value : product.bias) value = tiny;
  for (Isa isa : test::supported_isas()) {
    ThreadPool pool(1);
    for (T value : product.run(product.pack(isa), {}, pool, 0, 3)) ASSERT_EQ(value, T{7} * tiny) << to_string(isa);
  }
}

TYPED_TEST(MatmulOf, PacksMatricesOfAnyStridesAndOtherNumbers) {
  using T = TypeParam;
  test::Random random(6);
  const Product<T> product(9, 67, 21, random);
  std::vector<float> transposed(67 * 21);  // as a convolution's weight lies: (columns, depth)
  for (Index k = 0; k < 67; ++k) {
    for (Index c = 0; c < 21; ++c)
      transposed[static_cast<std::size_t>(c * 67 + k)] = static_cast<float>(product.right(k, c));
  }
  for (Isa isa : test::supported_isas()) {
    const PackedMatrix<T> packed = pack_matrix<T, float>({transposed.data(), 67, 21, 1, 67}, nullptr, isa);
    EXPECT_EQ(packed.depth, 67);
    EXPECT_EQ(packed.columns, 21);
    Product<T> rounded = product;
    for (T& value : rounded.b) value = static_cast<T>(static_cast<float>(value));
    EXPECT_EQ(packed.panels, rounded.pack(isa, false).panels) << to_string(isa);
  }
}

TYPED_TEST(MatmulOf, PacksTheSameWhoeverPacksWhichPanels) {
  using T = TypeParam;
  test::Random random(7);
  for (Index columns : {1, 33, 500}) {
    const Product<T> product(1, 19, columns, random);
    const StridedMatrix<T> matrix{product.b.data(), 19, columns, columns, 1};
    for (Isa isa : test::supported_isas()) {
      const PackedMatrix<T> expected = product.pack(isa, true);
      ThreadPool three(3);
      test::InOrder only_last(4, {3});
      for (Executor* pool : {static_cast<Executor*>(&three), static_cast<Executor*>(&only_last)}) {
        const PackedMatrix<T> packed = pack_matrix<T, T>(matrix, product.bias.data(), isa, *pool);
        EXPECT_EQ(packed.panels, expected.panels) << to_string(isa) << ", " << columns << " columns";
        EXPECT_EQ(packed.bias, expected.bias) << to_string(isa) << ", " << columns << " columns";
      }
    }
  }
}

TEST(Matmul, RowsInCacheAreAFewRegisterBlocksAtLeastAndASmallMapOfManyChannels) {
  for (Index depth : {0, 1, 3, 64, 512, 1000, 4096, 6144, 1000000}) {
    EXPECT_GE(matmul_rows_in_cache<float>(depth), 3 * matmul_most_rows) << depth;
  }
  EXPECT_GE(matmul_rows_in_cache<float>(4096), 7 * 7);
}

TEST(Matmul, PanelsOfAGroupTakeAQuarterOfAMegabyteOrAreOne) {
  EXPECT_EQ(matmul_panels_at_once<float>(Isa::avx512, 320), 6);
  EXPECT_EQ(matmul_panels_at_once<double>(Isa::avx512, 320), 6);
  EXPECT_EQ(matmul_panels_at_once<float>(Isa::baseline, 512), 16);
  EXPECT_EQ(matmul_panels_at_once<float>(Isa::avx512, 4096), 1);
  EXPECT_EQ(matmul_panels_at_once<float>(Isa::avx2, 0), 4096);
}

TEST(Matmul, ThreadsShareRowsWhereEachHasEnoughAndTheWeightsAreNotTooMany) {
  const auto by_rows = [](Index rows, Index depth, Index columns, Index threads, Index pooled = 1,
                          Isa isa = Isa::baseline) {
    const PackedView<float> b{isa, depth, columns, nullptr, nullptr};
    return multiplies_by_rows(rows, pooled, b, threads);
  };
  EXPECT_TRUE(by_rows(3136, 64, 256, 2));
  EXPECT_TRUE(by_rows(196, 320, 1280, 2));
  EXPECT_TRUE(by_rows(196, 1280, 320, 8));   // 24 rows each
  EXPECT_FALSE(by_rows(196, 320, 1280, 9));  // 21
  EXPECT_TRUE(by_rows(49, 512, 2048, 2));
  EXPECT_FALSE(by_rows(49, 512, 2048, 3));
  EXPECT_FALSE(by_rows(49, 4096, 4096, 2));  // 16.8 million weights for 0.4 million elements of rows
  EXPECT_FALSE(by_rows(1, 2048, 1000, 2));
  EXPECT_TRUE(by_rows(196, 2048, 4096, 2, 4));  // 24 and 25 rows of the result
  EXPECT_FALSE(by_rows(48, 64, 64, 4, 4));
  // Blocks of 14, 13 or 12 rows: 32 are no whole number of them, nor are 29, 25 and 24 are.
  EXPECT_FALSE(by_rows(64, 768, 768, 2, 1, Isa::avx512));
  EXPECT_FALSE(by_rows(57, 768, 768, 2, 1, Isa::avx512));
  EXPECT_TRUE(by_rows(49, 768, 768, 2, 1, Isa::avx512));
  EXPECT_TRUE(by_rows(64, 768, 768, 2));
}

TEST(Matmul, PacksTheColumnsOfAPanelWhateverTheirNumber) {
  test::Random random(9);
  for (Index depth : {1, 3, 4, 63, 64, 65, 130}) {
    for (Index columns : {1, 3, 4, 5, 8, 9, 15, 16, 17, 31, 33}) {
      std::vector<float> weight(static_cast<std::size_t>(columns * depth));  // (columns, depth)
      random.fill(weight.data(), weight.data() + weight.size(), -1, 1);
      for (Isa isa : test::supported_isas()) {
        SCOPED_TRACE(concatenate(to_string(isa), ": (", depth, ", ", columns, ")"));
        const auto packed = pack_matrix<float, float>({weight.data(), depth, columns, 1, depth}, nullptr, isa);
        const Index width = matmul_panel_columns<float>(isa);
        ASSERT_EQ(static_cast<Index>(packed.panels.size()), (columns + width - 1) / width * width * depth);
        for (Index i = 0; i < static_cast<Index>(packed.panels.size()); ++i) {
          const Index c = i / (width * depth) * width + i % width;
          const Index k = i / width % depth;
          ASSERT_EQ(packed.panels[static_cast<std::size_t>(i)],
                    c < columns ? weight[static_cast<std::size_t>(c * depth + k)] : 0.0f)
              << "row " << k << ", column " << c;
        }
      }
    }
  }
}

TEST(Matmul, RefusesASizeThatCannotBeCounted) {
  EXPECT_THROW(matmul_scratch<float>(std::numeric_limits<Index>::max() / 8), Error);
}

}  // namespace
}  // namespace plainnet::kernels
