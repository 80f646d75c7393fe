// Body of rows.hpp, compiled once for every instruction set (for_each_isa.hpp).

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

/// Rows first … first + count − 1, at most as many as a vector has lanes. Where all `height` rows are the caller's and
/// fit into a vector, whole vectors are stored, and later columns written over what is too much.
template <class T>
inline void place_row_vector(const RowGroup<T>& rows, Index first, Index count, Index depth, Index height,
                             bool owns_all, T* packed) {
  using S = Simd<T>;
  using V = typename S::Vector;
  constexpr Index columns = 16 / sizeof(T);
  const T* row[S::lanes];
  V mean[columns] = {}, rstd[columns] = {};
  row[0] = rows.data[first];
  for (Index i = 1; i < S::lanes; ++i) row[i] = i < count ? rows.data[first + i] : row[0];
  if (rows.is_normalized) {
    alignas(64) T of_row[columns][S::lanes];
    for (const T* values : {rows.mean, rows.rstd}) {
      for (Index i = 0; i < S::lanes; ++i) {
        const T value = values[first + (i < count ? i : 0)];
        for (Index c = 0; c < columns; ++c) of_row[i % columns][i / columns * columns + c] = value;
      }
      for (Index c = 0; c < columns; ++c) (values == rows.mean ? mean : rstd)[c] = S::load(of_row[c]);
    }
  }
  const T* const end = packed + depth * height;
  for (Index next = 0; depth >= columns && next < depth; next += columns) {
    // The last columns may cover some of those before: they write the same there.
    const Index k = next + columns <= depth ? next : depth - columns;
    T* column = packed + k * height + first;
    V v[columns];
#pragma GCC unroll 4
    for (Index i = 0; i < columns; ++i) v[i] = S::pieces(row + i, columns, k);
    if (rows.is_normalized) {
#pragma GCC unroll 4
      for (Index i = 0; i < columns; ++i) v[i] = S::mul(S::sub(v[i], mean[i]), rstd[i]);
    }
    transpose_pieces<T, columns>(v);
    const bool is_whole =
        count == S::lanes || (owns_all && height <= S::lanes && column + (columns - 1) * height + S::lanes <= end);
    if (is_whole) {
#pragma GCC unroll 4
      for (Index c = 0; c < columns; ++c, column += height) S::store(column, v[c]);
    } else {
      for (Index c = 0; c < columns; ++c, column += height) store_part<T>(column, v[c], count);
    }
  }
  for (Index k = 0; depth < columns && k < depth; ++k) {
    for (Index r = 0; r < count; ++r) {
      const T x = row[r][k];
      packed[k * height + first + r] = rows.is_normalized ? (x - rows.mean[first + r]) * rows.rstd[first + r] : x;
    }
  }
}

template <class T>
inline void place_row_vectors(const RowGroup<T>& rows, Index depth, Index count, Index height, bool owns_all,
                              T* packed) {
  constexpr Index lanes = Simd<T>::lanes;
  if (count <= lanes) return place_row_vector<T>(rows, 0, count, depth, height, owns_all, packed);
  // The last vector may cover rows of the one before: it writes the same there.
  for (Index r = 0; r < count; r += lanes)
    place_row_vector<T>(rows, r + lanes <= count ? r : count - lanes, lanes, depth, height, owns_all, packed);
}

/// packed[k · height + r] = element k of row r, 0 ≤ k < depth, 0 ≤ r < count; nothing for the rows after them.
template <class T>
inline void place_rows(const RowGroup<T>& rows, Index depth, Index count, Index height, T* packed) {
  place_row_vectors<T>(rows, depth, count, height, false, packed);
}

/// The same, and zeros for count ≤ r < height.
template <class T>
inline void pack_rows(const RowGroup<T>& rows, Index depth, Index count, Index height, T* packed) {
  place_row_vectors<T>(rows, depth, count, height, true, packed);
  for (Index r = count; r < height; ++r) {
    for (Index k = 0; k < depth; ++k) packed[k * height + r] = T{0};
  }
}
