// Body of attention.hpp, compiled once for every instruction set (for_each_isa.hpp).
//
// Everything is computed transposed, a panel of queries wide, so that the products are those of matmul.inl, the softmax
// needs no sums across lanes, and the scores are themselves the panel that the second product reads:
//
//   S (token, query) = k · qᵀ        P = exp(S − max over tokens)        Oᵀ (d, query) = vᵀ · P / Σ over tokens

/// A few elements, in 16-byte pieces of which the last may cover part of the one before.
template <class T>
inline void copy_run(const T* from, Index count, T* to) {
  constexpr Index side = 16 / sizeof(T);
  for (Index i = 0; count >= side && i < count; i += side) {
    const Index at = i + side <= count ? i : count - side;
    __builtin_memcpy(to + at, from + at, 16);
  }
  for (Index i = 0; count < side && i < count; ++i) to[i] = from[i];
}

/// Values of a head as rows of vᵀ, packed for multiply_rows(): (block of d, token, d in block), zeros after the last.
template <class T>
inline void pack_values(const T* v, Index stride, Index tokens, Index head_dim, T* packed) {
  for (Index d = 0, height = 0; d < head_dim; d += height) {
    height = block_height<T>(head_dim - d);
    const Index valid = height < head_dim - d ? height : head_dim - d;
    for (Index t = 0; t < tokens; ++t, packed += height) {
      copy_run<T>(v + t * stride + d, valid, packed);
      for (Index i = valid; i < height; ++i) packed[i] = T{0};
    }
  }
}

/// `count` rows at data + r · stride as rows of a product, packed for multiply_rows().
template <class T>
inline void pack_keys(const T* data, Index stride, Index count, Index depth, T* packed) {
  for (Index r = 0, height = 0; r < count; r += height) {
    height = block_height<T>(count - r);
    const Index valid = height < count - r ? height : count - r;
    RowGroup<T> rows;
    for (Index i = 0; i < valid; ++i) rows.data[i] = data + (r + i) * stride;
    pack_rows<T>(rows, depth, valid, height, packed);
    packed += height * depth;
  }
}

/// Writes data(r, c), row r at data + r · stride, to out[c · out_stride + r].
template <class T>
inline void transpose(const T* data, Index stride, Index row_count, Index columns, T* out, Index out_stride) {
  constexpr Index most = RowGroup<T>::most;
  for (Index r = 0; r < row_count; r += most) {
    const Index count = row_count - r < most ? row_count - r : most;
    RowGroup<T> rows;
    for (Index i = 0; i < count; ++i) rows.data[i] = data + (r + i) * stride;
    place_rows<T>(rows, columns, count, out_stride, out + r);
  }
}

/// scores (tokens, panel) become exp(score − the column's largest), `inverse` (panel) becomes 1 / the columns' sums.
/// NaN among a column's scores may be passed over by the maximum, but not by the sum.
template <class T>
inline void exponentiate_columns(T* scores, Index tokens, T* inverse) {
  using S = Simd<T>;
  using V = typename S::Vector;
  constexpr Index columns = MatmulBlock<T>::columns;
  for (Index c = 0; c < columns; c += S::lanes) {
    V largest = S::load(scores + c);
    for (Index t = 1; t < tokens; ++t) largest = S::at_least(largest, S::load(scores + t * columns + c));
    V sum = S::broadcast(T{0});
    for (Index t = 0; t < tokens; ++t) {
      T* const place = scores + t * columns + c;
      const V p = exponential<T>(S::sub(S::load(place), largest));
      S::store(place, p);
      sum = S::add(sum, p);
    }
    S::store(inverse + c, S::div(S::broadcast(T{1}), sum));
  }
}

/// Blocks of queries, numbered (image, head, block).
template <class T>
inline void attend(const Attention<T>& a, Range blocks, T* scratch) {
  using S = Simd<T>;
  constexpr Index columns = MatmulBlock<T>::columns;
  const Index d = a.head_dim;
  const Index stride = 3 * a.heads * d;
  const Index out_stride = a.heads * d;
  T* const keys = scratch;
  T* const values = keys + (a.tokens + matmul_most_rows) * d;
  T* const queries = values + a.tokens * (d + matmul_most_rows);  // (d, columns)
  T* const scores = queries + d * columns;                        // (tokens, columns)
  T* const result = scores + a.tokens * columns;                  // (d, columns)
  const Epilogue<T> plain;
  for (Index block = blocks.begin; block < blocks.end; ++block) {
    const Index head = block / a.query_blocks() % a.heads;
    const Index image = block / a.query_blocks() / a.heads;
    const Index first = block % a.query_blocks() * columns;
    const T* q = a.qkv + image * a.tokens * stride + head * d;
    if (block == blocks.begin || first == 0) {
      pack_keys<T>(q + out_stride, stride, a.tokens, d, keys);
      pack_values<T>(q + 2 * out_stride, stride, a.tokens, d, values);
    }
    const Index count = a.tokens - first < columns ? a.tokens - first : columns;
    for (Index i = 0; count < columns && i < d * columns; ++i) queries[i] = T{0};
    transpose<T>(q + first * stride, stride, count, d, queries, columns);

    multiply_rows<T>(keys, a.tokens, d, queries, BlockResult<T>(plain, nullptr, scores, columns), columns);
    alignas(64) T inverse[columns];
    exponentiate_columns<T>(scores, a.tokens, inverse);
    multiply_rows<T>(values, d, a.tokens, scores, BlockResult<T>(plain, nullptr, result, columns), columns);
    for (Index i = 0; i < d * columns; i += S::lanes) {
      S::store(result + i, S::mul(S::load(result + i), S::load(inverse + i % columns)));
    }
    transpose<T>(result, columns, d, count, a.out + (image * a.tokens + first) * out_stride + head * d, out_stride);
  }
}
