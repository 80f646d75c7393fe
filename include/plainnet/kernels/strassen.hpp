#pragma once
// Product of two large matrices in double precision, with fewer multiplications than the definition has. Apart from
// matmul.hpp, whose blocks it uses, since its operands are packed as sums of blocks and its results are such sums.

#include <algorithm>

#include "plainnet/core/aligned.hpp"
#include "plainnet/core/executor.hpp"
#include "plainnet/kernels/matmul.hpp"

namespace plainnet::kernels {

/// out (rows, columns) = diag(row_scale) · left (rows, depth) · diag(depth_scale) · right (depth, columns), each matrix
/// contiguous; `out` overlaps nothing.
template <class T>
struct ScaledProduct {
  Index rows;
  Index depth;
  Index columns;
  const T* left;
  const T* right;
  const double* row_scale;    // (rows)
  const double* depth_scale;  // (depth)
  T* out;
};

/// How often to halve a product of these sizes. By counting, not by measurement: the sums for a leaf of n³ pass some
/// 4·n² numbers through L2, an eighth of its multiply-adds' time at n = 128, as much as a level spares; and the 343
/// operands of a third level would leave so few columns of each in memory that the left ones are made twice as often.
inline Index strassen_levels(Index rows, Index depth, Index columns) {
  const Index smallest = std::min({rows, depth, columns});
  return smallest >= 4 * 128 ? 2 : smallest >= 2 * 128 ? 1 : 0;
}

/// How a product is cut up. Each level halves rows, depth and columns, and makes 7 products of blocks, not 8:
///
///   S₁ = A₂₁ + A₂₂   S₂ = S₁ − A₁₁   S₃ = A₁₁ − A₂₁   S₄ = A₁₂ − S₂
///   T₁ = B₁₂ − B₁₁   T₂ = B₂₂ − T₁   T₃ = B₂₂ − B₁₂   T₄ = T₂ − B₂₁
///   P₁ = A₁₁·B₁₁     P₂ = A₁₂·B₂₁    P₃ = S₄·B₂₂      P₄ = A₂₂·T₄     P₅ = S₁·T₁   P₆ = S₂·T₂   P₇ = S₃·T₃
///   C₁₁ = P₁ + P₂    C₁₂ = P₁ + P₆ + P₅ + P₃    C₂₁ = P₁ + P₆ + P₇ − P₄    C₂₂ = P₁ + P₆ + P₇ + P₅
///
/// (Strassen's algorithm in Winograd's form.) All levels at once, like a transform: while A is packed, its 4^levels
/// leaves become 7^levels left factors, so do those of B, and the products become the 4^levels leaves of C while they
/// are written. Level 0 is the definition.
///
/// It is exact algebra, but its rounding errors are those of the largest elements of the matrices, not of the row and
/// column that make an element; an infinity or NaN reaches rows and columns at the same place of other leaves. So it is
/// for results that are then rounded to float, whose unit is 2^29 times that of double.
struct StrassenPlan {
  Isa isa;
  Index levels;
  Index leaves = 1;    // 4^levels
  Index products = 1;  // 7^levels
  Index leaf_rows;     // leaves are as large as each other; what reaches over the matrix is zero
  Index leaf_depth;    // whole chunks
  Index leaf_columns;
  Index columns_at_once;  // of a leaf; whole panels
  Index rows_at_once;     // of a leaf, for each thread

  /// Terms that are summed at a time: so much of a panel stays in L1 while rows pass, and 126 rows of it in L2.
  static constexpr Index terms_at_once = 256;
  /// Terms of all leaves that become factors at a time, in L2.
  static constexpr Index chunk = 16;

  StrassenPlan(Isa isa_, Index rows, Index depth, Index columns, Index levels_, Index threads)
      : isa(isa_), levels(levels_) {
    for (Index level = 0; level < levels; ++level) {
      leaves *= 4;
      products *= 7;
    }
    const Index parts = Index{1} << levels;
    leaf_rows = parts_of(rows, parts);
    leaf_depth = parts_of(parts_of(depth, parts), chunk) * chunk;
    leaf_columns = parts_of(columns, parts);
    // As many columns as make 128 MB of right factors: they are made once, the left ones for each of these stripes.
    constexpr Index most_elements = Index{8} << 20;
    const Index width = matmul_panel_columns<double>(isa);
    const Index panels = parts_of(leaf_columns, width);
    const Index most_panels = std::max<Index>(1, most_elements / (products * leaf_depth * width));
    columns_at_once = parts_of(panels, parts_of(panels, most_panels)) * width;
    rows_at_once = std::clamp<Index>(252 / threads, matmul_most_rows, 126);
  }

  /// Distances between the factors or products of the same place.
  Index left_size() const { return spread((rows_at_once + matmul_most_rows) * terms_at_once); }
  Index right_size() const { return spread(leaf_depth * columns_at_once); }
  Index product_size() const { return spread((rows_at_once + matmul_most_rows) * columns_at_once); }

  /// Elements of the leaves of two panels on their way, and of the blocks between levels, less than 7/3 of the leaves.
  Index work_size() const { return 5 * leaves * chunk * std::max(matmul_most_rows, matmul_panel_columns<double>(isa)); }

  /// Elements that a thread needs.
  Index scratch_size() const { return products * (left_size() + product_size()) + work_size(); }

 private:
  static Index parts_of(Index count, Index size) { return (count + size - 1) / size; }

  /// 17 cache lines more than a multiple of 4 KB, so that 49 places do not share the same few lines of a cache.
  static Index spread(Index size) { return parts_of(size, 512) * 512 + 17 * 8; }
};

}  // namespace plainnet::kernels

#define PLAINNET_KERNEL "plainnet/kernels/strassen.inl"
#include "plainnet/kernels/for_each_isa.hpp"

namespace plainnet::kernels {

template <class T>
void pack_right_factors(const ScaledProduct<T>& product, const StrassenPlan& plan, Index first_column, Range panels,
                        double* right, double* work) {
  PLAINNET_DISPATCH(plan.isa, pack_right_factors<T>(product, plan, first_column, panels, right, work));
}

template <class T>
void multiply_factors(const ScaledProduct<T>& product, const StrassenPlan& plan, Index first_column, Index panels,
                      const double* right, Index threads, Index thread, double* scratch) {
  PLAINNET_DISPATCH(plan.isa,
                    multiply_factors<T>(product, plan, first_column, panels, right, threads, thread, scratch));
}

/// Computes `product`; `memory` grows to what it takes, for the next one too. The result does not depend on the number
/// of threads.
template <class T>
void multiply(const ScaledProduct<T>& product, Isa isa, Index levels, AlignedVector<double>& memory, Executor& pool) {
  const StrassenPlan plan(isa, product.rows, product.depth, product.columns, levels, pool.size());
  const Index right_size = plan.products * plan.right_size();
  const auto needed = static_cast<std::size_t>(right_size + pool.size() * plan.scratch_size());
  if (memory.size() < needed) {
    memory = {};  // first, or both would be there for a moment
    memory.resize(needed);
  }
  double* const right = memory.data();
  double* const scratch = right + right_size;
  const Index width = matmul_panel_columns<double>(isa);
  for (Index first = 0; first < plan.leaf_columns; first += plan.columns_at_once) {
    const Index panels = (std::min(plan.columns_at_once, plan.leaf_columns - first) + width - 1) / width;
    pool.run([&](Index thread) {
      const Range mine = part_of(panels, pool.size(), thread);
      pack_right_factors<T>(product, plan, first, mine, right, scratch + thread * plan.scratch_size());
    });
    pool.run([&](Index thread) {
      double* const own = scratch + thread * plan.scratch_size();
      multiply_factors<T>(product, plan, first, panels, right, pool.size(), thread, own);
    });
  }
}

}  // namespace plainnet::kernels
