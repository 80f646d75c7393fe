#pragma once
// Dense and grouped convolution as a matrix product whose left-hand side, the windows' pixels, is read where it lies.
//
// The product of rows (n, y, x) and columns o has the terms (ky, kx, channel). A register block holds several outputs
// by one panel of channels, as in matmul.hpp, and has a pointer for each of its outputs and taps: the idea is that of
// the indirect convolution (Dukhan, arXiv 1907.02129). So no patch is copied and borders cost nothing.

#include <algorithm>

#include "plainnet/core/share_out.hpp"
#include "plainnet/core/tensor.hpp"
#include "plainnet/core/window.hpp"
#include "plainnet/kernels/shared_matmul.hpp"
#include "plainnet/kernels/window_rows.hpp"

namespace plainnet::kernels {

/// Pointers to pixels that a thread lists at a time.
inline constexpr Index most_tap_pixels = 4096;

/// A convolution's weights, one packed matrix a group, rows in the order (ky, kx, channel).
template <class T>
struct PackedConvolution {
  Window window;
  Extent2D pool = 1;  // of 1×1 windows: of so many pixels, side by side, the largest values are kept
  Index in_channels = 0;
  Index out_channels = 0;
  std::vector<PackedMatrix<T>> groups;
  AlignedVector<T> zeros;  // a pixel outside the map: (in_channels)

  /// Whether pool() may be this, a maximum over windows that neither overlap nor leave the map.
  static bool can_pool(const Window& window, const Window& pool) {
    return window.is_pointwise() && pool.stride == pool.kernel && pool.dilation == Extent2D{1} &&
           pool.padding == Padding{0} && !pool.same && pool.rounding == Rounding::floor &&
           pool.kernel.height * pool.kernel.width <= matmul_most_pool;
  }

  Index depth() const { return groups.front().depth; }
  Index taps() const { return window.kernel.height * window.kernel.width; }
  Index group_in() const { return in_channels / static_cast<Index>(groups.size()); }
  Index group_out() const { return out_channels / static_cast<Index>(groups.size()); }

  /// Whether taps are read where they lie; else windows are copied, which is faster for the few channels of a stem (3
  /// of a 7×7 window: 1.4 times, 4 of a 3×3: 1.1 times, 8: even, 16: slower), whose taps are too short for a loop each,
  /// for 1×1 windows, where no element is copied twice (14×14 of 1024 channels: 1.05 times), and for inner products,
  /// whose error inner_product.hpp has.
  bool reads_in_place() const {
    return !window.is_pointwise() && group_in() >= 8 && taps() <= most_tap_pixels / matmul_most_rows &&
           groups.front().view().method() == MatmulMethod::definition;
  }

  /// Output pixels whose windows stay in L2 beside a panel of weights.
  Index pixels_in_cache() const {
    constexpr Index bytes = 1 << 18;
    const Index pixel = group_in() * std::min(window.stride.height, window.kernel.height) *
                        std::min(window.stride.width, window.kernel.width) * static_cast<Index>(sizeof(T));
    return std::clamp(bytes / pixel, matmul_most_rows, most_tap_pixels / taps());
  }

  /// Elements of scratch memory for each thread.
  Index scratch() const { return reads_in_place() ? 0 : matmul_scratch<T>(depth()); }
};

/// Packs `weight` (O, I / groups, kh, kw) and `bias` (O) or null.
template <class T>
PackedConvolution<T> pack_convolution(const T* weight, const T* bias, Index in_channels, Index out_channels,
                                      const Window& window, Index groups, Isa isa, Executor& pool = callers_thread()) {
  PackedConvolution<T> packed{
      .window = window, .pool = 1, .in_channels = in_channels, .out_channels = out_channels, .groups = {}, .zeros = {}};
  packed.zeros.assign(static_cast<std::size_t>(in_channels), T{0});
  const Index group_in = in_channels / groups;
  const Index group_out = out_channels / groups;
  const Index taps = window.kernel.height * window.kernel.width;
  const Index depth = group_in * taps;
  const MatmulMethod method = matmul_method<T>(isa, depth, group_out);
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
    packed.groups.push_back(pack_matrix<T, T>(matrix, bias ? bias + group * group_out : nullptr, isa, pool, method));
  }
  return packed;
}

}  // namespace plainnet::kernels

#define PLAINNET_KERNEL "plainnet/kernels/convolution.inl"
#include "plainnet/kernels/for_each_isa.hpp"

namespace plainnet::kernels {

template <class T>
void convolve_part(TensorView<const T> in, const PackedConvolution<T>& packed, const Epilogue<T>& epilogue,
                   TensorView<T> out, Range pixels, Index parts, Index part) {
  PLAINNET_DISPATCH(packed.groups.front().isa, convolve_taps<T>(in, packed, epilogue, out, pixels, parts, part));
}

/// out = act(convolution(in) + bias) + scale · residual, or what a pool keeps of it, without activation and residual;
/// `out` has the shape that window and pool give, rows of the epilogue are its pixels. `scratch` has
/// packed.scratch() elements for each thread of the pool.
template <class T>
void convolve(TensorView<const T> in, const PackedConvolution<T>& packed, const Epilogue<T>& epilogue,
              TensorView<T> out, T* scratch, Executor& pool) {
  const Index rows = out.shape().pixels();
  if (packed.reads_in_place()) {
    const bool by_rows = multiplies_by_rows<T>(rows, 1, packed.groups.front(), pool.size());
    const Index row_parts = by_rows ? pool.size() : 1;
    const Index parts = (by_rows ? 1 : pool.size()) * (pool.size() > 1 ? 4 : 1);  // of the work on these rows
    return share_out(pool, row_parts * parts, row_parts * parts / pool.size(), [&](Range part, Index) {
      for (Index i = part.begin; i < part.end; ++i) {
        convolve_part<T>(in, packed, epilogue, out, part_of(rows, row_parts, i / parts), parts, i % parts);
      }
    });
  }
  const Index group_in = packed.group_in();
  const Index area = packed.pool.height * packed.pool.width;
  for (Index group = 0; group < static_cast<Index>(packed.groups.size()); ++group) {
    const PackedMatrix<T>& weights = packed.groups[static_cast<std::size_t>(group)];
    T* const first_output = out.data() + group * packed.group_out();
    Epilogue<T> part = epilogue.from(0, group * packed.group_out());
    if (area > 1) {
      part.pool = area;
      const TiledPixels<T> pixels(in, packed.pool, group * group_in);
      multiply<T>(pixels, rows * area, weights, part, first_output, packed.out_channels, scratch, pool);
    } else if (packed.window.is_pointwise()) {
      const MatrixRows<T> pixels{in.data() + group * group_in, packed.in_channels};
      multiply<T>(pixels, rows, weights, part, first_output, packed.out_channels, scratch, pool);
    } else {
      const WindowRows<T> patches{in, padded_for(in.shape(), packed.window), out.shape(), group * group_in, group_in};
      multiply<T>(patches, rows, weights, part, first_output, packed.out_channels, scratch, pool);
    }
  }
}

}  // namespace plainnet::kernels
