#pragma once
// 3×3 convolution of stride 1 by Winograd's minimal filtering, for tiles of 2×2 or 4×4 outputs.
//
// After Lavin & Gray, Fast Algorithms for Convolutional Neural Networks, arXiv 1509.09308. A tile of m × m outputs of
// one output channel o sees tiles d of (m + 2) × (m + 2) inputs:
//
//   Y(o) = Aᵀ [ Σ_c (G g(o, c) Gᵀ) ⊙ (Bᵀ d(c) B) ] A
//
// with m + 1 points α_0 = 0, α_1, … and ∞:
//
//   row i of G      (1, α_i, α_i²) / Π_{j ≠ i} (α_i − α_j)        of ∞: (0, 0, 1)
//   row i of Bᵀ     coefficients of x^0, x^1, … of Π_{j ≠ i} (x − α_j)   of ∞: of the product of all
//   column i of Aᵀ  (1, α_i, …, α_i^(m − 1))                      of ∞: (0, …, 0, 1)
//
// The sum over c is a matrix product of tiles and output channels for each of the (m + 2)² positions: 4 multiply-adds
// an output and channel where m = 2, 2.25 where m = 4, instead of 9.
//
// Error. With all matrices, weights and inputs by their magnitudes, every output is within
//
//   ε · (24 + p + C / p) · |A|ᵀ [ Σ_c (|G| |g| |G|ᵀ) ⊙ (|B|ᵀ |d| |B|) ] |A|
//
// of the exact one, plus as many ε times the residual: a sum of C terms in portions of p, and 24 for the two
// transforms, the rounded weights and the epilogue. What counts in a network is the root of the mean square, measured
// on random tiles of 128 channels in units of the direct kernel's error, for normal and for rectified inputs:
//
//   points           m    p = 128        p = 64         p = 32
//   0, ±1            2    1.2 and 1.6    0.9 and 1.1    0.7 and 1.0
//   0, ±1, ±2        4    8.2 and 9.4    5.9 and 6.8    4.7 and 5.1     those of the paper
//   0, ±1, ±1/2      4    8.5 and 9.1
//   0, ±3/4, ±3/2    4    3.8 and 4.5
//   0, ±5/8, ±3/2    4    3.6 and 4.1    2.7 and 3.1    2.1 and 2.4
//
// Most of it is the error of long sums, which Aᵀ enlarges. So the points are the last, the best but for 1 % of a grid
// of eighths, and their sums are made in short portions. A NaN or an infinity reaches all outputs of the tiles that see
// it.

#include <algorithm>
#include <array>

#include "plainnet/core/share_out.hpp"
#include "plainnet/core/tensor.hpp"
#include "plainnet/core/window.hpp"
#include "plainnet/kernels/convolution.hpp"
#include "plainnet/kernels/matmul.hpp"

namespace plainnet::kernels {

/// F(4×4) has the points 0, ±these, ∞. Their products of up to four are exact in float.
inline constexpr double winograd_points[] = {0.625, 1.5};

/// Sums of the product are made in portions of so many terms. Those of 32 cost F(4×4) 6 % of its time.
inline constexpr Index winograd_terms_in_portion(Index tile) { return tile == 2 ? 128 : 32; }

/// Tiles that are transformed at a time, at most; whole blocks of 6 and of 14.
inline constexpr Index winograd_most_tiles = 84;

/// Elements between the rows of two positions: one cache line, since without it the positions of a tile would fall into
/// a few sets of the L1 cache.
template <class T>
inline constexpr Index winograd_gap = 64 / sizeof(T);

/// How tiles of one group are cut: into register blocks alike, as matmul.hpp cuts rows, and these into as few portions
/// as can be, since the weights of the group pass once for each.
struct WinogradPortions {
  Index tiles;
  Index block_rows;
  Index blocks;
  Index count;

  WinogradPortions(Index tiles_, Index block_rows_, Index most_blocks)
      : tiles(tiles_), block_rows(block_rows_), blocks(quotient_up(tiles_, block_rows_)) {
    count = quotient_up(blocks, most_blocks);
    const Index equal = quotient_up(blocks, count) * count;
    if (are_alike(equal)) blocks = equal;
  }

  /// The tiles of a portion.
  Range operator()(Index i) const {
    const Range part = part_of(blocks, count, i);
    return {begin_of(part.begin), begin_of(part.end)};
  }
  /// Whether all have the same number of blocks.
  bool are_equal() const { return blocks % count == 0; }

 private:
  static Index quotient_up(Index a, Index b) { return (a + b - 1) / b; }

  /// Whether so many blocks are as fast a tile as full ones.
  bool are_alike(Index many) const { return tiles >= many * (block_rows - 2); }

  Index begin_of(Index block) const {
    if (block == blocks) return tiles;
    return are_alike(blocks) ? part_of(tiles, blocks, block).begin : block * block_rows;
  }
};

/// The transformed weights of a convolution, panel by panel: (group, panel, position, channel, column in panel).
template <class T>
struct PackedWinograd {
  Isa isa = Isa::baseline;
  Index tile = 2;  // outputs along each axis
  Index in_channels = 0;
  Index out_channels = 0;
  Index groups = 1;
  Padding padding;
  AlignedVector<T> weights;
  AlignedVector<T> bias;   // (group, column of its panels)
  AlignedVector<T> zeros;  // a pixel outside the map: (in_channels)

  Window window() const { return {.kernel = 3, .padding = padding}; }
  Index positions() const { return (tile + 2) * (tile + 2); }
  Index group_in() const { return in_channels / groups; }
  Index group_out() const { return out_channels / groups; }
  Index group_panels() const { return (group_out() + matmul_panel_columns<T>(isa) - 1) / matmul_panel_columns<T>(isa); }
  /// Channels of a transformed tile in memory: whole vectors.
  Index input_row() const { return (group_in() + lanes_of<T>(isa) - 1) / lanes_of<T>(isa) * lanes_of<T>(isa); }

  /// Tiles that are transformed at a time: whole register blocks, as many as L2 has room for, since all weights of a
  /// group pass once for each such portion; but at least 16, of which weights are the larger part (14×14 maps of 256
  /// channels, 16 tiles of 4×4: 1.3 times faster than with 6).
  Index tiles_in_cache() const {
    constexpr Index bytes = 3 << 17;
    const Index rows = matmul_block_rows(isa);
    const Index each = positions() * (input_row() + matmul_panel_columns<T>(isa)) * static_cast<Index>(sizeof(T));
    return (std::clamp<Index>(bytes / each, 16, winograd_most_tiles) + rows - 1) / rows * rows;
  }
  /// Tiles that cover the maps of a batch.
  Index group_tiles(const Shape& out) const {
    return out.batch * ((out.height + tile - 1) / tile) * ((out.width + tile - 1) / tile);
  }
  WinogradPortions portions(Index tiles) const {
    const Index rows = matmul_block_rows(isa);
    return {tiles, rows, tiles_in_cache() / rows};
  }
  Index input_scratch() const { return positions() * (tiles_in_cache() * input_row() + winograd_gap<T>); }
  /// Elements of scratch memory for each thread.
  Index scratch() const {
    const Index sums = (tiles_in_cache() + matmul_most_rows) * matmul_panel_columns<T>(isa) + winograd_gap<T>;
    return checked_add(input_scratch(), positions() * sums);
  }
};

namespace detail {

/// G of F(tile × tile), (position along an axis, tap).
inline std::array<std::array<double, 3>, 6> winograd_weight_transform(Index tile) {
  const double a = tile == 2 ? 1 : winograd_points[0];
  const std::array<double, 5> points = {0, a, -a, winograd_points[1], -winograd_points[1]};
  const std::size_t count = static_cast<std::size_t>(tile) + 1;
  std::array<std::array<double, 3>, 6> g{};
  for (std::size_t i = 0; i < count; ++i) {
    double product = 1;
    for (std::size_t j = 0; j < count; ++j) product *= j == i ? 1 : points[i] - points[j];
    g[i] = {1 / product, points[i] / product, points[i] * points[i] / product};
  }
  g[count] = {0, 0, 1};
  return g;
}

/// G g Gᵀ of each of `count` · `channels` filters (output, input, 3, 3), transformed in double and rounded once, to
/// (position, input, output) with `width` outputs from input to input.
template <class T>
void pack_winograd_panel(const T* filters, Index channels, Index count, Index width, Index tile, T* panel) {
  const auto g = winograd_weight_transform(tile);
  const std::size_t side = static_cast<std::size_t>(tile) + 2;
  for (Index o = 0; o < count; ++o) {
    for (Index c = 0; c < channels; ++c, filters += 9) {
      for (std::size_t i = 0; i < side; ++i) {
        double row[3];  // of G g
        for (std::size_t kx = 0; kx < 3; ++kx) {
          row[kx] = 0;
          for (std::size_t ky = 0; ky < 3; ++ky) row[kx] += g[i][ky] * static_cast<double>(filters[ky * 3 + kx]);
        }
        for (std::size_t j = 0; j < side; ++j) {
          const double value = row[0] * g[j][0] + row[1] * g[j][1] + row[2] * g[j][2];
          panel[(static_cast<Index>(i * side + j) * channels + c) * width + o] = static_cast<T>(value);
        }
      }
    }
  }
}

}  // namespace detail

/// Packs `weight` (O, I / groups, 3, 3) and `bias` (O) or null for tiles of 2 × 2 or 4 × 4 outputs.
template <class T>
PackedWinograd<T> pack_winograd(const T* weight, const T* bias, Index in_channels, Index out_channels,
                                const Padding& padding, Index groups, Index tile, Isa isa,
                                Executor& pool = callers_thread()) {
  require(tile == 2 || tile == 4, "Winograd's convolution has tiles of 2 or 4 outputs, not ", tile);
  PackedWinograd<T> packed{.isa = isa,
                           .tile = tile,
                           .in_channels = in_channels,
                           .out_channels = out_channels,
                           .groups = groups,
                           .padding = padding,
                           .weights = {},
                           .bias = {},
                           .zeros = {}};
  const Index width = matmul_panel_columns<T>(isa);
  const Index group_columns = packed.group_panels() * width;
  const Index slice = packed.group_in() * width;  // of one position
  packed.zeros.assign(static_cast<std::size_t>(in_channels), T{0});
  packed.bias.assign(static_cast<std::size_t>(checked_multiply(groups, group_columns)), T{0});
  packed.weights.resize(static_cast<std::size_t>(
      checked_multiply(checked_multiply(groups * group_columns, packed.group_in()), packed.positions())));
  for (Index o = 0; bias && o < out_channels; ++o)
    packed.bias[static_cast<std::size_t>(o / packed.group_out() * group_columns + o % packed.group_out())] = bias[o];
  share_out(pool, groups * packed.group_panels(), 4, [&](Range part, Index) {
    for (Index i = part.begin; i < part.end; ++i) {
      T* const panel = packed.weights.data() + i * packed.positions() * slice;
      const Index group = i / packed.group_panels();
      const Index first = i % packed.group_panels() * width;
      const Index count = std::min(width, packed.group_out() - first);
      if (count < width) std::fill_n(panel, packed.positions() * slice, T{0});
      const T* const filters = weight + (group * packed.group_out() + first) * packed.group_in() * 9;
      detail::pack_winograd_panel(filters, packed.group_in(), count, width, tile, panel);
    }
  });
  return packed;
}

}  // namespace plainnet::kernels

#define PLAINNET_KERNEL "plainnet/kernels/winograd.inl"
#include "plainnet/kernels/for_each_isa.hpp"

namespace plainnet::kernels {

template <class T>
void convolve_part(TensorView<const T> in, const PackedWinograd<T>& packed, const Epilogue<T>& epilogue,
                   TensorView<T> out, T* scratch, Range tiles) {
  PLAINNET_DISPATCH(packed.isa, convolve_winograd<T>(in, packed, epilogue, out, scratch, tiles));
}

/// As convolve() of a PackedConvolution: out = act(convolution(in) + bias) + scale · residual, for any size of map and
/// any padding. `scratch` has packed.scratch() elements for each thread of the pool; the result does not depend on
/// their number.
template <class T>
void convolve(TensorView<const T> in, const PackedWinograd<T>& packed, const Epilogue<T>& epilogue, TensorView<T> out,
              T* scratch, Executor& pool) {
  const Index tiles = packed.group_tiles(out.shape());
  const auto convolve_some = [&](Range some, Index thread) {
    convolve_part<T>(in, packed, epilogue, out, scratch + thread * packed.scratch(), some);
  };
  const WinogradPortions portions = packed.portions(tiles);
  const Index all = packed.groups * portions.count;
  if (all % pool.size() == 0 && (portions.are_equal() || packed.groups % pool.size() == 0)) {
    const auto tiles_before = [&](Index i) {
      return i / portions.count * tiles + (i % portions.count > 0 ? portions(i % portions.count).begin : 0);
    };
    return share_out(pool, all, all / pool.size(), [&](Range part, Index thread) {
      convolve_some({tiles_before(part.begin), tiles_before(part.end)}, thread);
    });
  }
  // No equal shares of whole portions: equal shares of tiles.
  const Index at_once = pool.size() * packed.tiles_in_cache();
  share_out(pool, packed.groups * tiles, (packed.groups * tiles + at_once - 1) / at_once, convolve_some);
}

}  // namespace plainnet::kernels
