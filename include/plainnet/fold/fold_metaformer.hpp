#pragma once
// Folding a MetaFormer: what of its norms, scales and activations goes into the linear maps beside them.

#include <algorithm>
#include <cmath>

#include "plainnet/core/thread_pool.hpp"
#include "plainnet/fold/folding.hpp"
#include "plainnet/networks/folded_metaformer.hpp"

namespace plainnet {

inline constexpr std::string_view norm_into_linear = "norm's scale and bias into the linear map after it";
inline constexpr std::string_view norm_into_downsampling = "norm's scale into the convolution after it";
inline constexpr std::string_view layer_scale_into_linear = "layer scale into the linear map before it";
inline constexpr std::string_view star_relu_into_linear = "StarReLU's scale and bias into the linear map after it";
inline constexpr std::string_view star_relu_into_depthwise = "StarReLU's scale into the depthwise convolution after it";
inline constexpr std::string_view attention_scale_into_query = "attention's scale into its queries";
inline constexpr std::string_view mixer_scales_into_one =
    "norm's scale and bias and the layer scale around a token mixer into one scale and shift per channel";
inline constexpr std::string_view norm_before_mixer = "norm's scale and bias into the token mixer after it";

namespace detail {

/// scale · x + shift of a norm.
template <class T>
ChannelAffine affine_of(const LayerNorm<T>& norm) {
  ChannelAffine affine = no_change(norm.channels());
  affine.scale = to_vector(norm.weight);
  if (norm.bias) affine.shift = to_vector(*norm.bias);
  return affine;
}

template <class T>
ChannelAffine affine_of(const std::optional<Parameter<T>>& scale, Index channels) {
  ChannelAffine affine = no_change(channels);
  if (scale) affine.scale = to_vector(*scale);
  return affine;
}

/// One number for all channels.
inline ChannelAffine uniform_affine(Index channels, double scale, double shift) {
  return {Vector(static_cast<std::size_t>(channels), scale), Vector(static_cast<std::size_t>(channels), shift)};
}

template <class T>
void fold_linear(const ChannelAffine& before, const Linear<T>& linear, const ChannelAffine& after, Linear<T>& folded) {
  affine_around(before, linear.weight, bias_of(linear), after, folded.weight, folded.bias ? &*folded.bias : nullptr);
}

template <class T>
void assign(const Vector& values, Parameter<T>& parameter) {
  std::transform(values.begin(), values.end(), parameter.begin(), [](double x) { return static_cast<T>(x); });
}

/// after · mixer(scale · x + shift), where `after` passes through the mixer if that works on each channel alone.
template <class M>
void fold_mixer(const ChannelAffine& norm, const M& mixer, const std::optional<Parameter<typename M::Scalar>>& scale,
                AffineMixer<M>& folded, FoldContext& context) {
  folded.mixer = mixer;
  const Vector layer_scale = affine_of(scale, folded.scale.size()).scale;
  ChannelAffine merged = norm;
  if (is_channelwise<M>()) {
    for (std::size_t c = 0; c < layer_scale.size(); ++c) {
      merged.scale[c] *= layer_scale[c];
      merged.shift[c] *= layer_scale[c];
    }
  } else if (folded.after) {
    assign(layer_scale, *folded.after);
  }
  assign(merged.scale, folded.scale);
  if (folded.shift) assign(merged.shift, *folded.shift);
  context.count(scale && is_channelwise<M>() ? mixer_scales_into_one : norm_before_mixer);
}

/// softmax((√a·q)(√a·k)ᵀ): the scale a = 1/√head_dim goes into the rows of q.
template <class T>
void fold_mixer(const ChannelAffine& norm, const Attention<T>& mixer, const std::optional<Parameter<T>>& scale,
                FoldedAttention<T>& folded, FoldContext& context) {
  ChannelAffine queries = no_change(mixer.qkv.out_channels());
  std::fill_n(queries.scale.begin(), mixer.proj.in_channels(), mixer.scale);
  fold_linear(norm, mixer.qkv, queries, folded.qkv);
  fold_linear(no_change(mixer.proj.in_channels()), mixer.proj, affine_of(scale, mixer.proj.out_channels()),
              folded.proj);
  context.count(norm_into_linear);
  context.count(attention_scale_into_query);
  if (scale) context.count(layer_scale_into_linear);
}

/// Depthwise weights w and StarReLU s·r² + b, zeros outside the map: w ∗ (s·r² + b) = (s·w) ∗ (r² + b/s). Where b/s is
/// no number to compute with, s·r² is nothing beside b: then w ∗ (0·r² + b), r = 0.
template <class T>
void fold_mixer(const ChannelAffine& norm, const SepConv<T>& mixer, const std::optional<Parameter<T>>& scale,
                FoldedSepConv<T>& folded, FoldContext& context) {
  const auto s = static_cast<double>(mixer.act1.scale[0]);
  const auto b = static_cast<double>(mixer.act1.bias[0]);
  const bool divides = std::abs(s) * 1e30 > std::abs(b);
  const Index middle = mixer.pwconv1.out_channels();
  fold_linear(norm, mixer.pwconv1, uniform_affine(middle, divides ? 1.0 : 0.0, 0.0), folded.pwconv1);
  folded.shift[0] = static_cast<T>(divides ? b / s : b);
  affine_around(no_change(1), mixer.dwconv.weight, bias_of(mixer.dwconv),
                uniform_affine(middle, divides ? s : 1.0, 0.0), folded.dwconv.weight, nullptr);
  fold_linear(no_change(middle), mixer.pwconv2, affine_of(scale, mixer.pwconv2.out_channels()), folded.pwconv2);
  context.count(norm_into_linear);
  context.count(star_relu_into_depthwise);
  if (scale) context.count(layer_scale_into_linear);
}

/// fc1 takes the norm, fc2 the layer scale and StarReLU's constants: W₂(s·r² + b) = (s·W₂) r² + b·W₂·1.
template <class T>
void fold_mlp(const ChannelAffine& norm, const Mlp<T>& mlp, const std::optional<Parameter<T>>& scale,
              FoldedMlp<T>& folded, FoldContext& context) {
  const Index hidden = mlp.fc1.out_channels();
  ChannelAffine star = no_change(hidden);
  if (const auto* act = std::get_if<StarRelu<T>>(&mlp.act.choice())) {
    star = uniform_affine(hidden, static_cast<double>(act->scale[0]), static_cast<double>(act->bias[0]));
    context.count(star_relu_into_linear);
  }
  fold_linear(norm, mlp.fc1, no_change(hidden), folded.fc1);
  fold_linear(star, mlp.fc2, affine_of(scale, mlp.fc2.out_channels()), folded.fc2);
  context.count(norm_into_linear);
  if (scale) context.count(layer_scale_into_linear);
}

/// The head's norm goes into the linear layer after it, also past the mean over pixels.
template <class T>
void fold_head(const MetaFormerHead<T>& head, FoldedMetaFormerHead<T>& folded, FoldContext& context) {
  const ChannelAffine norm = affine_of(head.norm);
  const auto into = [&](const ChannelAffine& before, const Linear<T>& linear) {
    Linear<T> result(linear.in_channels(), linear.out_channels());
    fold_linear(before, linear, no_change(linear.out_channels()), result);
    context.count(norm_into_linear);
    return result;
  };
  if (const auto* linear = std::get_if<Linear<T>>(&head.fc.choice())) {
    folded.fc = into(norm, *linear);
  } else {
    const MlpHead<T>& mlp = std::get<MlpHead<T>>(head.fc.choice());
    folded.fc = FoldedMlpHead<T>{into(norm, mlp.fc1), mlp.norm.normalize, into(affine_of(mlp.norm), mlp.fc2)};
  }
}

}  // namespace detail

/// Exact algebra in double precision; `trained` stays as it is.
template <class... Mixers>
Folding<FoldedMetaFormer<Mixers...>> fold(const MetaFormer<Mixers...>& trained, const FoldOptions& options = {}) {
  using Trained = MetaFormer<Mixers...>;
  using T = typename Trained::Scalar;
  ThreadPool pool(options.threads);
  FoldContext context{pool};
  const auto same_mixer = [&](const MetaFormerConfig&, std::size_t stage) {
    return trained.stages[stage].blocks.front().token_mixer;
  };
  FoldedMetaFormer<Mixers...> folded(trained.config(), same_mixer);
  for (std::size_t i = 0; i < trained.stages.size(); ++i) {
    const typename Trained::Stage& from = trained.stages[i];
    auto& to = folded.stages[i];
    const Conv2d<T>& conv = from.downsample.conv;
    ChannelAffine norm = detail::no_change(conv.in_channels());
    if (from.downsample.pre_norm) {
      norm = detail::affine_of(*from.downsample.pre_norm);
      context.count(norm_into_downsampling);
    }
    affine_around(norm, conv.weight, detail::bias_of(conv), detail::no_change(conv.out_channels()),
                  to.downsample.conv.weight, &*to.downsample.conv.bias);
    to.downsample.post_norm = from.downsample.post_norm;
    to.position = from.position;
    for (std::size_t j = 0; j < from.blocks.size(); ++j) {
      const typename Trained::Block& block = from.blocks[j];
      auto& result = to.blocks[j];
      std::visit(
          [&]<class M>(const M& mixer) {
            FoldedMixer<M> folded_mixer(mixer, trained.config(), i);
            detail::fold_mixer(detail::affine_of(block.norm1), mixer, block.layer_scale1, folded_mixer, context);
            result.token_mixer = std::move(folded_mixer);
          },
          block.token_mixer.choice());
      result.res_scale1 = block.res_scale1;
      detail::fold_mlp(detail::affine_of(block.norm2), block.mlp, block.layer_scale2, result.mlp, context);
      result.res_scale2 = block.res_scale2;
    }
  }
  detail::fold_head(trained.head, folded.head, context);
  return {std::move(folded), std::move(context.merges)};
}

}  // namespace plainnet
