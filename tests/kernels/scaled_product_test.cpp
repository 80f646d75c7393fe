#include <cmath>

#include <gtest/gtest.h>

#include "plainnet/core/thread_pool.hpp"
#include "plainnet/kernels/scaled_product.hpp"
#include "support/isas.hpp"
#include "support/random.hpp"

namespace plainnet::kernels {
namespace {

struct Row {
  Index rows, depth, columns;
};

std::ostream& operator<<(std::ostream& out, const Row& row) {
  return out << row.rows << " x " << row.depth << " x " << row.columns;
}

template <class T>
struct Operands {
  AlignedVector<T> left, right;
  AlignedVector<double> row_scale, depth_scale;

  explicit Operands(const Row& row)
      : left(static_cast<std::size_t>(row.rows * row.depth)),
        right(static_cast<std::size_t>(row.depth * row.columns)),
        row_scale(static_cast<std::size_t>(row.rows)),
        depth_scale(static_cast<std::size_t>(row.depth)) {
    test::Random random(1);
    const auto fill = [&](auto& numbers) { random.fill(numbers.data(), numbers.data() + numbers.size(), -1, 1); };
    fill(left), fill(right), fill(row_scale), fill(depth_scale);
  }

  AlignedVector<T> product(const Row& row, Isa isa, Index threads) const {
    // A guard after the result, and memory of an earlier product that was larger than any number of this one.
    AlignedVector<T> out(static_cast<std::size_t>(row.rows * row.columns + 1), T{77});
    AlignedVector<double> memory(std::size_t{1} << 16, 1e300);
    ThreadPool pool(threads);
    multiply<T>({.rows = row.rows,
                 .depth = row.depth,
                 .columns = row.columns,
                 .left = left.data(),
                 .right = right.data(),
                 .row_scale = row_scale.data(),
                 .depth_scale = depth_scale.data(),
                 .out = out.data()},
                isa, memory, pool);
    EXPECT_EQ(out.back(), T{77});
    out.pop_back();
    return out;
  }

  /// By the definition.
  AlignedVector<double> expected(const Row& row) const {
    AlignedVector<double> out(static_cast<std::size_t>(row.rows * row.columns), 0.0);
    for (Index r = 0; r < row.rows; ++r) {
      double* const sums = out.data() + r * row.columns;
      for (Index k = 0; k < row.depth; ++k) {
        const double factor =
            row_scale.data()[r] * static_cast<double>(left.data()[r * row.depth + k]) * depth_scale.data()[k];
        for (Index c = 0; c < row.columns; ++c)
          sums[c] += factor * static_cast<double>(right.data()[k * row.columns + c]);
      }
    }
    return out;
  }
};

template <class T>
class ScaledProductOf : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(ScaledProductOf, Scalars);

// Around vectors, blocks of rows, panels, chunks of 64 terms, portions of rows and, in the last two, stripes of 2048
// and 1008 columns or so.
TYPED_TEST(ScaledProductOf, IsTheProductForEveryInstructionSetAndNumberOfThreads) {
  using T = TypeParam;
  const double rounding = sizeof(T) == 4 ? 0x1p-24 : 0x1p-53;  // of the result to T
  for (const Row& row : {Row{1, 1, 1}, Row{2, 3, 5}, Row{13, 7, 11}, Row{24, 64, 32}, Row{57, 17, 129}, Row{56, 65, 64},
                         Row{31, 256, 40}, Row{29, 1025, 33}, Row{17, 1200, 16}, Row{523, 20, 9}, Row{7, 4100, 701},
                         Row{2, 1024, 8200}, Row{3, 2050, 4100}}) {
    const Operands<T> operands(row);
    const AlignedVector<double> expected = operands.expected(row);
    for (Isa isa : test::supported_isas()) {
      const AlignedVector<T> of_one_thread = operands.product(row, isa, 1);
      for (std::size_t i = 0; i < expected.size(); ++i) {
        // No number is larger than 1.
        ASSERT_NEAR(static_cast<double>(of_one_thread[i]), expected[i],
                    0x1p-53 * static_cast<double>(row.depth + 6) + rounding * std::abs(expected[i]))
            << row << ", " << to_string(isa) << ", element " << i;
      }
      for (Index threads : {2, 3}) {
        EXPECT_EQ(operands.product(row, isa, threads), of_one_thread)
            << row << ", " << to_string(isa) << ", " << threads << " threads";
      }
    }
  }
}

}  // namespace
}  // namespace plainnet::kernels
