#pragma once
// MetaFormer as folded. These types have no place for a layer scale, for the scale and bias of a block's or the head's
// norm, for StarReLU's constants nor for attention's scale: that folding is complete is checked by the compiler. The
// norm after the stem keeps its scale: what follows it is a sum that the scale cannot pass.

#include <optional>
#include <vector>

#include "plainnet/networks/metaformer.hpp"

namespace plainnet {

/// Any token mixer that has no folded form of its own: y = after · mixer(scale · x + shift) per channel. A mixer
/// through which they pass keeps neither `after` (is_channelwise) nor `shift` (ignores_constants).
template <class M>
class AffineMixer {
 public:
  using Scalar = typename M::Scalar;
  using T = Scalar;

  Parameter<T> scale;                 // (C)
  std::optional<Parameter<T>> shift;  // (C)
  M mixer;
  std::optional<Parameter<T>> after;  // (C)

  /// scale and after 1, shift 0.
  AffineMixer(M mixer_, const MetaFormerConfig& config, std::size_t stage)
      : scale(*detail::ones<T>(true, config.widths[stage])),
        mixer(std::move(mixer_)),
        after(detail::ones<T>(!config.is_baseline() && !detail::is_channelwise<M>(), config.widths[stage])) {
    if (!config.is_baseline() && !detail::ignores_constants<M>()) shift = Parameter<T>({config.widths[stage]});
  }

  Shape output_shape(const Shape& in) const { return mixer.output_shape(in); }
  Count macs(const Shape& in) const { return mixer.macs(in); }

  Tensor<T> forward(TensorView<const T> in) const {
    Tensor<T> x(in.shape());
    x.matrix() = in.matrix();
    x.matrix().array().rowwise() *= scale.matrix().col(0).transpose().array();
    if (shift) x.matrix().rowwise() += shift->matrix().col(0).transpose();
    Tensor<T> out = mixer.forward(x);
    detail::scale_channels(after, out);
    return out;
  }

  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("scale", self.scale);
    if (self.shift) visitor("shift", *self.shift);
    visitor("mixer", self.mixer);
    if (self.after) visitor("after", *self.after);
  }
};

/// Attention whose q is scaled already, between linear maps that hold the norm and the layer scale.
template <class T>
class FoldedAttention {
 public:
  using Scalar = T;

  Linear<T> qkv;
  Linear<T> proj;
  Index head_dim;

  FoldedAttention(const Attention<T>& sizes, const MetaFormerConfig& config, std::size_t)
      : qkv(sizes.qkv.in_channels(), sizes.qkv.out_channels(), !config.is_baseline()),
        proj(sizes.proj.in_channels(), sizes.proj.out_channels(), sizes.proj.bias.has_value()),
        head_dim(sizes.head_dim) {}

  Shape output_shape(const Shape& in) const {
    qkv.output_shape(in);
    return in;
  }
  Count macs(const Shape& in) const { return detail::attention_macs(in, qkv, proj); }

  Tensor<T> forward(TensorView<const T> in) const { return proj.forward(detail::attend(qkv.forward(in), head_dim, 1)); }

  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("qkv", self.qkv);
    visitor("proj", self.proj);
  }
};

/// 1×1, max(x, 0)² + shift, depthwise 7×7, 1×1. StarReLU's scale is in the depthwise weights; its bias, divided by the
/// scale, has to stay, as the zeros around the map are not the constant that it would be if it moved through.
template <class T>
struct FoldedSepConv {
  using Scalar = T;

  Linear<T> pwconv1;
  Parameter<T> shift{{1}};
  Conv2d<T> dwconv;
  Linear<T> pwconv2;

  FoldedSepConv(const SepConv<T>& sizes, const MetaFormerConfig& config, std::size_t)
      : pwconv1(sizes.pwconv1.in_channels(), sizes.pwconv1.out_channels(), !config.is_baseline()),
        dwconv(sizes.dwconv.sizes()),
        pwconv2(sizes.pwconv2.in_channels(), sizes.pwconv2.out_channels(), /*with_bias=*/false) {}

  Shape output_shape(const Shape& in) const { return pwconv2.output_shape(pwconv1.output_shape(in)); }
  Count macs(const Shape& in) const {
    const Shape between = pwconv1.output_shape(in);
    return pwconv1.macs(in) + dwconv.macs(between) + pwconv2.macs(between);
  }

  Tensor<T> forward(TensorView<const T> in) const {
    Tensor<T> x = SquaredRelu<T>{}.forward(pwconv1.forward(in));
    x.matrix().array() += shift[0];
    return pwconv2.forward(dwconv.forward(x));
  }

  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("pwconv1", self.pwconv1);
    visitor("shift", self.shift);
    visitor("dwconv", self.dwconv);
    visitor("pwconv2", self.pwconv2);
  }
};

namespace detail {

template <class Mixer>
struct FoldedMixerOf {
  using type = AffineMixer<Mixer>;
};
template <class T>
struct FoldedMixerOf<Attention<T>> {
  using type = FoldedAttention<T>;
};
template <class T>
struct FoldedMixerOf<SepConv<T>> {
  using type = FoldedSepConv<T>;
};

}  // namespace detail

/// What a token mixer becomes when it is folded.
template <class Mixer>
using FoldedMixer = typename detail::FoldedMixerOf<Mixer>::type;

/// fc2(act(fc1(x))), act without constants.
template <class T>
struct FoldedMlp {
  using Scalar = T;
  using Activation = OneOf<Gelu<T>, SquaredRelu<T>>;

  Linear<T> fc1;
  Activation act;
  Linear<T> fc2;

  FoldedMlp(const MetaFormerConfig& config, std::size_t stage)
      : fc1(config.widths[stage], 4 * config.widths[stage], !config.is_baseline()),
        act(config.is_baseline() ? Activation(SquaredRelu<T>{}) : Activation(Gelu<T>{})),
        fc2(4 * config.widths[stage], config.widths[stage]) {}

  Shape output_shape(const Shape& in) const { return fc2.output_shape(fc1.output_shape(in)); }
  Count macs(const Shape& in) const { return fc1.macs(in) + fc2.macs(fc1.output_shape(in)); }

  Tensor<T> forward(TensorView<const T> in) const {
    Tensor<T> x = fc1.forward(in);
    x = act.forward(x);
    return fc2.forward(x);
  }

  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("fc1", self.fc1);
    visitor("fc2", self.fc2);
  }
};

/// x ← res_scale1 · x + token_mixer(normalize(x));  x ← res_scale2 · x + mlp(normalize(x))
template <class Mixer>
struct FoldedMetaFormerBlock {
  using Scalar = typename Mixer::Scalar;
  using T = Scalar;

  Normalize<T> normalize;
  Mixer token_mixer;
  std::optional<Parameter<T>> res_scale1;  // (C)
  FoldedMlp<T> mlp;
  std::optional<Parameter<T>> res_scale2;  // (C)

  FoldedMetaFormerBlock(const MetaFormerConfig& config, std::size_t stage, Mixer mixer)
      : normalize{config.norm_over, config.block_eps()},
        token_mixer(std::move(mixer)),
        res_scale1(detail::ones<T>(config.has_res_scale(stage), config.widths[stage])),
        mlp(config, stage),
        res_scale2(res_scale1) {}

  Shape output_shape(const Shape& in) const { return mlp.output_shape(token_mixer.output_shape(in)); }
  Count macs(const Shape& in) const { return token_mixer.macs(in) + mlp.macs(in); }

  Tensor<T> forward(TensorView<const T> in) const {
    const Tensor<T> x = branch(in, token_mixer, res_scale1);
    return branch(x.view(), mlp, res_scale2);
  }

  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("token_mixer", self.token_mixer);
    if (self.res_scale1) visitor("res_scale1", *self.res_scale1);
    visitor("mlp", self.mlp);
    if (self.res_scale2) visitor("res_scale2", *self.res_scale2);
  }

 private:
  template <class Body>
  Tensor<T> branch(TensorView<const T> x, const Body& body, const std::optional<Parameter<T>>& res_scale) const {
    Tensor<T> out = body.forward(normalize.forward(x));
    Tensor<T> shortcut(x.shape());
    shortcut.matrix() = x.matrix();
    detail::scale_channels(res_scale, shortcut);
    out.matrix() += shortcut.matrix();
    return out;
  }
};

/// The convolution before a stage; the scale of the norm before it is in its weights.
template <class T>
struct FoldedDownsampling {
  using Scalar = T;

  std::optional<Normalize<T>> pre_norm;
  Conv2d<T> conv;
  std::optional<LayerNorm<T>> post_norm;

  explicit FoldedDownsampling(const Downsampling<T>& trained)
      : conv(trained.conv.sizes()), post_norm(trained.post_norm) {
    if (trained.pre_norm) pre_norm = trained.pre_norm->normalize;
  }

  Shape output_shape(const Shape& in) const { return conv.output_shape(in); }
  Count macs(const Shape& in) const { return conv.macs(in); }

  Tensor<T> forward(TensorView<const T> in) const {
    Tensor<T> x = pre_norm ? conv.forward(pre_norm->forward(in)) : conv.forward(in);
    return post_norm ? post_norm->forward(x) : x;
  }
};

/// fc2(normalize(max(fc1(x), 0)²)).
template <class T>
struct FoldedMlpHead {
  using Scalar = T;

  Linear<T> fc1;
  Normalize<T> normalize;
  Linear<T> fc2;

  Shape output_shape(const Shape& in) const { return fc2.output_shape(fc1.output_shape(in)); }
  Count macs(const Shape& in) const { return fc1.macs(in) + fc2.macs(fc1.output_shape(in)); }

  Tensor<T> forward(TensorView<const T> in) const {
    const Tensor<T> x = SquaredRelu<T>{}.forward(fc1.forward(in));
    return fc2.forward(normalize.forward(x));
  }

  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("fc1", self.fc1);
    visitor("fc2", self.fc2);
  }
};

/// Norm without its scale and bias and mean over the pixels, in the order of the published code, then the classifier.
template <class T>
struct FoldedMetaFormerHead {
  using Scalar = T;
  using Classifier = OneOf<Linear<T>, FoldedMlpHead<T>>;

  Normalize<T> normalize;
  bool norm_first;
  Classifier fc;

  explicit FoldedMetaFormerHead(const MetaFormerHead<T>& trained)
      : normalize(trained.norm.normalize), norm_first(trained.norm_first), fc(zeros(trained.fc)) {}

  Shape output_shape(const Shape& in) const { return fc.output_shape(GlobalAvgPool2d<T>{}.output_shape(in)); }
  Count macs(const Shape& in) const { return fc.macs(GlobalAvgPool2d<T>{}.output_shape(in)); }

  Tensor<T> forward(TensorView<const T> in) const {
    const GlobalAvgPool2d<T> mean;
    return fc.forward(norm_first ? mean.forward(normalize.forward(in)) : normalize.forward(mean.forward(in)));
  }

 private:
  static Classifier zeros(const OneOf<Linear<T>, MlpHead<T>>& trained) {
    const auto like = [](const Linear<T>& linear) { return Linear<T>(linear.in_channels(), linear.out_channels()); };
    if (const auto* linear = std::get_if<Linear<T>>(&trained.choice())) return like(*linear);
    const MlpHead<T>& head = std::get<MlpHead<T>>(trained.choice());
    return FoldedMlpHead<T>{like(head.fc1), head.norm.normalize, like(head.fc2)};
  }
};

/// A folded MetaFormer<Mixers...>.
template <class... Mixers>
class FoldedMetaFormer {
 public:
  using Scalar = detail::ScalarOfFirst<Mixers...>;
  using Config = MetaFormerConfig;
  using Mixer = OneOf<FoldedMixer<Mixers>...>;
  using Block = FoldedMetaFormerBlock<Mixer>;
  using T = Scalar;

  /// Stem or downsampling, then blocks.
  struct Stage {
    FoldedDownsampling<T> downsample;  // the stem of stage 0
    std::optional<PositionEmbedding<T>> position;
    std::vector<Block> blocks;
  };

  std::vector<Stage> stages;
  FoldedMetaFormerHead<T> head;

  /// Weights zero, scales one, in the sizes that folding a MetaFormer of this configuration gives.
  template <class MakeMixer = PublishedMixers<T>>
  explicit FoldedMetaFormer(const MetaFormerConfig& config, const MakeMixer& make_mixer = {})
      : head((config.check(), MetaFormerHead<T>(config))), config_(config) {
    for (std::size_t i = 0; i < config.stages(); ++i) {
      stages.push_back({FoldedDownsampling<T>(Downsampling<T>(config, i)), std::nullopt, {}});
      if (static_cast<Index>(i) == config.position_stage) {
        stages[i].position.emplace(config.widths[i], config.map_side(i), config.map_side(i));
      }
      for (Index j = 0; j < config.depths[i]; ++j) {
        const OneOf<Mixers...> trained = make_mixer(config, i);
        stages[i].blocks.emplace_back(config, i, zeros(trained, config, i));
      }
    }
  }

  const MetaFormerConfig& config() const { return config_; }

  /// Shape of the logits: (N, 1, 1, classes).
  Shape output_shape(const Shape& in) const { return detail::metaformer_output_shape(*this, in); }
  Count macs(const Shape& in) const { return detail::metaformer_macs(*this, in); }

  /// As MetaFormer::forward.
  template <class Observer = detail::IgnoreFeatures>
  Tensor<T> forward(TensorView<const T> in, Observer&& observe = {}) const {
    return detail::metaformer_forward(*this, in, observe);
  }

  /// Names of our own: there is no published folded form.
  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    for (std::size_t i = 0; i < self.stages.size(); ++i) {
      const std::string name = concatenate("stages.", i, ".");
      auto& stage = self.stages[i];
      visitor(name + "downsample.conv", stage.downsample.conv);
      if (stage.downsample.post_norm) visitor(name + "downsample.norm", *stage.downsample.post_norm);
      if (stage.position) visitor(name + "position", *stage.position);
      for (std::size_t j = 0; j < stage.blocks.size(); ++j) {
        visitor(concatenate(name, "blocks.", j), stage.blocks[j]);
      }
    }
    visitor("head.fc", self.head.fc);
  }

 private:
  static Mixer zeros(const OneOf<Mixers...>& trained, const MetaFormerConfig& config, std::size_t stage) {
    return std::visit([&]<class M>(const M& mixer) -> Mixer { return FoldedMixer<M>(mixer, config, stage); },
                      trained.choice());
  }

  MetaFormerConfig config_;
};

namespace detail {

template <class Trained>
struct FoldedMetaFormerOf;
template <class... Mixers>
struct FoldedMetaFormerOf<MetaFormer<Mixers...>> {
  using type = FoldedMetaFormer<Mixers...>;
};

}  // namespace detail

/// Any published MetaFormer, folded.
template <class T>
using PublishedFoldedMetaFormer = typename detail::FoldedMetaFormerOf<PublishedMetaFormer<T>>::type;

}  // namespace plainnet
