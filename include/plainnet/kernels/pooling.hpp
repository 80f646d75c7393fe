#pragma once
// Pooling of channels-last maps: maximum and mean over rectangles of pixels, mean over a map.

#include "plainnet/core/share_out.hpp"
#include "plainnet/core/tensor.hpp"
#include "plainnet/kernels/dispatch.hpp"
#include "plainnet/kernels/simd.hpp"

namespace plainnet::kernels {

/// height × width pixels of a map, not empty.
template <class T>
struct Rectangle {
  const T* first;
  Index height;
  Index width;
  Index row_stride;    // elements from a row to the next
  Index pixel_stride;  // and from a pixel

  const T* pixel(Index y, Index x) const { return first + y * row_stride + x * pixel_stride; }
};

}  // namespace plainnet::kernels

#define PLAINNET_KERNEL "plainnet/kernels/pooling.inl"
#include "plainnet/kernels/for_each_isa.hpp"

namespace plainnet::kernels {

template <class T>
void max_of(Isa isa, const Rectangle<T>& rectangle, Index channels, T* out) {
  PLAINNET_DISPATCH(isa, max_of_rectangle<T>(rectangle, channels, out));
}

template <class T>
void mean_of(Isa isa, const Rectangle<T>& rectangle, Index channels, T* out) {
  PLAINNET_DISPATCH(isa, mean_of_rectangle<T>(rectangle, channels, out));
}

namespace detail {

/// Calls reduce(rectangle of inputs, output pixel) for every pixel of `out`.
template <class T, class Rows, class Columns, class Reduce>
void pool_map(TensorView<const T> in, const Rows& rows, const Columns& columns, TensorView<T> out, const Reduce& reduce,
              Executor& pool) {
  const Shape& shape = out.shape();
  const Index channels = in.shape().channels;
  share_out(pool, shape.batch * shape.height, 4, [&](Range part, Index) {
    for (Index r = part.begin; r < part.end; ++r) {
      const Index n = r / shape.height;
      const Index y = r % shape.height;
      const Range in_rows = rows(y);
      for (Index x = 0; x < shape.width; ++x) {
        const Range in_columns = columns(x);
        reduce(Rectangle<T>{in.pixel(n, in_rows.begin, in_columns.begin), in_rows.size(), in_columns.size(),
                            in.shape().width * channels, channels},
               out.pixel(n, y, x));
      }
    }
  });
}

}  // namespace detail

/// out(y, x) = the largest value of in(rows(y), columns(x)); `rows` and `columns` give the Range of inputs, never
/// empty, that a position sees.
template <class T, class Rows, class Columns>
void max_pool(TensorView<const T> in, const Rows& rows, const Columns& columns, TensorView<T> out, Isa isa,
              Executor& pool) {
  const auto reduce = [&](const Rectangle<T>& pixels, T* to) { max_of<T>(isa, pixels, in.shape().channels, to); };
  detail::pool_map<T>(in, rows, columns, out, reduce, pool);
}

/// out(y, x) = the mean of in(rows(y), columns(x)).
template <class T, class Rows, class Columns>
void mean_pool(TensorView<const T> in, const Rows& rows, const Columns& columns, TensorView<T> out, Isa isa,
               Executor& pool) {
  const auto reduce = [&](const Rectangle<T>& pixels, T* to) { mean_of<T>(isa, pixels, in.shape().channels, to); };
  detail::pool_map<T>(in, rows, columns, out, reduce, pool);
}

/// out (N, 1, 1, C) = the mean of each image's map. Threads share out images and channels.
template <class T>
void global_mean(TensorView<const T> in, TensorView<T> out, Isa isa, Executor& pool) {
  constexpr Index unit = 64;  // channels, a whole number of vectors of any kind
  const Shape& shape = in.shape();
  const Index units = (shape.channels + unit - 1) / unit;
  share_out(pool, shape.batch * units, 4, [&](Range part, Index) {
    for (Index i = part.begin; i < part.end; ++i) {
      const Index first = i % units * unit;
      const Rectangle<T> map{in.pixel(i / units, 0, 0) + first, shape.height, shape.width, shape.width * shape.channels,
                             shape.channels};
      mean_of<T>(isa, map, first + unit < shape.channels ? unit : shape.channels - first,
                 out.pixel(i / units, 0, 0) + first);
    }
  });
}

}  // namespace plainnet::kernels
