#pragma once
// Product of two matrices in double precision, whatever they are stored in: what folding multiplies with.

#include <algorithm>
#include <type_traits>

#include "plainnet/core/aligned.hpp"
#include "plainnet/core/share_out.hpp"
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

namespace detail {

/// Rows of a contiguous matrix, converted to double if they are not.
template <class T>
struct RowsAsDouble final : RowSource<double> {
  const T* data;
  Index depth;

  RowsAsDouble(const T* data_, Index depth_) : data(data_), depth(depth_) {}

  void locate(Isa, Index first, Index count, double* copies, const double** list) const override {
    for (Index i = 0; i < count; ++i) {
      const T* const row = data + (first + i) * depth;
      if constexpr (std::is_same_v<T, double>) {
        list[i] = row;
      } else {
        list[i] = std::copy_n(row, depth, copies + i * copied_row_stride<double>(depth)) - depth;
      }
    }
  }
};

/// Some panels of diag(depth_scale) · right, as PackedView has them, panel 0 of `out` being the one of `first_column`.
template <class T>
void pack_scaled_panels(const ScaledProduct<T>& product, Index first_column, Index width, Range panels, double* out) {
  for (Index panel = panels.begin; panel < panels.end; ++panel) {
    const Index first = first_column + panel * width;
    const Index count = std::min(width, product.columns - first);
    double* to = out + panel * width * product.depth;
    for (Index k = 0; k < product.depth; ++k, to += width) {
      const T* const from = product.right + k * product.columns + first;
      for (Index c = 0; c < count; ++c) to[c] = product.depth_scale[k] * static_cast<double>(from[c]);
      std::fill(to + count, to + width, 0.0);
    }
  }
}

/// Rows that a thread multiplies before it rounds them: of whole register blocks.
inline Index scaled_product_rows(Index depth) {
  return matmul_rows_in_cache<double>(depth) / matmul_most_rows * matmul_most_rows;
}

/// Columns that are packed at a time, of whole panels: 16 MB, since fresh memory takes time, and 64 were not faster.
inline Index scaled_product_columns(const PackedView<double>& right) {
  constexpr Index elements = Index{2} << 20;
  const Index width = matmul_panel_columns<double>(right.isa);
  const Index most = std::max<Index>(1, elements / (width * std::max<Index>(1, right.depth)));
  return std::min(right.panel_count(), most) * width;
}

/// Some rows of the result, in the columns of `right`, the first of which is `first_column`. `sums` has room for
/// scaled_product_rows() rows of them.
template <class T>
void multiply_scaled_rows(const ScaledProduct<T>& product, Range rows, const PackedView<double>& right,
                          Index first_column, double* sums, double* scratch) {
  const Index portion = scaled_product_rows(product.depth);
  const Range panels{0, right.panel_count()};
  for (Index first = rows.begin; first < rows.end; first += portion) {
    const Index count = std::min(portion, rows.end - first);
    const RowsAsDouble<T> left(product.left + first * product.depth, product.depth);
    multiply_part<double>(left, {0, count}, right, panels, {}, sums, right.columns, scratch);
    const double* from = sums;
    for (Index r = first; r < first + count; ++r) {
      const double scale = product.row_scale[r];
      T* const to = product.out + r * product.columns + first_column;
      for (Index c = 0; c < right.columns; ++c) to[c] = static_cast<T>(scale * *from++);
    }
  }
}

}  // namespace detail

/// Computes `product`; `memory` grows to what it takes, for the next one too. The result does not depend on the number
/// of threads.
///
/// Strassen's algorithm, one level or two of it, was not worth its 450 lines: on two threads with AVX-512, 2048³ took
/// 73 ms with one level and 78 without, since the sums of its operands and results go through memory.
template <class T>
void multiply(const ScaledProduct<T>& product, Isa isa, AlignedVector<double>& memory, Executor& pool) {
  const Index width = matmul_panel_columns<double>(isa);
  PackedView<double> right{.isa = isa, .depth = product.depth, .columns = product.columns, .panels = {}, .bias = {}};
  const Index stripe = detail::scaled_product_columns(right);
  const Index right_size = checked_multiply(stripe, product.depth);
  const Index sums_size = checked_multiply(detail::scaled_product_rows(product.depth), stripe);
  const Index thread_size = checked_add(sums_size, matmul_scratch<double>(product.depth));
  const Index size = checked_add(right_size, checked_multiply(pool.size(), thread_size));
  if (static_cast<Index>(memory.size()) < size) {
    memory = {};  // first, or both would be there for a moment
    memory.resize(static_cast<std::size_t>(size));
  }
  right.panels = memory.data();
  for (Index first = 0; first < product.columns; first += stripe) {
    right.columns = std::min(stripe, product.columns - first);
    share_out(pool, right.panel_count(), 4,
              [&](Range panels, Index) { detail::pack_scaled_panels(product, first, width, panels, memory.data()); });
    const Index pieces = product.rows / (pool.size() * detail::scaled_product_rows(product.depth)) + 1;
    share_out(pool, product.rows, pieces, [&](Range rows, Index thread) {
      double* const sums = memory.data() + right_size + thread * thread_size;
      detail::multiply_scaled_rows(product, rows, right, first, sums, sums + sums_size);
    });
  }
}

}  // namespace plainnet::kernels
