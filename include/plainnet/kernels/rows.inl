// Body of rows.hpp, compiled once for every instruction set (for_each_isa.hpp).

/// A square of elements is transposed in 16-byte vectors: four shuffles of two for each four columns of floats. Wider
/// squares need fewer shuffles an element, but 14 and 6 rows are no multiple of 8 or 16.
template <class T>
struct Square {
  typedef T Vector __attribute__((vector_size(16)));
  static constexpr Index side = 16 / sizeof(T);

  static void transpose(Vector (&v)[4]) {
    const Vector low01 = __builtin_shufflevector(v[0], v[1], 0, 4, 1, 5);
    const Vector low23 = __builtin_shufflevector(v[2], v[3], 0, 4, 1, 5);
    const Vector high01 = __builtin_shufflevector(v[0], v[1], 2, 6, 3, 7);
    const Vector high23 = __builtin_shufflevector(v[2], v[3], 2, 6, 3, 7);
    v[0] = __builtin_shufflevector(low01, low23, 0, 1, 4, 5);
    v[1] = __builtin_shufflevector(low01, low23, 2, 3, 6, 7);
    v[2] = __builtin_shufflevector(high01, high23, 0, 1, 4, 5);
    v[3] = __builtin_shufflevector(high01, high23, 2, 3, 6, 7);
  }
  static void transpose(Vector (&v)[2]) {
    const Vector first = __builtin_shufflevector(v[0], v[1], 0, 2);
    v[1] = __builtin_shufflevector(v[0], v[1], 1, 3);
    v[0] = first;
  }
};

/// Elements begin … end − 1 of rows first … first + side − 1; what is left over of them is for pack_row().
template <class T>
inline void pack_squares(const RowGroup<T>& rows, Index first, Range range, Index height, T* packed) {
  using V = typename Square<T>::Vector;
  constexpr Index side = Square<T>::side;
  for (Index k = range.begin; k + side <= range.end; k += side) {
    V v[side];
#pragma GCC unroll 4
    for (Index i = 0; i < side; ++i) {
      __builtin_memcpy(&v[i], rows.data[first + i] + k, sizeof(V));
      if (rows.is_normalized) v[i] = (v[i] - rows.mean[first + i]) * rows.rstd[first + i];
    }
    Square<T>::transpose(v);
#pragma GCC unroll 4
    for (Index i = 0; i < side; ++i) __builtin_memcpy(packed + (k + i) * height + first, &v[i], sizeof(V));
  }
}

template <class T>
inline void pack_row(const RowGroup<T>& rows, Index r, Range range, Index height, T* packed) {
  const T* row = rows.data[r];
  for (Index k = range.begin; k < range.end; ++k) {
    packed[k * height + r] = rows.is_normalized ? (row[k] - rows.mean[r]) * rows.rstd[r] : row[k];
  }
}

/// packed[k · height + r] = element k of row r, 0 ≤ k < depth, 0 ≤ r < count; nothing for the rows after them.
template <class T>
inline void place_rows(const RowGroup<T>& rows, Index depth, Index count, Index height, T* packed) {
  constexpr Index side = Square<T>::side;
  constexpr Index chunk = 64;  // elements of every row, so that what is written stays in L1
  for (Index begin = 0; begin < depth; begin += chunk) {
    const Range range{begin, begin + chunk < depth ? begin + chunk : depth};
    const Range rest{count < side ? begin : range.end - range.size() % side, range.end};
    // The last square may cover rows of the one before: it writes the same there.
    for (Index r = 0; count >= side && r < count; r += side) {
      pack_squares<T>(rows, r + side <= count ? r : count - side, range, height, packed);
    }
    for (Index r = 0; rest.size() > 0 && r < count; ++r) pack_row<T>(rows, r, rest, height, packed);
  }
}

/// The same, and zeros for count ≤ r < height.
template <class T>
inline void pack_rows(const RowGroup<T>& rows, Index depth, Index count, Index height, T* packed) {
  place_rows<T>(rows, depth, count, height, packed);
  for (Index r = count; r < height; ++r) {
    for (Index k = 0; k < depth; ++k) packed[k * height + r] = T{0};
  }
}
