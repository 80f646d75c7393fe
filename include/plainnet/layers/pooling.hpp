#pragma once
// Pooling: maximum and average over windows, adaptive maximum, average over the whole map.

#include <algorithm>
#include <limits>

#include "plainnet/core/range.hpp"
#include "plainnet/core/window.hpp"
#include "plainnet/layers/layer.hpp"

namespace plainnet {

/// What pooling layers have in common: no parameters, no multiply-adds.
template <class T>
struct PoolingLayer {
  using Scalar = T;

  Count macs(const Shape&) const { return 0; }

  template <class Self, class Visitor>
  static void visit(Self&, Visitor&&) {}
};

namespace detail {

/// One row per pixel: a view of the channels of pixel (n, y, x).
template <class T>
auto channels_of(TensorView<T> map, Index n, Index y, Index x) {
  using Array = Eigen::Array<std::remove_const_t<T>, 1, Eigen::Dynamic>;
  return Eigen::Map<std::conditional_t<std::is_const_v<T>, const Array, Array>>(map.pixel(n, y, x),
                                                                                map.shape().channels);
}

/// The larger of both, NaN if either is, as PyTorch's pooling.
template <class T>
T larger(T a, T b) {
  return a > b || a != a ? a : b;  // NOLINT(misc-redundant-expression): NaN
}

/// Calls function(n, y, x) for every pixel of a map.
template <class Function>
void for_each_pixel(const Shape& shape, Function&& function) {
  for (Index n = 0; n < shape.batch; ++n) {
    for (Index y = 0; y < shape.height; ++y) {
      for (Index x = 0; x < shape.width; ++x) function(n, y, x);
    }
  }
}

/// Calls function(in_y, in_x) for every position of the window of output (y, x) that lies inside the map.
template <class Function>
void for_each_inside(const Window& w, const Shape& in, Index y, Index x, Function&& function) {
  for (Index ky = 0; ky < w.kernel.height; ++ky) {
    for (Index kx = 0; kx < w.kernel.width; ++kx) {
      const Index in_y = y * w.stride.height + ky * w.dilation.height - w.padding.top;
      const Index in_x = x * w.stride.width + kx * w.dilation.width - w.padding.left;
      if (in_y >= 0 && in_y < in.height && in_x >= 0 && in_x < in.width) function(in_y, in_x);
    }
  }
}

}  // namespace detail

/// The largest value of a window; padding never wins.
template <class T>
struct MaxPool2d : PoolingLayer<T> {
  Window window;

  explicit MaxPool2d(const Window& window_) : window(window_) {}

  Shape output_shape(const Shape& in) const { return plainnet::output_shape(in, window, in.channels); }

  Tensor<T> forward(TensorView<const T> in) const {
    Tensor<T> out(output_shape(in.shape()));
    const Window padded = padded_for(in.shape(), window);
    detail::for_each_pixel(out.shape(), [&](Index n, Index y, Index x) {
      auto result = detail::channels_of(out.view(), n, y, x);
      result.setConstant(-std::numeric_limits<T>::infinity());
      detail::for_each_inside(padded, in.shape(), y, x, [&](Index in_y, Index in_x) {
        result = result.binaryExpr(detail::channels_of(in, n, in_y, in_x), &detail::larger<T>);
      });
    });
    return out;
  }
};

/// The mean of a window. `count_include_pad` says whether padding counts as zeros or not at all; what rounding up
/// adds beyond the padding never counts.
template <class T>
struct AvgPool2d : PoolingLayer<T> {
  Window window;
  bool count_include_pad;

  explicit AvgPool2d(const Window& window_, bool count_include_pad_ = true)
      : window(window_), count_include_pad(count_include_pad_) {}

  Shape output_shape(const Shape& in) const { return plainnet::output_shape(in, window, in.channels); }

  Tensor<T> forward(TensorView<const T> in) const {
    Tensor<T> out(output_shape(in.shape()));
    const Window padded = padded_for(in.shape(), window);
    detail::for_each_pixel(out.shape(), [&](Index n, Index y, Index x) {
      auto result = detail::channels_of(out.view(), n, y, x);
      Index count = 0;
      detail::for_each_inside(padded, in.shape(), y, x, [&](Index in_y, Index in_x) {
        result += detail::channels_of(in, n, in_y, in_x);
        ++count;
      });
      if (count_include_pad) count = padded_count(padded, in.shape(), y, x);
      result /= static_cast<T>(count);
    });
    return out;
  }

 private:
  /// Positions of the window inside the map or its padding.
  static Index padded_count(const Window& window, const Shape& in, Index y, Index x) {
    const auto along = [](Index first, Index kernel, Index dilation, Index end) {
      Index count = 0;
      for (Index k = 0; k < kernel; ++k) count += first + k * dilation < end ? 1 : 0;
      return count;
    };
    const Padding& p = window.padding;
    return along(y * window.stride.height, window.kernel.height, window.dilation.height, in.height + p.top + p.bottom) *
           along(x * window.stride.width, window.kernel.width, window.dilation.width, in.width + p.left + p.right);
  }
};

/// The part of 0 … in − 1 that position `index` of an adaptive pooling to `out` positions covers:
/// ⌊index·in/out⌋ … ⌈(index + 1)·in/out⌉ − 1. Parts overlap where out does not divide in.
inline Range adaptive_range(Index index, Index in, Index out) {
  return {index * in / out, ((index + 1) * in + out - 1) / out};
}

/// The largest value of each cell of a grid laid over the map, whatever its size.
template <class T>
struct AdaptiveMaxPool2d : PoolingLayer<T> {
  Extent2D size;

  explicit AdaptiveMaxPool2d(Extent2D size_) : size(size_) {
    require(size.height > 0 && size.width > 0, "adaptive pooling to ", size.height, "x", size.width, " positions");
  }

  Shape output_shape(const Shape& in) const {
    require(in.height > 0 && in.width > 0, "the maximum of an empty map");
    return {in.batch, size.height, size.width, in.channels};
  }

  Tensor<T> forward(TensorView<const T> in) const {
    Tensor<T> out(output_shape(in.shape()));
    detail::for_each_pixel(out.shape(), [&](Index n, Index y, Index x) {
      auto result = detail::channels_of(out.view(), n, y, x);
      result.setConstant(-std::numeric_limits<T>::infinity());
      const Range rows = adaptive_range(y, in.shape().height, size.height);
      const Range columns = adaptive_range(x, in.shape().width, size.width);
      for (Index in_y = rows.begin; in_y < rows.end; ++in_y) {
        for (Index in_x = columns.begin; in_x < columns.end; ++in_x) {
          result = result.binaryExpr(detail::channels_of(in, n, in_y, in_x), &detail::larger<T>);
        }
      }
    });
    return out;
  }
};

/// The mean of the whole map, a 1×1 map per image.
template <class T>
struct GlobalAvgPool2d : PoolingLayer<T> {
  Shape output_shape(const Shape& in) const {
    require(in.height > 0 && in.width > 0, "the mean of an empty map");
    return {in.batch, 1, 1, in.channels};
  }

  Tensor<T> forward(TensorView<const T> in) const {
    Tensor<T> out(output_shape(in.shape()));
    const Index pixels = in.shape().height * in.shape().width;
    for (Index n = 0; n < in.shape().batch; ++n) {
      out.matrix().row(n) = in.matrix().middleRows(n * pixels, pixels).colwise().mean();
    }
    return out;
  }
};

}  // namespace plainnet
