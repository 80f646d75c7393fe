// Body of pooling.hpp, compiled once for every instruction set (for_each_isa.hpp).

/// The largest value of a rectangle of pixels, channel by channel; NaN if one is.
template <class T>
inline void max_of_rectangle(const Rectangle<T>& in, Index channels, T* out) {
  using S = Simd<T>;
  Index c = 0;
  for (; c + S::lanes <= channels; c += S::lanes) {
    typename S::Vector best = S::load(in.first + c);
    for (Index y = 0; y < in.height; ++y) {
      for (Index x = 0; x < in.width; ++x) best = S::larger(best, S::load(in.pixel(y, x) + c));
    }
    S::store(out + c, best);
  }
  for (; c < channels; ++c) {
    T best = in.first[c];
    for (Index y = 0; y < in.height; ++y) {
      for (Index x = 0; x < in.width; ++x) {
        const T value = in.pixel(y, x)[c];
        best = best > value || best != best ? best : value;  // NOLINT(misc-redundant-expression): NaN
      }
    }
    out[c] = best;
  }
}

/// Sums of `vectors` vectors of channels over a rectangle. The sums of rows are added up apart, and their sum then: a
/// running sum over a whole map would carry the rounding errors of all its pixels.
template <class T, Index vectors>
inline void sum_of_rectangle(const Rectangle<T>& in, Index c, typename Simd<T>::Vector (&sum)[vectors]) {
  using S = Simd<T>;
  for (Index v = 0; v < vectors; ++v) sum[v] = S::broadcast(T{0});
  for (Index y = 0; y < in.height; ++y) {
    typename S::Vector row[vectors];
    for (Index v = 0; v < vectors; ++v) row[v] = S::load(in.pixel(y, 0) + c + v * S::lanes);
    for (Index x = 1; x < in.width; ++x) {
#pragma GCC unroll 4
      for (Index v = 0; v < vectors; ++v) row[v] = S::add(row[v], S::load(in.pixel(y, x) + c + v * S::lanes));
    }
    for (Index v = 0; v < vectors; ++v) sum[v] = S::add(sum[v], row[v]);
  }
}

/// The mean of a rectangle of pixels, channel by channel.
template <class T>
inline void mean_of_rectangle(const Rectangle<T>& in, Index channels, T* out) {
  using S = Simd<T>;
  constexpr Index vectors = 4;  // whole cache lines of each pixel
  const T share = T{1} / static_cast<T>(in.height * in.width);
  Index c = 0;
  for (; c + vectors * S::lanes <= channels; c += vectors * S::lanes) {
    typename S::Vector sum[vectors];
    sum_of_rectangle<T, vectors>(in, c, sum);
    for (Index v = 0; v < vectors; ++v) S::store(out + c + v * S::lanes, S::mul(sum[v], S::broadcast(share)));
  }
  for (; c + S::lanes <= channels; c += S::lanes) {
    typename S::Vector sum[1];
    sum_of_rectangle<T, 1>(in, c, sum);
    S::store(out + c, S::mul(sum[0], S::broadcast(share)));
  }
  for (; c < channels; ++c) {
    T sum = T{0};
    for (Index y = 0; y < in.height; ++y) {
      T row = in.pixel(y, 0)[c];
      for (Index x = 1; x < in.width; ++x) row += in.pixel(y, x)[c];
      sum += row;
    }
    out[c] = sum * share;
  }
}
