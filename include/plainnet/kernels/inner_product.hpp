#pragma once
// Two terms of a product with one multiplication: Winograd's inner products (A new algorithm for inner product, IEEE
// Transactions on Computers C-17, 1968):
//
//   x1 y1 + x2 y2 = (x1 + y2) (x2 + y1) − x1 x2 − y1 y2
//
// Of sums over many terms, that of x1 x2 belongs to a row of the product and that of y1 y2 to a column. What is left is
// one multiply-add and two additions for two multiply-adds: no gain where both go through the same units. But cores of
// AMD have adders for as many vectors beside the units that multiply, and these are idle in a product. Of three terms
// two are computed so, the third by the definition: two multiply-adds and two additions at a time, 1.5 times the most
// that the definition can do (Isa::zen4, Isa::zen5).
//
// A sum of numbers of unlike size loses digits of the smaller one. So rows and columns are multiplied by powers of two,
// which is exact, such that their root mean squares are in [1, 2). Then the rounding error is 1.8 to 1.9 ε of the
// result for numbers of one size, where that of the definition, in the same portions, is 1.3 to 1.5; 2.1 if every 300th
// term has a factor 16 times as large, and weights as much smaller, 10 if it is 256 (root mean squares;
// tests/kernels/inner_product_test.cpp).
//
// A portion of n ≤ 64 terms, with t = n / 3: terms k and t + k are a pair for k < t, the others are by the definition.
//
//   sum = −η(column) + Σ (x_k + y_{t+k}) (x_{t+k} + y_k) + Σ x_k y_k (2 t ≤ k < n)
//   ξ = Σ x_k x_{t+k},  η = Σ y_k y_{t+k}
//
// That is ξ too large. The ξ of all portions of a row are subtracted at once: one for each portion would be an addition
// more to every sum (convformer_s18, Zen 5: 1.01 times as long). But where x has a mean, as behind a ReLU, they add up
// to many times the result, and an error of 4.1 ε. So every other portion is multiplied by −y, which leaves ξ and η as
// they are, and sums are subtracted from each other:
//
//   c_0 = sum_0 − s_0 Σ s_p ξ_p,  c_p = sum_p − c_{p−1},  s_p = (−1)^(P − 1 − p) for portion p of P
//
// The last c is the result, of which the means are gone (2.1 ε if only every other portion has one).
//
// A panel of weights holds −η before the rows of each portion. A row of the left-hand side is copied: its portions,
// multiplied by its power of two, and behind them −s_0 Σ s_p ξ_p and the inverse of that power.

#include <algorithm>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>

#include "plainnet/core/range.hpp"
#include "plainnet/core/shape.hpp"
#include "plainnet/kernels/dispatch.hpp"
#include "plainnet/kernels/rows.hpp"
#include "plainnet/kernels/simd.hpp"
#include "plainnet/kernels/vector_math.hpp"

namespace plainnet::kernels {

enum class MatmulMethod { definition, inner_products };

/// The faster one for many rows, at least some 4. Times faster by inner products, one thread of Zen 4, weights from
/// memory:
///
///   rows, depth, columns              rows, depth, columns
///   196, 2048, 2048     1.33 to 1.36  3136, 64, 256    1.04 to 1.14
///   784, 512, 1024      1.30 to 1.35  3136, 256, 64    1.06 to 1.13
///   49, 2048, 512       1.27 to 1.33  3136, 147, 64    1.07
///   49, 512, 2048       1.29 to 1.35  3136, 64, 128    1.00
///   196, 320, 1280      1.31 to 1.36  3136, 64, 64     0.88 to 0.97
///   16, 1024, 512       1.16 to 1.19  784, 96, 96      0.92
///   4, 2048, 512        1.18          3136, 48, 512    0.93
///   784, 128, 512       1.19 to 1.22  1, 512, 2048     0.72
///
/// Zen 5: 1.20 to 1.34 with 256 terms and columns or more, 1.21 to 1.22 with 128 terms or columns, 1.08 to 1.10 with 64
/// or with four rows.
template <class T>
MatmulMethod matmul_method(Isa isa, Index depth, Index columns) {
  const bool fits = columns % (2 * lanes_of<T>(isa)) == 0;
  const bool is_faster = depth > 96 ? columns >= 64 : depth == 64 && columns >= 128;
  const bool is_wanted = std::is_same_v<T, float> && isa >= Isa::zen4;
  return is_wanted && fits && is_faster ? MatmulMethod::inner_products : MatmulMethod::definition;
}

/// Columns in a panel of a packed matrix: two vectors.
template <class T>
Index matmul_panel_columns(Isa isa) {
  return 2 * lanes_of<T>(isa);
}

/// Terms in a portion, but for the last.
inline constexpr Index inner_product_terms = 64;

inline Index inner_product_portions(Index depth) {
  return depth / inner_product_terms + (depth % inner_product_terms > 0);
}

/// s_p of a portion.
inline int inner_product_sign(Index portion, Index portions) { return (portions - portion) % 2 != 0 ? 1 : -1; }

/// Elements of a row's copy: its portions, −s_0 Σ s_p ξ_p and the inverse of its scale.
inline Index inner_product_row_size(Index depth) {
  return checked_add(checked_multiply(inner_product_portions(depth), inner_product_terms), 2);
}

/// Rows in a register block, at most. On Zen 4, of vanillanet_9 and poolformer_s36, blocks of 12 take 1.005 and 1.02
/// times as long, of 9 1.02 and 1.01, of 8 1.03 and 1.04.
inline constexpr Index inner_product_most_rows = 10;

/// Panels whose products are written one beside the other (Zen 5, where rows are 8 KB apart: writing 1 KB of a row
/// takes less than half as long as 256 bytes).
inline constexpr Index inner_product_panels_at_once = 8;

/// Most rows that are copied at a time: so many that copies stay in L2 beside the weights, or where depths are too
/// large for that, as many as weights from memory want (matmul_rows_in_cache()).
template <class T>
Index inner_product_rows(Index depth) {
  constexpr Index least = 64;
  constexpr Index in_l2 = (1 << 18) / sizeof(T), in_l3 = (49 << 15) / sizeof(T);  // elements before they are copied
  const Index terms = std::max<Index>(1, depth);
  const bool fits_l2 = (in_l2 + in_l2 / 2) / terms >= least;
  return std::clamp<Index>((fits_l2 ? in_l2 : in_l3) / terms, least, most_located_rows - matmul_most_rows);
}

/// Elements of scratch memory for copies of so many rows.
template <class T>
Index inner_product_copies(Index depth) {
  return whole_lines<T>(checked_multiply(inner_product_rows<T>(depth), inner_product_row_size(depth)));
}

/// All elements of scratch memory that a thread multiplies with. Behind the copies: a few rows on their way; later the
/// products of a portion of rows and some panels.
template <class T>
Index inner_product_scratch(Index depth) {
  const Index products =
      inner_product_panels_at_once * inner_product_rows<T>(depth) * matmul_panel_columns<T>(Isa::avx512);
  return checked_add(inner_product_copies<T>(depth),
                     std::max(checked_multiply(most_rows_copied, copied_row_stride<T>(depth)), products));
}

}  // namespace plainnet::kernels

#define PLAINNET_KERNEL "plainnet/kernels/inner_product.inl"
#include "plainnet/kernels/for_each_isa.hpp"

namespace plainnet::kernels {

template <class T>
void copy_rows(Isa isa, const T* const* rows, Index count, Index depth, const RowCopies<T>& to) {
  PLAINNET_DISPATCH(isa, copy_rows<T>(rows, count, depth, to));
}

template <class T>
void RowSource<T>::copy(Isa isa, Index first, Index count, Index depth, const RowCopies<T>& to, T* beside) const {
  const T* list[most_rows_copied];
  locate(isa, first, count, beside, list);
  copy_rows<T>(isa, list, count, depth, to);
}

/// Makes of a panel whose `depth` rows are the last of it one for inner products, and writes what its columns' sums of
/// products are to be multiplied by to `scales`.
template <class T>
void scale_panel(Isa isa, Index depth, T* panel, T* scales) {
  PLAINNET_DISPATCH(isa, scale_panel<T>(depth, panel, scales));
}

}  // namespace plainnet::kernels
