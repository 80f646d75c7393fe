#pragma once
// The left-hand side of a matrix product: rows, wherever they lie.

#include "plainnet/core/shape.hpp"
#include "plainnet/kernels/isa.hpp"

namespace plainnet::kernels {

/// Most rows of a register block of any instruction set.
inline constexpr Index matmul_most_rows = 14;

/// Most rows that are located at a time, with those that fill the last block.
inline constexpr Index most_located_rows = 336 + matmul_most_rows;

/// Elements in a cache line.
template <class T>
inline constexpr Index line_elements = static_cast<Index>(64 / sizeof(T));

/// So many elements, up to the end of a cache line.
template <class T>
Index whole_lines(Index elements) {
  return checked_add(elements, line_elements<T> - 1) / line_elements<T> * line_elements<T>;
}

/// Elements from a copied row of `depth` elements to the next: an odd number of cache lines, since rows a multiple of
/// 4 KB apart would share a few lines of L1.
template <class T>
Index copied_row_stride(Index depth) {
  return (checked_add(depth, line_elements<T> - 1) / line_elements<T> | 1) * line_elements<T>;
}

/// Where rows are copied for inner products (inner_product.hpp): element k of portion p of row r to
/// terms[p · portion_step + r · row_step + k], the two numbers behind its portions to ends[r · end_step].
template <class T>
struct RowCopies {
  T* terms;
  Index portion_step;
  Index row_step;
  T* ends;
  Index end_step;

  RowCopies from(Index row) const {
    return {terms + row * row_step, portion_step, row_step, ends + row * end_step, end_step};
  }
};

/// Rows that are copied at a time, at most.
inline constexpr Index most_rows_copied = 12;

/// Rows whose sums are begun before the first of them is read again, for that waits for its sums: as many as L1 keeps,
/// or a few.
template <class T>
Index rows_summed(Index depth) {
  constexpr Index in_l1 = 3 << 13;
  return depth * most_rows_copied * static_cast<Index>(sizeof(T)) <= in_l1 ? most_rows_copied : 4;
}

/// The left-hand side of a product, wherever its rows come from.
template <class T>
class RowSource {
 public:
  /// Points list[i] at row first + i, for i < count: where it lies, if memory holds it as it is wanted, or else at
  /// copies + i · copied_row_stride(its length), where it is written.
  virtual void locate(Isa isa, Index first, Index count, T* copies, const T** list) const = 0;

  /// Copies rows first … first + count − 1 of `depth` elements, most_rows_copied of them at most: what locate() finds,
  /// for which `beside` has room (inner_product.hpp). Who computes rows can do both at once.
  virtual void copy(Isa isa, Index first, Index count, Index depth, const RowCopies<T>& to, T* beside) const;

 protected:
  ~RowSource() = default;
};

/// Rows of a matrix in memory, row r at data + r · stride.
template <class T>
struct MatrixRows final : RowSource<T> {
  const T* data;
  Index stride;

  MatrixRows(const T* data_, Index stride_) : data(data_), stride(stride_) {}

  void locate(Isa, Index first, Index count, T*, const T** list) const override {
    for (Index i = 0; i < count; ++i) list[i] = data + (first + i) * stride;
  }
};

/// Rows of another source, from row `begin` on.
template <class T>
struct RowsFrom final : RowSource<T> {
  const RowSource<T>& rows;
  Index begin;

  RowsFrom(const RowSource<T>& rows_, Index begin_) : rows(rows_), begin(begin_) {}

  void locate(Isa isa, Index first, Index count, T* copies, const T** list) const override {
    rows.locate(isa, begin + first, count, copies, list);
  }
  void copy(Isa isa, Index first, Index count, Index depth, const RowCopies<T>& to, T* beside) const override {
    rows.copy(isa, begin + first, count, depth, to, beside);
  }
};

}  // namespace plainnet::kernels
