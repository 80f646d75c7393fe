// Body of pool_mixer.hpp, compiled once for every instruction set (for_each_isa.hpp).

/// The sum of up to three pixels, one above the other.
template <class T>
inline typename Simd<T>::Vector column_sum(const PoolMixerRow<T>& row, const T* middle, Index part) {
  const Index stride = row.width * row.channels;
  typename Simd<T>::Vector sum = load_part<T>(middle, part);
  if (row.has_above) sum = Simd<T>::add(sum, load_part<T>(middle - stride, part));
  if (row.has_below) sum = Simd<T>::add(sum, load_part<T>(middle + stride, part));
  return sum;
}

/// Three columns' sums make a pixel's; each is made once and serves three pixels. Not a running sum, whose error would
/// grow along the row.
template <class T>
inline void pool_mix_row(const PoolMixerRow<T>& row) {
  using S = Simd<T>;
  using V = typename S::Vector;
  const Index rows = 1 + row.has_above + row.has_below;
  const T share_of[] = {T{1} / static_cast<T>(rows), T{1} / static_cast<T>(2 * rows), T{1} / static_cast<T>(3 * rows)};
  for (Index c = 0; c < row.channels; c += S::lanes) {
    const Index part = row.channels - c < S::lanes ? row.channels - c : S::lanes;
    const V factor = S::mul(load_part<T>(row.factor + c, part), S::broadcast(row.rstd));
    const V input_scale = row.input_scale ? load_part<T>(row.input_scale + c, part) : S::broadcast(T{1});
    const T* y = row.y + c;
    const T* x = row.x + c;
    T* out = row.out + c;
    V left = S::broadcast(T{0});
    V middle = column_sum<T>(row, y, part);
    for (Index i = 0; i < row.width; ++i) {
      const bool has_right = i + 1 < row.width;
      const V right = has_right ? column_sum<T>(row, y + row.channels, part) : S::broadcast(T{0});
      const V sum = S::add(S::add(left, middle), right);
      // sum / count − y, in one rounding where there is fma
      const V difference =
          S::fma(sum, S::broadcast(share_of[(i > 0) + has_right]), S::mul(load_part<T>(y, part), S::broadcast(T{-1})));
      store_part<T>(out, S::fma(factor, difference, S::mul(input_scale, load_part<T>(x, part))), part);
      left = middle;
      middle = right;
      x += row.channels;
      y += row.channels;
      out += row.channels;
    }
  }
}
