// Body of depthwise.hpp, compiled once for every instruction set (for_each_isa.hpp).

/// Outputs that are computed together: two rows of so many columns or a few less. A multiply-add takes four cycles and
/// two begin in each, so eight sums must not wait for each other; and every input is used for both rows, since an input
/// read for each multiply-add is all that the two load ports can do.
template <class T>
inline constexpr Index depthwise_most_columns = Simd<T>::lanes * sizeof(T) == 64 ? 7 : 5;

/// Whether the inputs in a row that the outputs see stay in registers while a row of taps goes over them: of 7 taps, 13
/// inputs, with the sums 27 of AVX-512's 32 registers. Else they are read from L1 for every tap.
template <class T>
inline constexpr bool depthwise_keeps_inputs = Simd<T>::lanes * sizeof(T) == 64;

/// The rows that two rows of windows see, of one vector of channels and some columns: activated, a vector behind the
/// other, with the zeros left and right of the map, in L1. So a pixel is fetched and activated once for all the taps it
/// meets, borders need no code of their own, and the result may be written over the map. Row y of the map lies in slot
/// y % (side + 1).
template <class T>
struct DepthwiseRing {
  alignas(64) T rows[depthwise_ring_vectors * Simd<T>::lanes];

  Index side;
  Index row_length;  // vectors
  Index columns;     // of outputs

  /// As many columns as fit, `width` at the most. A row is a little longer than its columns need, since outputs are
  /// computed by the handful.
  DepthwiseRing(Index reach, Index width) : side(2 * reach + 1) {
    constexpr Index handful = depthwise_most_columns<T>;
    const Index most = depthwise_most_width(reach);
    columns = width <= most ? width : most / handful * handful;
    row_length = columns + 2 * reach + handful - 1;
  }

  T* row(Index y) { return rows + y % (side + 1) * row_length * Simd<T>::lanes; }
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

/// sum[o][p] += Σ_kx taps(−o, kx) · in[p + kx]: a row of inputs meets the row before of the taps in the next row of
/// outputs. `known_side` is 0 where the side is known at run time only.
template <class T, Index known_side, Index outputs, Index columns>
inline void add_depthwise_row(const T* in, const T* taps, Index side, typename Simd<T>::Vector (*sum)[columns]) {
  using S = Simd<T>;
  using V = typename S::Vector;
  const Index row = side * S::lanes;
  if constexpr (known_side > 0 && depthwise_keeps_inputs<T>) {
    V x[known_side + columns - 1];
#pragma GCC unroll 16
    for (Index i = 0; i < known_side + columns - 1; ++i) x[i] = S::load(in + i * S::lanes);
#pragma GCC unroll 8
    for (Index kx = 0; kx < known_side; ++kx) {
#pragma GCC unroll 2
      for (Index o = 0; o < outputs; ++o) {
        const V tap = S::load(taps - o * row + kx * S::lanes);
#pragma GCC unroll 8
        for (Index p = 0; p < columns; ++p) sum[o][p] = S::fma(tap, x[kx + p], sum[o][p]);
      }
    }
  } else {
#pragma GCC unroll 1
    for (Index kx = 0; kx < side; ++kx) {
      V tap[outputs];
#pragma GCC unroll 2
      for (Index o = 0; o < outputs; ++o) tap[o] = S::load(taps - o * row + kx * S::lanes);
#pragma GCC unroll 8
      for (Index p = 0; p < columns; ++p) {
        const V x = S::load(in + (kx + p) * S::lanes);
#pragma GCC unroll 2
        for (Index o = 0; o < outputs; ++o) sum[o][p] = S::fma(tap[o], x, sum[o][p]);
      }
    }
  }
}

/// Where outputs of one vector of channels are written, and the inputs that are asked for meanwhile: pixels of a row
/// lie far from each other in memory, each in a line of its own that no hardware foresees.
template <class T>
struct DepthwisePlace {
  T* out;         // row y, first column
  Index row;      // elements from a row to the next
  Index pixel;    // and from a pixel
  Index part;     // channels that are wanted
  const T* next;  // of the input, or null
  Index next_rows;
};

/// `outputs` rows of outputs, 1 or 2, from row y of the map on, in columns x … x + columns − 1, `count` of them wanted.
/// The order of a sum's terms is that of the taps.
template <class T, Index known_side, Index outputs, Index columns>
inline void depthwise_block(DepthwiseRing<T>& ring, Index y, Index height, const T* taps, Index x, Index count,
                            const DepthwisePlace<T>& place) {
  using S = Simd<T>;
  const Index side = known_side > 0 ? known_side : ring.side;
  const Index reach = side / 2;
  const Index tap_row = side * S::lanes;
  for (Index i = 0; i < place.next_rows; ++i) {
    for (Index p = 0; p < count; ++p) __builtin_prefetch(place.next + i * place.row + (x + p) * place.pixel, 0, 2);
  }
  const typename S::Vector bias = S::load(taps + side * tap_row);
  typename S::Vector sum[outputs][columns];
#pragma GCC unroll 2
  for (Index o = 0; o < outputs; ++o) {
#pragma GCC unroll 8
    for (Index p = 0; p < columns; ++p) sum[o][p] = bias;
  }
  // Rows of inputs: one that only the first row of outputs sees, those that all see, one that only the last sees.
  const Index above = y - reach;
  const Index last = y + reach + outputs - 1;
  const Index all_begin = above + outputs - 1 > 0 ? above + outputs - 1 : 0;
  const Index all_end = last - outputs + 2 < height ? last - outputs + 2 : height;
  if (outputs > 1 && above >= 0) {
    add_depthwise_row<T, known_side, 1, columns>(ring.row(above) + x * S::lanes, taps, side, sum);
  }
  for (Index row = all_begin; row < all_end; ++row) {
    add_depthwise_row<T, known_side, outputs, columns>(ring.row(row) + x * S::lanes, taps + (row - above) * tap_row,
                                                       side, sum);
  }
  if (outputs > 1 && last < height) {
    add_depthwise_row<T, known_side, 1, columns>(ring.row(last) + x * S::lanes, taps + (side - 1) * tap_row, side,
                                                 sum + outputs - 1);
  }
#pragma GCC unroll 2
  for (Index o = 0; o < outputs; ++o) {
#pragma GCC unroll 8
    for (Index p = 0; p < columns; ++p) {
      if (p < count) store_part<T>(place.out + o * place.row + (x + p) * place.pixel, sum[o][p], place.part);
    }
  }
}

/// `count` columns of `outputs` rows, in blocks alike.
template <class T, Index known_side, Index outputs>
inline void depthwise_columns(DepthwiseRing<T>& ring, Index y, Index height, const T* taps, Index count,
                              const DepthwisePlace<T>& place) {
  constexpr Index most = depthwise_most_columns<T>;
  const Index blocks = (count + most - 1) / most;
  for (Index i = 0, x = 0; i < blocks; ++i) {
    const Index wanted = (count - x + blocks - i - 1) / (blocks - i);
    if (wanted == most) {
      depthwise_block<T, known_side, outputs, most>(ring, y, height, taps, x, wanted, place);
    } else if (wanted == most - 1) {
      depthwise_block<T, known_side, outputs, most - 1>(ring, y, height, taps, x, wanted, place);
    } else if (wanted == most - 2) {
      depthwise_block<T, known_side, outputs, most - 2>(ring, y, height, taps, x, wanted, place);
    } else {
      depthwise_block<T, known_side, outputs, most - 3>(ring, y, height, taps, x, wanted, place);
    }
    x += wanted;
  }
}

template <class T, Index known_side>
inline void depthwise_rows(TensorView<const T> in, const PackedDepthwise<T>& packed, TensorView<T> out, Range rows,
                           Range vectors) {
  constexpr Index lanes = Simd<T>::lanes;
  const Shape& shape = in.shape();
  const Index reach = packed.reach;
  DepthwiseRing<T> ring(reach, shape.width);
  for (Index channel = vectors.begin * lanes; channel < vectors.end * lanes; channel += lanes) {
    const Index part = shape.channels - channel < lanes ? shape.channels - channel : lanes;
    const T* taps = packed.taps.data() + channel * (ring.side * ring.side + 1);
    for (Index first = 0; first < shape.width; first += ring.columns) {
      const Index count = shape.width - first < ring.columns ? shape.width - first : ring.columns;
      Index loaded = 0;  // rows of this image
      for (Index r = rows.begin, outputs = 0; r < rows.end; r += outputs) {
        const Index n = r / shape.height;
        const Index y = r % shape.height;
        outputs = y + 1 < shape.height && r + 1 < rows.end ? 2 : 1;
        if (r == rows.begin || y == 0) loaded = y > reach ? y - reach : 0;
        for (; loaded < y + outputs + reach && loaded < shape.height; ++loaded) {
          load_depthwise_row<T>(in.pixel(n, loaded, 0) + channel, first, shape.width, shape.channels, part, packed,
                                ring.row_length, ring.row(loaded));
        }
        const Index later = shape.height - loaded;
        const DepthwisePlace<T> place{.out = out.pixel(n, y, first) + channel,
                                      .row = shape.width * shape.channels,
                                      .pixel = shape.channels,
                                      .part = part,
                                      .next = later > 0 ? in.pixel(n, loaded, first) + channel : nullptr,
                                      .next_rows = later < outputs ? later : outputs};
        if (outputs == 2) {
          depthwise_columns<T, known_side, 2>(ring, y, shape.height, taps, count, place);
        } else {
          depthwise_columns<T, known_side, 1>(ring, y, shape.height, taps, count, place);
        }
      }
    }
  }
}

template <class T>
inline void depthwise_part(TensorView<const T> in, const PackedDepthwise<T>& packed, TensorView<T> out, Range rows,
                           Range vectors) {
  if (packed.reach == 3) {
    depthwise_rows<T, 7>(in, packed, out, rows, vectors);
  } else {
    depthwise_rows<T, 0>(in, packed, out, rows, vectors);
  }
}
