#pragma once
// Dense and grouped convolution as an implicit matrix product: patches are gathered while they are packed.

#include <algorithm>

#include "plainnet/core/tensor.hpp"
#include "plainnet/core/window.hpp"
#include "plainnet/kernels/matmul.hpp"

namespace plainnet::kernels {

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

  void pack(Isa isa, Index first, Index count, Index height, T* packed) const override {
    Index image[matmul_most_rows], top[matmul_most_rows], left[matmul_most_rows];
    bool inside = true;
    for (Index r = 0; r < count; ++r) {
      const Index row = first + r;
      image[r] = row / (out.width * out.height);
      top[r] = row / out.width % out.height * window.stride.height - window.padding.top;
      left[r] = row % out.width * window.stride.width - window.padding.left;
      inside = inside && left[r] >= 0 && left[r] + window.kernel.width <= in.shape().width;
    }
    // A row of the window is one run of memory where it lies inside the map.
    const bool whole_rows = inside && channels == in.shape().channels && window.dilation.width == 1;
    const Index steps = whole_rows ? 1 : window.kernel.width;
    const Index run = whole_rows ? window.kernel.width * channels : channels;
    for (Index ky = 0; ky < window.kernel.height; ++ky) {
      for (Index kx = 0; kx < steps; ++kx, packed += run * height) {
        RowGroup<T> rows;
        bool all_inside = true;
        for (Index r = 0; r < count; ++r) {
          const Index y = top[r] + ky * window.dilation.height;
          const Index x = left[r] + kx * window.dilation.width;
          const bool in_map = y >= 0 && y < in.shape().height && x >= 0 && x < in.shape().width;
          rows.data[r] = in_map ? in.pixel(image[r], y, x) + first_channel : nullptr;
          all_inside = all_inside && in_map;
        }
        if (all_inside) {
          pack_rows(isa, rows, run, count, height, packed);
        } else {
          pack_with_zeros(rows, run, count, height, packed);
        }
      }
    }
  }

 private:
  static void pack_with_zeros(const RowGroup<T>& rows, Index run, Index count, Index height, T* packed) {
    for (Index r = 0; r < height; ++r) {
      const T* row = r < count ? rows.data[r] : nullptr;
      for (Index k = 0; k < run; ++k) packed[k * height + r] = row ? row[k] : T{0};
    }
  }
};

/// A convolution's weights, one packed matrix a group, rows in the order of WindowRows.
template <class T>
struct PackedConvolution {
  Window window;
  Index in_channels = 0;
  Index out_channels = 0;
  std::vector<PackedMatrix<T>> groups;

  Index depth() const { return groups.front().depth; }
  /// Elements of scratch memory for each thread.
  Index scratch() const { return matmul_scratch<T>(depth()); }
};

/// Packs `weight` (O, I / groups, kh, kw) and `bias` (O) or null.
template <class T>
PackedConvolution<T> pack_convolution(const T* weight, const T* bias, Index in_channels, Index out_channels,
                                      const Window& window, Index groups, Isa isa) {
  PackedConvolution<T> packed{.window = window, .in_channels = in_channels, .out_channels = out_channels, .groups = {}};
  const Index group_in = in_channels / groups;
  const Index group_out = out_channels / groups;
  const Index taps = window.kernel.height * window.kernel.width;
  const Index depth = group_in * taps;
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
    packed.groups.push_back(pack_matrix<T, T>(matrix, bias ? bias + group * group_out : nullptr, isa));
  }
  return packed;
}

/// out = act(convolution(in) + bias) + scale · residual; `out` has the shape that the window gives, rows of the
/// epilogue are its pixels. `scratch` has packed.scratch() elements for each thread of the pool.
template <class T>
void convolve(TensorView<const T> in, const PackedConvolution<T>& packed, const Epilogue<T>& epilogue,
              TensorView<T> out, T* scratch, ThreadPool& pool) {
  const Index group_count = static_cast<Index>(packed.groups.size());
  const Index group_in = packed.in_channels / group_count;
  const Index group_out = packed.out_channels / group_count;
  const Index rows = out.shape().batch * out.shape().height * out.shape().width;
  for (Index group = 0; group < group_count; ++group) {
    const PackedMatrix<T>& weights = packed.groups[static_cast<std::size_t>(group)];
    T* const first_output = out.data() + group * group_out;
    const Epilogue<T> part = epilogue.from(0, group * group_out);
    if (packed.window.is_pointwise()) {
      const MatrixRows<T> pixels{in.data() + group * group_in, packed.in_channels, group_in};
      multiply<T>(pixels, rows, weights, part, first_output, packed.out_channels, scratch, pool);
    } else {
      const WindowRows<T> patches{in, packed.window, out.shape(), group * group_in, group_in};
      multiply<T>(patches, rows, weights, part, first_output, packed.out_channels, scratch, pool);
    }
  }
}

}  // namespace plainnet::kernels
