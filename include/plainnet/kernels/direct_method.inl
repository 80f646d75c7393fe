// Part of matmul.hpp, compiled once for every instruction set (for_each_isa.hpp): many rows by many panels, by the
// definition.

/// Panels side by side.
template <class T>
struct PanelGroup {
  const T* first;
  Index count;
  Index size;     // elements of each
  Index columns;  // wanted of all

  PanelGroup(const PackedView<T>& b, Range panels)
      : first(b.panels + panels.begin * b.depth * MatmulBlock<T>::columns),
        count(panels.size()),
        size(b.depth * MatmulBlock<T>::columns),
        columns((panels.end < b.panel_count() ? panels.end * MatmulBlock<T>::columns : b.columns) -
                panels.begin * MatmulBlock<T>::columns) {}
};

/// `count` rows times the panels of a group: blocks of block_height() rows, each times all panels before the next.
/// Meanwhile the panels of the group `later` are brought into L2.
template <class T, class Left>
inline void multiply_rows(Left left, Index count, const PanelGroup<T>& group, const PanelGroup<T>& later,
                          BlockResult<T> result) {
  constexpr Index columns = MatmulBlock<T>::columns;
  constexpr Index row_bytes = columns * static_cast<Index>(sizeof(T));
  const Index blocks = block_count<T>(count);
  const Index step = (row_bytes + blocks - 1) / blocks;
  Index done = 0;  // bytes of every later panel
  for (Index r = 0; r < count; done += left.depth * step) {
    const Index height = block_height<T>(count - r);
    for (Index i = 0; i < group.count; ++i) {
      const Index wanted = group.columns - i * columns;
      const bool is_later = i < later.count;
      left.ahead = {reinterpret_cast<const char*>(later.first + (is_later ? i * later.size : 0)) + done,
                    is_later ? step : 0};
      multiply_block_part<T>(count - r, left, group.first + i * group.size, result,
                             wanted < columns ? wanted : columns);
      result.move_right(columns);
    }
    result.move_right(-group.count * columns);
    left.move_down(height);
    result.move_down(height);
    r += height;
  }
}

/// out(r, c) = the largest of rows pool · r … pool · r + pool − 1 of a product, `columns` of whose `width` are wanted.
template <class T>
inline void pool_rows(const T* product, Index count, Index width, Index pool, T* out, Index out_stride, Index columns) {
  using S = Simd<T>;
  for (Index r = 0; r < count; r += pool, product += pool * width, out += out_stride) {
    for (Index c = 0; c < columns; c += S::lanes) {
      typename S::Vector best = S::load(product + c);
      for (Index i = 1; i < pool; ++i) best = S::larger(best, S::load(product + i * width + c));
      store_part<T>(out + c, best, columns - c < S::lanes ? columns - c : S::lanes);
    }
  }
}

/// Portions alike that `count` rows are located in, at most `at_most` each, of whole units but for the last.
template <class T>
inline Index portion_of(Index count, Index at_most, Index unit) {
  const Index most = at_most / unit * unit;
  const Index portions = count > 0 ? (count + most - 1) / most : 1;
  return ((count + portions - 1) / portions + unit - 1) / unit * unit;
}

/// `height` rows, the last ones of which are the last that is wanted again, to copies, copied_row_stride() apart.
template <class T>
inline void gather_rows(const T** list, Index wanted, Index height, Index depth, T* copies) {
  for (Index r = 0; r < height; ++r, copies += copied_row_stride<T>(depth)) {
    const T* const row = list[r < wanted ? r : wanted - 1];
    if (row != copies) std::copy_n(row, depth, copies);
    list[r] = copies;
  }
}

/// Whether a block's rows lie at equal distances, and not a multiple of 4 KB apart: these would all fall on a few lines
/// of L1 (256 terms of 14 rows, in L2: 88 % of peak for 95 % on Emerald Rapids, 92 % for 96 % on Zen 5).
template <class T>
inline bool are_spaced(const T* const* list, Index height) {
  if (height == 1) return true;
  const Index distance = list[1] - list[0];
  for (Index r = 2; r < height; ++r) {
    if (list[r] - list[r - 1] != distance) return false;
  }
  return distance * static_cast<Index>(sizeof(T)) % 4096 != 0;
}

/// Makes blocks of rows such as SpacedRows reads: those that are not are copied, row i to
/// copies + i · copied_row_stride(depth), among them the last if it has rows that nobody wants.
template <class T>
inline void space_out(const T** list, Index count, Index depth, T* copies) {
  for (Index first = 0, height = 0; first < count; first += height) {
    height = block_height<T>(count - first);
    const Index wanted = height < count - first ? height : count - first;
    if (wanted < height || !are_spaced<T>(list + first, height))
      gather_rows<T>(list + first, wanted, height, depth, copies + first * copied_row_stride<T>(depth));
  }
}

/// How a thread multiplies: portions of rows, located, one after the other, each by panels. InnerProductMethod has the
/// same members.
template <class T>
struct DirectMethod {
  /// Rows that are located at a time where there are `count`.
  static Index rows_in_portion(Index count, Index depth, Index pool) {
    return portion_of<T>(count, matmul_rows_in_cache<T>(depth), MatmulBlock<T>::rows * pool);
  }

  /// Elements that copies of them take.
  static Index copies_size(Index depth) { return matmul_copies<T>(depth); }

  /// The rows of a portion as multiply() wants them, most_located_rows at most. `beside` is scratch memory behind the
  /// copies.
  static void locate(const RowSource<T>& rows, Isa isa, Range portion, Index depth, T* copies, T* /*beside*/,
                     const T** list) {
    rows.locate(isa, portion.begin, portion.size(), copies, list);
    space_out<T>(list, portion.size(), depth, copies);
  }

  /// A portion of rows times some panels. Meanwhile the panels `later` are brought into L2.
  static void multiply(const T* const* rows, Range portion, const PackedView<T>& b, Range panels, Range later,
                       const Epilogue<T>& epilogue, T* out, Index out_stride, T* beside) {
    constexpr Index columns = MatmulBlock<T>::columns;
    const LocatedRows<T> left{rows, 0, b.depth, {}};
    if (epilogue.pool == 1) {
      BlockResult<T> result(epilogue, b.bias, out, out_stride);
      result.move_down(portion.begin);
      result.move_right(panels.begin * columns);
      return multiply_rows<T>(left, portion.size(), PanelGroup<T>(b, panels), PanelGroup<T>(b, later), result);
    }
    const Index pool = epilogue.pool;
    for (Index panel = panels.begin; panel < panels.end; ++panel) {
      const PanelGroup<T> one(b, {panel, panel + 1});
      const PanelGroup<T> next(b, panel + 1 < panels.end ? Range{panel + 1, panel + 2} : later);
      const Epilogue<T> plain;
      const BlockResult<T> product(plain, b.bias ? b.bias + panel * columns : nullptr, beside, columns);
      multiply_rows<T>(left, portion.size(), one, next, product);
      pool_rows<T>(beside, portion.size(), columns, pool, out + portion.begin / pool * out_stride + panel * columns,
                   out_stride, one.columns);
    }
  }
};
