// Body of depthwise.hpp, compiled once for every instruction set (for_each_isa.hpp).

/// Outputs of a row that are computed together, or down to three less: sums that do not wait for each other, of which a
/// multiply-add takes four cycles and one of AVX-512 or two begin in each.
inline constexpr Index depthwise_most_columns = 7;

/// Where AVX-512's registers suffice and a row is cut into such: twice as many (Zen 5: 0.88 of the time).
inline constexpr Index depthwise_wide_columns = 2 * depthwise_most_columns;

/// The rows that two rows of windows see, of one vector of channels and some columns: activated, a vector behind the
/// other, with the zeros left and right of the map, in L1, and a row of zeros. So a pixel is fetched and activated once
/// for all the taps it meets, borders need no code of their own, and the result may be written over the map.
template <class T, Index known_side>
struct DepthwiseRing {
  alignas(64) T rows[depthwise_ring_vectors * Simd<T>::lanes];

  Index side;
  Index height;      // of the map
  Index row_length;  // vectors
  Index columns;     // of outputs

  /// As many columns as fit, `width` at the most. A row is as long as the smallest block needs at least.
  DepthwiseRing(Index reach, Index height_, Index width) : side(2 * reach + 1), height(height_) {
    constexpr Index most_in_block = depthwise_most_columns, least_in_block = most_in_block - 3;
    const Index most = depthwise_most_width(reach);
    columns = width <= most ? width : most / most_in_block * most_in_block;
    row_length = (columns < least_in_block ? least_in_block : columns) + 2 * reach;
    for (Index i = 0; i < row_length * Simd<T>::lanes; ++i) rows[i] = 0;
  }

  /// Where row y of the map lies; a row of zeros if it is outside.
  T* row(Index y) {
    const Index slots = (known_side > 0 ? known_side : side) + 1;
    const Index slot = y >= 0 && y < height ? 1 + y % slots : 0;
    return rows + slot * row_length * Simd<T>::lanes;
  }
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

/// A row of inputs, from some column on.
template <class T>
struct DepthwiseRow {
  const T* row;

  typename Simd<T>::Vector operator()(Index i) const { return Simd<T>::load(row + i * Simd<T>::lanes); }
};

/// A row less another.
template <class T>
struct DepthwiseDifference {
  DepthwiseRow<T> row;
  DepthwiseRow<T> other;

  typename Simd<T>::Vector operator()(Index i) const { return Simd<T>::sub(row(i), other(i)); }
};

/// sum[p] += Σ_kx taps(kx) · x(p + kx). `known_side` is 0 where the side is known at run time only; of 7 taps, a row
/// stays in registers with the sums and an input, 15 even of AVX2's 16.
template <class T, Index known_side, class Row, Index columns>
inline void add_depthwise_row(const Row& x, const T* taps, Index side, typename Simd<T>::Vector (&sum)[columns]) {
  using S = Simd<T>;
  using V = typename S::Vector;
  if constexpr (known_side > 0) {
    V tap[known_side];
#pragma GCC unroll 8
    for (Index kx = 0; kx < known_side; ++kx) tap[kx] = S::load(taps + kx * S::lanes);
#pragma GCC unroll 32
    for (Index i = 0; i < known_side + columns - 1; ++i) {
      const V input = x(i);
#pragma GCC unroll 8
      for (Index kx = 0; kx < known_side; ++kx) {
        if (i >= kx && i - kx < columns) sum[i - kx] = S::fma(tap[kx], input, sum[i - kx]);
      }
    }
  } else {
#pragma GCC unroll 1
    for (Index kx = 0; kx < side; ++kx) {
      const V tap = S::load(taps + kx * S::lanes);
#pragma GCC unroll 16
      for (Index p = 0; p < columns; ++p) sum[p] = S::fma(tap, x(kx + p), sum[p]);
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

/// One or two rows of outputs, from row y of the map on, in columns x … x + columns − 1, `count` of them wanted. Row
/// y − n + 2 j + 1 of inputs is the x_1 of pair j.
template <class T, Index known_side, Index columns>
inline void depthwise_block(DepthwiseRing<T, known_side>& ring, Index y, Index outputs, const T* taps, Index x,
                            Index count, const DepthwisePlace<T>& place) {
  using S = Simd<T>;
  using V = typename S::Vector;
  const Index side = known_side > 0 ? known_side : ring.side;
  const Index reach = side / 2;
  const Index tap_row = side * S::lanes;
  const Index height = ring.height;
  for (Index i = 0; i < place.next_rows; ++i) {
    for (Index p = 0; p < count; ++p) __builtin_prefetch(place.next + i * place.row + (x + p) * place.pixel, 0, 2);
  }
  const T* const pair_taps = taps + side * tap_row;
  const V bias = S::load(pair_taps + reach * tap_row);
  const Index column = x * S::lanes;
  V both[columns];
#pragma GCC unroll 16
  for (Index p = 0; p < columns; ++p) both[p] = bias;
  for (Index j = 0; j < reach; ++j) {
    const Index middle = y - reach + 2 * j + 1;
    if (middle < 0 || middle >= height) continue;
    add_depthwise_row<T, known_side>(DepthwiseRow<T>{ring.row(middle) + column}, pair_taps + j * tap_row, side, both);
  }
  for (Index o = 0; o < outputs; ++o) {
    V sum[columns];
#pragma GCC unroll 16
    for (Index p = 0; p < columns; ++p) sum[p] = both[p];
    for (Index j = 0; j < reach; ++j) {
      const Index middle = y - reach + 2 * j + 1;
      const Index other = o ? middle + 1 : middle - 1;
      if ((other < 0 && middle < 0) || (other >= height && middle >= height)) continue;
      const DepthwiseDifference<T> difference{{ring.row(other) + column}, {ring.row(middle) + column}};
      add_depthwise_row<T, known_side>(difference, taps + (2 * j + o) * tap_row, side, sum);
    }
    const Index last = y + reach + o;
    if (last < height)
      add_depthwise_row<T, known_side>(DepthwiseRow<T>{ring.row(last) + column}, taps + 2 * reach * tap_row, side, sum);
#pragma GCC unroll 16
    for (Index p = 0; p < columns; ++p) {
      if (p < count) store_part<T>(place.out + o * place.row + (x + p) * place.pixel, sum[p], place.part);
    }
  }
}

/// `count` columns of a pair of rows, in blocks alike: wide ones, or down to three columns less than most.
template <class T, Index known_side>
inline void depthwise_columns(DepthwiseRing<T, known_side>& ring, Index y, Index outputs, const T* taps, Index count,
                              const DepthwisePlace<T>& place) {
  if constexpr (Simd<T>::lanes * sizeof(T) == 64) {
    constexpr Index wide = depthwise_wide_columns;
    if (count % wide == 0) {
      for (Index x = 0; x < count; x += wide)
        depthwise_block<T, known_side, wide>(ring, y, outputs, taps, x, wide, place);
      return;
    }
  }
  constexpr Index most = depthwise_most_columns;
  const Index blocks = (count + most - 1) / most;
  for (Index i = 0, x = 0; i < blocks; ++i) {
    const Index wanted = (count - x + blocks - i - 1) / (blocks - i);
    if (wanted == most) {
      depthwise_block<T, known_side, most>(ring, y, outputs, taps, x, wanted, place);
    } else if (wanted == most - 1) {
      depthwise_block<T, known_side, most - 1>(ring, y, outputs, taps, x, wanted, place);
    } else if (wanted == most - 2) {
      depthwise_block<T, known_side, most - 2>(ring, y, outputs, taps, x, wanted, place);
    } else {
      depthwise_block<T, known_side, most - 3>(ring, y, outputs, taps, x, wanted, place);
    }
    x += wanted;
  }
}

/// Taps come from memory. While a vector of channels is computed those of the next are asked for, a part with each pair
/// of rows (Zen 5, 7×7 taps: 0.45 of the time of a 7×7 map, 0.62 of 14×14, 0.89 of 28×28, 0.97 of 56×56).
template <class T, Index known_side>
inline void depthwise_rows(TensorView<const T> in, const PackedDepthwise<T>& packed, TensorView<T> out, Range pairs,
                           Range vectors) {
  constexpr Index lanes = Simd<T>::lanes;
  const Shape& shape = in.shape();
  const Index reach = packed.reach;
  const Index image_pairs = (shape.height + 1) / 2;
  DepthwiseRing<T, known_side> ring(reach, shape.height, shape.width);
  for (Index channel = vectors.begin * lanes; channel < vectors.end * lanes; channel += lanes) {
    const Index part = shape.channels - channel < lanes ? shape.channels - channel : lanes;
    const T* taps = packed.taps.data() + channel * packed.channel_size();
    const T* next_taps = channel + lanes < vectors.end * lanes ? taps + packed.channel_size() * lanes : taps;
    for (Index first = 0; first < shape.width; first += ring.columns) {
      const Index count = shape.width - first < ring.columns ? shape.width - first : ring.columns;
      Index loaded = 0;  // rows of this image
      for (Index pair = pairs.begin; pair < pairs.end; ++pair) {
        const Index n = pair / image_pairs;
        const Index y = pair % image_pairs * 2;
        const Index outputs = y + 1 < shape.height ? 2 : 1;
        if (pair == pairs.begin || y == 0) loaded = y > reach ? y - reach : 0;
        for (; loaded < y + outputs + reach && loaded < shape.height; ++loaded) {
          load_depthwise_row<T>(in.pixel(n, loaded, 0) + channel, first, shape.width, shape.channels, part, packed,
                                ring.row_length, ring.row(loaded));
        }
        const Range asked = part_of(packed.channel_size(), pairs.size(), pair - pairs.begin);
        for (Index i = asked.begin; i < asked.end; ++i) __builtin_prefetch(next_taps + i * lanes);
        const Index later = shape.height - loaded;
        const DepthwisePlace<T> place{.out = out.pixel(n, y, first) + channel,
                                      .row = shape.width * shape.channels,
                                      .pixel = shape.channels,
                                      .part = part,
                                      .next = later > 0 ? in.pixel(n, loaded, first) + channel : nullptr,
                                      .next_rows = later < outputs ? later : outputs};
        depthwise_columns<T, known_side>(ring, y, outputs, taps, count, place);
      }
    }
  }
}

template <class T>
inline void depthwise_part(TensorView<const T> in, const PackedDepthwise<T>& packed, TensorView<T> out, Range pairs,
                           Range vectors) {
  if (packed.reach == 3) {
    depthwise_rows<T, 7>(in, packed, out, pairs, vectors);
  } else {
    depthwise_rows<T, 0>(in, packed, out, pairs, vectors);
  }
}
