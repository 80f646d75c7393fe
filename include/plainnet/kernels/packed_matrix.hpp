#pragma once
// The right-hand side of a matrix product, in the order in which register blocks read it.

#include <algorithm>
#include <type_traits>

#include "plainnet/core/aligned.hpp"
#include "plainnet/core/range.hpp"
#include "plainnet/core/share_out.hpp"
#include "plainnet/kernels/inner_product.hpp"
#include "plainnet/kernels/isa.hpp"
#include "plainnet/kernels/transpose.hpp"

namespace plainnet::kernels {

/// Where a matrix lies: element (row, column) at data[row · row_stride + column · column_stride].
template <class T>
struct StridedMatrix {
  const T* data;
  Index rows;
  Index columns;
  Index row_stride;
  Index column_stride;

  const T& operator()(Index row, Index column) const { return data[row * row_stride + column * column_stride]; }
};

/// A packed (depth, columns) matrix in memory that somebody else owns: panels of matmul_panel_columns() columns each,
/// (panel, depth, column in panel), zeros after the last column, or as inner_product.hpp has them; and the bias that is
/// added to every row of a product, as long as the panels are wide, or null.
template <class T>
struct PackedView {
  Isa isa;
  Index depth;
  Index columns;
  const T* panels;
  const T* bias;
  const T* scales = nullptr;  // of inner products: (columns), what a column's sums of products are multiplied by

  MatmulMethod method() const { return scales ? MatmulMethod::inner_products : MatmulMethod::definition; }

  Index panel_count() const {
    const Index width = matmul_panel_columns<T>(isa);
    return (columns + width - 1) / width;
  }

  /// Elements of a panel.
  Index panel_size() const {
    return (scales ? depth + inner_product_portions(depth) : depth) * matmul_panel_columns<T>(isa);
  }
};

/// A packed matrix that owns its memory.
template <class T>
struct PackedMatrix {
  Isa isa = Isa::baseline;
  Index depth = 0;
  Index columns = 0;
  AlignedVector<T> panels;
  AlignedVector<T> bias;
  AlignedVector<T> scales;

  PackedView<T> view() const {
    return {isa, depth, columns, panels.data(), bias.data(), scales.empty() ? nullptr : scales.data()};
  }
  operator PackedView<T>() const { return view(); }

  /// Elements of all.
  Index size() const { return static_cast<Index>(panels.size() + bias.size() + scales.size()); }
};

namespace detail {

/// Columns first … first + count − 1 of a matrix into a panel of `width`, converting each element.
template <class T, class Source>
void pack_panel(const StridedMatrix<Source>& matrix, Index first, Index count, Index width, Isa isa, T* panel) {
  if constexpr (std::is_same_v<T, Source>) {
    if (matrix.row_stride == 1 && matrix.rows > 0) {  // a column lies as a run
      return transpose(isa, &matrix(0, first), matrix.column_stride, count, matrix.rows, panel, width);
    }
  }
  constexpr Index chunk = 64;  // rows of the panel that are filled while they are in L1
  for (Index begin = 0; begin < matrix.rows; begin += chunk) {
    const Index end = std::min(begin + chunk, matrix.rows);
    for (Index c = 0; c < count; ++c) {
      for (Index k = begin; k < end; ++k) panel[k * width + c] = static_cast<T>(matrix(k, first + c));
    }
  }
}

}  // namespace detail

/// Packs `matrix` (depth, columns) for products by `method`, converting each element; `bias` has `columns` elements or
/// is null. Threads of `pool` share out the panels.
template <class T, class Source>
PackedMatrix<T> pack_matrix(const StridedMatrix<Source>& matrix, const Source* bias, Isa isa,
                            Executor& pool = callers_thread(), MatmulMethod method = MatmulMethod::definition) {
  PackedMatrix<T> packed{
      .isa = isa, .depth = matrix.rows, .columns = matrix.columns, .panels = {}, .bias = {}, .scales = {}};
  const Index width = matmul_panel_columns<T>(isa);
  const Index panels = packed.view().panel_count();
  const auto padded_columns = static_cast<std::size_t>(checked_multiply(panels, width));
  if (method == MatmulMethod::inner_products) packed.scales.resize(padded_columns);
  packed.panels.resize(static_cast<std::size_t>(checked_multiply(panels, packed.view().panel_size())));
  packed.bias.assign(padded_columns, T{0});
  const Index size = packed.view().panel_size();
  share_out(pool, panels, 4, [&](Range part, Index) {
    for (Index i = part.begin; i < part.end; ++i) {
      T* const panel = packed.panels.data() + i * size;
      T* const rows = panel + size - width * packed.depth;
      const Index count = std::min(width, packed.columns - i * width);
      if (count < width) std::fill_n(rows, width * packed.depth, T{0});
      detail::pack_panel<T, Source>(matrix, i * width, count, width, isa, rows);
      if (!packed.scales.empty()) scale_panel<T>(isa, packed.depth, panel, packed.scales.data() + i * width);
    }
  });
  if (bias)
    std::transform(bias, bias + packed.columns, packed.bias.begin(), [](Source x) { return static_cast<T>(x); });
  return packed;
}

}  // namespace plainnet::kernels
