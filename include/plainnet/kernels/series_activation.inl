// Body of series_activation.hpp, compiled once for every instruction set (for_each_isa.hpp).

/// relu of one vector of channels of pixel x in a row of the map; zeros left and right of the row.
template <class T>
inline typename Simd<T>::Vector relu_or_zero(const T* row, Index x, Index width, Index stride) {
  using S = Simd<T>;
  return x >= 0 && x < width ? S::relu(S::load(row + x * stride)) : S::broadcast(T{0});
}

/// `pixels` neighbouring outputs of one vector of channels. Each input is loaded once for a row of taps and serves
/// all outputs that see it. side > 0 is known when compiling, else it is 2 · reach + 1.
template <class T, Index side, Index pixels>
inline void series_of_pixels(const SeriesRow<T>& row, const T* taps, const T* bias, Index channel, Index x, T* out) {
  using S = Simd<T>;
  using V = typename S::Vector;
  const Index reach = side / 2;
  V sum[pixels];
#pragma GCC unroll 8
  for (Index p = 0; p < pixels; ++p) sum[p] = S::load(bias);
  for (Index ky = row.first_tap; ky < row.end_tap; ++ky) {
    const T* in_row = row.in + (ky - row.first_tap) * row.row_stride + channel;
    const T* tap_row = taps + ky * side * S::lanes;
    V in[side + pixels - 1];
    const bool inside = x >= reach && x + pixels + reach <= row.width;
    if (inside) {
#pragma GCC unroll 16
      for (Index i = 0; i < side + pixels - 1; ++i)
        in[i] = S::relu(S::load(in_row + (x - reach + i) * row.pixel_stride));
    } else {
#pragma GCC unroll 16
      for (Index i = 0; i < side + pixels - 1; ++i) {
        in[i] = relu_or_zero<T>(in_row, x - reach + i, row.width, row.pixel_stride);
      }
    }
#pragma GCC unroll 8
    for (Index kx = 0; kx < side; ++kx) {
      const V tap = S::load(tap_row + kx * S::lanes);
#pragma GCC unroll 8
      for (Index p = 0; p < pixels; ++p) sum[p] = S::fma(tap, in[kx + p], sum[p]);
    }
  }
#pragma GCC unroll 8
  for (Index p = 0; p < pixels; ++p) S::store(out + p * row.pixel_stride, sum[p]);
}

/// The same, one output at a time, for a side known at run time only.
template <class T>
inline void series_of_pixel(const SeriesRow<T>& row, Index reach, const T* taps, const T* bias, Index channel, Index x,
                            T* out) {
  using S = Simd<T>;
  const Index side = 2 * reach + 1;
  typename S::Vector sum = S::load(bias);
  for (Index ky = row.first_tap; ky < row.end_tap; ++ky) {
    const T* in_row = row.in + (ky - row.first_tap) * row.row_stride + channel;
    for (Index kx = 0; kx < side; ++kx) {
      sum = S::fma(S::load(taps + (ky * side + kx) * S::lanes),
                   relu_or_zero<T>(in_row, x - reach + kx, row.width, row.pixel_stride), sum);
    }
  }
  S::store(out, sum);
}

/// One row of outputs, for one vector of channels.
template <class T>
inline void series_of_row(const SeriesRow<T>& row, Index reach, const T* taps, const T* bias, Index channel, T* out) {
  Index x = 0;
  if (reach == 3) {
    constexpr Index pixels = Simd<T>::lanes * sizeof(T) == 64 ? 7 : 2;
    for (; x + pixels <= row.width; x += pixels) {
      series_of_pixels<T, 7, pixels>(row, taps, bias, channel, x, out + x * row.pixel_stride + channel);
    }
  }
  for (; x < row.width; ++x) {
    series_of_pixel<T>(row, reach, taps, bias, channel, x, out + x * row.pixel_stride + channel);
  }
}

/// The channels after the last whole vector, one by one.
template <class T>
inline void series_of_rest(const SeriesRow<T>& row, Index reach, const T* taps, const T* bias, Index channel,
                           Index lane, T* out) {
  const Index side = 2 * reach + 1;
  for (Index x = 0; x < row.width; ++x) {
    T sum = bias[lane];
    for (Index ky = row.first_tap; ky < row.end_tap; ++ky) {
      for (Index kx = 0; kx < side; ++kx) {
        const Index in_x = x - reach + kx;
        if (in_x < 0 || in_x >= row.width) continue;
        const T value = row.in[(ky - row.first_tap) * row.row_stride + in_x * row.pixel_stride + channel];
        sum += taps[(ky * side + kx) * Simd<T>::lanes + lane] * (value < T{0} ? T{0} : value);
      }
    }
    out[x * row.pixel_stride + channel] = sum;
  }
}

template <class T>
inline void series_rows(TensorView<const T> in, const PackedSeries<T>& packed, TensorView<T> out, Range rows) {
  constexpr Index lanes = Simd<T>::lanes;
  const Shape& shape = in.shape();
  const Index side = 2 * packed.reach + 1;
  const Index group_size = (side * side + 1) * lanes;
  for (Index channel = 0; channel < shape.channels; channel += lanes) {
    const T* taps = packed.taps.data() + channel / lanes * group_size;
    const T* bias = taps + side * side * lanes;
    for (Index r = rows.begin; r < rows.end; ++r) {
      const Index n = r / shape.height;
      const Index y = r % shape.height;
      SeriesRow<T> row;
      row.first_tap = packed.reach > y ? packed.reach - y : 0;
      row.end_tap = y + packed.reach < shape.height ? side : shape.height - y + packed.reach;
      row.in = in.pixel(n, y - packed.reach + row.first_tap, 0);
      row.row_stride = shape.width * shape.channels;
      row.pixel_stride = shape.channels;
      row.width = shape.width;
      T* out_row = out.pixel(n, y, 0);
      if (channel + lanes <= shape.channels) {
        series_of_row<T>(row, packed.reach, taps, bias, channel, out_row);
      } else {
        for (Index c = channel; c < shape.channels; ++c) {
          series_of_rest<T>(row, packed.reach, taps, bias, c, c - channel, out_row);
        }
      }
    }
  }
}
