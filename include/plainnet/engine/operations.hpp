#pragma once
// What an engine runs: operations with their weights packed for the machine, not bound to any size of image.

#include <algorithm>
#include <string_view>
#include <utility>

#include "plainnet/core/window.hpp"
#include "plainnet/kernels/convolution.hpp"
#include "plainnet/kernels/depthwise.hpp"
#include "plainnet/kernels/pooling.hpp"
#include "plainnet/kernels/winograd.hpp"
#include "plainnet/layers/pooling.hpp"

namespace plainnet {

/// Which of its maps an operation can write its result over, if nobody needs it any more: what was just read is in the
/// caches, another map is not.
enum class Overwrites { nothing, input, residual };

/// One step of a run. It neither allocates nor throws. `residual` is a value of the shape of `out` for operations that
/// add one, else null; `scratch` has as many elements as scratch() says. `out` is a map of its own, or the one that
/// overwrites() allows.
template <class T>
class Operation {
 public:
  virtual ~Operation() = default;

  /// What it is, for a profile.
  virtual std::string_view name() const = 0;
  /// Error if it cannot take `in`.
  virtual Shape output_shape(const Shape& in) const = 0;
  /// Multiply-adds.
  virtual Count macs(const Shape&) const { return 0; }
  /// Elements of scratch memory that a run on `in` needs.
  virtual Index scratch(const Shape& /*in*/, Index /*threads*/) const { return 0; }
  /// `input` may be the residual too; `residual` is another map than the input.
  virtual Overwrites overwrites(const Shape& /*in*/, Index /*threads*/) const { return Overwrites::nothing; }
  /// Elements of its packed weights.
  virtual Index weight_elements() const { return 0; }
  virtual void run(TensorView<const T> in, const T* residual, TensorView<T> out, T* scratch, Executor& pool) const = 0;
};

/// Convolution, bias, activation, and an earlier value where there is one; or convolution, bias and a maximum.
template <class T>
struct ConvolutionOperation final : Operation<T> {
  kernels::PackedConvolution<T> packed;
  kernels::Epilogue<T> epilogue;  // its residual is given to run()

  explicit ConvolutionOperation(kernels::PackedConvolution<T> packed_, kernels::Epilogue<T> epilogue_ = {})
      : packed(std::move(packed_)), epilogue(epilogue_) {}

  std::string_view name() const override { return "convolution"; }
  Shape output_shape(const Shape& in) const override {
    require(in.channels == packed.in_channels, "a convolution of ", packed.in_channels, " channels was given ",
            in.channels);
    return plainnet::output_shape(convolved_shape(in), {.kernel = packed.pool, .stride = packed.pool},
                                  packed.out_channels);
  }
  Count macs(const Shape& in) const override { return multiply_counts(convolved_shape(in).elements(), packed.depth()); }
  Index scratch(const Shape&, Index threads) const override { return checked_multiply(packed.scratch(), threads); }
  Overwrites overwrites(const Shape&, Index) const override { return Overwrites::residual; }
  Index weight_elements() const override {
    Index total = 0;
    for (const auto& group : packed.groups) total += group.size();
    return total;
  }
  void run(TensorView<const T> in, const T* residual, TensorView<T> out, T* scratch, Executor& pool) const override {
    kernels::Epilogue<T> with_residual = epilogue;
    with_residual.residual = residual;
    with_residual.residual_stride = packed.out_channels;
    kernels::convolve(in, packed, with_residual, out, scratch, pool);
  }

 private:
  Shape convolved_shape(const Shape& in) const {
    return plainnet::output_shape(in, packed.window, packed.out_channels);
  }
};

/// The same for 3×3 windows of stride 1 or 2, by Winograd's algorithm.
template <class T>
struct WinogradOperation final : Operation<T> {
  kernels::PackedWinograd<T> packed;
  kernels::Epilogue<T> epilogue;  // its residual is given to run()

  explicit WinogradOperation(kernels::PackedWinograd<T> packed_, kernels::Epilogue<T> epilogue_ = {})
      : packed(std::move(packed_)), epilogue(epilogue_) {}

  std::string_view name() const override { return "winograd"; }
  Shape output_shape(const Shape& in) const override {
    require(in.channels == packed.in_channels, "a convolution of ", packed.in_channels, " channels was given ",
            in.channels);
    return plainnet::output_shape(in, packed.window, packed.out_channels);
  }
  /// Those of the convolution, not the fewer that are done.
  Count macs(const Shape& in) const override {
    return multiply_counts(output_shape(in).elements(), 9 * packed.group_in());
  }
  Index scratch(const Shape&, Index threads) const override { return checked_multiply(packed.scratch(), threads); }
  Overwrites overwrites(const Shape&, Index) const override { return Overwrites::residual; }
  Index weight_elements() const override { return static_cast<Index>(packed.weights.size() + packed.bias.size()); }
  void run(TensorView<const T> in, const T* residual, TensorView<T> out, T* scratch, Executor& pool) const override {
    kernels::Epilogue<T> with_residual = epilogue;
    with_residual.residual = residual;
    with_residual.residual_stride = packed.out_channels;
    kernels::convolve(in, packed, with_residual, out, scratch, pool);
  }
};

/// Depthwise convolution of an activated map, bias: a series activation, or the middle of a separable convolution.
template <class T>
struct DepthwiseOperation final : Operation<T> {
  kernels::PackedDepthwise<T> packed;

  explicit DepthwiseOperation(kernels::PackedDepthwise<T> packed_) : packed(std::move(packed_)) {}

  std::string_view name() const override { return "depthwise"; }
  Shape output_shape(const Shape& in) const override {
    require(in.channels == packed.channels, "a depthwise convolution of ", packed.channels, " channels was given ",
            in.channels);
    return in;
  }
  Count macs(const Shape& in) const override {
    const Index side = 2 * packed.reach + 1;
    return multiply_counts(in.elements(), side * side);
  }
  Overwrites overwrites(const Shape& in, Index threads) const override {
    return kernels::depthwise_works_in_place(packed, in, threads) ? Overwrites::input : Overwrites::nothing;
  }
  Index weight_elements() const override { return static_cast<Index>(packed.taps.size()); }
  void run(TensorView<const T> in, const T*, TensorView<T> out, T*, Executor& pool) const override {
    kernels::depthwise(in, packed, out, pool);
  }
};

namespace detail {

/// The inputs inside a map that a pool's window sees, row by row or column by column.
struct PoolRange {
  Index kernel, stride, padding, extent;

  Range operator()(Index position) const {
    const Index first = position * stride - padding;
    return {std::max<Index>(0, first), std::min(extent, first + kernel)};
  }
};
inline PoolRange pool_rows(const Window& window, const Shape& in) {
  return {window.kernel.height, window.stride.height, window.padding.top, in.height};
}
inline PoolRange pool_columns(const Window& window, const Shape& in) {
  return {window.kernel.width, window.stride.width, window.padding.left, in.width};
}

/// Error for windows that may see nothing, and for dilated ones.
inline void require_pool(const Window& window) {
  require(window.dilation == Extent2D{1}, "the engine has no dilated pooling");
  const Padding& p = window.padding;
  require(std::max(p.top, p.bottom) < window.kernel.height && std::max(p.left, p.right) < window.kernel.width,
          "padding as wide as the window would pool nothing");
}

}  // namespace detail

/// The largest value of a window; padding never wins.
template <class T>
struct MaxPoolOperation final : Operation<T> {
  Window window;
  Isa isa;

  MaxPoolOperation(const Window& window_, Isa isa_) : window(window_), isa(isa_) { detail::require_pool(window); }

  std::string_view name() const override { return "max pool"; }
  Shape output_shape(const Shape& in) const override { return plainnet::output_shape(in, window, in.channels); }
  void run(TensorView<const T> in, const T*, TensorView<T> out, T*, Executor& pool) const override {
    const Window padded = padded_for(in.shape(), window);
    kernels::max_pool(in, detail::pool_rows(padded, in.shape()), detail::pool_columns(padded, in.shape()), out, isa,
                      pool);
  }
};

/// The mean of a window; padding does not count.
template <class T>
struct MeanPoolOperation final : Operation<T> {
  Window window;
  Isa isa;

  MeanPoolOperation(const Window& window_, Isa isa_) : window(window_), isa(isa_) { detail::require_pool(window); }

  std::string_view name() const override { return "mean pool"; }
  Shape output_shape(const Shape& in) const override { return plainnet::output_shape(in, window, in.channels); }
  void run(TensorView<const T> in, const T*, TensorView<T> out, T*, Executor& pool) const override {
    const Window padded = padded_for(in.shape(), window);
    kernels::mean_pool(in, detail::pool_rows(padded, in.shape()), detail::pool_columns(padded, in.shape()), out, isa,
                       pool);
  }
};

/// The largest value of each cell of a grid.
template <class T>
struct AdaptiveMaxPoolOperation final : Operation<T> {
  Extent2D size;
  Isa isa;

  AdaptiveMaxPoolOperation(Extent2D size_, Isa isa_) : size(size_), isa(isa_) {}

  std::string_view name() const override { return "adaptive max pool"; }
  Shape output_shape(const Shape& in) const override { return {in.batch, size.height, size.width, in.channels}; }
  void run(TensorView<const T> in, const T*, TensorView<T> out, T*, Executor& pool) const override {
    kernels::max_pool(
        in, [&](Index y) { return adaptive_range(y, in.shape().height, size.height); },
        [&](Index x) { return adaptive_range(x, in.shape().width, size.width); }, out, isa, pool);
  }
};

/// The mean of each image's map.
template <class T>
struct GlobalMeanOperation final : Operation<T> {
  Isa isa;

  explicit GlobalMeanOperation(Isa isa_) : isa(isa_) {}

  std::string_view name() const override { return "global mean"; }
  Shape output_shape(const Shape& in) const override { return {in.batch, 1, 1, in.channels}; }
  void run(TensorView<const T> in, const T*, TensorView<T> out, T*, Executor& pool) const override {
    kernels::global_mean(in, out, isa, pool);
  }
};

}  // namespace plainnet
