// Part of attention.hpp, compiled once for every instruction set (for_each_isa.hpp): the queries that are left behind
// whole vectors, if they are few. In a panel they would take as long as a vector of them. Instead each key is read once
// for all and multiplied along d, and so are the values, both where they lie:
//
//   S (token, query) = k · qᵀ log₂ e      P = 2^(S − max over tokens)      O (query, d) = P · v / Σ over tokens
//
// Zen 5, heads of 32: an attention of 196 tokens takes 0.95 of the time, of 49 0.91; with AVX2 0.98 and 0.91.

/// Where the rows of a head and an image lie, of the first token, and what they are multiplied by.
template <class T>
struct HeadRows {
  const T* q;
  const T* k;
  const T* v;
  Index stride;             // from token to token
  const T* score_factors;   // (d), log₂ e and scales of q and k
  const T* result_factors;  // (d), scales of v
};

/// Queries that are taken together: as many as sums of lanes are.
template <class T>
inline constexpr Index few_queries = sums_at_once<T>;

/// How many of `count` queries those are that few_queries take less time for than a vector.
template <class T>
inline Index few_of(Index count) {
  const Index left = count % Simd<T>::lanes;
  return few_queries<T> < Simd<T>::lanes && left <= few_queries<T> ? left : 0;
}

/// scores (tokens, few_queries): keys, `stride` elements from one to the next, times queries (few_queries, d).
template <class T>
inline void score_few(const T* query, const T* key, Index stride, Index tokens, Index d, T* scores) {
  using S = Simd<T>;
  constexpr Index few = few_queries<T>;
  for (Index t = 0; t < tokens; ++t, key += stride, scores += few) {
    typename S::Vector product[few];
#pragma GCC unroll 4
    for (Index i = 0; i < few; ++i) product[i] = S::broadcast(T{0});
    for (Index k = 0; k < d; k += S::lanes) {
      const Index some = d - k < S::lanes ? d - k : S::lanes;
      const typename S::Vector x = load_part<T>(key + k, some);
#pragma GCC unroll 4
      for (Index i = 0; i < few; ++i) product[i] = S::fma(load_part<T>(query + i * d + k, some), x, product[i]);
    }
    const auto sums = sums_of_lanes<T>(product);
    __builtin_memcpy(scores, &sums, sizeof sums);
  }
}

/// scores (tokens, few_queries) become P, `inverse` (few_queries) 1 / its sums. NaN as in exponentiate_columns().
template <class T>
inline void exponentiate_few(T* scores, Index tokens, T* inverse) {
  using S = Simd<T>;
  using V = typename S::Vector;
  constexpr Index few = few_queries<T>;
  constexpr T none = -std::numeric_limits<T>::infinity();
  const Index size = tokens * few;
  V largest = S::broadcast(none), sum = S::broadcast(T{0});
  for (Index i = 0; i < size; i += S::lanes)
    largest = S::at_least(largest, load_part<T>(scores + i, size - i < S::lanes ? size - i : S::lanes, none));
  alignas(64) T part[S::lanes];
  S::store(part, largest);
  for (Index i = few; i < S::lanes; ++i) part[i % few] = part[i] > part[i % few] ? part[i] : part[i % few];
  for (Index i = few; i < S::lanes; ++i) part[i] = part[i % few];
  largest = S::load(part);
  for (Index i = 0; i < size; i += S::lanes) {
    const Index some = size - i < S::lanes ? size - i : S::lanes;
    const V p = power_of_two<T>(S::sub(load_part<T>(scores + i, some, none), largest));
    store_part<T>(scores + i, p, some);
    sum = S::add(sum, p);
  }
  S::store(part, sum);
  for (Index i = few; i < S::lanes; ++i) part[i % few] += part[i];
  for (Index i = 0; i < few; ++i) inverse[i] = T{1} / part[i];
}

/// P · v of two vectors of v's columns, of which `valid` ones are there, in portions of terms as every product; into
/// result (few_queries, two vectors).
template <class T>
inline void sum_few_values(const T* p, const T* value, Index stride, Index tokens, Index valid, T* result) {
  using S = Simd<T>;
  using V = typename S::Vector;
  constexpr Index few = few_queries<T>;
  const Index low = valid < S::lanes ? valid : S::lanes;
  for (Index begin = 0; begin < tokens; begin += matmul_terms_in_portion) {
    const Index end = begin + matmul_terms_in_portion < tokens ? begin + matmul_terms_in_portion : tokens;
    V sum[few][2];
#pragma GCC unroll 4
    for (Index i = 0; i < few; ++i) sum[i][0] = sum[i][1] = S::broadcast(T{0});
    for (Index t = begin; t < end; ++t, value += stride, p += few) {
      const V v[2] = {load_part<T>(value, low), load_part<T>(value + low, valid - low)};
#pragma GCC unroll 4
      for (Index i = 0; i < few; ++i) {
        const V x = S::broadcast(p[i]);
        sum[i][0] = S::fma(x, v[0], sum[i][0]);
        sum[i][1] = S::fma(x, v[1], sum[i][1]);
      }
    }
#pragma GCC unroll 8
    for (Index i = 0; i < 2 * few; ++i) {
      T* const to = result + i * S::lanes;
      S::store(to, begin > 0 ? S::add(S::load(to), sum[i / 2][i % 2]) : sum[i / 2][i % 2]);
    }
  }
}

/// `count` ≤ few_queries queries of a head from token `first` on; out points at that head's first of the image.
/// `scratch` has room for few_queries of them and their scores.
template <class T>
inline void attend_few(const Attention<T>& a, const HeadRows<T>& rows, Index first, Index count, T* out, T* scratch) {
  using S = Simd<T>;
  using V = typename S::Vector;
  constexpr Index few = few_queries<T>, columns = 2 * S::lanes;
  const Index d = a.head_dim;
  const Index out_stride = a.heads * d;
  T* const queries = scratch;  // (few, d)
  T* const scores = queries + few * d;
  for (Index i = 0; i < few; ++i) {
    const T* const query = rows.q + (first + (i < count ? i : 0)) * rows.stride;
    for (Index k = 0; k < d; ++k) queries[i * d + k] = rows.score_factors[k] * query[k];
  }
  score_few<T>(queries, rows.k, rows.stride, a.tokens, d, scores);
  alignas(64) T result[few * columns];
  T inverse[few];
  exponentiate_few<T>(scores, a.tokens, inverse);
  for (Index k = 0; k < d; k += columns) {
    const Index valid = d - k < columns ? d - k : columns;
    sum_few_values<T>(scores, rows.v + k, rows.stride, a.tokens, valid, result);
    for (Index i = 0; i < count; ++i) {
      T* const to = out + (first + i) * out_stride + k;
      for (Index c = 0; c < valid; c += S::lanes) {
        const Index some = valid - c < S::lanes ? valid - c : S::lanes;
        const V factor = S::mul(S::broadcast(inverse[i]), load_part<T>(rows.result_factors + k + c, some));
        store_part<T>(to + c, S::mul(factor, S::load(result + i * columns + c)), some);
      }
    }
  }
}
