#pragma once
// The product of matmul.hpp by one level of Strassen's algorithm (Numerische Mathematik 13, 1969): seven products of
// halves in place of eight.
//
// Rows, terms and columns are halved: rows 2 r and rows 2 r + 1, the first and the second half of a portion of terms,
// two panels side by side. Of these quarters, for every block of registers and added up over the portions of terms:
//
//   M1 = (A11 + A22) (B11 + B22)     C11 = M1 + M4 − M5 + M7
//   M2 = (A21 + A22) B11             C12 = M3 + M5
//   M3 = A11 (B12 − B22)             C21 = M2 + M4
//   M4 = A22 (B21 − B11)             C22 = M1 − M2 + M3 + M6
//   M5 = (A11 + A12) B22
//   M6 = (A21 − A11) (B11 + B12)
//   M7 = (A12 − A22) (B21 + B22)
//
// Sums of rows are made when rows are located. Sums of weights are made for two panels and a portion of terms, with the
// first block of rows, and stay in L2 until all rows have passed: so weights are stored once, as any product wants
// them, and are no more to read.
//
// An element's rounding error grows with its neighbours. For numbers of one size it is, root mean square, 4.0 ε of the
// result's for halves of 160 terms, 4.2 for 192, 5.0 for 256; that of the definition, in portions of 64 terms, 1.4.
// README has that of the logits. A pair of rows has the same bits wherever it stands; the last row of an odd number is
// paired with itself.

#include <algorithm>

#include "plainnet/kernels/matmul.hpp"

namespace plainnet::kernels {

/// Coefficients of the quarters 11, 12, 21, 22: of A and B in the factors of a product, and of the product in C.
struct StrassenTerm {
  int a[4];
  int b[4];
  int c[4];
};

inline constexpr Index strassen_terms = 7;
inline constexpr StrassenTerm strassen_products[strassen_terms] = {
    {{1, 0, 0, 1}, {1, 0, 0, 1}, {1, 0, 0, 1}},   // M1
    {{0, 0, 1, 1}, {1, 0, 0, 0}, {0, 0, 1, -1}},  // M2
    {{1, 0, 0, 0}, {0, 1, 0, -1}, {0, 1, 0, 1}},  // M3
    {{0, 0, 0, 1}, {-1, 0, 1, 0}, {1, 0, 1, 0}},  // M4
    {{1, 1, 0, 0}, {0, 0, 0, 1}, {-1, 1, 0, 0}},  // M5
    {{-1, 0, 1, 0}, {1, 1, 0, 0}, {0, 0, 0, 1}},  // M6
    {{0, 1, 0, -1}, {0, 0, 1, 1}, {1, 0, 0, 0}},  // M7
};

/// Terms of a half: as many as may be, so that a product is summed in portions of twice as many; 0 if no number fits.
/// More have a larger error (halves of 320: poolformer_s12 takes 0.99 of the time, convformer_s18 0.995), fewer take
/// longer (at most 160: vanillanet_9 1.02 times as long; Zen 4).
inline Index strassen_half(Index depth) {
  constexpr Index least = 160, most = 256, step = 16;
  Index half = most;
  while (half >= least && depth % (2 * half) != 0) half -= step;
  return half >= least ? half : 0;
}

/// Whether terms come in whole portions, and panels of every instruction set in pairs.
template <class T>
bool strassen_fits(Index depth, Index columns) {
  return strassen_half(depth) != 0 && columns % (2 * matmul_panel_columns<T>(Isa::avx512)) == 0;
}

/// Most rows whose sums are made at a time: so many that the sums stay in L2 beside the weights, or where depths are
/// too large for that, as many as weights from memory want (matmul_rows_in_cache()). Zen 4, one thread: of 64 to 200
/// rows in a portion no number is 3 % better than another for depths of 512 to 1536; 2048 terms of 196 rows are 3 %
/// faster as one portion than in four.
template <class T>
Index strassen_most_rows(Index depth) {
  constexpr Index least = 64;
  constexpr Index in_l2 = 1 << 18, in_l3 = 49 << 15;  // bytes of rows before they are summed
  const Index row = depth * static_cast<Index>(sizeof(T));
  const bool fits_l2 = least * row <= in_l2 + in_l2 / 2;
  return std::clamp<Index>((fits_l2 ? in_l2 : in_l3) / row, least, most_located_rows - matmul_most_rows);
}

/// Elements from a sum of two rows' halves to that of the next two rows: known to a block when it is compiled, so that
/// it needs one pointer (by as much as 1.02 faster), and an odd number of cache lines, as that of copied_row_stride().
inline constexpr Index strassen_sum_stride = 256 + 16;

/// Pairs of panels whose products are written one beside the other, as matmul_panels_at_once() are (Zen 5: vanillanet_5
/// and vanillanet_9 take 0.98 to 1.00 of the time on one thread; writing 1 KB of a row takes less than half as long as
/// 256 bytes where rows are 8 KB apart).
inline constexpr Index strassen_pairs_at_once = 4;

/// Elements of scratch memory for sums of rows: (block of pairs, portion of terms, product, pair, term).
template <class T>
Index strassen_row_sums(Index depth) {
  const Index pairs = strassen_most_rows<T>(depth) / 2 + matmul_most_rows;
  return checked_multiply(pairs,
                          checked_multiply(depth / (2 * strassen_half(depth)), strassen_terms * strassen_sum_stride));
}

/// All elements of scratch memory that a thread multiplies with. Behind sums of rows: copies of a few rows on their
/// way; later the products of a portion of rows and pairs of panels, and sums of weights.
template <class T>
Index strassen_scratch(Index depth) {
  const Index width = matmul_panel_columns<T>(Isa::avx512);
  const Index rows = strassen_most_rows<T>(depth) + 2 * matmul_most_rows;
  const Index products = checked_multiply(strassen_pairs_at_once * rows, 2 * width);
  const Index sums = strassen_terms * strassen_half(depth) * width;
  return checked_add(strassen_row_sums<T>(depth),
                     std::max(checked_multiply(2 * matmul_most_rows, copied_row_stride<T>(depth)), products + sums));
}

}  // namespace plainnet::kernels
