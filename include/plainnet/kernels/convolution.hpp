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

  void pack(Index first, Index count, Index height, T* packed) const override {
    for (Index r = 0; r < count; ++r) pack_row(first + r, height, packed + r);
    const Index depth = window.kernel.height * window.kernel.width * channels;
    for (Index r = count; r < height; ++r) {
      for (Index k = 0; k < depth; ++k) packed[k * height + r] = T{0};
    }
  }

 private:
  void pack_row(Index row, Index height, T* packed) const {
    const Index x = row % out.width;
    const Index y = row / out.width % out.height;
    const Index n = row / (out.width * out.height);
    for (Index ky = 0; ky < window.kernel.height; ++ky) {
      const Index in_y = y * window.stride.height + ky * window.dilation.height - window.padding.top;
      for (Index kx = 0; kx < window.kernel.width; ++kx) {
        const Index in_x = x * window.stride.width + kx * window.dilation.width - window.padding.left;
        const bool inside = in_y >= 0 && in_y < in.shape().height && in_x >= 0 && in_x < in.shape().width;
        const T* pixel = inside ? in.pixel(n, in_y, in_x) + first_channel : nullptr;
        for (Index c = 0; c < channels; ++c, packed += height) *packed = pixel ? pixel[c] : T{0};
      }
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
