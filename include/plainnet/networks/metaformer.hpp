#pragma once
// MetaFormer as trained: one architecture, any token mixer (Yu et al., "MetaFormer is Actually What You Need for
// Vision", arXiv 2111.11418, and "MetaFormer Baselines for Vision", arXiv 2210.13452). Parameter names are those of the
// published codes.

#include <optional>
#include <vector>

#include "plainnet/layers/mlp.hpp"
#include "plainnet/layers/position_embedding.hpp"
#include "plainnet/layers/token_mixers.hpp"
#include "plainnet/networks/features.hpp"
#include "plainnet/networks/metaformer_config.hpp"

namespace plainnet {

namespace detail {

template <class T>
void scale_channels(const std::optional<Parameter<T>>& scale, Tensor<T>& map) {
  if (scale) map.matrix().array().rowwise() *= scale->matrix().col(0).transpose().array();
}

template <class T>
std::optional<Parameter<T>> ones(bool wanted, Index channels) {
  if (!wanted) return std::nullopt;
  Parameter<T> parameter({channels});
  std::fill(parameter.begin(), parameter.end(), T{1});
  return parameter;
}

}  // namespace detail

/// x ← res_scale1 · x + layer_scale1 · token_mixer(norm1(x));  x ← res_scale2 · x + layer_scale2 · mlp(norm2(x))
template <class Mixer>
struct MetaFormerBlock {
  using Scalar = typename Mixer::Scalar;
  using T = Scalar;

  LayerNorm<T> norm1;
  Mixer token_mixer;
  std::optional<Parameter<T>> layer_scale1, res_scale1;  // (C)
  LayerNorm<T> norm2;
  Mlp<T> mlp;
  std::optional<Parameter<T>> layer_scale2, res_scale2;  // (C)
  bool flat_names;                                       // "layer_scale_1", not "layer_scale1.scale"

  MetaFormerBlock(const MetaFormerConfig& config, std::size_t stage, Mixer mixer)
      : norm1(config.widths[stage], config.norm_over, config.block_eps(), !config.is_baseline()),
        token_mixer(std::move(mixer)),
        layer_scale1(detail::ones<T>(!config.is_baseline(), config.widths[stage])),
        res_scale1(detail::ones<T>(config.has_res_scale(stage), config.widths[stage])),
        norm2(norm1),
        mlp{Linear<T>(config.widths[stage], 4 * config.widths[stage], !config.is_baseline()), activation(config),
            Linear<T>(4 * config.widths[stage], config.widths[stage], !config.is_baseline())},
        layer_scale2(layer_scale1),
        res_scale2(res_scale1),
        flat_names(config.code == MetaFormerCode::poolformer) {}

  Shape output_shape(const Shape& in) const { return mlp.output_shape(token_mixer.output_shape(in)); }

  Count macs(const Shape& in) const { return token_mixer.macs(in) + mlp.macs(in); }

  Tensor<T> forward(TensorView<const T> in) const {
    Tensor<T> x = branch(in, norm1, token_mixer, layer_scale1, res_scale1);
    return branch(x.view(), norm2, mlp, layer_scale2, res_scale2);
  }

  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("norm1", self.norm1);
    visitor("token_mixer", self.token_mixer);
    if (self.layer_scale1) visitor(self.flat_names ? "layer_scale_1" : "layer_scale1.scale", *self.layer_scale1);
    if (self.res_scale1) visitor("res_scale1.scale", *self.res_scale1);
    visitor("norm2", self.norm2);
    visitor("mlp", self.mlp);
    if (self.layer_scale2) visitor(self.flat_names ? "layer_scale_2" : "layer_scale2.scale", *self.layer_scale2);
    if (self.res_scale2) visitor("res_scale2.scale", *self.res_scale2);
  }

 private:
  static typename Mlp<T>::Activation activation(const MetaFormerConfig& config) {
    if (config.is_baseline()) return StarRelu<T>{};
    return Gelu<T>{};
  }

  template <class Body>
  static Tensor<T> branch(TensorView<const T> x, const LayerNorm<T>& norm, const Body& body,
                          const std::optional<Parameter<T>>& layer_scale,
                          const std::optional<Parameter<T>>& res_scale) {
    Tensor<T> out = body.forward(norm.forward(x));
    detail::scale_channels(layer_scale, out);
    if (res_scale) {
      out.matrix().array() += x.matrix().array().rowwise() * res_scale->matrix().col(0).transpose().array();
    } else {
      out.matrix() += x.matrix();
    }
    return out;
  }
};

/// The convolution before a stage, in the baselines with a norm: after the stem, before downsampling.
template <class T>
struct Downsampling {
  using Scalar = T;

  std::optional<LayerNorm<T>> pre_norm;
  Conv2d<T> conv;
  std::optional<LayerNorm<T>> post_norm;

  Downsampling(const MetaFormerConfig& config, std::size_t stage)
      : conv({.in_channels = stage == 0 ? config.in_channels : config.widths[stage - 1],
              .out_channels = config.widths[stage],
              .window = config.window(stage)}) {
    if (!config.is_baseline()) return;
    std::optional<LayerNorm<T>>& norm = stage == 0 ? post_norm : pre_norm;
    norm.emplace(stage == 0 ? conv.out_channels() : conv.in_channels(), NormOver::channels, config.block_eps(),
                 /*with_bias=*/false);
  }

  Shape output_shape(const Shape& in) const { return conv.output_shape(in); }
  Count macs(const Shape& in) const { return conv.macs(in); }

  Tensor<T> forward(TensorView<const T> in) const {
    Tensor<T> x = pre_norm ? conv.forward(pre_norm->forward(in)) : conv.forward(in);
    return post_norm ? post_norm->forward(x) : x;
  }
};

/// Norm and mean over pixels, in one order or the other, then a linear layer or a small perceptron.
template <class T>
struct MetaFormerHead {
  using Scalar = T;

  LayerNorm<T> norm;
  bool norm_first;
  OneOf<Linear<T>, MlpHead<T>> fc;

  explicit MetaFormerHead(const MetaFormerConfig& config)
      : norm(config.widths.back(), config.head_norm_first() ? config.norm_over : NormOver::channels, config.head_eps()),
        norm_first(config.head_norm_first()),
        fc(classifier(config)) {}

  Shape output_shape(const Shape& in) const { return fc.output_shape(GlobalAvgPool2d<T>{}.output_shape(in)); }
  Count macs(const Shape& in) const { return fc.macs(GlobalAvgPool2d<T>{}.output_shape(in)); }

  Tensor<T> forward(TensorView<const T> in) const {
    const GlobalAvgPool2d<T> mean;
    return fc.forward(norm_first ? mean.forward(norm.forward(in)) : norm.forward(mean.forward(in)));
  }

 private:
  static OneOf<Linear<T>, MlpHead<T>> classifier(const MetaFormerConfig& config) {
    if (config.mlp_head) return MlpHead<T>(config.widths.back(), config.classes, config.mlp_head_eps());
    return Linear<T>(config.widths.back(), config.classes);
  }
};

/// The mixers of all published variants, by the letters of MetaFormerConfig::mixers.
template <class T>
struct PublishedMixers {
  using Mixer = OneOf<Identity<T>, PoolMixer<T>, Attention<T>, SpatialMixing<T>, SepConv<T>>;

  Mixer operator()(const MetaFormerConfig& config, std::size_t stage) const {
    const Index channels = config.widths[stage];
    const auto tokens = [&] { return checked_multiply(config.map_side(stage), config.map_side(stage)); };
    switch (config.mixers[stage]) {
      case 'i': return Identity<T>{};
      case 'p': return PoolMixer<T>{};
      case 'a': return Attention<T>(channels, /*proj_bias=*/!config.is_baseline());
      case 'f': return SpatialMixing<T>(tokens(), "fc.weight");
      case 'r': return SpatialMixing<T>(tokens(), "random_matrix");
      case 'c': return SepConv<T>(channels);
    }
    fail("unknown mixer '", config.mixers.substr(stage, 1), "': i (identity), p (pooling), a (attention), f (spatial ",
         "fully connected), r (random) and c (separable convolution) are known");
  }
};

namespace detail {

// What a network of stages computes, trained or folded.

template <class Network>
Shape metaformer_output_shape(const Network& network, Shape shape) {
  for (const auto& stage : network.stages) {
    shape = stage.downsample.output_shape(shape);
    if (stage.position) shape = stage.position->output_shape(shape);
    for (const auto& block : stage.blocks) shape = block.output_shape(shape);
  }
  return network.head.output_shape(shape);
}

template <class Network>
Count metaformer_macs(const Network& network, Shape shape) {
  Count total = 0;
  for (const auto& stage : network.stages) {
    total += stage.downsample.macs(shape);
    shape = stage.downsample.output_shape(shape);
    for (const auto& block : stage.blocks) total += block.macs(shape);
  }
  return total + network.head.macs(shape);
}

template <class Network, class T, class Observer>
Tensor<T> metaformer_forward(const Network& network, TensorView<const T> in, Observer& observe) {
  Tensor<T> x;
  for (std::size_t i = 0; i < network.stages.size(); ++i) {
    const auto& stage = network.stages[i];
    const MetaFormerStageNames names = stage_names(network.config(), i);
    const auto show = [&](const std::string& name) {
      if (!name.empty()) observe(name, x.view());
    };
    x = stage.downsample.forward(i == 0 ? in : x.view());
    show(names.conv_feature);
    if (stage.position) {
      x = stage.position->forward(x);
      show(names.position_feature);
    }
    for (const auto& block : stage.blocks) x = block.forward(x);
    show(names.blocks_feature);
  }
  return network.head.forward(x);
}

}  // namespace detail

/// A MetaFormer whose blocks mix tokens by any of `Mixers` (the concept TokenMixer): each a value, chosen stage by
/// stage.
template <class... Mixers>
class MetaFormer {
 public:
  using Scalar = detail::ScalarOfFirst<Mixers...>;
  using Config = MetaFormerConfig;
  using Mixer = OneOf<Mixers...>;
  using Block = MetaFormerBlock<Mixer>;
  using T = Scalar;
  static_assert((TokenMixer<Mixers, T> && ...),
                "Each mixer of a MetaFormer must be a Layer of the network's number type: it needs output_shape, macs, "
                "forward and visit (see plainnet/layers/layer.hpp).");

  /// Stem or downsampling, then blocks.
  struct Stage {
    Downsampling<T> downsample;  // the stem of stage 0
    std::optional<PositionEmbedding<T>> position;
    std::vector<Block> blocks;
  };

  std::vector<Stage> stages;
  MetaFormerHead<T> head;

  /// Weights zero, norms and scales the identity. `make_mixer(config, stage)` gives the mixer of a stage's blocks.
  template <class MakeMixer = PublishedMixers<T>>
  explicit MetaFormer(const MetaFormerConfig& config, const MakeMixer& make_mixer = {})
      : head((config.check(), config)), config_(config) {
    for (std::size_t i = 0; i < config.stages(); ++i) {
      stages.push_back({Downsampling<T>(config, i), std::nullopt, {}});
      if (static_cast<Index>(i) == config.position_stage) {
        stages[i].position.emplace(config.widths[i], config.map_side(i), config.map_side(i));
      }
      for (Index j = 0; j < config.depths[i]; ++j) stages[i].blocks.emplace_back(config, i, make_mixer(config, i));
    }
  }

  const MetaFormerConfig& config() const { return config_; }

  /// Shape of the logits: (N, 1, 1, classes).
  Shape output_shape(const Shape& in) const { return detail::metaformer_output_shape(*this, in); }
  Count macs(const Shape& in) const { return detail::metaformer_macs(*this, in); }

  /// `in` (N, H, W, 3), normalised; logits (N, 1, 1, classes). `observe(name, map)` sees what the published code's
  /// modules give: of every stage, in sail-sg/poolformer of downsampling and position embedding too.
  template <class Observer = detail::IgnoreFeatures>
  Tensor<T> forward(TensorView<const T> in, Observer&& observe = {}) const {
    return detail::metaformer_forward(*this, in, observe);
  }

  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    for (std::size_t i = 0; i < self.stages.size(); ++i) {
      const MetaFormerStageNames names = stage_names(self.config_, i);
      auto& stage = self.stages[i];
      if (stage.downsample.pre_norm) visitor(names.norm, *stage.downsample.pre_norm);
      visitor(names.conv, stage.downsample.conv);
      if (stage.downsample.post_norm) visitor(names.norm, *stage.downsample.post_norm);
      if (stage.position) visitor(names.position, *stage.position);
      for (std::size_t j = 0; j < stage.blocks.size(); ++j) visitor(concatenate(names.blocks, j), stage.blocks[j]);
    }
    const bool is_timm = self.config_.code == MetaFormerCode::timm;
    visitor(is_timm ? "head.norm" : "norm", self.head.norm);
    visitor(is_timm ? "head.fc" : "head", self.head.fc);
  }

 private:
  MetaFormerConfig config_;
};

namespace detail {

template <class T>
struct MetaFormerOf;
template <class... Mixers>
struct MetaFormerOf<OneOf<Mixers...>> {
  using type = MetaFormer<Mixers...>;
};

}  // namespace detail

/// Any published MetaFormer.
template <class T>
using PublishedMetaFormer = typename detail::MetaFormerOf<typename PublishedMixers<T>::Mixer>::type;

}  // namespace plainnet
