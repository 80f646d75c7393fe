#pragma once
// Gates of channels: where they come from the means of channels nearby, and what is done with them.

#include "plainnet/core/share_out.hpp"
#include "plainnet/core/tensor.hpp"
#include "plainnet/kernels/dispatch.hpp"
#include "plainnet/kernels/simd.hpp"
#include "plainnet/kernels/vector_math.hpp"

#define PLAINNET_KERNEL "plainnet/kernels/channel_attention.inl"
#include "plainnet/kernels/for_each_isa.hpp"

namespace plainnet::kernels {

template <class T>
void add_gated_part(Isa isa, const T* in, const T* gates, T gain, const T* residual, Index pixels, Index channels,
                    T* out) {
  PLAINNET_DISPATCH(isa, add_gated_pixels<T>(in, gates, gain, residual, pixels, channels, out));
}

/// out(n, y, x, c) = gain · gates(n, c) · in(n, y, x, c) + residual(n, y, x, c); `gates` are (N, C). `out` may be `in`
/// or `residual`.
template <class T>
void add_gated(TensorView<const T> in, const T* gates, T gain, const T* residual, TensorView<T> out, Isa isa,
               Executor& pool) {
  const Shape& shape = in.shape();
  const Index pixels = shape.height * shape.width;
  share_out(pool, shape.batch * pixels, 4, [&](Range part, Index) {
    for (Index first = part.begin; first < part.end;) {
      const Index n = first / pixels;
      const Index end = std::min((n + 1) * pixels, part.end);
      const Index at = first * shape.channels;
      add_gated_part<T>(isa, in.data() + at, gates + n * shape.channels, gain, residual + at, end - first,
                        shape.channels, out.data() + at);
      first = end;
    }
  });
}

/// gates(c) = σ(Σ_k weight(k) · means(c + k − taps/2)), zeros beyond the first and the last channel; of one image.
template <class T>
void gates_of_neighbours(const T* means, Index channels, const T* weight, Index taps, T* gates, Isa isa) {
  const Index reach = taps / 2;
  for (Index c = 0; c < channels; ++c) {
    T sum = T{0};
    for (Index k = std::max<Index>(0, reach - c); k < std::min(taps, channels + reach - c); ++k) {
      sum += weight[k] * means[c + k - reach];
    }
    gates[c] = sum;
  }
  activate<T>(gates, channels, Activation::sigmoid, T{0}, gates, isa);
}

}  // namespace plainnet::kernels
