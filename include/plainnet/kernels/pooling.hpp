#pragma once
// Pooling of channels-last maps: maximum over rectangles, mean over a map.

#include "plainnet/core/tensor.hpp"
#include "plainnet/core/thread_pool.hpp"
#include "plainnet/kernels/dispatch.hpp"
#include "plainnet/kernels/simd.hpp"

#define PLAINNET_KERNEL "plainnet/kernels/pooling.inl"
#include "plainnet/kernels/for_each_isa.hpp"

namespace plainnet::kernels {

template <class T>
void max_of(Isa isa, const T* first, Index height, Index width, Index row_stride, Index channels, T* out) {
  PLAINNET_DISPATCH(isa, max_of_rectangle<T>(first, height, width, row_stride, channels, out));
}

template <class T>
void mean_of(Isa isa, const T* first, Index pixels, Index channels, T* out) {
  PLAINNET_DISPATCH(isa, mean_of_pixels<T>(first, pixels, channels, out));
}

/// out(y, x) = the largest value of in(rows(y), columns(x)); `rows` and `columns` give the Range of inputs, never
/// empty, that a position sees.
template <class T, class Rows, class Columns>
void max_pool(TensorView<const T> in, const Rows& rows, const Columns& columns, TensorView<T> out, Isa isa,
              ThreadPool& pool) {
  const Shape& shape = out.shape();
  const Index row_stride = in.shape().width * in.shape().channels;
  pool.run([&](Index thread) {
    const Range part = part_of(shape.batch * shape.height, pool.size(), thread);
    for (Index r = part.begin; r < part.end; ++r) {
      const Index n = r / shape.height;
      const Index y = r % shape.height;
      const Range in_rows = rows(y);
      for (Index x = 0; x < shape.width; ++x) {
        const Range in_columns = columns(x);
        max_of<T>(isa, in.pixel(n, in_rows.begin, in_columns.begin), in_rows.size(), in_columns.size(), row_stride,
                  shape.channels, out.pixel(n, y, x));
      }
    }
  });
}

/// out (N, 1, 1, C) = the mean of each image's map.
template <class T>
void global_mean(TensorView<const T> in, TensorView<T> out, Isa isa, ThreadPool& pool) {
  pool.run([&](Index thread) {
    const Range part = part_of(in.shape().batch, pool.size(), thread);
    for (Index n = part.begin; n < part.end; ++n) {
      mean_of<T>(isa, in.pixel(n, 0, 0), in.shape().height * in.shape().width, in.shape().channels, out.pixel(n, 0, 0));
    }
  });
}

}  // namespace plainnet::kernels
