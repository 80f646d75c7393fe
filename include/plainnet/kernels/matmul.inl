// Body of matmul.hpp, compiled once for every instruction set (for_each_isa.hpp).

/// Panels that a thread multiplies by before it writes other columns.
template <class T>
inline Index panels_at_once(const PackedView<T>& b) {
  return b.method() == MatmulMethod::inner_products ? inner_product_panels_at_once
                                                    : matmul_panels_at_once<T>(b.isa, b.depth);
}

template <class Method, class T>
inline void multiply_by(const RowSource<T>& rows, Range row_range, const PackedView<T>& b, Range panels,
                        const Epilogue<T>& epilogue, T* out, Index out_stride, T* scratch) {
  T* const beside = scratch + Method::copies_size(b.depth);
  const T* list[most_located_rows];
  const Index most_rows = Method::rows_in_portion(row_range.size(), b.depth, epilogue.pool);
  const Index most_panels = panels_at_once(b);
  const auto some = [&](Index panel) {
    return Range{panel, panel + most_panels < panels.end ? panel + most_panels : panels.end};
  };
  for (Index first = row_range.begin; first < row_range.end; first += most_rows) {
    const Range portion{first, first + most_rows < row_range.end ? first + most_rows : row_range.end};
    Method::locate(rows, b.isa, portion, b.depth, scratch, beside, list);
    for (Range now = some(panels.begin); now.size() > 0; now = some(now.end)) {
      // After the last panels come the first again, for the next rows.
      const Range later = some(now.end < panels.end ? now.end : panels.begin);
      Method::multiply(list, portion, b, now, later, epilogue, out, out_stride, beside);
    }
  }
}

template <class T>
inline void multiply(const RowSource<T>& rows, Range row_range, const PackedView<T>& b, Range panels,
                     const Epilogue<T>& epilogue, T* out, Index out_stride, T* scratch) {
  if (b.method() == MatmulMethod::inner_products)
    return multiply_by<InnerProductMethod<T>>(rows, row_range, b, panels, epilogue, out, out_stride, scratch);
  multiply_by<DirectMethod<T>>(rows, row_range, b, panels, epilogue, out, out_stride, scratch);
}
