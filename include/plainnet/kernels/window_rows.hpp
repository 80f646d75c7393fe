#pragma once
// Windows and tiles of a map as rows of a product.

#include <algorithm>

#include "plainnet/core/range.hpp"
#include "plainnet/core/tensor.hpp"
#include "plainnet/core/window.hpp"
#include "plainnet/kernels/dispatch.hpp"
#include "plainnet/kernels/rows.hpp"
#include "plainnet/kernels/simd.hpp"
#include "plainnet/kernels/vector_math.hpp"

#define PLAINNET_KERNEL "plainnet/kernels/window_rows.inl"
#include "plainnet/kernels/for_each_isa.hpp"

namespace plainnet::kernels {

/// Copies `count` runs of `size` elements, `from_step` apart, to where they are `to_step` apart.
template <class T>
void copy_runs(Isa isa, const T* from, Index from_step, Index count, Index size, T* to, Index to_step) {
  PLAINNET_DISPATCH(isa, copy_runs<T>(from, from_step, count, size, to, to_step));
}

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

  void locate(Isa isa, Index first, Index count, T* copies, const T** list) const override {
    const Index taps = window.kernel.height * window.kernel.width;
    TilePlace place = TilePlace::of(first, out, 1);
    for (Index i = 0; i < count; ++i, place.move_on(out, 1), copies += copied_row_stride<T>(taps * channels)) {
      copy_window(isa, place, copies);
      list[i] = copies;
    }
  }

 private:
  /// Meanwhile the rows of the map that the next row of windows adds are brought into L2 (7×7 windows of stride 4 on a
  /// picture in memory: 0.76 of the time).
  void copy_window(Isa isa, const TilePlace& place, T* to) const {
    const Shape& map = in.shape();
    const Extent2D kernel = window.kernel, dilation = window.dilation;
    const Index top = place.y * window.stride.height - window.padding.top;
    const Index left = place.x * window.stride.width - window.padding.left;
    const Range rows = part_inside(top, kernel.height, dilation.height, map.height);
    const Range taps = part_inside(left, kernel.width, dilation.width, map.width);
    if (rows.size() < kernel.height || taps.size() < kernel.width)
      std::fill_n(to, kernel.height * kernel.width * channels, T{0});
    if (rows.size() == 0 || taps.size() == 0) return;
    const Index y = top + rows.begin * dilation.height;
    const T* const first = in.pixel(place.n, y, left + taps.begin * dilation.width) + first_channel;
    const Index step = dilation.height * map.width * map.channels;
    to += (rows.begin * kernel.width + taps.begin) * channels;
    if (channels < map.channels || dilation.width > 1) {
      for (Index ky = 0; ky < rows.size(); ++ky)
        copy_runs<T>(isa, first + ky * step, dilation.width * map.channels, taps.size(), channels,
                     to + ky * kernel.width * channels, channels);
      return;
    }
    const Index run = taps.size() * channels;
    copy_runs<T>(isa, first, step, rows.size(), run, to, kernel.width * channels);
    const T* const later = first + window.stride.height * map.width * channels + run - 1;
    const Index seen = std::max<Index>(0, kernel.height - window.stride.height - rows.begin);
    for (Index ky = seen; ky < rows.size(); ++ky) {
      if (y + ky * dilation.height + window.stride.height < map.height) __builtin_prefetch(later + ky * step, 0, 2);
    }
  }

  /// Of `count` taps, `dilation` apart from `first` on, those within 0 … size − 1.
  static Range part_inside(Index first, Index count, Index dilation, Index size) {
    Range inside{0, count};
    if (first < 0) inside.begin = std::min(count, (dilation - 1 - first) / dilation);
    if (first + (count - 1) * dilation >= size)
      inside.end = std::max(inside.begin, first < size ? (size - 1 - first) / dilation + 1 : 0);
    return inside;
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

}  // namespace plainnet::kernels
