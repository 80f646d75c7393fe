#pragma once
// 3×3 convolution of stride 1 by Winograd's minimal filtering, for tiles of 2×2 or 4×4 outputs; of stride 2 for tiles
// of 2×2.
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
// Stride 2 is taken apart (Huang et al., DWM, arXiv 2002.00552): along each axis an output is a filter of two taps on
// the even inputs, which has the points 0, 1 and ∞, and one of a single tap on the odd ones.
//
//   y_0 = g_0 (x_0 − x_2) + (g_0 + g_2) x_2 + g_1 x_1
//   y_1 = g_2 (x_4 − x_2) + (g_0 + g_2) x_2 + g_1 x_3
//
// So a tile of 2×2 outputs sees 5×5 inputs and has as many positions, with 6.25 multiply-adds an output and channel. G
// has the rows of g_0, g_0 + g_2, g_2, g_1, g_1: 4×4 positions differ in their weights, 16 numbers for 9 as with
// stride 1.
//
// Error. With all matrices, weights and inputs by their magnitudes, every output is within
//
//   ε · (24 + p + C / p) · |A|ᵀ [ Σ_c (|G| |g| |G|ᵀ) ⊙ (|B|ᵀ |d| |B|) ] |A|
//
// of the exact one, plus as many ε times the residual: a sum of C terms in portions of p, and 24 for the two
// transforms, the rounded weights and the epilogue. What counts in a network is the root of the mean square, measured
// on random tiles of 128 channels in units of the definition's error, in portions of 256 terms, for normal and for
// rectified inputs:
//
//   points           m    p = 128        p = 64         p = 32
//   0, ±1            2    1.2 and 1.6    0.9 and 1.1    0.7 and 1.0
//   of stride 2      2    1.2 and 1.3    0.9 and 1.0    0.7 and 0.8
//   0, ±1, ±2        4    8.2 and 9.4    5.9 and 6.8    4.7 and 5.1     those of the paper
//   0, ±1, ±1/2      4    8.5 and 9.1
//   0, ±3/4, ±3/2    4    3.8 and 4.5
//   0, ±5/8, ±3/2    4    3.6 and 4.1    2.7 and 3.1    2.1 and 2.4
//
// Most of it is the error of long sums, which Aᵀ enlarges. So the points are the last, the best but for 1 % of a grid
// of eighths, and their sums are made in short portions. Those figures are of weights that were transformed in double
// precision; in that of the inputs, as they are here, they have 1.01 times the error with m = 2, 1.03 with m = 4. A NaN
// or an infinity reaches all outputs of the tiles that see it.
//
// With m = 2 the products are by inner_product.hpp where that is the faster: on numbers between −1 and 1 they have 1.1
// in place of 1.0 times the definition's error, between 0 and 1 1.0 in place of 0.7, where sums of those signs are
// larger than their terms' root mean square. The bound above is of sums by the definition: random tiles keep it by
// inner products too, but channels of unlike size need not, whose error is relative to root mean squares: 1.6 times the
// definition's if every 50th has a factor 16 and weights as much smaller, 20 if it is 256. With m = 4 products are by
// the definition: sums would be in portions of 64. On Zen 4 with one thread, poolformer_s12 takes 0.98 of the time,
// dm_nfnet_f0 0.98 to 0.99.
//
// Weights are transformed when they are packed, or in every run: then 4×4 tiles read from memory a quarter of that,
// which a 16×16 map of dm_nfnet_f0 has too few pixels for. The transform is a fifth of such a layer's time: 85 cycles
// for 36 vectors, since 36 rows of L2 are written by turns, which takes twice as long as one after the other. (One row
// of positions at a time, or columns first and then rows by way of L1, was no faster.)

#include <algorithm>

#include "plainnet/core/share_out.hpp"
#include "plainnet/core/tensor.hpp"
#include "plainnet/core/window.hpp"
#include "plainnet/kernels/convolution.hpp"
#include "plainnet/kernels/convolution_method.hpp"
#include "plainnet/kernels/matmul.hpp"
#include "plainnet/kernels/rows.hpp"

namespace plainnet::kernels {

/// F(4×4) has the points 0, ±these, ∞. Their products of up to four are exact in float.
inline constexpr double winograd_points[] = {0.625, 1.5};

/// A tile sees side × side inputs: 4×4 or 6×6 with stride 1, 5×5 with stride 2.
template <Index side>
inline constexpr Index winograd_stride = side % 2 == 0 ? 1 : 2;
/// Its outputs along each axis.
template <Index side>
inline constexpr Index winograd_tile = (side - 3) / winograd_stride<side> + 1;

/// Sums of the product are made in portions of so many terms. Those of 32 cost F(4×4) 6 % of its time; those of 64 cost
/// F(2×2) up to 2 %, beside 128 (Zen 4).
inline constexpr Index winograd_terms_in_portion(Index tile) { return tile == 2 ? 64 : 32; }

/// Tiles that are transformed at a time, at most; whole blocks of 6 and of 14 (of 10: 80).
inline constexpr Index winograd_most_tiles = 84;

/// Elements between the rows of two positions: one cache line, since without it the positions of a tile would fall into
/// a few sets of the L1 cache.
template <class T>
inline constexpr Index winograd_gap = line_elements<T>;

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

/// The weights of a convolution, panel by panel: transformed, (group, panel, position, channel, column in panel), or
/// its taps, (group, panel, channel, tap, column in panel), which every run transforms. For inner products, a position
/// of a panel is as inner_product.hpp has it, behind what its columns are to be multiplied by.
template <class T>
struct PackedWinograd {
  Isa isa = Isa::baseline;
  Index tile = 2;  // outputs along each axis
  bool keeps_taps = false;
  MatmulMethod method = MatmulMethod::definition;
  Index in_channels = 0;
  Index out_channels = 0;
  Index groups = 1;
  Window window = {.kernel = 3};  // of stride 1 or 2
  AlignedVector<T> weights;
  AlignedVector<T> bias;   // (group, column of its panels)
  AlignedVector<T> zeros;  // a pixel outside the map: (in_channels)

  /// Inputs that a tile sees along each axis, and as many products.
  Index side() const { return window.stride.height * (tile - 1) + 3; }
  Index positions() const { return side() * side(); }
  bool is_by_inner_products() const { return method == MatmulMethod::inner_products; }
  /// Positions that differ in their weights.
  Index weight_positions() const { return (tile + 2) * (tile + 2); }
  Index group_in() const { return in_channels / groups; }
  Index group_out() const { return out_channels / groups; }
  Index group_panels() const { return (group_out() + matmul_panel_columns<T>(isa) - 1) / matmul_panel_columns<T>(isa); }
  /// Elements of one position of a panel, or of one tap.
  Index slice() const { return group_in() * matmul_panel_columns<T>(isa); }
  /// Elements before them: of inner products, scales and what belongs to portions.
  Index before_slice() const {
    return is_by_inner_products() ? (1 + inner_product_portions(group_in())) * matmul_panel_columns<T>(isa) : 0;
  }
  /// Elements of a panel as it is kept.
  Index panel_size() const {
    return checked_multiply(keeps_taps ? 9 : weight_positions(), checked_add(before_slice(), slice()));
  }
  /// Elements from position to position of a panel that is multiplied.
  Index position_stride() const { return checked_add(keeps_taps ? winograd_gap<T> : before_slice(), slice()); }
  /// Channels of a transformed tile in memory: whole vectors.
  Index input_row() const { return (group_in() + lanes_of<T>(isa) - 1) / lanes_of<T>(isa) * lanes_of<T>(isa); }
  /// Elements of a position of a tile that is multiplied.
  Index product_row() const { return is_by_inner_products() ? inner_product_row_size(group_in()) : input_row(); }
  /// Elements from position to position of so many tiles.
  Index input_stride(Index tiles) const { return whole_lines<T>(tiles * product_row()) + winograd_gap<T>; }
  /// Tiles in a register block, at most.
  Index block_rows() const { return is_by_inner_products() ? inner_product_most_rows : matmul_block_rows(isa); }

  /// Tiles that are transformed at a time: whole register blocks, as many as L2 has room for, since all weights of a
  /// group pass once for each such portion; but at least 16, of which weights are the larger part (14×14 maps of 256
  /// channels, 16 tiles of 4×4: 1.3 times faster than with 6). Where weights are transformed for each portion, four
  /// times as many (dm_nfnet_f0, 8 pictures: 0.97 of the time).
  Index tiles_in_cache() const {
    const Index bytes = keeps_taps ? 3 << 19 : 3 << 17;
    const Index rows = block_rows();
    const Index each = positions() * (product_row() + matmul_panel_columns<T>(isa)) * static_cast<Index>(sizeof(T));
    return (std::clamp<Index>(bytes / each, 16, winograd_most_tiles / rows * rows) + rows - 1) / rows * rows;
  }
  /// Tiles that cover the maps of a batch.
  Index group_tiles(const Shape& out) const {
    return out.batch * ((out.height + tile - 1) / tile) * ((out.width + tile - 1) / tile);
  }
  WinogradPortions portions(Index tiles) const { return {tiles, block_rows(), tiles_in_cache() / block_rows()}; }
  /// Elements of scratch memory for transformed tiles; for the sums of a panel, where before them a tile lies on its
  /// way to copies; and in all, for each thread.
  Index input_scratch() const { return positions() * input_stride(tiles_in_cache()); }
  Index sum_scratch() const {
    const Index sums = (tiles_in_cache() + matmul_most_rows) * matmul_panel_columns<T>(isa);
    return positions() * (std::max(sums, is_by_inner_products() ? input_row() : 0) + winograd_gap<T>);
  }
  Index scratch() const {
    const Index weights_too = keeps_taps ? checked_multiply(weight_positions(), position_stride()) : 0;
    return checked_add(checked_add(input_scratch(), sum_scratch()), weights_too);
  }
};

}  // namespace plainnet::kernels

#define PLAINNET_KERNEL "plainnet/kernels/winograd_transforms.inl"
#include "plainnet/kernels/for_each_isa.hpp"
#define PLAINNET_KERNEL "plainnet/kernels/winograd.inl"
#include "plainnet/kernels/for_each_isa.hpp"

namespace plainnet::kernels {

/// G g Gᵀ of a panel of taps, (channel, tap, column), to (position, channel, column), `stride` elements from position
/// to position.
template <class T>
void transform_winograd_panel(Isa isa, Index side, const T* taps, Index channels, T* out, Index stride) {
  PLAINNET_DISPATCH(isa, transform_panel<T>(side, taps, channels, out, stride));
}

/// Packs `weight` (O, I / groups, 3, 3) and `bias` (O) or null for a method of Winograd's. Threads of `pool` share out
/// the panels.
template <class T>
PackedWinograd<T> pack_winograd(const T* weight, const T* bias, Index in_channels, Index out_channels,
                                const Window& window, Index groups, ConvolutionMethod method, Isa isa,
                                Executor& pool = callers_thread()) {
  require(fits(method, window) && method != ConvolutionMethod::direct,
          "a method of Winograd's was given a window that is not its own");
  const bool is_4x4 = method == ConvolutionMethod::winograd_4x4 || method == ConvolutionMethod::winograd_4x4_of_taps;
  PackedWinograd<T> packed{.isa = isa,
                           .tile = is_4x4 ? 4 : 2,
                           .keeps_taps = method == ConvolutionMethod::winograd_4x4_of_taps,
                           .method = MatmulMethod::definition,
                           .in_channels = in_channels,
                           .out_channels = out_channels,
                           .groups = groups,
                           .window = window,
                           .weights = {},
                           .bias = {},
                           .zeros = {}};
  // Sums of 4×4 tiles are in shorter portions than inner products have.
  if (!is_4x4) packed.method = matmul_method<T>(isa, packed.group_in(), packed.group_out());
  const Index width = matmul_panel_columns<T>(isa);
  const Index panels = packed.group_panels();
  const Index group_in = packed.group_in();
  const Index taps_size = checked_multiply(9, packed.slice());
  packed.zeros.assign(static_cast<std::size_t>(in_channels), T{0});
  packed.bias.assign(static_cast<std::size_t>(checked_multiply(groups, panels * width)), T{0});
  packed.weights.resize(static_cast<std::size_t>(checked_multiply(groups * panels, packed.panel_size())));
  for (Index o = 0; bias && o < out_channels; ++o)
    packed.bias[static_cast<std::size_t>(o / packed.group_out() * panels * width + o % packed.group_out())] = bias[o];
  AlignedVector<T> before(packed.keeps_taps ? 0 : static_cast<std::size_t>(checked_multiply(pool.size(), taps_size)));
  share_out(pool, groups * panels, 4, [&](Range part, Index thread) {
    for (Index i = part.begin; i < part.end; ++i) {
      T* const panel = packed.weights.data() + i * packed.panel_size();
      T* const taps = packed.keeps_taps ? panel : before.data() + thread * taps_size;
      const Index first = i % panels * width;
      const Index count = std::min(width, packed.group_out() - first);
      if (count < width) std::fill_n(taps, taps_size, T{0});
      const T* const filters = weight + (i / panels * packed.group_out() + first) * group_in * 9;
      transpose(isa, filters, group_in * 9, count, group_in * 9, taps, width);
      if (packed.keeps_taps) continue;
      const Index stride = packed.position_stride();
      transform_winograd_panel(isa, packed.side(), taps, group_in, panel + packed.before_slice(), stride);
      for (Index k = 0; packed.is_by_inner_products() && k < packed.weight_positions(); ++k)
        scale_panel<T>(isa, group_in, panel + k * stride + width, panel + k * stride);
    }
  });
  return packed;
}

/// A share of a convolution: some of the panels of all groups, or some of the tiles.
template <class T>
void convolve_part(TensorView<const T> in, const PackedWinograd<T>& packed, const Epilogue<T>& epilogue,
                   TensorView<T> out, T* scratch, bool of_panels, Range part) {
  PLAINNET_DISPATCH(packed.isa, convolve_winograd<T>(in, packed, epilogue, out, scratch, of_panels, part));
}

/// As convolve() of a PackedConvolution: out = act(convolution(in) + bias) + scale · residual, for any size of map and
/// any padding. `scratch` has packed.scratch() elements for each thread of the pool; the result does not depend on
/// their number.
template <class T>
void convolve(TensorView<const T> in, const PackedWinograd<T>& packed, const Epilogue<T>& epilogue, TensorView<T> out,
              T* scratch, Executor& pool) {
  const Index tiles = packed.group_tiles(out.shape());
  const WinogradPortions portions = packed.portions(tiles);
  // By panels, each thread transforms all tiles of its groups; but weights pass, and taps are transformed, for one only
  // (14×14×320 to 512 with stride 2, two threads of Zen 4: 0.87 of the time by tiles).
  const bool of_panels = packed.keeps_taps || portions.count == 1;
  const auto convolve_some = [&](Range some, Index thread) {
    convolve_part<T>(in, packed, epilogue, out, scratch + thread * packed.scratch(), of_panels, some);
  };
  if (of_panels) {
    const Index groups_each = std::max<Index>(1, packed.groups / pool.size());
    return share_out(pool, packed.groups * packed.group_panels(), groups_each, convolve_some);
  }
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
