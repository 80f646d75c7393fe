#pragma once
// Matrix product with a packed right-hand side, by one thread: act(rows · B + bias) + scale · residual.

#include <algorithm>

#include "plainnet/core/range.hpp"
#include "plainnet/core/share_out.hpp"
#include "plainnet/kernels/dispatch.hpp"
#include "plainnet/kernels/inner_product.hpp"
#include "plainnet/kernels/packed_matrix.hpp"
#include "plainnet/kernels/rows.hpp"
#include "plainnet/kernels/simd.hpp"
#include "plainnet/kernels/vector_math.hpp"

namespace plainnet::kernels {

/// Summed in portions of so many terms, and the portions then: a running sum over 4096 terms would carry four times the
/// rounding error of portions of 256 (measured on vanillanet_5's logits); portions of 128 have 1.8 ε of the result, of
/// 64 1.4. On Zen 4, beside portions of 256, 128 terms take 1.000 to 1.004 of the time of four networks and 64
/// take 1.000 to 1.009.
inline constexpr Index matmul_terms_in_portion = 64;

/// Most rows of which a product keeps the largest values: 2 × 2 pixels.
inline constexpr Index matmul_most_pool = 4;

/// Rows in a register block of floats or doubles, or in some one or two less, which are as fast.
inline Index matmul_block_rows(Isa isa) { return isa >= Isa::avx512 ? matmul_most_rows : 6; }

/// Most rows that are multiplied by a panel before the next. Every panel of weights is read once for each such portion:
/// of 2048 terms the 196 pixels of a 14×14 map are one, of 4096 the 49 of a 7×7 map, for weights so large come from
/// memory, and rows that L2 has no room for from L3. Where weights are in L3 too, portions of 256 KB are as fast.
template <class T>
Index matmul_rows_in_cache(Index depth) {
  constexpr Index bytes = 49 << 15;
  return std::clamp<Index>(bytes / (std::max<Index>(1, depth) * static_cast<Index>(sizeof(T))),
                           matmul_most_rows * matmul_most_pool, most_located_rows - matmul_most_rows);
}

/// Panels that are multiplied by one after the other with every block of rows, for which they wait in L2: what is
/// written of a row lies side by side (Emerald Rapids, where memory that is not in L2 is far: 512 terms and columns
/// 1.06 times faster, 512 terms and 1024 columns 1.06, 320 terms and 1280 columns 1.02 to 1.04, as kernels alone; Zen 5
/// 0.99 to 1.02).
template <class T>
Index matmul_panels_at_once(Isa isa, Index depth) {
  constexpr Index bytes = 1 << 18;
  const Index panel = std::max<Index>(1, depth) * matmul_panel_columns<T>(isa) * static_cast<Index>(sizeof(T));
  return std::max<Index>(1, bytes / panel);
}

/// Elements that copies of so many rows take; they are whole blocks at most.
template <class T>
Index matmul_copies(Index depth) {
  return checked_multiply(matmul_rows_in_cache<T>(depth), copied_row_stride<T>(depth));
}

/// What becomes of a sum of products before it is written:
///
///   out(r, c) = act(sum(r, c)) + residual_scale(c) · residual(r, c)
///
/// The residual is left out where it is null, its scale is 1 where that is null.
///
/// Or of `pool` rows the largest values are kept, without activation and residual:
///
///   out(r, c) = max(sum(pool · r, c), …, sum(pool · r + pool − 1, c)); NaN if one is
///
/// Or nothing yet: sums of inner products lie at `out` as they are, (panel, row, column in panel), `out_stride`
/// elements from panel to panel, for UnfinishedRows (unfinished_rows.hpp).
template <class T>
struct Epilogue {
  Activation activation = Activation::none;
  T slope = 0;                        // of the leaky ReLU
  const T* residual = nullptr;        // does not overlap the result
  Index residual_stride = 0;          // elements from row to row
  const T* residual_scale = nullptr;  // (columns)
  Index pool = 1;                     // at most matmul_most_pool
  bool is_unfinished = false;

  /// For the part of the result that begins at a row and a column.
  Epilogue from(Index row, Index column) const {
    Epilogue part = *this;
    if (residual) part.residual += row * residual_stride + column;
    if (residual_scale) part.residual_scale += column;
    return part;
  }
};

}  // namespace plainnet::kernels

#define PLAINNET_KERNEL "plainnet/kernels/matmul_block.inl"
#include "plainnet/kernels/for_each_isa.hpp"
#define PLAINNET_KERNEL "plainnet/kernels/direct_method.inl"
#include "plainnet/kernels/for_each_isa.hpp"
#define PLAINNET_KERNEL "plainnet/kernels/inner_product_method.inl"
#include "plainnet/kernels/for_each_isa.hpp"
#define PLAINNET_KERNEL "plainnet/kernels/matmul.inl"
#include "plainnet/kernels/for_each_isa.hpp"

namespace plainnet::kernels {

/// The product of some rows and some panels of `b`, by the thread that calls: out(r, c) at out + r · out_stride + c,
/// whichever part it is. `scratch` has matmul_scratch<T>(b.depth) elements.
template <class T>
void multiply_part(const RowSource<T>& rows, Range row_range, const PackedView<T>& b, Range panels,
                   const Epilogue<T>& epilogue, T* out, Index out_stride, T* scratch) {
  PLAINNET_DISPATCH(b.isa, multiply<T>(rows, row_range, b, panels, epilogue, out, out_stride, scratch));
}

/// Elements of scratch memory that a thread multiplies with, by any method: copies of rows, and by the definition,
/// where rows are pooled, the product of a portion of rows and a panel.
template <class T>
Index matmul_scratch(Index depth) {
  const Index rows = matmul_rows_in_cache<T>(depth) + matmul_most_rows;
  return std::max(inner_product_scratch<T>(depth),
                  checked_add(matmul_copies<T>(depth), checked_multiply(rows, matmul_panel_columns<T>(Isa::avx512))));
}

}  // namespace plainnet::kernels
