// Body of attention.hpp, compiled once for every instruction set (for_each_isa.hpp).
//
// Everything is computed transposed, a panel of queries wide, so that the softmax needs no sums across lanes, and the
// scores are themselves the panel that the second product reads:
//
//   S (token, query) = k · qᵀ log₂ e      P = 2^(S − max over tokens)      Oᵀ (d, query) = vᵀ · P / Σ over tokens
//
// A panel is two vectors wide, the last one only one where that suffices. Few queries behind whole vectors are no panel
// (attention_few.inl).

/// out (rows, panel) = rows · panel, row r at left + r · stride; in portions of terms, as every product (matmul.hpp),
/// their sums in `out`. The blocks of matmul_block.inl, which can do more, and two vectors for a last panel of four
/// queries took 1.11 times as long (Zen 5, the whole attention of 196 tokens, 10 heads of 32).
template <class T, Index vectors, Index rows>
__attribute__((noinline)) void multiply_by_panel(const T* left, Index stride, Index depth, const T* panel, T* out) {
  using S = Simd<T>;
  using V = typename S::Vector;
  constexpr Index columns = vectors * S::lanes;
  for (Index begin = 0; begin < depth; begin += matmul_terms_in_portion) {
    const Index end = begin + matmul_terms_in_portion < depth ? begin + matmul_terms_in_portion : depth;
    V sum[rows][vectors];
#pragma GCC unroll 16
    for (Index r = 0; r < rows; ++r) {
#pragma GCC unroll 2
      for (Index v = 0; v < vectors; ++v) sum[r][v] = S::broadcast(T{0});
    }
    SpacedRows<T, rows> row(left + begin, stride);
    for (Index k = begin; k < end; ++k, panel += columns, row.move_on()) {
      V column[vectors];
#pragma GCC unroll 2
      for (Index v = 0; v < vectors; ++v) column[v] = S::load(panel + v * S::lanes);
#pragma GCC unroll 16
      for (Index r = 0; r < rows; ++r) {
        const V x = S::broadcast(row[r]);
#pragma GCC unroll 2
        for (Index v = 0; v < vectors; ++v) sum[r][v] = S::fma(x, column[v], sum[r][v]);
      }
    }
    if (begin > 0) {
#pragma GCC unroll 16
      for (Index r = 0; r < rows; ++r) {
#pragma GCC unroll 2
        for (Index v = 0; v < vectors; ++v) sum[r][v] = S::add(S::load(out + r * columns + v * S::lanes), sum[r][v]);
      }
    }
#pragma GCC unroll 16
    for (Index r = 0; r < rows; ++r) {
#pragma GCC unroll 2
      for (Index v = 0; v < vectors; ++v) S::store(out + r * columns + v * S::lanes, sum[r][v]);
    }
  }
}

template <class T>
using MultiplyByPanel = void (*)(const T*, Index, Index, const T*, T*);

/// multiply_by_panel() of `height` rows, at most `most`.
template <class T, Index vectors, Index most = MatmulBlock<T>::rows>
inline MultiplyByPanel<T> multiply_by_panel_of(Index height) {
  if constexpr (most > 1) {
    if (height < most) return multiply_by_panel_of<T, vectors, most - 1>(height);
  }
  return multiply_by_panel<T, vectors, most>;
}

/// The same of any number of rows.
template <class T, Index vectors>
inline void multiply_rows_by_panel(const T* left, Index stride, Index rows, Index depth, const T* panel, T* out) {
  const BlocksAlike blocks(rows, MatmulBlock<T>::rows);
  const MultiplyByPanel<T> higher = multiply_by_panel_of<T, vectors>(blocks.height);
  const MultiplyByPanel<T> lower = multiply_by_panel_of<T, vectors>(blocks.height - 1);
  for (Index i = 0; i < blocks.count; ++i) {
    const Index height = i < blocks.higher ? blocks.height : blocks.height - 1;
    (i < blocks.higher ? higher : lower)(left, stride, depth, panel, out);
    left += height * stride;
    out += height * vectors * Simd<T>::lanes;
  }
}

/// scores (tokens, panel) become 2^(score − the column's largest), `inverse` (panel) becomes 1 / the columns' sums.
/// NaN among a column's scores may be passed over by the maximum, but not by the sum.
template <class T, Index vectors>
inline void exponentiate_columns(T* scores, Index tokens, T* inverse) {
  using S = Simd<T>;
  using V = typename S::Vector;
  constexpr Index columns = vectors * S::lanes;
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
      const V p = power_of_two<T>(S::sub(S::load(scores + v * S::lanes), largest[v]));
      S::store(scores + v * S::lanes, p);
      sum[v] = S::add(sum[v], p);
    }
  }
#pragma GCC unroll 2
  for (Index v = 0; v < vectors; ++v) S::store(inverse + v * S::lanes, S::div(S::broadcast(T{1}), sum[v]));
}

/// `count` queries of a head from token `first` on, in a panel: values (d, tokens) are its transposed ones, out points
/// at that head's first of the image. `scratch` is of queries, scores, and the result.
template <class T, Index vectors>
inline void attend_by_panel(const Attention<T>& a, const HeadRows<T>& rows, const T* values, Index value_stride,
                            Index first, Index count, T* out, T* scratch) {
  using S = Simd<T>;
  constexpr Index columns = vectors * S::lanes;
  const Index d = a.head_dim;
  const Index out_stride = a.heads * d;
  T* const queries = scratch;                     // (d, columns)
  T* const scores = queries + d * columns;        // (tokens, columns)
  T* const result = scores + a.tokens * columns;  // (d, columns)
  for (Index i = 0; count < columns && i < d * columns; ++i) queries[i] = T{0};
  transpose<T>(rows.q + first * rows.stride, rows.stride, count, d, queries, columns);
  for (Index i = 0; i < d * columns; i += S::lanes)
    S::store(queries + i, S::mul(S::broadcast(rows.score_factors[i / columns]), S::load(queries + i)));
  multiply_rows_by_panel<T, vectors>(rows.k, rows.stride, a.tokens, d, queries, scores);
  alignas(64) T inverse[columns];
  exponentiate_columns<T, vectors>(scores, a.tokens, inverse);
  multiply_rows_by_panel<T, vectors>(values, value_stride, d, a.tokens, scores, result);
  for (Index i = 0; i < d * columns; i += S::lanes) {
    const typename S::Vector factor = S::broadcast(rows.result_factors[i / columns]);
    S::store(result + i, S::mul(S::load(result + i), S::mul(factor, S::load(inverse + i % columns))));
  }
  transpose<T>(result, columns, d, count, out + first * out_stride, out_stride);
}

/// The rows of a head; its factors are written to `factors` (2, d).
template <class T>
inline HeadRows<T> rows_of_head(const Attention<T>& a, Index image, Index head, T* factors) {
  constexpr T log2_of_e = static_cast<T>(1.44269504088896341);
  const AttentionInput<T>& in = a.in;
  const Index d = a.head_dim, part = a.heads * d, step = a.heads * in.head_stride;
  for (Index k = 0; k < d; ++k) {
    const T* const scale = in.scales ? in.scales + head * d + k : nullptr;
    factors[k] = scale ? log2_of_e * (scale[0] * scale[part]) : log2_of_e;
    factors[d + k] = scale ? scale[2 * part] : T{1};
  }
  const T* const q = in.data + image * a.tokens * in.token_stride + head * in.head_stride;
  return {q, q + step, q + 2 * step, in.token_stride, factors, factors + d};
}

/// Blocks of queries, numbered (image, head, block).
template <class T>
inline void attend(const Attention<T>& a, Range blocks, T* scratch) {
  const Index d = a.head_dim;
  const Index value_stride = copied_row_stride<T>(a.tokens);
  T* const values = scratch;                  // vᵀ (d, tokens)
  T* const rest = values + d * value_stride;  // of a block of queries
  T* const factors = rest + MatmulBlock<T>::columns * (2 * d + a.tokens);
  HeadRows<T> rows;
  for (Index block = blocks.begin; block < blocks.end; ++block) {
    const Index head = block / a.query_blocks() % a.heads;
    const Index image = block / a.query_blocks() / a.heads;
    const Index first = block % a.query_blocks() * a.query_columns;
    T* const out = a.out + image * a.tokens * a.heads * d + head * d;
    if (block == blocks.begin || first == 0) {
      rows = rows_of_head<T>(a, image, head, factors);
      transpose<T>(rows.v, rows.stride, a.tokens, d, values, value_stride);
    }
    const Index left = a.tokens - first;
    const Index count = left < a.query_columns ? left : a.query_columns;
    const Index few = few_of<T>(count);
    if (count - few > Simd<T>::lanes) {
      attend_by_panel<T, 2>(a, rows, values, value_stride, first, count - few, out, rest);
    } else if (count > few) {
      attend_by_panel<T, 1>(a, rows, values, value_stride, first, count - few, out, rest);
    }
    if (few > 0) attend_few<T>(a, rows, first + count - few, few, out, rest);
  }
}
