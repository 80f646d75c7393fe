// Body of normalization.hpp, compiled once for every instruction set (for_each_isa.hpp).

/// Twice over the elements, the second time around their rounded mean: what that is off by is in the sum of the
/// distances d, so mean = center + Σ d / n and squares = Σ d² − (Σ d)² / n, which cancels nothing, even where the mean
/// is a million deviations from zero.
template <class T>
inline Spread<T> spread_of(const T* x, Index count) {
  using S = Simd<T>;
  using V = typename S::Vector;
  constexpr Index chains = 4;  // independent sums, to hide the latency of an addition
  constexpr Index step = chains * S::lanes;
  V sum[chains], squares[chains];
  for (Index i = 0; i < chains; ++i) sum[i] = S::broadcast(T{0});
  Index i = 0;
  for (; i + step <= count; i += step) {
#pragma GCC unroll 4
    for (Index j = 0; j < chains; ++j) sum[j] = S::add(sum[j], S::load(x + i + j * S::lanes));
  }
  for (Index rest = i; rest < count; rest += S::lanes) {
    sum[0] = S::add(sum[0], load_part<T>(x + rest, count - rest < S::lanes ? count - rest : S::lanes));
  }
  const T n = static_cast<T>(count);
  const T center = sum_of_lanes<T>(S::add(S::add(sum[0], sum[1]), S::add(sum[2], sum[3]))) / n;

  const V centers = S::broadcast(center);
  for (Index j = 0; j < chains; ++j) sum[j] = squares[j] = S::broadcast(T{0});
  for (i = 0; i + step <= count; i += step) {
#pragma GCC unroll 4
    for (Index j = 0; j < chains; ++j) {
      const V d = S::sub(S::load(x + i + j * S::lanes), centers);
      sum[j] = S::add(sum[j], d);
      squares[j] = S::fma(d, d, squares[j]);
    }
  }
  for (; i < count; i += S::lanes) {
    const V d = S::sub(load_part<T>(x + i, count - i < S::lanes ? count - i : S::lanes, center), centers);
    sum[0] = S::add(sum[0], d);
    squares[0] = S::fma(d, d, squares[0]);
  }
  const T distance = sum_of_lanes<T>(S::add(S::add(sum[0], sum[1]), S::add(sum[2], sum[3])));
  const T total = sum_of_lanes<T>(S::add(S::add(squares[0], squares[1]), S::add(squares[2], squares[3])));
  const T around_mean = total - distance * distance / n;
  return {center, distance / n, around_mean < T{0} ? T{0} : around_mean};
}

/// sum(r) += all elements of row r.
template <class T>
inline void add_rows(const T* const (&row)[sums_at_once<T>], Index depth,
                     typename Simd<T>::Vector (&sum)[sums_at_once<T>]) {
  using S = Simd<T>;
  for (Index k = 0; k < depth; k += S::lanes) {
    const bool is_whole = depth - k >= S::lanes;
#pragma GCC unroll 4
    for (Index r = 0; r < sums_at_once<T>; ++r)
      sum[r] = S::add(sum[r], is_whole ? S::load(row[r] + k) : load_part<T>(row[r] + k, depth - k));
  }
}

/// sum(r) += all elements of row r less center(r), squares(r) += their squares.
template <class T>
inline void add_distances(const T* const (&row)[sums_at_once<T>], Index depth,
                          typename baseline::Simd<T>::Vector center, typename Simd<T>::Vector (&sum)[sums_at_once<T>],
                          typename Simd<T>::Vector (&squares)[sums_at_once<T>]) {
  using S = Simd<T>;
  using V = typename S::Vector;
  for (Index k = 0; k < depth; k += S::lanes) {
    const bool is_whole = depth - k >= S::lanes;
#pragma GCC unroll 4
    for (Index r = 0; r < sums_at_once<T>; ++r) {
      const V x = is_whole ? S::load(row[r] + k) : load_part<T>(row[r] + k, depth - k, center[r]);
      const V d = S::sub(x, S::broadcast(center[r]));
      sum[r] = S::add(sum[r], d);
      squares[r] = S::fma(d, d, squares[r]);
    }
  }
}

/// Moments of `count` ≤ sums_at_once<T> rows of `depth` elements, `stride` apart, and the mean squares of what they are
/// normalised to, if these are wanted: twice over each, as spread_of(), and what a row has depends on no other. One
/// alone waits for its sums longer than for its elements (Zen 5, with what it is normalised for: 64 channels took 1.7
/// times as long, 128 1.5, 320 1.25).
template <class T>
inline void moments_of_rows(const T* data, Index stride, Index count, Index depth, T eps, Moments<T>* moments,
                            T* mean_squares = nullptr) {
  using S = Simd<T>;
  using Q = baseline::Simd<T>;  // a number of each row
  constexpr Index rows = sums_at_once<T>;
  const T* row[rows];
  typename S::Vector sum[rows], distances[rows], squares[rows];
#pragma GCC unroll 4
  for (Index r = 0; r < rows; ++r) {
    row[r] = data + (r < count ? r * stride : 0);
    sum[r] = distances[r] = squares[r] = S::broadcast(T{0});
  }
  const T n = static_cast<T>(depth);
  const typename Q::Vector inverse_n = Q::broadcast(T{1} / n);
  add_rows<T>(row, depth, sum);
  const typename Q::Vector center = Q::mul(sums_of_lanes<T>(sum), inverse_n);
  add_distances<T>(row, depth, center, distances, squares);
  const typename Q::Vector offset = Q::mul(sums_of_lanes<T>(distances), inverse_n);
  const typename Q::Vector total = Q::mul(Q::mul(offset, offset), Q::broadcast(n));
  const typename Q::Vector around_mean = Q::relu(Q::sub(sums_of_lanes<T>(squares), total));
  const typename Q::Vector variance = Q::mul(around_mean, inverse_n);
  const typename Q::Vector mean = Q::add(center, offset);
  const typename Q::Vector rstd = Q::div(Q::broadcast(T{1}), Q::root(Q::add(variance, Q::broadcast(eps))));
  const typename Q::Vector mean_square = Q::mul(variance, Q::mul(rstd, rstd));
  for (Index r = 0; r < count; ++r) {
    moments[r] = {mean[r], rstd[r]};
    if (mean_squares) mean_squares[r] = mean_square[r];
  }
}

/// How many of the rows first … end − 1 are taken together.
template <class T>
inline Index moment_rows_of(Index first, Index end) {
  return end - first < sums_at_once<T> ? end - first : sums_at_once<T>;
}

/// moments[r] of row r of a matrix for r in `rows`.
template <class T>
inline void moments_of_matrix(const T* data, Index depth, Range rows, T eps, Moments<T>* moments) {
  for (Index first = rows.begin, some = 0; first < rows.end; first += some) {
    some = moment_rows_of<T>(first, rows.end);
    moments_of_rows<T>(data + first * depth, depth, some, depth, eps, moments + first);
  }
}

/// What `count` pixels from `first` on are normalised by; they lie at x, `stride` apart.
template <class T>
inline void moments_of_pixels(const T* x, Index stride, Index channels, Index first, Index count,
                              const Normalization<T>& by, Moments<T>* moments) {
  if (by.moments) {
    for (Index i = 0; i < count; ++i) moments[i] = by.moments[(first + i) / by.pixels_each];
    return;
  }
  for (Index i = 0, some = 0; i < count; i += some) {
    some = moment_rows_of<T>(i, count);
    moments_of_rows<T>(x + i * stride, stride, some, channels, by.eps, moments + i);
  }
}

/// Body of normalize(), of one pixel.
template <class T>
inline void normalize_pixel(const T* x, Index channels, const Moments<T>& moments, const NormalizedSum<T>& sum,
                            T* out) {
  using S = Simd<T>;
  using V = typename S::Vector;
  const V mean = S::broadcast(moments.mean);
  const V rstd = S::broadcast(moments.rstd);
  for (Index c = 0; c < channels; c += S::lanes) {
    const Index part = channels - c < S::lanes ? channels - c : S::lanes;
    const V value = load_part<T>(x + c, part);
    V y = S::mul(S::sub(value, mean), rstd);
    const V shift = sum.shift ? load_part<T>(sum.shift + c, part) : S::broadcast(T{0});
    y = sum.scale ? S::fma(load_part<T>(sum.scale + c, part), y, shift) : S::add(y, shift);
    if (sum.adds_input) {
      y = sum.input_scale ? S::fma(load_part<T>(sum.input_scale + c, part), value, y) : S::add(value, y);
    }
    store_part<T>(out + c, y, part);
  }
}

template <class T>
inline void normalize_pixels(const T* in, Index channels, Range pixels, const Normalization<T>& by,
                             const NormalizedSum<T>& sum, T* out) {
  Moments<T> moments[most_rows_copied];
  const Index together = rows_summed<T>(channels);
  for (Index first = pixels.begin, some = 0; first < pixels.end; first += some) {
    some = together < pixels.end - first ? together : pixels.end - first;
    moments_of_pixels<T>(in + first * channels, channels, channels, first, some, by, moments);
    for (Index i = 0; i < some; ++i) {
      const Index pixel = (first + i) * channels;
      normalize_pixel<T>(in + pixel, channels, moments[i], sum, out + pixel);
    }
  }
}

template <class T>
inline void add_arrays(const T* a, const T* b, Index count, T* out) {
  using S = Simd<T>;
  for (Index i = 0; i < count; i += S::lanes) {
    const Index part = count - i < S::lanes ? count - i : S::lanes;
    store_part<T>(out + i, S::add(load_part<T>(a + i, part), load_part<T>(b + i, part)), part);
  }
}
