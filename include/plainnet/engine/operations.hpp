#pragma once
// What an engine runs: operations with their weights packed for the machine, not bound to any size of image.

#include <optional>
#include <variant>

#include "plainnet/core/window.hpp"
#include "plainnet/kernels/convolution.hpp"
#include "plainnet/kernels/pooling.hpp"
#include "plainnet/kernels/series_activation.hpp"
#include "plainnet/layers/pooling.hpp"

namespace plainnet {

// An operation has
//   Shape output_shape(const Shape& in) const      Error if it cannot take `in`
//   Index macs(const Shape& in) const              multiply-adds
//   Index scratch() const                          elements of scratch memory for each thread
//   Index weight_elements() const                  elements of its packed weights
//   void run(in, out, scratch, pool) const         in and out do not overlap; neither allocates nor throws

/// Convolution, bias, leaky ReLU if there is a slope.
template <class T>
struct ConvolutionOperation {
  kernels::PackedConvolution<T> packed;
  std::optional<kernels::LeakySlope<T>> slope;

  Shape output_shape(const Shape& in) const {
    require(in.channels == packed.in_channels, "a convolution of ", packed.in_channels, " channels was given ",
            in.channels);
    return plainnet::output_shape(in, packed.window, packed.out_channels);
  }
  Index macs(const Shape& in) const { return checked_multiply(output_shape(in).elements(), packed.depth()); }
  Index scratch() const { return packed.scratch(); }
  Index weight_elements() const {
    Index total = 0;
    for (const auto& group : packed.groups) total += static_cast<Index>(group.panels.size() + group.bias.size());
    return total;
  }
  void run(TensorView<const T> in, TensorView<T> out, T* scratch, ThreadPool& pool) const {
    kernels::convolve(in, packed, slope ? &*slope : nullptr, out, scratch, pool);
  }
};

/// Series activation: ReLU, depthwise convolution, bias.
template <class T>
struct SeriesOperation {
  kernels::PackedSeries<T> packed;

  Shape output_shape(const Shape& in) const {
    require(in.channels == packed.channels, "a series activation of ", packed.channels, " channels was given ",
            in.channels);
    return in;
  }
  Index macs(const Shape& in) const {
    const Index side = 2 * packed.reach + 1;
    return checked_multiply(in.elements(), side * side);
  }
  Index scratch() const { return 0; }
  Index weight_elements() const { return static_cast<Index>(packed.taps.size()); }
  void run(TensorView<const T> in, TensorView<T> out, T*, ThreadPool& pool) const {
    kernels::series_activation(in, packed, out, pool);
  }
};

/// What operations without weights have in common.
struct PoolingOperation {
  Isa isa;

  Index macs(const Shape&) const { return 0; }
  Index scratch() const { return 0; }
  Index weight_elements() const { return 0; }
};

/// The largest value of a window; padding never wins.
template <class T>
struct MaxPoolOperation : PoolingOperation {
  Window window;

  MaxPoolOperation(const Window& window_, Isa isa_) : PoolingOperation{isa_}, window(window_) {
    require(window.dilation == Extent2D{1}, "the engine has no dilated max pooling");
    const Padding& p = window.padding;
    require(std::max(p.top, p.bottom) < window.kernel.height && std::max(p.left, p.right) < window.kernel.width,
            "padding as wide as the window would give maxima of nothing");
  }

  Shape output_shape(const Shape& in) const { return plainnet::output_shape(in, window, in.channels); }
  void run(TensorView<const T> in, TensorView<T> out, T*, ThreadPool& pool) const {
    const auto inside = [](Index position, Index kernel, Index stride, Index padding, Index extent) {
      const Index first = position * stride - padding;
      return Range{std::max<Index>(0, first), std::min(extent, first + kernel)};
    };
    kernels::max_pool(
        in,
        [&](Index y) {
          return inside(y, window.kernel.height, window.stride.height, window.padding.top, in.shape().height);
        },
        [&](Index x) {
          return inside(x, window.kernel.width, window.stride.width, window.padding.left, in.shape().width);
        },
        out, isa, pool);
  }
};

/// The largest value of each cell of a grid.
template <class T>
struct AdaptiveMaxPoolOperation : PoolingOperation {
  Extent2D size;

  AdaptiveMaxPoolOperation(Extent2D size_, Isa isa_) : PoolingOperation{isa_}, size(size_) {}

  Shape output_shape(const Shape& in) const { return {in.batch, size.height, size.width, in.channels}; }
  void run(TensorView<const T> in, TensorView<T> out, T*, ThreadPool& pool) const {
    kernels::max_pool(
        in, [&](Index y) { return adaptive_range(y, in.shape().height, size.height); },
        [&](Index x) { return adaptive_range(x, in.shape().width, size.width); }, out, isa, pool);
  }
};

/// The mean of each image's map.
template <class T>
struct GlobalMeanOperation : PoolingOperation {
  explicit GlobalMeanOperation(Isa isa_) : PoolingOperation{isa_} {}

  Shape output_shape(const Shape& in) const { return {in.batch, 1, 1, in.channels}; }
  void run(TensorView<const T> in, TensorView<T> out, T*, ThreadPool& pool) const {
    kernels::global_mean(in, out, isa, pool);
  }
};

template <class T>
using Operation = std::variant<ConvolutionOperation<T>, SeriesOperation<T>, MaxPoolOperation<T>,
                               AdaptiveMaxPoolOperation<T>, GlobalMeanOperation<T>>;

}  // namespace plainnet
