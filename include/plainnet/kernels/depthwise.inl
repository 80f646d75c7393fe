// Body of depthwise.hpp, compiled once for every instruction set (for_each_isa.hpp).

/// Neighbouring outputs that are computed together, which divide the widths 7, 14, 28 and 56. Fewer would wait for
/// their own sums, since a multiply-add takes four cycles and two begin in each: with 4, which leave room for their
/// inputs in AVX2's 16 registers, AVX2 took 1.2 to 1.4 times as long.
inline constexpr Index depthwise_pixels = 7;

/// Whether the inputs in a row that the outputs see stay in registers while a row of taps goes over them: of 7 taps, 13
/// inputs, with the sums 20 of AVX-512's 32 registers. Else they are read from L1 for every tap.
template <class T>
inline constexpr bool depthwise_keeps_inputs = Simd<T>::lanes * sizeof(T) == 64;

/// The rows that a window sees, of one vector of channels and some columns: activated, a vector behind the other, with
/// the zeros left and right of the map, in L1. So a pixel is fetched and activated once for all the taps it meets, and
/// borders need no code of their own. Row y of the map lies in slot y % side.
template <class T>
struct DepthwiseRing {
  static constexpr Index capacity = 512;  // vectors
  alignas(64) T rows[capacity * Simd<T>::lanes];

  Index side;
  Index row_length;  // vectors
  Index columns;     // of outputs

  /// As many columns as fit, `width` at the most. A row is a little longer than its columns need, since outputs are
  /// computed by the handful.
  DepthwiseRing(Index reach, Index width) : side(2 * reach + 1) {
    constexpr Index pixels = depthwise_pixels;
    const Index most = capacity / side - 2 * reach - (pixels - 1);
    columns = width <= most ? width : most / pixels * pixels;
    row_length = columns + 2 * reach + pixels - 1;
  }

  T* row(Index y) { return rows + y % side * row_length * Simd<T>::lanes; }
};

/// One row of one vector of channels into the ring, from column `first` − reach of the map on. `part` channels are
/// wanted.
template <class T>
inline void load_depthwise_row(const T* pixels, Index first, Index width, Index channels, Index part,
                               const PackedDepthwise<T>& packed, Index length, T* to) {
  using S = Simd<T>;
  using V = typename S::Vector;
  const Index begin = first - packed.reach;
  const Index left = begin < 0 ? -begin : 0;
  const Index end = begin + length < width ? length : width - begin;
  const V floor = S::broadcast(packed.input == DepthwiseInput::unchanged ? -std::numeric_limits<T>::infinity() : T{0});
  const bool is_squared = packed.input == DepthwiseInput::squared_relu;
  const V shift = S::broadcast(packed.shift);
  Index i = 0;
  for (; i < left; ++i) S::store(to + i * S::lanes, S::broadcast(T{0}));
  for (; i < end; ++i) {
    V x = S::at_least(floor, load_part<T>(pixels + (begin + i) * channels, part));
    if (is_squared) x = S::fma(x, x, shift);
    S::store(to + i * S::lanes, x);
  }
  for (; i < length; ++i) S::store(to + i * S::lanes, S::broadcast(T{0}));
}

/// sum[p] += Σ_kx taps[kx] · in[p + kx]; `known_side` is 0 where the side is known at run time only.
template <class T, Index known_side>
inline void add_depthwise_row(const T* in, const T* taps, Index side,
                              typename Simd<T>::Vector (&sum)[depthwise_pixels]) {
  using S = Simd<T>;
  using V = typename S::Vector;
  constexpr Index pixels = depthwise_pixels;
  if constexpr (known_side > 0 && depthwise_keeps_inputs<T>) {
    V x[known_side + pixels - 1];
#pragma GCC unroll 16
    for (Index i = 0; i < known_side + pixels - 1; ++i) x[i] = S::load(in + i * S::lanes);
#pragma GCC unroll 8
    for (Index kx = 0; kx < known_side; ++kx) {
      const V tap = S::load(taps + kx * S::lanes);
#pragma GCC unroll 8
      for (Index p = 0; p < pixels; ++p) sum[p] = S::fma(tap, x[kx + p], sum[p]);
    }
  } else {
#pragma GCC unroll 1
    for (Index kx = 0; kx < side; ++kx) {
      const V tap = S::load(taps + kx * S::lanes);
#pragma GCC unroll 8
      for (Index p = 0; p < pixels; ++p) sum[p] = S::fma(tap, S::load(in + (kx + p) * S::lanes), sum[p]);
    }
  }
}

/// `ring.columns` outputs of row y of a map of `height` rows, `count` of them wanted, to out + i · stride.
/// Pixels of a row far from each other in memory, each a line of its own that no hardware foresees: they are asked for
/// while the rows before are computed.
template <class T>
inline void prefetch_pixels(const T* pixels, Index count, Index stride) {
  for (Index i = 0; i < count; ++i) __builtin_prefetch(pixels + i * stride, 0, 2);
}

template <class T, Index known_side>
inline void depthwise_row(DepthwiseRing<T>& ring, Index y, Index height, const T* taps, Index count, T* out,
                          Index stride, Index part, const T* next) {
  using S = Simd<T>;
  constexpr Index pixels = depthwise_pixels;
  const Index side = known_side > 0 ? known_side : ring.side;
  const Index reach = side / 2;
  const Index first_tap = reach > y ? reach - y : 0;
  const Index end_tap = y + reach < height ? side : height - y + reach;
  const typename S::Vector bias = S::load(taps + side * side * S::lanes);
  for (Index x = 0; x < count; x += pixels) {
    if (next) prefetch_pixels<T>(next + x * stride, x + pixels < count ? pixels : count - x, stride);
    typename S::Vector sum[pixels];
#pragma GCC unroll 8
    for (Index p = 0; p < pixels; ++p) sum[p] = bias;
    for (Index ky = first_tap; ky < end_tap; ++ky) {
      add_depthwise_row<T, known_side>(ring.row(y + ky - reach) + x * S::lanes, taps + ky * side * S::lanes, side, sum);
    }
#pragma GCC unroll 8
    for (Index p = 0; p < pixels; ++p) {
      if (x + p < count) store_part<T>(out + (x + p) * stride, sum[p], part);
    }
  }
}

template <class T>
inline void depthwise_rows(TensorView<const T> in, const PackedDepthwise<T>& packed, TensorView<T> out, Range rows) {
  constexpr Index lanes = Simd<T>::lanes;
  const Shape& shape = in.shape();
  const Index reach = packed.reach;
  DepthwiseRing<T> ring(reach, shape.width);
  for (Index channel = 0; channel < shape.channels; channel += lanes) {
    const Index part = shape.channels - channel < lanes ? shape.channels - channel : lanes;
    const T* taps = packed.taps.data() + channel * (ring.side * ring.side + 1);
    for (Index first = 0; first < shape.width; first += ring.columns) {
      const Index count = shape.width - first < ring.columns ? shape.width - first : ring.columns;
      Index loaded = 0;  // rows of this image
      for (Index r = rows.begin; r < rows.end; ++r) {
        const Index n = r / shape.height;
        const Index y = r % shape.height;
        if (r == rows.begin || y == 0) loaded = y > reach ? y - reach : 0;
        for (; loaded <= y + reach && loaded < shape.height; ++loaded) {
          load_depthwise_row<T>(in.pixel(n, loaded, 0) + channel, first, shape.width, shape.channels, part, packed,
                                ring.row_length, ring.row(loaded));
        }
        T* const out_row = out.pixel(n, y, first) + channel;
        const T* const next = loaded < shape.height ? in.pixel(n, loaded, first) + channel : nullptr;
        if (reach == 3) {
          depthwise_row<T, 7>(ring, y, shape.height, taps, count, out_row, shape.channels, part, next);
        } else {
          depthwise_row<T, 0>(ring, y, shape.height, taps, count, out_row, shape.channels, part, next);
        }
      }
    }
  }
}
