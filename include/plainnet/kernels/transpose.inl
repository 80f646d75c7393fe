// Body of transpose.hpp, compiled once for every instruction set (for_each_isa.hpp).

/// v[i] holds in its 16-byte piece q what comes of row q · columns + i: elements k … k + columns − 1. Afterwards v[c]
/// is column k + c, of as many rows as a vector has lanes.
template <class T, Index columns>
inline void transpose_pieces(typename Simd<T>::Vector (&v)[columns]) {
  using S = Simd<T>;
  using V = typename S::Vector;
  if constexpr (columns == 2) {
    const V first = S::low(v[0], v[1]);
    v[1] = S::high(v[0], v[1]);
    v[0] = first;
  } else {
    const V low01 = S::low(v[0], v[1]), low23 = S::low(v[2], v[3]);
    const V high01 = S::high(v[0], v[1]), high23 = S::high(v[2], v[3]);
    v[0] = S::low_pairs(low01, low23);
    v[1] = S::high_pairs(low01, low23);
    v[2] = S::low_pairs(high01, high23);
    v[3] = S::high_pairs(high01, high23);
  }
}

/// Rows 0 … count − 1, at most as many as a vector has lanes.
template <class T>
inline void transpose_row_vector(const T* data, Index stride, Index count, Index columns, T* out, Index out_stride) {
  using S = Simd<T>;
  using V = typename S::Vector;
  constexpr Index side = 16 / sizeof(T);
  const T* row[S::lanes];
  for (Index i = 0; i < S::lanes; ++i) row[i] = data + (i < count ? i * stride : 0);
  for (Index next = 0; columns >= side && next < columns; next += side) {
    // The last columns may cover some of those before: they write the same there.
    const Index first = next + side <= columns ? next : columns - side;
    T* column = out + first * out_stride;
    V v[side];
#pragma GCC unroll 4
    for (Index i = 0; i < side; ++i) v[i] = S::pieces(row + i, side, first);
    transpose_pieces<T, side>(v);
    if (count == S::lanes) {
#pragma GCC unroll 4
      for (Index c = 0; c < side; ++c, column += out_stride) S::store(column, v[c]);
    } else {
      for (Index c = 0; c < side; ++c, column += out_stride) store_part<T>(column, v[c], count);
    }
  }
  for (Index c = 0; columns < side && c < columns; ++c) {
    for (Index r = 0; r < count; ++r) out[c * out_stride + r] = row[r][c];
  }
}

template <class T>
inline void transpose(const T* data, Index stride, Index rows, Index columns, T* out, Index out_stride) {
  constexpr Index lanes = Simd<T>::lanes;
  for (Index r = 0; columns > 0 && r < rows; r += lanes) {
    // The last vector may cover rows of the one before: it writes the same there.
    const Index first = r + lanes <= rows || rows < lanes ? r : rows - lanes;
    const Index count = rows < lanes ? rows : lanes;
    transpose_row_vector<T>(data + first * stride, stride, count, columns, out + first, out_stride);
  }
}
