#pragma once
// Folded MetaFormers as programs.

#include "plainnet/engine/metaformer_operations.hpp"
#include "plainnet/engine/packing.hpp"
#include "plainnet/engine/program.hpp"
#include "plainnet/networks/folded_metaformer.hpp"

namespace plainnet {
namespace detail {

/// Adds the steps of one network's parts to a program.
template <class T>
class MetaFormerLowering {
 public:
  using Norm = std::optional<Normalize<T>>;

  explicit MetaFormerLowering(Program<T>& program) : program_(program), isa_(program.isa()) {}

  void linear(const Linear<T>& linear, const Norm& norm) {
    program_.template add<LinearOperation<T>>(packed(linear), norm, kernels::Activation::none);
  }
  /// scale · `residual` + linear(x)
  void linear_onto(Index residual, const std::optional<Parameter<T>>& scale, const Linear<T>& linear) {
    program_.template add_to<LinearOperation<T>>(residual, packed(linear), Norm(), kernels::Activation::none,
                                                 numbers_of(scale));
  }
  void normalize(const Normalize<T>& norm, AlignedVector<T> scale = {}, AlignedVector<T> shift = {}) {
    program_.template add<NormalizeOperation<T>>(norm, std::move(scale), std::move(shift), /*adds_input=*/false,
                                                 AlignedVector<T>(), isa_);
  }

  /// (1, C, H, W) as (H, W, C).
  void position(const PositionEmbedding<T>& embedding) {
    const Extents& e = embedding.pos_embed.extents();
    AlignedVector<T> pixels;
    for (Index p = 0; p < e[2] * e[3]; ++p) {
      for (Index c = 0; c < e[1]; ++c) pixels.push_back(embedding.pos_embed[c * e[2] * e[3] + p]);
    }
    const Shape shape{.batch = 1, .height = e[2], .width = e[3], .channels = e[1]};
    program_.template add<PositionOperation<T>>(std::move(pixels), shape, isa_);
  }

  template <class Mixer>
  void block(const FoldedMetaFormerBlock<Mixer>& block) {
    std::visit([&](const auto& mixer) { this->mix(block.normalize, mixer, block.res_scale1); },
               block.token_mixer.choice());
    const Index between = program_.last_value();
    const bool is_gelu = std::holds_alternative<Gelu<T>>(block.mlp.act.choice());
    program_.template add_to<MlpOperation<T>>(
        between, packed(block.mlp.fc1), packed(block.mlp.fc2), Norm(block.normalize),
        is_gelu ? kernels::Activation::gelu : kernels::Activation::squared_relu, numbers_of(block.res_scale2));
  }

  void head(const FoldedMetaFormerHead<T>& head) {
    if (head.norm_first) normalize(head.normalize);
    program_.append(GlobalAvgPool2d<T>{});
    // A row for each image, for which inner products are not faster.
    const auto add = [&](const Linear<T>& layer, const Norm& norm, kernels::Activation activation) {
      program_.template add<LinearOperation<T>>(pack_linear(layer, isa_, program_.pool()), norm, activation);
    };
    const Norm norm = head.norm_first ? Norm() : Norm(head.normalize);
    if (const auto* single = std::get_if<Linear<T>>(&head.fc.choice()))
      return add(*single, norm, kernels::Activation::none);
    const FoldedMlpHead<T>& mlp = std::get<FoldedMlpHead<T>>(head.fc.choice());
    add(mlp.fc1, norm, kernels::Activation::squared_relu);
    add(mlp.fc2, mlp.normalize, kernels::Activation::none);
  }

 private:
  using ResScale = std::optional<Parameter<T>>;

  kernels::PackedMatrix<T> packed(const Linear<T>& linear) const {
    return pack_linear(linear, isa_, program_.pool(),
                       kernels::matmul_method<T>(isa_, linear.in_channels(), linear.out_channels()));
  }

  // x ← res_scale · x + mixer(normalize(x)), a function for each kind of mixer.

  /// Any mixer without a kernel.
  template <class M>
  void mix(const Normalize<T>& norm, const AffineMixer<M>& mixer, const ResScale& res_scale) {
    const Index x = program_.last_value();
    normalize(norm, numbers_of(mixer.scale), numbers_of(mixer.shift));
    program_.template add_to<MixerOperation<M>>(x, mixer.mixer, numbers_of(mixer.after), numbers_of(res_scale));
  }

  void mix(const Normalize<T>& norm, const AffineMixer<Identity<T>>& mixer, const ResScale& res_scale) {
    program_.template add<NormalizeOperation<T>>(norm, numbers_of(mixer.scale), numbers_of(mixer.shift),
                                                 /*adds_input=*/true, numbers_of(res_scale), isa_);
  }

  void mix(const Normalize<T>& norm, const AffineMixer<PoolMixer<T>>& mixer, const ResScale& res_scale) {
    if (norm.over == NormOver::map) {
      program_.template add<PoolMixOperation<T>>(Norm(norm), numbers_of(mixer.scale), numbers_of(res_scale), isa_);
    } else {
      const Index x = program_.last_value();
      normalize(norm);
      program_.template add_to<PoolMixOperation<T>>(x, Norm(), numbers_of(mixer.scale), numbers_of(res_scale), isa_);
    }
  }

  void mix(const Normalize<T>& norm, const AffineMixer<SpatialMixing<T>>& mixer, const ResScale& res_scale) {
    const Index x = program_.last_value();
    const bool over_map = norm.over == NormOver::map;
    if (!over_map) normalize(norm, numbers_of(mixer.scale), numbers_of(mixer.shift));
    program_.template add_to<TokenMixingOperation<T>>(x, mixer.mixer, over_map ? Norm(norm) : Norm(),
                                                      numbers_of(mixer.scale), numbers_of(mixer.shift),
                                                      numbers_of(res_scale), isa_);
  }

  void mix(const Normalize<T>& norm, const FoldedAttention<T>& mixer, const ResScale& res_scale) {
    const Index x = program_.last_value();
    program_.template add<AttentionOperation<T>>(packed(mixer.qkv), Norm(norm), mixer.head_dim);
    linear_onto(x, res_scale, mixer.proj);
  }

  void mix(const Normalize<T>& norm, const FoldedSepConv<T>& mixer, const ResScale& res_scale) {
    const Index x = program_.last_value();
    linear(mixer.pwconv1, norm);
    const Conv2d<T>& dwconv = mixer.dwconv;
    program_.template add<DepthwiseOperation<T>>(
        kernels::pack_depthwise<T>(dwconv.weight.data(), nullptr, dwconv.out_channels(), dwconv.window().padding.top,
                                   kernels::DepthwiseInput::squared_relu, isa_, mixer.shift[0]));
    linear_onto(x, res_scale, mixer.pwconv2);
  }

  Program<T>& program_;
  Isa isa_;
};

/// `Network` is a FoldedMetaFormer, whose parameters are freed as they are packed unless it is const.
template <class Network, class T>
void lower_metaformer(Network& network, Program<T>& program) {
  MetaFormerLowering<T> lowering(program);
  for (std::size_t i = 0; i < network.stages.size(); ++i) {
    auto& stage = network.stages[i];
    const MetaFormerStageNames names = stage_names(network.config(), i);
    const auto name_feature = [&](const std::string& name) {
      if (!name.empty()) program.name_feature(name);
    };
    if (stage.downsample.pre_norm) lowering.normalize(*stage.downsample.pre_norm);
    program.append(stage.downsample.conv);
    give_up(stage.downsample.conv);
    if (const auto& norm = stage.downsample.post_norm) {
      lowering.normalize(norm->normalize, numbers_of(norm->weight), numbers_of(norm->bias));
    }
    name_feature(names.conv_feature);
    if (stage.position) {
      lowering.position(*stage.position);
      name_feature(names.position_feature);
    }
    for (auto& block : stage.blocks) {
      lowering.block(block);
      give_up(block);
    }
    name_feature(names.blocks_feature);
  }
  lowering.head(network.head);
  give_up(network.head.fc);
}

}  // namespace detail

template <class... Mixers>
void lower(const FoldedMetaFormer<Mixers...>& network, Program<typename FoldedMetaFormer<Mixers...>::Scalar>& program) {
  detail::lower_metaformer(network, program);
}
template <class... Mixers>
void lower(FoldedMetaFormer<Mixers...>&& network, Program<typename FoldedMetaFormer<Mixers...>::Scalar>& program) {
  detail::lower_metaformer(network, program);
}

}  // namespace plainnet
