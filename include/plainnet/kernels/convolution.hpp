#pragma once
// Dense and grouped convolution as a matrix product whose left-hand side, the windows' pixels, is read where it lies.
//
// The product of rows (n, y, x) and columns o has the terms (ky, kx, channel). A register block holds several outputs
// by one panel of channels, as in matmul.hpp, and has a pointer for each of its outputs and taps: the idea is that of
// the indirect convolution (Dukhan, arXiv 1907.02129). So no patch is copied and borders cost nothing.

#include <algorithm>
#include <cstring>

#include "plainnet/core/share_out.hpp"
#include "plainnet/core/tensor.hpp"
#include "plainnet/core/window.hpp"
#include "plainnet/kernels/shared_matmul.hpp"

namespace plainnet::kernels {

/// Where a tile's first output is; from tile to tile without a division.
struct TilePlace {
  Index n, y, x;

  static TilePlace of(Index i, const Shape& out, Index tile) {
    const Index across = (out.width + tile - 1) / tile;
    const Index down = (out.height + tile - 1) / tile;
    return {i / (across * down), i / across % down * tile, i % across * tile};
  }
  void move_on(const Shape& out, Index tile) {
    x += tile;
    if (x < out.width) return;
    x = 0;
    y += tile;
    if (y < out.height) return;
    y = 0;
    ++n;
  }
};

/// Patches of a map as rows of a matrix: row (n, y, x) of the output holds the window's inputs in the order
/// (ky, kx, channel), zeros outside the map, for `channels` channels from `first_channel` on.
template <class T>
struct WindowRows final : RowSource<T> {
  TensorView<const T> in;
  Window window;
  Shape out;
  Index first_channel;
  Index channels;

  WindowRows(TensorView<const T> in_, const Window& window_, const Shape& out_, Index first_channel_, Index channels_)
      : in(in_), window(window_), out(out_), first_channel(first_channel_), channels(channels_) {}

  void locate(Isa, Index first, Index count, T* copies, const T** list) const override {
    const Index taps = window.kernel.height * window.kernel.width;
    TilePlace place = TilePlace::of(first, out, 1);
    for (Index i = 0; i < count; ++i, place.move_on(out, 1), copies += copied_row_stride<T>(taps * channels)) {
      copy_window(place, copies);
      list[i] = copies;
    }
  }

 private:
  /// Row after row of the window. Meanwhile the rows of the map that the next row of windows adds are brought into L2
  /// (7×7 windows of stride 4 on a picture in memory: 0.76 of the time).
  void copy_window(const TilePlace& place, T* to) const {
    const Shape& map = in.shape();
    const Index top = place.y * window.stride.height - window.padding.top;
    const Index left = place.x * window.stride.width - window.padding.left;
    const Index run = window.kernel.width * channels;
    const Index begin = std::clamp<Index>(-left, 0, window.kernel.width);  // taps inside, if they lie side by side
    const Index end = std::clamp<Index>(map.width - left, begin, window.kernel.width);
    const bool is_run = channels == map.channels && window.dilation.width == 1 && begin < end;
    for (Index ky = 0; ky < window.kernel.height; ++ky, to += run) {
      const Index y = top + ky * window.dilation.height;
      if (y < 0 || y >= map.height) {
        std::fill_n(to, run, T{0});
        continue;
      }
      if (!is_run) {
        copy_pixels(place.n, y, left, to);
        continue;
      }
      if (end - begin < window.kernel.width) std::fill_n(to, run, T{0});
      copy_run(in.pixel(place.n, y, left + begin), (end - begin) * channels, to + begin * channels);
      const Index next = y + window.stride.height;
      if (ky + window.stride.height >= window.kernel.height && next < map.height)
        __builtin_prefetch(in.pixel(place.n, next, left + end - 1) + channels - 1, 0, 2);
    }
  }

  /// Without a call for every short run (7×7 windows of 3 channels: 0.94 of the layer's time); the last piece overlaps
  /// the one before.
  static void copy_run(const T* from, Index count, T* to) {
    constexpr Index piece = 32 / sizeof(T);
    if (count < piece || count > 8 * piece) {
      std::copy_n(from, count, to);
      return;
    }
    for (Index k = 0; k < count; k += piece) {
      const Index at = k < count - piece ? k : count - piece;
      std::memcpy(to + at, from + at, piece * sizeof(T));
    }
  }

  /// A row of the window, pixel after pixel.
  void copy_pixels(Index image, Index y, Index left, T* to) const {
    for (Index kx = 0; kx < window.kernel.width; ++kx) {
      const Index x = left + kx * window.dilation.width;
      if (x >= 0 && x < in.shape().width) {
        to = std::copy_n(in.pixel(image, y, x) + first_channel, channels, to);
      } else {
        to = std::fill_n(to, channels, T{0});
      }
    }
  }
};

/// Pixels as rows of a matrix in the order in which `tile`, a window that moves by its own size, meets them: row
/// (n, y, x, ky, kx).
template <class T>
struct TiledPixels final : RowSource<T> {
  TensorView<const T> in;
  Extent2D tile;
  Index first_channel;

  TiledPixels(TensorView<const T> in_, Extent2D tile_, Index first_channel_)
      : in(in_), tile(tile_), first_channel(first_channel_) {}

  void locate(Isa, Index first, Index count, T*, const T** list) const override {
    const Index down = in.shape().height / tile.height;
    const Index across = in.shape().width / tile.width;
    for (Index i = 0; i < count; ++i) {
      const Index row = first + i;
      const Index place = row / (tile.height * tile.width);
      const Index y = place / across % down * tile.height + row / tile.width % tile.height;
      const Index x = place % across * tile.width + row % tile.width;
      list[i] = in.pixel(place / (across * down), y, x) + first_channel;
    }
  }
};

/// Pointers to pixels that a thread lists at a time.
inline constexpr Index most_tap_pixels = 4096;

/// A convolution's weights, one packed matrix a group, rows in the order (ky, kx, channel).
template <class T>
struct PackedConvolution {
  Window window;
  Extent2D pool = 1;  // of 1×1 windows: of so many pixels, side by side, the largest values are kept
  Index in_channels = 0;
  Index out_channels = 0;
  std::vector<PackedMatrix<T>> groups;
  AlignedVector<T> zeros;  // a pixel outside the map: (in_channels)

  /// Whether pool() may be this, a maximum over windows that neither overlap nor leave the map.
  static bool can_pool(const Window& window, const Window& pool) {
    return window.is_pointwise() && pool.stride == pool.kernel && pool.dilation == Extent2D{1} &&
           pool.padding == Padding{0} && !pool.same && pool.rounding == Rounding::floor &&
           pool.kernel.height * pool.kernel.width <= matmul_most_pool;
  }

  Index depth() const { return groups.front().depth; }
  Index taps() const { return window.kernel.height * window.kernel.width; }
  Index group_in() const { return in_channels / static_cast<Index>(groups.size()); }
  Index group_out() const { return out_channels / static_cast<Index>(groups.size()); }

  /// Whether taps are read where they lie; else windows are copied, which is faster for the few channels of a stem (3
  /// of a 7×7 window: 1.4 times, 4 of a 3×3: 1.1 times, 8: even, 16: slower), whose taps are too short for a loop each,
  /// for 1×1 windows, where no element is copied twice (14×14 of 1024 channels: 1.05 times), and for inner products,
  /// whose error inner_product.hpp has.
  bool reads_in_place() const {
    return !window.is_pointwise() && group_in() >= 8 && taps() <= most_tap_pixels / matmul_most_rows &&
           groups.front().view().method() == MatmulMethod::definition;
  }

  /// Output pixels whose windows stay in L2 beside a panel of weights.
  Index pixels_in_cache() const {
    constexpr Index bytes = 1 << 18;
    const Index pixel = group_in() * std::min(window.stride.height, window.kernel.height) *
                        std::min(window.stride.width, window.kernel.width) * static_cast<Index>(sizeof(T));
    return std::clamp(bytes / pixel, matmul_most_rows, most_tap_pixels / taps());
  }

  /// Elements of scratch memory for each thread.
  Index scratch() const { return reads_in_place() ? 0 : matmul_scratch<T>(depth()); }
};

/// Packs `weight` (O, I / groups, kh, kw) and `bias` (O) or null.
template <class T>
PackedConvolution<T> pack_convolution(const T* weight, const T* bias, Index in_channels, Index out_channels,
                                      const Window& window, Index groups, Isa isa, Executor& pool = callers_thread()) {
  PackedConvolution<T> packed{
      .window = window, .pool = 1, .in_channels = in_channels, .out_channels = out_channels, .groups = {}, .zeros = {}};
  packed.zeros.assign(static_cast<std::size_t>(in_channels), T{0});
  const Index group_in = in_channels / groups;
  const Index group_out = out_channels / groups;
  const Index taps = window.kernel.height * window.kernel.width;
  const Index depth = group_in * taps;
  const MatmulMethod method = matmul_method<T>(isa, depth, group_out);
  AlignedVector<T> reordered(static_cast<std::size_t>(taps == 1 ? 0 : checked_multiply(group_out, depth)));
  for (Index group = 0; group < groups; ++group) {
    const T* source = weight + group * group_out * depth;
    for (Index o = 0; taps > 1 && o < group_out; ++o) {
      for (Index c = 0; c < group_in; ++c) {
        for (Index tap = 0; tap < taps; ++tap) {
          reordered[static_cast<std::size_t>(o * depth + tap * group_in + c)] = source[o * depth + c * taps + tap];
        }
      }
    }
    const StridedMatrix<T> matrix{taps == 1 ? source : reordered.data(), depth, group_out, 1, depth};
    packed.groups.push_back(pack_matrix<T, T>(matrix, bias ? bias + group * group_out : nullptr, isa, pool, method));
  }
  return packed;
}

}  // namespace plainnet::kernels

#define PLAINNET_KERNEL "plainnet/kernels/convolution.inl"
#include "plainnet/kernels/for_each_isa.hpp"

namespace plainnet::kernels {

template <class T>
void convolve_part(TensorView<const T> in, const PackedConvolution<T>& packed, const Epilogue<T>& epilogue,
                   TensorView<T> out, Range pixels, Index parts, Index part) {
  PLAINNET_DISPATCH(packed.groups.front().isa, convolve_taps<T>(in, packed, epilogue, out, pixels, parts, part));
}

/// out = act(convolution(in) + bias) + scale · residual, or what a pool keeps of it, without activation and residual;
/// `out` has the shape that window and pool give, rows of the epilogue are its pixels. `scratch` has
/// packed.scratch() elements for each thread of the pool.
template <class T>
void convolve(TensorView<const T> in, const PackedConvolution<T>& packed, const Epilogue<T>& epilogue,
              TensorView<T> out, T* scratch, Executor& pool) {
  const Index rows = out.shape().pixels();
  if (packed.reads_in_place()) {
    const bool by_rows = multiplies_by_rows<T>(rows, 1, packed.groups.front(), pool.size());
    const Index row_parts = by_rows ? pool.size() : 1;
    const Index parts = (by_rows ? 1 : pool.size()) * (pool.size() > 1 ? 4 : 1);  // of the work on these rows
    return share_out(pool, row_parts * parts, row_parts * parts / pool.size(), [&](Range part, Index) {
      for (Index i = part.begin; i < part.end; ++i) {
        convolve_part<T>(in, packed, epilogue, out, part_of(rows, row_parts, i / parts), parts, i % parts);
      }
    });
  }
  const Index group_in = packed.group_in();
  const Index area = packed.pool.height * packed.pool.width;
  for (Index group = 0; group < static_cast<Index>(packed.groups.size()); ++group) {
    const PackedMatrix<T>& weights = packed.groups[static_cast<std::size_t>(group)];
    T* const first_output = out.data() + group * packed.group_out();
    Epilogue<T> part = epilogue.from(0, group * packed.group_out());
    if (area > 1) {
      part.pool = area;
      const TiledPixels<T> pixels(in, packed.pool, group * group_in);
      multiply<T>(pixels, rows * area, weights, part, first_output, packed.out_channels, scratch, pool);
    } else if (packed.window.is_pointwise()) {
      const MatrixRows<T> pixels{in.data() + group * group_in, packed.in_channels};
      multiply<T>(pixels, rows, weights, part, first_output, packed.out_channels, scratch, pool);
    } else {
      const WindowRows<T> patches{in, padded_for(in.shape(), packed.window), out.shape(), group * group_in, group_in};
      multiply<T>(patches, rows, weights, part, first_output, packed.out_channels, scratch, pool);
    }
  }
}

}  // namespace plainnet::kernels
