// Body of attention.hpp, compiled once for every instruction set (for_each_isa.hpp).
//
// Everything is computed transposed, a panel of queries wide, so that the products are those of matmul.inl, the softmax
// needs no sums across lanes, and the scores are themselves the panel that the second product reads:
//
//   S (token, query) = k · qᵀ        P = exp(S − max over tokens)        Oᵀ (d, query) = vᵀ · P / Σ over tokens

/// out (rows, panel) = rows · panel, row r at data + r · stride. `spare` has room for copies of a block's rows.
template <class T>
inline void multiply_panel(const T* data, Index stride, Index rows, Index depth, const T* panel, T* out, T* spare) {
  constexpr Index columns = MatmulBlock<T>::columns;
  const Epilogue<T> plain;
  BlockResult<T> result(plain, nullptr, out, columns);
  for (Index first = 0, height = 0; first < rows; first += height) {
    height = block_height<T>(rows - first);
    const Index wanted = height < rows - first ? height : rows - first;
    const T* list[MatmulBlock<T>::rows];
    for (Index r = 0; r < wanted; ++r) list[r] = data + (first + r) * stride;
    if (wanted < height) gather_rows<T>(list, wanted, height, depth, spare);
    multiply_block_part<T>(rows - first, LocatedRows<T>{list, 0, depth, {reinterpret_cast<const char*>(panel), 0}},
                           panel, result, columns);
    result.move_down(height);
  }
}

/// scores (tokens, panel) become exp(score − the column's largest), `inverse` (panel) becomes 1 / the columns' sums.
/// NaN among a column's scores may be passed over by the maximum, but not by the sum.
template <class T>
inline void exponentiate_columns(T* scores, Index tokens, T* inverse) {
  using S = Simd<T>;
  using V = typename S::Vector;
  constexpr Index columns = MatmulBlock<T>::columns;
  constexpr Index vectors = MatmulBlock<T>::vectors;
  V largest[vectors], sum[vectors];
#pragma GCC unroll 2
  for (Index v = 0; v < vectors; ++v) {
    largest[v] = S::load(scores + v * S::lanes);
    sum[v] = S::broadcast(T{0});
  }
  for (Index t = 1; t < tokens; ++t) {
#pragma GCC unroll 2
    for (Index v = 0; v < vectors; ++v)
      largest[v] = S::at_least(largest[v], S::load(scores + t * columns + v * S::lanes));
  }
  for (Index t = 0; t < tokens; ++t, scores += columns) {
#pragma GCC unroll 2
    for (Index v = 0; v < vectors; ++v) {
      const V p = exponential<T>(S::sub(S::load(scores + v * S::lanes), largest[v]));
      S::store(scores + v * S::lanes, p);
      sum[v] = S::add(sum[v], p);
    }
  }
#pragma GCC unroll 2
  for (Index v = 0; v < vectors; ++v) S::store(inverse + v * S::lanes, S::div(S::broadcast(T{1}), sum[v]));
}

/// Blocks of queries, numbered (image, head, block).
template <class T>
inline void attend(const Attention<T>& a, Range blocks, T* scratch) {
  using S = Simd<T>;
  constexpr Index columns = MatmulBlock<T>::columns;
  const Index d = a.head_dim;
  const Index stride = 3 * a.heads * d;
  const Index out_stride = a.heads * d;
  const Index value_stride = copied_row_stride<T>(a.tokens);
  T* const values = scratch;                      // vᵀ (d, tokens)
  T* const queries = values + d * value_stride;   // (d, columns)
  T* const scores = queries + d * columns;        // (tokens, columns)
  T* const result = scores + a.tokens * columns;  // (d, columns)
  T* const spare = result + d * columns;          // copies of a block's rows
  for (Index block = blocks.begin; block < blocks.end; ++block) {
    const Index head = block / a.query_blocks() % a.heads;
    const Index image = block / a.query_blocks() / a.heads;
    const Index first = block % a.query_blocks() * columns;
    const T* q = a.qkv + image * a.tokens * stride + head * d;
    if (block == blocks.begin || first == 0)
      transpose<T>(q + 2 * out_stride, stride, a.tokens, d, values, value_stride);
    const Index count = a.tokens - first < columns ? a.tokens - first : columns;
    for (Index i = 0; count < columns && i < d * columns; ++i) queries[i] = T{0};
    transpose<T>(q + first * stride, stride, count, d, queries, columns);

    multiply_panel<T>(q + out_stride, stride, a.tokens, d, queries, scores, spare);
    alignas(64) T inverse[columns];
    exponentiate_columns<T>(scores, a.tokens, inverse);
    multiply_panel<T>(values, value_stride, d, a.tokens, scores, result, spare);
    for (Index i = 0; i < d * columns; i += S::lanes) {
      S::store(result + i, S::mul(S::load(result + i), S::load(inverse + i % columns)));
    }
    transpose<T>(result, columns, d, count, a.out + (image * a.tokens + first) * out_stride + head * d, out_stride);
  }
}
