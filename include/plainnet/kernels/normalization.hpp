#pragma once
// Mean and deviation of images or pixels, and maps that are normalised by them.

#include <cmath>

#include "plainnet/core/share_out.hpp"
#include "plainnet/core/tensor.hpp"
#include "plainnet/kernels/dispatch.hpp"
#include "plainnet/kernels/rows.hpp"
#include "plainnet/kernels/simd.hpp"
#include "plainnet/kernels/vector_math.hpp"

namespace plainnet::kernels {

/// rstd = 1 / sqrt(variance + eps), with the biased variance.
template <class T>
struct Moments {
  T mean;
  T rstd;
};

/// What the pixels of a map are normalised by: y = (x − mean) · rstd. Either each has moments[pixel / pixels_each], of
/// its image with pixels_each = H · W, of its own with 1; or moments is null and they are computed from the pixel's
/// channels where they are needed.
template <class T>
struct Normalization {
  const Moments<T>* moments;
  Index pixels_each;
  T eps;

  static Normalization of_images(const Moments<T>* moments, const Shape& shape) {
    return {moments, shape.height * shape.width, 0};
  }
  static Normalization of_pixels(const Moments<T>* moments) { return {moments, 1, 0}; }
  static Normalization of_pixels(T eps) { return {nullptr, 1, eps}; }
};

/// Factors and summands of each channel beside a normalised map y of x:
///
///   input_scale(c) · x + scale(c) · y + shift(c)
///
/// Without adds_input the first term is left out; null is 1 for a factor and 0 for the summand.
template <class T>
struct NormalizedSum {
  const T* scale = nullptr;
  const T* shift = nullptr;
  bool adds_input = false;
  const T* input_scale = nullptr;
};

/// Of some elements: their mean as a sum of two parts, the second small, for it to be exact to more than one T; and the
/// sum of the squares of their distances from it.
template <class T>
struct Spread {
  T center;
  T offset;
  T squares;
};

}  // namespace plainnet::kernels

#define PLAINNET_KERNEL "plainnet/kernels/normalization.inl"
#include "plainnet/kernels/for_each_isa.hpp"

namespace plainnet::kernels {

template <class T>
Spread<T> spread_of(Isa isa, const T* x, Index count) {
  PLAINNET_DISPATCH(isa, spread_of<T>(x, count));
}
template <class T>
void moments_of_matrix(Isa isa, const T* data, Index depth, Range rows, T eps, Moments<T>* moments) {
  PLAINNET_DISPATCH(isa, moments_of_matrix<T>(data, depth, rows, eps, moments));
}
template <class T>
void normalize_part(Isa isa, const T* in, Index channels, Range pixels, const Normalization<T>& by,
                    const NormalizedSum<T>& sum, T* out) {
  PLAINNET_DISPATCH(isa, normalize_pixels<T>(in, channels, pixels, by, sum, out));
}
template <class T>
void add_array(Isa isa, const T* a, const T* b, Index count, T* out) {
  PLAINNET_DISPATCH(isa, add_arrays<T>(a, b, count, out));
}

/// Elements of an image of which the spread is taken at a time, so that they stay in L1. Fixed, for a result that does
/// not depend on the number of threads.
inline constexpr Index moments_chunk = 4096;

/// Elements of scratch memory of image_moments(), for all threads together.
template <class T>
Index image_moments_scratch(const Shape& shape) {
  const Index elements = shape.height * shape.width * shape.channels;
  return 3 * checked_multiply(shape.batch, (elements + moments_chunk - 1) / moments_chunk);
}

/// moments (N): of all elements of each image, as a group norm with one group has them. The spreads of the chunks are
/// merged in double: Σ (x − mean)² = Σ_chunks squares + count · (their mean − mean)².
template <class T>
void image_moments(TensorView<const T> in, T eps, Moments<T>* moments, T* scratch, Isa isa, Executor& pool) {
  const Index elements = in.shape().height * in.shape().width * in.shape().channels;
  const Index chunks = (elements + moments_chunk - 1) / moments_chunk;
  const auto count_of = [&](Index chunk) { return std::min(moments_chunk, elements - chunk * moments_chunk); };
  share_out(pool, in.shape().batch * chunks, 4, [&](Range part, Index) {
    for (Index i = part.begin; i < part.end; ++i) {
      const T* chunk = in.data() + i / chunks * elements + i % chunks * moments_chunk;
      const Spread<T> spread = spread_of<T>(isa, chunk, count_of(i % chunks));
      scratch[3 * i] = spread.center;
      scratch[3 * i + 1] = spread.offset;
      scratch[3 * i + 2] = spread.squares;
    }
  });
  for (Index n = 0; n < in.shape().batch; ++n, scratch += 3 * chunks) {
    // Means as distances from one of them, so that a large mean takes no digits from the deviations.
    const double origin = static_cast<double>(scratch[0]);
    const auto mean_of = [&](Index i) {
      return (static_cast<double>(scratch[3 * i]) - origin) + static_cast<double>(scratch[3 * i + 1]);
    };
    double mean = 0;
    for (Index i = 0; i < chunks; ++i) mean += mean_of(i) * static_cast<double>(count_of(i));
    mean /= static_cast<double>(elements);
    double squares = 0;
    for (Index i = 0; i < chunks; ++i) {
      const double distance = mean_of(i) - mean;
      squares += static_cast<double>(scratch[3 * i + 2]) + static_cast<double>(count_of(i)) * distance * distance;
    }
    const double variance = squares / static_cast<double>(elements);
    moments[n] = {static_cast<T>(origin + mean), static_cast<T>(1 / std::sqrt(variance + static_cast<double>(eps)))};
  }
}

/// moments (N · H · W): of the channels of each pixel, as a layer norm over channels has them.
template <class T>
void pixel_moments(TensorView<const T> in, T eps, Moments<T>* moments, Isa isa, Executor& pool) {
  share_out(pool, in.shape().pixels(), 4,
            [&](Range part, Index) { moments_of_matrix<T>(isa, in.data(), in.shape().channels, part, eps, moments); });
}

/// out = input_scale(c) · in + scale(c) · (in − mean) · rstd + shift(c); both maps may be the same.
template <class T>
void normalize(TensorView<const T> in, const Normalization<T>& by, const NormalizedSum<T>& sum, TensorView<T> out,
               Isa isa, Executor& pool) {
  share_out(pool, in.shape().pixels(), 4, [&](Range part, Index) {
    normalize_part<T>(isa, in.data(), in.shape().channels, part, by, sum, out.data());
  });
}

/// out = in + position, the same (H, W, C) for every image; in and out may be the same map.
template <class T>
void add_position(TensorView<const T> in, const T* position, TensorView<T> out, Isa isa, Executor& pool) {
  const Shape& shape = in.shape();
  const Index row = shape.width * shape.channels;
  share_out(pool, shape.batch * shape.height, 4, [&](Range part, Index) {
    for (Index r = part.begin; r < part.end; ++r) {
      add_array<T>(isa, in.data() + r * row, position + r % shape.height * row, row, out.data() + r * row);
    }
  });
}

}  // namespace plainnet::kernels
