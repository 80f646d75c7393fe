#pragma once
// PoolFormer's mixer with its residual: the 3×3 mean of a map minus the map, added to a multiple of the input.

#include "plainnet/core/share_out.hpp"
#include "plainnet/core/tensor.hpp"
#include "plainnet/kernels/dispatch.hpp"
#include "plainnet/kernels/normalization.hpp"
#include "plainnet/kernels/simd.hpp"
#include "plainnet/kernels/vector_math.hpp"

namespace plainnet::kernels {

/// One row of outputs.
template <class T>
struct PoolMixerRow {
  const T* x;
  const T* y;  // the same row of the map that is averaged
  bool has_above;
  bool has_below;
  Index width;  // pixels
  Index channels;
  const T* input_scale;
  const T* factor;
  T rstd;
  T* out;
};

}  // namespace plainnet::kernels

#define PLAINNET_KERNEL "plainnet/kernels/pool_mixer.inl"
#include "plainnet/kernels/for_each_isa.hpp"

namespace plainnet::kernels {

template <class T>
void pool_mix_row(Isa isa, const PoolMixerRow<T>& row) {
  PLAINNET_DISPATCH(isa, pool_mix_row<T>(row));
}

/// out(p, c) = input_scale(c) · x(p, c) + factor(c) · rstd · (mean(p, c) − y(p, c)), where mean is that of the pixels
/// of y inside the map among the 3×3 around p; input_scale null is 1.
///
/// For a norm over images, y = (x − μ) · rstd, μ cancels in mean − y, so y is x itself, and `images` (N) has the rstd.
/// For a norm over channels y is the normalised map, and `images` null, which makes rstd 1. out overlaps neither.
template <class T>
void pool_mix(TensorView<const T> x, TensorView<const T> y, const T* input_scale, const T* factor,
              const Moments<T>* images, TensorView<T> out, Isa isa, Executor& pool) {
  const Shape& shape = x.shape();
  share_out(pool, shape.batch * shape.height, 4, [&](Range part, Index) {
    for (Index r = part.begin; r < part.end; ++r) {
      const Index n = r / shape.height;
      const Index row = r % shape.height;
      pool_mix_row<T>(isa, {.x = x.pixel(n, row, 0),
                            .y = y.pixel(n, row, 0),
                            .has_above = row > 0,
                            .has_below = row + 1 < shape.height,
                            .width = shape.width,
                            .channels = shape.channels,
                            .input_scale = input_scale,
                            .factor = factor,
                            .rstd = images ? images[n].rstd : T{1},
                            .out = out.pixel(n, row, 0)});
    }
  });
}

}  // namespace plainnet::kernels
