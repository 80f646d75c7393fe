#pragma once
// The operations of folded MetaFormers.

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "plainnet/engine/operations.hpp"
#include "plainnet/kernels/attention.hpp"
#include "plainnet/kernels/mlp.hpp"
#include "plainnet/kernels/normalization.hpp"
#include "plainnet/kernels/normalized_rows.hpp"
#include "plainnet/kernels/pool_mixer.hpp"
#include "plainnet/kernels/token_mixing.hpp"
#include "plainnet/layers/normalization.hpp"
#include "plainnet/layers/token_mixers.hpp"

namespace plainnet {
namespace detail {

/// Null for an empty vector, which stands for ones (factors) or zeros (summands).
template <class T>
const T* or_null(const AlignedVector<T>& values) {
  return values.empty() ? nullptr : values.data();
}

/// Elements of scratch memory that normalization_of() needs.
template <class T>
Index normalization_scratch(const std::optional<Normalize<T>>& normalize, const Shape& in) {
  if (!normalize || normalize->over == NormOver::channels) return 0;
  constexpr Index line = alignment / sizeof(T);  // so that what lies behind begins with a cache line
  return (2 * in.batch + kernels::image_moments_scratch<T>(in) + line - 1) / line * line;
}

/// What a map is normalised by; computes the moments of images into `scratch`. They take a pass of their own over the
/// map, which is still in the cache: half a percent of a run of poolformer_s12, so whoever writes the map need not
/// gather them. Those of pixels are computed while the pixel is packed.
template <class T>
kernels::Normalization<T> normalization_of(const Normalize<T>& normalize, TensorView<const T> in, T* scratch, Isa isa,
                                           Executor& pool) {
  using kernels::Moments;
  const T eps = static_cast<T>(normalize.eps);
  if (normalize.over == NormOver::channels) return kernels::Normalization<T>::of_pixels(eps);
  static_assert(sizeof(Moments<T>) == 2 * sizeof(T));
  Moments<T>* const moments = reinterpret_cast<Moments<T>*>(scratch);
  kernels::image_moments<T>(in, eps, moments, scratch + 2 * in.shape().batch, isa, pool);
  return kernels::Normalization<T>::of_images(moments, in.shape());
}

/// Calls use(rows) with the pixels of a map as rows of a product, normalised where there is a norm. The moments of
/// images lie at the beginning of `scratch`, normalization_scratch() elements.
template <class T, class Use>
void with_rows(const std::optional<Normalize<T>>& normalize, TensorView<const T> in, T* scratch, Isa isa,
               Executor& pool, const Use& use) {
  const Index depth = in.shape().channels;
  if (!normalize) return use(kernels::MatrixRows<T>(in.data(), depth));
  const auto by = normalization_of(*normalize, in, scratch, isa, pool);
  use(kernels::NormalizedRows<T>(in.data(), depth, depth, by));
}

}  // namespace detail

/// A linear map of every pixel: act(W · normalize(x) + b) + scale · residual; the normalisation and the sum are left
/// out where there is none.
template <class T>
struct LinearOperation final : Operation<T> {
  kernels::PackedMatrix<T> packed;
  std::optional<Normalize<T>> normalize;
  kernels::Activation activation;
  AlignedVector<T> residual_scale;  // (outputs); empty: 1

  LinearOperation(kernels::PackedMatrix<T> packed_, std::optional<Normalize<T>> normalize_,
                  kernels::Activation activation_, AlignedVector<T> residual_scale_ = {})
      : packed(std::move(packed_)),
        normalize(normalize_),
        activation(activation_),
        residual_scale(std::move(residual_scale_)) {}

  std::string_view name() const override { return "linear"; }
  Shape output_shape(const Shape& in) const override {
    require(in.channels == packed.depth, "a linear layer of ", packed.depth, " inputs was given ", in.channels);
    return {in.batch, in.height, in.width, packed.columns};
  }
  Count macs(const Shape& in) const override {
    return multiply_counts(in.pixels(), multiply_counts(packed.depth, packed.columns));
  }
  Index scratch(const Shape& in, Index threads) const override {
    return checked_add(detail::normalization_scratch(normalize, in),
                       checked_multiply(kernels::matmul_scratch<T>(packed.depth), threads));
  }
  Overwrites overwrites(const Shape&, Index) const override { return Overwrites::residual; }
  Index weight_elements() const override { return packed.size(); }

  void run(TensorView<const T> in, const T* residual, TensorView<T> out, T* scratch, Executor& pool) const override {
    const kernels::Epilogue<T> epilogue{.activation = activation,
                                        .residual = residual,
                                        .residual_stride = packed.columns,
                                        .residual_scale = detail::or_null(residual_scale)};
    T* const rest = scratch + detail::normalization_scratch(normalize, in.shape());
    detail::with_rows(normalize, in, scratch, packed.isa, pool, [&](const kernels::RowSource<T>& rows) {
      kernels::multiply<T>(rows, out.shape().pixels(), packed, epilogue, out.data(), packed.columns, rest, pool);
    });
  }
};

/// The second half of a block: W2 · act(W1 · normalize(x) + b1) + b2 + scale · residual.
template <class T>
struct MlpOperation final : Operation<T> {
  kernels::PackedMatrix<T> first;
  kernels::PackedMatrix<T> second;
  std::optional<Normalize<T>> normalize;
  kernels::Activation activation;
  AlignedVector<T> residual_scale;  // (outputs); empty: 1

  MlpOperation(kernels::PackedMatrix<T> first_, kernels::PackedMatrix<T> second_,
               std::optional<Normalize<T>> normalize_, kernels::Activation activation_,
               AlignedVector<T> residual_scale_)
      : first(std::move(first_)),
        second(std::move(second_)),
        normalize(normalize_),
        activation(activation_),
        residual_scale(std::move(residual_scale_)) {}

  std::string_view name() const override { return "mlp"; }
  Shape output_shape(const Shape& in) const override {
    require(in.channels == first.depth, "an MLP of ", first.depth, " inputs was given ", in.channels);
    return {in.batch, in.height, in.width, second.columns};
  }
  Count macs(const Shape& in) const override {
    return multiply_counts(in.pixels(), multiply_counts(first.columns, first.depth + second.columns));
  }
  Index scratch(const Shape& in, Index threads) const override {
    return checked_add(detail::normalization_scratch(normalize, in), sizes(in).scratch(threads));
  }
  Overwrites overwrites(const Shape&, Index) const override { return Overwrites::input; }
  Index weight_elements() const override { return first.size() + second.size(); }

  void run(TensorView<const T> in, const T* residual, TensorView<T> out, T* scratch, Executor& pool) const override {
    const kernels::Epilogue<T> epilogue{
        .residual = residual, .residual_stride = second.columns, .residual_scale = detail::or_null(residual_scale)};
    T* const rest = scratch + detail::normalization_scratch(normalize, in.shape());
    detail::with_rows(normalize, in, scratch, first.isa, pool, [&](const kernels::RowSource<T>& rows) {
      kernels::mlp<T>(rows, sizes(in.shape()), first, activation, second, epilogue, out.data(), second.columns, rest,
                      pool);
    });
  }

 private:
  kernels::MlpSizes<T> sizes(const Shape& in) const {
    return {in.pixels(), first.depth, first.columns, second.columns};
  }
};

/// A norm, and the identity mixer's block: input_scale · x + scale · normalize(x) + shift, the first term only where
/// `adds_input`. Empty vectors are ones and zeros.
template <class T>
struct NormalizeOperation final : Operation<T> {
  Normalize<T> normalize;
  AlignedVector<T> scale;
  AlignedVector<T> shift;
  bool adds_input;
  AlignedVector<T> input_scale;
  Isa isa;

  NormalizeOperation(const Normalize<T>& normalize_, AlignedVector<T> scale_, AlignedVector<T> shift_, bool adds_input_,
                     AlignedVector<T> input_scale_, Isa isa_)
      : normalize(normalize_),
        scale(std::move(scale_)),
        shift(std::move(shift_)),
        adds_input(adds_input_),
        input_scale(std::move(input_scale_)),
        isa(isa_) {}

  std::string_view name() const override { return "normalize"; }
  Shape output_shape(const Shape& in) const override { return in; }
  Index scratch(const Shape& in, Index) const override { return detail::normalization_scratch<T>(normalize, in); }
  Overwrites overwrites(const Shape&, Index) const override { return Overwrites::input; }
  Index weight_elements() const override {
    return static_cast<Index>(scale.size() + shift.size() + input_scale.size());
  }
  void run(TensorView<const T> in, const T*, TensorView<T> out, T* scratch, Executor& pool) const override {
    const kernels::NormalizedSum<T> sum{.scale = detail::or_null(scale),
                                        .shift = detail::or_null(shift),
                                        .adds_input = adds_input,
                                        .input_scale = detail::or_null(input_scale)};
    kernels::normalize<T>(in, detail::normalization_of(normalize, in, scratch, isa, pool), sum, out, isa, pool);
  }
};

/// The block of the pooling mixer: input_scale · x + scale · (mean of 3×3 − 1) normalize(x). Where a norm is over the
/// map its mean cancels, and x itself is averaged; where it is over channels, x is `residual` and the input is
/// normalised.
template <class T>
struct PoolMixOperation final : Operation<T> {
  std::optional<Normalize<T>> normalize;  // over the map
  AlignedVector<T> scale;                 // (C)
  AlignedVector<T> input_scale;           // (C); empty: 1
  Isa isa;

  PoolMixOperation(std::optional<Normalize<T>> normalize_, AlignedVector<T> scale_, AlignedVector<T> input_scale_,
                   Isa isa_)
      : normalize(normalize_), scale(std::move(scale_)), input_scale(std::move(input_scale_)), isa(isa_) {}

  std::string_view name() const override { return "pool mix"; }
  Shape output_shape(const Shape& in) const override { return in; }
  Index scratch(const Shape& in, Index) const override { return detail::normalization_scratch(normalize, in); }
  Index weight_elements() const override { return static_cast<Index>(scale.size() + input_scale.size()); }
  void run(TensorView<const T> in, const T* residual, TensorView<T> out, T* scratch, Executor& pool) const override {
    const T* const factor = scale.data();
    if (normalize) {
      const auto by = detail::normalization_of(*normalize, in, scratch, isa, pool);
      kernels::pool_mix<T>(in, in, detail::or_null(input_scale), factor, by.moments, out, isa, pool);
    } else {
      const TensorView<const T> x(residual, in.shape());
      kernels::pool_mix<T>(x, in, detail::or_null(input_scale), factor, nullptr, out, isa, pool);
    }
  }
};

/// softmax(q kᵀ) v of every head, where q, k and v, side by side, are a linear map of the normalised input. They wait
/// for their heads in scratch memory.
template <class T>
struct AttentionOperation final : Operation<T> {
  kernels::PackedMatrix<T> qkv;
  std::optional<Normalize<T>> normalize;
  Index head_dim;
  bool reads_sums;

  AttentionOperation(kernels::PackedMatrix<T> qkv_, std::optional<Normalize<T>> normalize_, Index head_dim_)
      : qkv(std::move(qkv_)),
        normalize(normalize_),
        head_dim(head_dim_),
        reads_sums(kernels::attends_to_sums<T>(qkv, head_dim)) {}

  std::string_view name() const override { return "attention"; }
  Shape output_shape(const Shape& in) const override {
    require(in.channels == qkv.depth, "attention of ", qkv.depth, " inputs was given ", in.channels);
    require(qkv.columns % (3 * head_dim) == 0, "attention of ", head_dim, " channels a head was given ", qkv.columns,
            " of queries, keys and values together");
    return {in.batch, in.height, in.width, qkv.columns / 3};
  }
  Count macs(const Shape& in) const override {
    const Count tokens = multiply_counts(in.height, in.width);
    const Count pairs = multiply_counts(in.batch, multiply_counts(tokens, tokens));
    const Count product = multiply_counts(in.pixels(), multiply_counts(qkv.depth, qkv.columns));
    return add_counts(product, multiply_counts(2 * pairs, qkv.columns / 3));
  }
  Index scratch(const Shape& in, Index threads) const override {
    const Index product = kernels::matmul_scratch<T>(qkv.depth);
    const Index heads = kernels::attention_scratch<T>(in.height * in.width, head_dim, qkv.isa);
    return checked_add(checked_add(detail::normalization_scratch(normalize, in), qkv_size(in)),
                       checked_multiply(std::max(product, heads), threads));
  }
  Overwrites overwrites(const Shape&, Index) const override { return Overwrites::input; }
  Index weight_elements() const override { return qkv.size(); }

  void run(TensorView<const T> in, const T*, TensorView<T> out, T* scratch, Executor& pool) const override {
    const Index pixels = in.shape().pixels(), heads = out.shape().channels / head_dim;
    const kernels::PackedView<T> weights = qkv;
    const kernels::Epilogue<T> epilogue{.is_unfinished = reads_sums};
    const Index stride = reads_sums ? pixels * kernels::matmul_panel_columns<T>(qkv.isa) : qkv.columns;
    T* const product = scratch + detail::normalization_scratch(normalize, in.shape());
    T* const rest = product + qkv_size(in.shape());
    detail::with_rows(normalize, in, scratch, qkv.isa, pool, [&](const kernels::RowSource<T>& rows) {
      kernels::multiply<T>(rows, pixels, weights, epilogue, product, stride, rest, pool);
    });
    const Shape shape{in.shape().batch, in.shape().height, in.shape().width, qkv.columns};
    using Input = kernels::AttentionInput<T>;
    kernels::attend<T>(reads_sums ? Input::of_sums(product, stride, weights) : Input::of_map({product, shape}, heads),
                       heads, out, rest, qkv.isa, pool);
  }

 private:
  Index qkv_size(const Shape& in) const { return kernels::whole_lines<T>(checked_multiply(in.pixels(), qkv.columns)); }
};

/// The block of a spatial mixing: residual_scale · residual + W (scale · normalize(x) + shift) over the tokens. A norm
/// over channels, which no published variant has here, stands in a step of its own.
template <class T>
struct TokenMixingOperation final : Operation<T> {
  AlignedVector<T> weight;                // (tokens, tokens)
  std::optional<Normalize<T>> normalize;  // over the map
  AlignedVector<T> scale;                 // (C); empty: 1
  AlignedVector<T> shift;                 // (C); empty: 0
  AlignedVector<T> residual_scale;        // (C); empty: 1
  Index tokens;
  Isa isa;

  TokenMixingOperation(const SpatialMixing<T>& mixing, std::optional<Normalize<T>> normalize_, AlignedVector<T> scale_,
                       AlignedVector<T> shift_, AlignedVector<T> residual_scale_, Isa isa_)
      : weight(mixing.weight.begin(), mixing.weight.end()),
        normalize(normalize_),
        scale(std::move(scale_)),
        shift(std::move(shift_)),
        residual_scale(std::move(residual_scale_)),
        tokens(mixing.tokens()),
        isa(isa_) {}

  std::string_view name() const override { return "token mixing"; }
  Shape output_shape(const Shape& in) const override {
    require(in.height * in.width == tokens, "a mixing of ", tokens, " tokens was given a map of ", in.height, "x",
            in.width, ": this network works at one size of image only");
    return in;
  }
  Count macs(const Shape& in) const override { return multiply_counts(in.elements(), tokens); }
  Index scratch(const Shape& in, Index threads) const override {
    return checked_add(detail::normalization_scratch(normalize, in),
                       checked_multiply(kernels::token_mixing_scratch<T>(tokens, in.channels, isa), threads));
  }
  Index weight_elements() const override {
    return static_cast<Index>(weight.size() + scale.size() + shift.size() + residual_scale.size());
  }
  void run(TensorView<const T> in, const T* residual, TensorView<T> out, T* scratch, Executor& pool) const override {
    const kernels::Epilogue<T> epilogue{.residual = residual,
                                        .residual_stride = in.shape().channels,
                                        .residual_scale = detail::or_null(residual_scale)};
    T* const rest = scratch + detail::normalization_scratch(normalize, in.shape());
    if (normalize) {
      const auto by = detail::normalization_of(*normalize, in, scratch, isa, pool);
      kernels::mix_tokens<T>(in, weight.data(), &by, detail::or_null(scale), detail::or_null(shift), epilogue, out,
                             rest, isa, pool);
    } else {
      kernels::mix_tokens<T>(in, weight.data(), nullptr, nullptr, nullptr, epilogue, out, rest, isa, pool);
    }
  }
};

/// Adds the same (H, W, C) to every image.
template <class T>
struct PositionOperation final : Operation<T> {
  AlignedVector<T> position;
  Shape shape;  // of one image
  Isa isa;

  PositionOperation(AlignedVector<T> position_, const Shape& shape_, Isa isa_)
      : position(std::move(position_)), shape(shape_), isa(isa_) {}

  std::string_view name() const override { return "position"; }
  Shape output_shape(const Shape& in) const override {
    require(in.height == shape.height && in.width == shape.width && in.channels == shape.channels,
            "a position embedding of ", shape.height, "x", shape.width, "x", shape.channels, " was given a map of ",
            in.height, "x", in.width, "x", in.channels, ": this network works at one size of image only");
    return in;
  }
  Overwrites overwrites(const Shape&, Index) const override { return Overwrites::input; }
  Index weight_elements() const override { return static_cast<Index>(position.size()); }
  void run(TensorView<const T> in, const T*, TensorView<T> out, T*, Executor& pool) const override {
    kernels::add_position<T>(in, position.data(), out, isa, pool);
  }
};

/// A token mixer that the engine has no kernel for, as it reads: residual_scale · residual + after · mixer(x). It
/// allocates what its forward() does, and must not throw once its output_shape() took the shape.
template <class M>
struct MixerOperation final : Operation<typename M::Scalar> {
  using T = typename M::Scalar;

  M mixer;
  AlignedVector<T> after;           // (C); empty: 1
  AlignedVector<T> residual_scale;  // (C); empty: 1

  MixerOperation(M mixer_, AlignedVector<T> after_, AlignedVector<T> residual_scale_)
      : mixer(std::move(mixer_)), after(std::move(after_)), residual_scale(std::move(residual_scale_)) {}

  std::string_view name() const override { return "mixer"; }
  Shape output_shape(const Shape& in) const override { return mixer.output_shape(in); }
  Count macs(const Shape& in) const override { return mixer.macs(in); }
  void run(TensorView<const T> in, const T* residual, TensorView<T> out, T*, Executor&) const override {
    const Tensor<T> mixed = mixer.forward(in);
    const Index channels = in.shape().channels;
    for (Index i = 0; i < in.shape().elements(); i += channels) {
      for (Index c = 0; c < channels; ++c) {
        const auto at = static_cast<std::size_t>(c);
        out.data()[i + c] = (residual_scale.empty() ? T{1} : residual_scale[at]) * residual[i + c] +
                            (after.empty() ? T{1} : after[at]) * mixed.data()[i + c];
      }
    }
  }
};

}  // namespace plainnet
