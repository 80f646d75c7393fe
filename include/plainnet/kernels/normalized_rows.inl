// Body of normalized_rows.hpp, compiled once for every instruction set (for_each_isa.hpp).

template <class T>
inline void normalize_row(const T* x, Index count, const Moments<T>& moments, T* out) {
  using S = Simd<T>;
  const typename S::Vector mean = S::broadcast(moments.mean);
  const typename S::Vector rstd = S::broadcast(moments.rstd);
  Index i = 0;
  for (; i + S::lanes <= count; i += S::lanes) S::store(out + i, S::mul(S::sub(S::load(x + i), mean), rstd));
  if (i < count) store_part<T>(out + i, S::mul(S::sub(load_part<T>(x + i, count - i), mean), rstd), count - i);
}

/// Rows `rows` of a matrix, row r at data + r · stride: copies of them as copied_row_stride() has them.
template <class T>
inline void normalize_rows(const T* data, Index stride, Index depth, Range rows, const Normalization<T>& by,
                           T* copies) {
  Moments<T> moments[most_rows_copied];
  const Index together = rows_summed<T>(depth);
  for (Index first = rows.begin, some = 0; first < rows.end; first += some) {
    some = together < rows.end - first ? together : rows.end - first;
    const T* x = data + first * stride;
    moments_of_pixels<T>(x, stride, depth, first, some, by, moments);
    for (Index r = 0; r < some; ++r, x += stride, copies += copied_row_stride<T>(depth))
      normalize_row<T>(x, depth, moments[r], copies);
  }
}

/// Makes an element of a copy of an element x: (x − mean) · rstd · the row's power of two.
template <class T>
struct NormalizedTerm {
  T mean;
  T factor;

  __attribute__((always_inline)) inline typename Simd<T>::Vector operator()(const T* x, Index count) const {
    using S = Simd<T>;
    return S::mul(S::sub(load_part<T>(x, count < S::lanes ? count : S::lanes, mean), S::broadcast(mean)),
                  S::broadcast(factor));
  }
};

/// The mean square of a normalised row.
template <class T>
inline T mean_square_of(const T* row, Index depth, const Moments<T>& moments) {
  using S = Simd<T>;
  const NormalizedTerm<T> term{moments.mean, moments.rstd};
  typename S::Vector squares = S::broadcast(T{0});
  for (Index k = 0; k < depth; k += S::lanes) {
    const typename S::Vector y = term(row + k, depth - k);
    squares = S::fma(y, y, squares);
  }
  return sum_of_lanes<T>(squares) / static_cast<T>(depth);
}

/// Copies a whole portion, and subtracts from its products of pairs, in lanes, those of portions before.
template <class T>
__attribute__((always_inline)) inline void copy_normalized_portion(const T* x, const NormalizedTerm<T>& term, T* to,
                                                                   typename Simd<T>::Vector& products) {
  using S = Simd<T>;
  typename S::Vector copy[portion_vectors<T>];
#pragma GCC unroll 32
  for (Index i = 0; i < portion_vectors<T>; ++i) {
    copy[i] = term(x + i * S::lanes, S::lanes);
    S::store(to + i * S::lanes, copy[i]);
  }
  products = S::sub(products_of_pairs<T>(copy, S::broadcast(T{0})), products);
}

/// So also the last, of less, with zeros up to a whole vector.
template <class T>
inline void copy_last_normalized_terms(const T* x, Index terms, const NormalizedTerm<T>& term, T* to,
                                       typename Simd<T>::Vector& products) {
  using S = Simd<T>;
  for (Index k = 0; k < terms; k += S::lanes) S::store(to + k, term(x + k, terms - k));
  products = S::sub(products_of_pairs<T>(to, terms), products);
}

/// Copies `count` ≤ sums_at_once<T> rows as copy_rows() does with those that are normalised. One of which nothing is
/// left but rounding counts as zeros.
template <class T>
inline void copy_some_normalized_rows(const T* data, Index stride, Index count, Index depth, const Moments<T>* moments,
                                      const T* mean_squares, const RowCopies<T>& to) {
  using S = Simd<T>;
  constexpr Index most = sums_at_once<T>, portion = inner_product_terms;
  const Index whole = depth / portion * portion;
  typename S::Vector products[most];
#pragma GCC unroll 4
  for (Index r = 0; r < most; ++r) {
    products[r] = S::broadcast(T{0});
    if (r >= count) continue;
    const T* const row = data + r * stride;
    const RowCopies<T> copy = to.from(r);
    const PowerOfTwo<T> power = scale_for_mean_square<T>(mean_squares[r]);
    const NormalizedTerm<T> term{moments[r].mean, moments[r].rstd * power.value};
    T* terms = copy.terms;
    for (Index k = 0; k < whole; k += portion, terms += to.portion_step)
      copy_normalized_portion<T>(row + k, term, terms, products[r]);
    if (whole < depth) copy_last_normalized_terms<T>(row + whole, depth - whole, term, terms, products[r]);
    copy.ends[1] = power.inverse;
  }
  const auto sums = sums_of_lanes<T>(products);
  const auto sign = static_cast<T>(-inner_product_sign(0, inner_product_portions(depth)));
#pragma GCC unroll 4
  for (Index r = 0; r < most; ++r) {
    if (r < count) to.from(r).ends[0] = sign * sums[r];
  }
}

/// What `count` pixels from `first` on are normalised by, and the mean squares of what they become.
template <class T>
inline void scales_of_pixels(const T* x, Index stride, Index depth, Index first, Index count,
                             const Normalization<T>& by, Moments<T>* moments, T* mean_squares) {
  if (by.moments) {
    moments_of_pixels<T>(x, stride, depth, first, count, by, moments);
    for (Index r = 0; r < count; ++r) mean_squares[r] = mean_square_of<T>(x + r * stride, depth, moments[r]);
    return;
  }
  for (Index r = 0, some = 0; r < count; r += some) {
    some = moment_rows_of<T>(r, count);
    moments_of_rows<T>(x + r * stride, stride, some, depth, by.eps, moments + r, mean_squares + r);
  }
}

/// Rows `rows`, most_rows_copied at most, as copy_rows() copies what normalize_rows() makes of them.
template <class T>
inline void copy_normalized_rows(const T* data, Index stride, Index depth, Range rows, const Normalization<T>& by,
                                 const RowCopies<T>& to) {
  Moments<T> moments[most_rows_copied];
  T mean_squares[most_rows_copied];
  const Index together = rows_summed<T>(depth);
  for (Index first = 0, some = 0; first < rows.size(); first += some) {
    some = together < rows.size() - first ? together : rows.size() - first;
    const T* const x = data + (rows.begin + first) * stride;
    scales_of_pixels<T>(x, stride, depth, rows.begin + first, some, by, moments, mean_squares);
    for (Index r = 0; r < some; r += sums_at_once<T>)
      copy_some_normalized_rows<T>(x + r * stride, stride, moment_rows_of<T>(r, some), depth, moments + r,
                                   mean_squares + r, to.from(first + r));
  }
}
