#pragma once
// Depthwise (2n + 1) × (2n + 1) convolution of an activated map, bias. Channels last.
//
// Two rows of outputs share a multiplication for every two rows of taps, Winograd's F(2, 2) along y (Arithmetic
// Complexity of Computations, 1980). Of rows of inputs x_0, x_1, x_2 and of taps g_0, g_1:
//
//   y_0 = g_0 x_0 + g_1 x_1 = (g_0 + g_1) x_1 + g_0 (x_0 − x_1)
//   y_1 = g_0 x_1 + g_1 x_2 = (g_0 + g_1) x_1 + g_1 (x_2 − x_1)
//
// n such pairs of rows and the last one are 3n + 2 multiply-adds for two outputs in place of 4n + 2, with a few
// subtractions, since a difference meets a whole row of taps. Rows that are a pair begin with an even one, however
// threads share out a map. Rounding error 1.2 ε of the result for 7×7 taps and normal numbers, 1.0 if every tap met
// its input; ∞ may become NaN. Time beside that: 0.78 on Zen 4, with AVX2 there 1.00 to 1.03.

#include <algorithm>
#include <limits>

#include "plainnet/core/aligned.hpp"
#include "plainnet/core/share_out.hpp"
#include "plainnet/core/tensor.hpp"
#include "plainnet/kernels/dispatch.hpp"
#include "plainnet/kernels/simd.hpp"
#include "plainnet/kernels/vector_math.hpp"

namespace plainnet::kernels {

/// What a pixel of the map becomes before it is multiplied.
enum class DepthwiseInput {
  unchanged,
  relu,         // max(x, 0)
  squared_relu  // max(x, 0)² + shift
};

/// In groups of one vector of channels, together: taps (ky, kx, lane), sums of two rows of taps (pair, kx, lane), and
/// the bias (lane).
template <class T>
struct PackedDepthwise {
  Isa isa = Isa::baseline;
  Index channels = 0;
  Index reach = 0;  // n
  DepthwiseInput input = DepthwiseInput::unchanged;
  T shift = 0;
  AlignedVector<T> taps;

  /// Elements of a channel.
  Index channel_size() const { return (3 * reach + 1) * (2 * reach + 1) + 1; }
};

/// Most pixels to each side: the rows that a window sees lie in a buffer of fixed size.
inline constexpr Index depthwise_most_reach = 8;

/// Packs `weight` (C, 1, 2n + 1, 2n + 1) and `bias` (C) or null. `shift` is of squared_relu only.
template <class T>
PackedDepthwise<T> pack_depthwise(const T* weight, const T* bias, Index channels, Index reach, DepthwiseInput input,
                                  Isa isa, T shift = 0) {
  require(reach <= depthwise_most_reach, "a depthwise convolution that reaches ", reach, " pixels to each side; ",
          depthwise_most_reach, " are possible");
  const Index lanes = lanes_of<T>(isa);
  const Index side = 2 * reach + 1;
  const Index groups = (channels + lanes - 1) / lanes;
  PackedDepthwise<T> packed{
      .isa = isa, .channels = channels, .reach = reach, .input = input, .shift = shift, .taps = {}};
  const Index size = packed.channel_size();
  packed.taps.assign(static_cast<std::size_t>(checked_multiply(groups * lanes, size)), T{0});
  for (Index c = 0; c < channels; ++c) {
    T* lane = packed.taps.data() + c / lanes * size * lanes + c % lanes;
    const T* const taps = weight + c * side * side;
    for (Index ky = 0; ky < side; ++ky) {
      for (Index kx = 0; kx < side; ++kx, lane += lanes) *lane = taps[ky * side + kx];
    }
    for (Index ky = 0; ky < 2 * reach; ky += 2) {
      for (Index kx = 0; kx < side; ++kx, lane += lanes) *lane = taps[ky * side + kx] + taps[(ky + 1) * side + kx];
    }
    *lane = bias ? bias[c] : T{0};
  }
  return packed;
}

/// Vectors of the buffer in which the rows lie that windows see.
inline constexpr Index depthwise_ring_vectors = 640;

/// Columns that fit into it, with the pixels that the last one sees.
inline Index depthwise_most_width(Index reach) { return depthwise_ring_vectors / (2 * reach + 3) - 2 * reach; }

}  // namespace plainnet::kernels

#define PLAINNET_KERNEL "plainnet/kernels/depthwise.inl"
#include "plainnet/kernels/for_each_isa.hpp"

namespace plainnet::kernels {

template <class T>
void depthwise_part(TensorView<const T> in, const PackedDepthwise<T>& packed, TensorView<T> out, Range pairs,
                    Range vectors) {
  PLAINNET_DISPATCH(packed.isa, depthwise_part<T>(in, packed, out, pairs, vectors));
}

/// Whether threads share out the channels, in whole cache lines, and not the rows. Rows suit the linear layers around a
/// small map, which share out rows too: each thread then finds in its own caches what it wrote (convformer_s18 on two
/// threads: 20.0 ms by channels, 19.0 by rows). Larger maps and those of many channels are better written over their
/// input (vanillanet_5: 0.11 to 0.44 ms by channels, 0.27 to 0.59 by rows).
template <class T>
bool depthwise_by_channels(const PackedDepthwise<T>& packed, const Shape& shape, Index threads) {
  constexpr Index line = static_cast<Index>(alignment / sizeof(T));
  constexpr Index small_map = (1 << 21) / static_cast<Index>(sizeof(T));
  constexpr Index few_channels = (1 << 12) / static_cast<Index>(sizeof(T));
  if (threads == 1) return true;
  if (packed.channels < 4 * threads * line) return false;
  return packed.channels > few_channels || shape.elements() > small_map || shape.batch * shape.height < 2 * threads;
}

/// Whether the result of a map may be written over it: what others read of it, or is read again, must not be.
template <class T>
bool depthwise_works_in_place(const PackedDepthwise<T>& packed, const Shape& shape, Index threads) {
  return depthwise_by_channels(packed, shape, threads) && shape.width <= depthwise_most_width(packed.reach);
}

/// out(y, x, c) = bias(c) + Σ weight(c, ky, kx) · act(in(y + ky − n, x + kx − n, c)), zeros outside the map, to which
/// neither activation nor shift applies. Both maps have the same shape; they do not overlap, or are the same where
/// depthwise_works_in_place().
template <class T>
void depthwise(TensorView<const T> in, const PackedDepthwise<T>& packed, TensorView<T> out, Executor& pool) {
  const Index pairs = in.shape().batch * ((in.shape().height + 1) / 2);
  const Index lanes = lanes_of<T>(packed.isa);
  const Index vectors = (packed.channels + lanes - 1) / lanes;
  const Index in_line = static_cast<Index>(alignment / sizeof(T)) / lanes;
  const Index lines = (vectors + in_line - 1) / in_line;
  // All lines of channels of some rows, then those of the next: rows are not cut further, for they share what they see.
  const Index row_parts = depthwise_by_channels(packed, in.shape(), pool.size()) ? 1 : pool.size();
  share_out(pool, row_parts * lines, 8, [&](Range part, Index) {
    for (Index i = part.begin, count = 0; i < part.end; i += count) {
      const Index first = i % lines;
      count = std::min(lines - first, part.end - i);
      depthwise_part<T>(in, packed, out, part_of(pairs, row_parts, i / lines),
                        {first * in_line, std::min((first + count) * in_line, vectors)});
    }
  });
}

}  // namespace plainnet::kernels
