#pragma once
// VanillaNet's series activation: ReLU on load, depthwise (2n + 1) × (2n + 1) convolution, bias. Channels last.

#include "plainnet/core/tensor.hpp"
#include "plainnet/core/thread_pool.hpp"
#include "plainnet/kernels/dispatch.hpp"
#include "plainnet/kernels/simd.hpp"

namespace plainnet::kernels {

/// Taps and bias in groups of one vector of channels: (group, ky, kx, lane), then (group, lane) biases, together.
template <class T>
struct PackedSeries {
  Isa isa = Isa::baseline;
  Index channels = 0;
  Index reach = 0;  // n
  AlignedVector<T> taps;
};

/// Packs `weight` (C, 1, 2n + 1, 2n + 1) and `bias` (C).
template <class T>
PackedSeries<T> pack_series(const T* weight, const T* bias, Index channels, Index reach, Isa isa) {
  const Index lanes = lanes_of<T>(isa);
  const Index taps = (2 * reach + 1) * (2 * reach + 1);
  const Index groups = (channels + lanes - 1) / lanes;
  PackedSeries<T> packed{.isa = isa, .channels = channels, .reach = reach, .taps = {}};
  packed.taps.assign(static_cast<std::size_t>(checked_multiply(groups * lanes, taps + 1)), T{0});
  for (Index c = 0; c < channels; ++c) {
    T* lane = packed.taps.data() + c / lanes * (taps + 1) * lanes + c % lanes;
    for (Index tap = 0; tap < taps; ++tap) lane[tap * lanes] = weight[c * taps + tap];
    lane[taps * lanes] = bias[c];
  }
  return packed;
}

/// The rows of inputs that one row of outputs sees.
template <class T>
struct SeriesRow {
  const T* in;      // first pixel of the first row that lies inside the map
  Index first_tap;  // rows of taps that fall on it and on the rows below
  Index end_tap;
  Index row_stride;  // elements
  Index pixel_stride;
  Index width;  // pixels
};

}  // namespace plainnet::kernels

#define PLAINNET_KERNEL "plainnet/kernels/series_activation.inl"
#include "plainnet/kernels/for_each_isa.hpp"

namespace plainnet::kernels {

template <class T>
void series_part(TensorView<const T> in, const PackedSeries<T>& packed, TensorView<T> out, Range rows) {
  PLAINNET_DISPATCH(packed.isa, series_rows<T>(in, packed, out, rows));
}

/// out(y, x, c) = bias(c) + Σ weight(c, ky, kx) · ReLU(in(y + ky − n, x + kx − n, c)), zeros outside the map; both
/// maps have the same shape and do not overlap.
template <class T>
void series_activation(TensorView<const T> in, const PackedSeries<T>& packed, TensorView<T> out, ThreadPool& pool) {
  const Index rows = in.shape().batch * in.shape().height;
  pool.run([&](Index thread) { series_part<T>(in, packed, out, part_of(rows, pool.size(), thread)); });
}

}  // namespace plainnet::kernels
