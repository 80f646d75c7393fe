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

template <class T>
inline Moments<T> moments_of(const T* x, Index count, T eps) {
  const Spread<T> spread = spread_of<T>(x, count);
  return {spread.center + spread.offset, T{1} / std::sqrt(spread.squares / static_cast<T>(count) + eps)};
}

template <class T>
inline void normalize_row(const T* x, Index count, const Moments<T>& moments, T* out) {
  using S = Simd<T>;
  const typename S::Vector mean = S::broadcast(moments.mean);
  const typename S::Vector rstd = S::broadcast(moments.rstd);
  for (Index i = 0; i < count; i += S::lanes) {
    const Index part = count - i < S::lanes ? count - i : S::lanes;
    store_part<T>(out + i, S::mul(S::sub(load_part<T>(x + i, part), mean), rstd), part);
  }
}

/// Rows `rows` of a matrix, row r at data + r · stride: copies of them as copied_row_stride() has them.
template <class T>
inline void normalize_rows(const T* data, Index stride, Index depth, Range rows, const Normalization<T>& by,
                           T* copies) {
  for (Index r = rows.begin; r < rows.end; ++r, copies += copied_row_stride<T>(depth)) {
    const T* x = data + r * stride;
    normalize_row<T>(x, depth, by.moments ? by.moments[r / by.pixels_each] : moments_of<T>(x, depth, by.eps), copies);
  }
}

template <class T>
inline void normalize_pixels(const T* in, Index channels, Range pixels, const Normalization<T>& by,
                             const NormalizedSum<T>& sum, T* out) {
  using S = Simd<T>;
  using V = typename S::Vector;
  for (Index p = pixels.begin; p < pixels.end; ++p) {
    const T* x = in + p * channels;
    const Moments<T> moments = by.moments ? by.moments[p / by.pixels_each] : moments_of<T>(x, channels, by.eps);
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
      store_part<T>(out + p * channels + c, y, part);
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
