// Body of unfinished_rows.hpp, compiled once for every instruction set (for_each_isa.hpp).

template <class T>
inline void finish_rows(const UnfinishedSums<T>& unfinished, Index count, T* out, Index stride) {
  const PackedView<T>& b = unfinished.b;
  InnerProductMethod<T>::finish_products(unfinished.sums, unfinished.panel_stride, b.scales, b.panel_count(), count,
                                         BlockResult<T>(unfinished.epilogue, b.bias, out, stride));
}

/// Finishes `count` rows, most_rows_copied at most, where their copies are to be, not yet scaled, and sums them. All
/// rows of a portion come before the next, so that its scales and biases stay in registers.
template <class T>
struct FinishCopies {
  using S = Simd<T>;
  using V = typename S::Vector;
  static constexpr Index columns = MatmulBlock<T>::columns, portion = inner_product_terms;
  static constexpr Index vectors = portion_vectors<T>;

  const UnfinishedSums<T>& unfinished;
  Index count;
  const RowCopies<T>& to;
  RowSums<T>* sums;

  template <Activation activation>
  __attribute__((noinline)) void run() const {
    const PackedView<T>& b = unfinished.b;
    const Index whole = b.columns / portion * portion;
    const T* from = unfinished.sums;
    T* terms = to.terms;
    for (Index begin = 0; begin < whole; begin += portion, terms += to.portion_step) {
      finish_portion<activation>(from, begin, terms);
      from += portion / columns * unfinished.panel_stride;
    }
    if (whole < b.columns) finish_last(from, whole, terms);
  }

 private:
  /// A whole portion, from column `begin` on.
  template <Activation activation>
  __attribute__((always_inline)) inline void finish_portion(const T* from, Index begin, T* out) const {
    const T* const scales = unfinished.b.scales + begin;
    const T* const biases = unfinished.b.bias ? unfinished.b.bias + begin : nullptr;
    const Index rows = count, out_step = to.row_step, panel_stride = unfinished.panel_stride;
    const T slope = unfinished.epilogue.slope;
    V scale[vectors], bias[vectors];
#pragma GCC unroll 32
    for (Index i = 0; i < vectors; ++i) {
      scale[i] = S::load(scales + i * S::lanes);
      bias[i] = biases ? S::load(biases + i * S::lanes) : S::broadcast(T{0});
    }
    for (Index r = 0; r < rows; ++r, from += columns, out += out_step) {
      V x[vectors];
#pragma GCC unroll 32
      for (Index i = 0; i < vectors; ++i) {
        const V product = S::load(from + i / 2 * panel_stride + i % 2 * S::lanes);
        x[i] = activated<T, activation>(S::fma(scale[i], product, bias[i]), slope);
        S::store(out + i * S::lanes, x[i]);
      }
      RowSums<T> row = begin == 0 ? RowSums<T>::of_none() : sums[r];
      row.add(x);
      sums[r] = row;
    }
  }

  /// The last one, of less, from column `begin` on.
  void finish_last(const T* from, Index begin, T* out) const {
    const PackedView<T>& b = unfinished.b;
    const Index terms = b.columns - begin;
    const BlockResult<T> result(unfinished.epilogue, b.bias ? b.bias + begin : nullptr, out, to.row_step);
    InnerProductMethod<T>::finish_products(from, unfinished.panel_stride, b.scales + begin, terms / columns, count,
                                           result);
    for (Index r = 0; r < count; ++r) {
      if (begin == 0) sums[r] = RowSums<T>::of_none();
      sums[r].add(out + r * to.row_step, terms);
    }
  }
};

/// Body of UnfinishedRows::copy(): what copy_rows() makes of finished rows.
template <class T>
inline void copy_unfinished_rows(const UnfinishedSums<T>& unfinished, Index count, const RowCopies<T>& to) {
  constexpr Index at_once = sums_at_once<T>;
  RowSums<T> sums[most_rows_copied];
  run_with(unfinished.epilogue.activation, FinishCopies<T>{unfinished, count, to, sums});
  T squares[most_rows_copied], products[most_rows_copied];
  for (Index r = 0; r < count; r += at_once) reduce_sums<T>(sums + r, count - r, squares + r, products + r);
  for (Index r = 0; r < count; ++r) {
    const RowCopies<T> copy = to.from(r);
    copy_row<T>(copy.terms, copy.portion_step, unfinished.b.columns, squares[r], products[r], copy);
  }
}
