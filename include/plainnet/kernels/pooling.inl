// Body of pooling.hpp, compiled once for every instruction set (for_each_isa.hpp).

/// The largest value of a rectangle of pixels, channel by channel; NaN if one is.
template <class T>
inline void max_of_rectangle(const T* first, Index height, Index width, Index row_stride, Index channels, T* out) {
  using S = Simd<T>;
  Index c = 0;
  for (; c + S::lanes <= channels; c += S::lanes) {
    typename S::Vector best = S::load(first + c);
    for (Index y = 0; y < height; ++y) {
      for (Index x = 0; x < width; ++x) best = S::larger(best, S::load(first + y * row_stride + x * channels + c));
    }
    S::store(out + c, best);
  }
  for (; c < channels; ++c) {
    T best = first[c];
    for (Index y = 0; y < height; ++y) {
      for (Index x = 0; x < width; ++x) {
        const T value = first[y * row_stride + x * channels + c];
        best = best > value || best != best ? best : value;
      }
    }
    out[c] = best;
  }
}

/// The mean of `pixels` neighbouring pixels, channel by channel.
template <class T>
inline void mean_of_pixels(const T* first, Index pixels, Index channels, T* out) {
  using S = Simd<T>;
  const T share = T{1} / static_cast<T>(pixels);
  Index c = 0;
  for (; c + S::lanes <= channels; c += S::lanes) {
    typename S::Vector sum = S::load(first + c);
    for (Index p = 1; p < pixels; ++p) sum = S::add(sum, S::load(first + p * channels + c));
    S::store(out + c, S::mul(sum, S::broadcast(share)));
  }
  for (; c < channels; ++c) {
    T sum = first[c];
    for (Index p = 1; p < pixels; ++p) sum += first[p * channels + c];
    out[c] = sum * share;
  }
}
