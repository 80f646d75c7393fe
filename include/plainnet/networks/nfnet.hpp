#pragma once
// NFNet as trained (Brock et al., "Characterizing signal propagation to close the performance gap in unnormalized
// ResNets", arXiv 2101.08692, and "High-Performance Large-Scale Image Recognition Without Normalization", arXiv
// 2102.06171). Parameter names are those of timm, which ships DeepMind's weights.

#include <optional>
#include <vector>

#include "plainnet/layers/channel_attention.hpp"
#include "plainnet/layers/scaled_std_conv.hpp"
#include "plainnet/networks/features.hpp"
#include "plainnet/networks/nfnet_config.hpp"

namespace plainnet {

/// The activation of all blocks, whichever it is.
template <class T>
using NfNonlinearity = OneOf<Relu<T>, Gelu<T>, Silu<T>>;

/// That of a configuration.
template <class T>
NfNonlinearity<T> nf_nonlinearity(const NfNetConfig& config) {
  switch (config.activation) {
    case NfActivation::gelu: return Gelu<T>{};
    case NfActivation::silu: return Silu<T>{};
    default: return Relu<T>{};
  }
}

/// That of a configuration, for a map of so many channels; none if it has none.
template <class T>
std::optional<ChannelAttention<T>> nf_attention(const NfNetConfig& config, Index channels) {
  switch (config.attention) {
    case NfAttention::squeeze_excite: return SqueezeExcite<T>(channels, config.squeezed(channels));
    case NfAttention::efficient: return EfficientChannelAttention<T>(channels);
    default: return std::nullopt;
  }
}

/// y = gain · act(x)
template <class T>
struct GainedActivation {
  using Scalar = T;

  NfNonlinearity<T> act;
  double gain;

  Shape output_shape(const Shape& in) const { return in; }
  Count macs(const Shape&) const { return 0; }
  Tensor<T> forward(TensorView<const T> in) const {
    Tensor<T> out = act.forward(in);
    out.matrix() *= static_cast<T>(gain);
    return out;
  }
  template <class Self, class Visitor>
  static void visit(Self&, Visitor&&) {}
};

namespace detail {

template <class T>
ScaledStdConv2d<T> nf_conv(const NfNetConfig& config, Index in_channels, Index out_channels, Index kernel,
                           Index stride = 1, Index groups = 1) {
  return ScaledStdConv2d<T>({in_channels, out_channels, config.window(kernel, stride), groups},
                            config.gamma_in_weights(), NfNetConfig::eps);
}

// What a network of these stages computes, trained or folded. A stem is a list of convolutions with activations
// between them, and perhaps a pool after them.

template <class Network>
Shape nfnet_stem_shape(const Network& network, Shape shape) {
  for (const auto& conv : network.stem) shape = conv.output_shape(shape);
  return network.stem_pool ? network.stem_pool->output_shape(shape) : shape;
}

template <class Network>
Shape nfnet_output_shape(const Network& network, const Shape& in) {
  Shape shape = nfnet_stem_shape(network, in);
  for (const auto& stage : network.stages) {
    for (const auto& block : stage) shape = block.output_shape(shape);
  }
  if (network.final_conv) shape = network.final_conv->output_shape(shape);
  return network.fc.output_shape({shape.batch, 1, 1, shape.channels});
}

template <class Network>
Count nfnet_macs(const Network& network, const Shape& in) {
  Count total = 0;
  Shape shape = in;
  for (const auto& conv : network.stem) {
    total += conv.macs(shape);
    shape = conv.output_shape(shape);
  }
  shape = nfnet_stem_shape(network, in);
  for (const auto& stage : network.stages) {
    for (const auto& block : stage) {
      total += block.macs(shape);
      shape = block.output_shape(shape);
    }
  }
  if (network.final_conv) {
    total += network.final_conv->macs(shape);
    shape = network.final_conv->output_shape(shape);
  }
  return total + network.fc.macs({shape.batch, 1, 1, shape.channels});
}

template <class Network, class T, class Observer>
Tensor<T> nfnet_forward(const Network& network, TensorView<const T> in, Observer& observe) {
  Tensor<T> x = network.stem.front().forward(in);
  for (std::size_t i = 1; i < network.stem.size(); ++i) {
    x = network.act.forward(x);
    x = network.stem[i].forward(x);
  }
  if (network.stem_pool) x = network.stem_pool->forward(x);
  for (std::size_t i = 0; i < network.stages.size(); ++i) {
    for (const auto& block : network.stages[i]) x = block.forward(x, network.act);
    observe(concatenate("stages.", i), x.view());
  }
  if (network.final_conv) x = network.final_conv->forward(x);
  x = network.act.forward(x);
  return network.fc.forward(GlobalAvgPool2d<T>{}.forward(x));
}

/// Names are those of timm, folded too, less the gains.
template <class Self, class Visitor>
void visit_nfnet(Self& self, Visitor&& visitor) {
  for (std::size_t i = 0; i < self.stem.size(); ++i) {
    visitor(self.stem.size() == 1 ? std::string("stem.conv") : concatenate("stem.conv", i + 1), self.stem[i]);
  }
  for (std::size_t i = 0; i < self.stages.size(); ++i) {
    for (std::size_t j = 0; j < self.stages[i].size(); ++j) {
      visitor(concatenate("stages.", i, '.', j), self.stages[i][j]);
    }
  }
  if (self.final_conv) visitor("final_conv", *self.final_conv);
  visitor("head.fc", self.fc);
}

/// Multiply-adds of a block: its convolutions one after the other, its shortcut, its gates.
template <class Block>
Count nf_block_macs(const Block& block, const Shape& in) {
  Count total = block.downsample ? block.downsample->macs(in) : 0;
  Shape shape = in;
  const auto add = [&](const auto& layer) {
    total += layer.macs(shape);
    shape = layer.output_shape(shape);
  };
  add(block.conv1);
  add(block.conv2);
  if (block.conv2b) add(*block.conv2b);
  add(block.conv3);
  if (block.attn_last) add(*block.attn_last);
  return total;
}

template <class Block>
Shape nf_block_shape(const Block& block, const Shape& in) {
  return block.conv3.output_shape(block.conv2.output_shape(block.conv1.output_shape(in)));
}

}  // namespace detail

/// The shortcut of a block that changes the map: mean of 2×2 pixels where it halves it, then 1×1. `Conv` is the kind of
/// convolution.
template <class Conv>
struct NfDownsampling {
  using Scalar = typename Conv::Scalar;
  using T = Scalar;

  std::optional<AvgPool2d<T>> pool;
  Conv conv;

  NfDownsampling(const NfNetConfig& config, Index stride, Conv conv_) : conv(std::move(conv_)) {
    if (stride > 1) pool.emplace(config.pool_window(), /*count_include_pad=*/false);
  }

  Shape output_shape(const Shape& in) const { return conv.output_shape(pool ? pool->output_shape(in) : in); }
  Count macs(const Shape& in) const { return conv.macs(pool ? pool->output_shape(in) : in); }
  Tensor<T> forward(TensorView<const T> in) const { return pool ? conv.forward(pool->forward(in)) : conv.forward(in); }

  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("conv", self.conv);
  }
};

/// a = β · act(x);  x ← α · skipinit_gain · 2 · attn_last(conv3(act(conv2b(act(conv2(act(conv1(a)))))))) + shortcut,
/// shortcut = downsample(a) or x (arXiv 2102.06171, figure 3).
template <class T>
struct NfBlock {
  using Scalar = T;

  std::optional<NfDownsampling<ScaledStdConv2d<T>>> downsample;
  ScaledStdConv2d<T> conv1;                  // 1×1
  ScaledStdConv2d<T> conv2;                  // 3×3, grouped, with the block's stride
  std::optional<ScaledStdConv2d<T>> conv2b;  // 3×3, grouped
  ScaledStdConv2d<T> conv3;                  // 1×1
  std::optional<ChannelAttention<T>> attn_last;
  std::optional<Parameter<T>> skipinit_gain;  // ()
  double beta;

  NfBlock(const NfNetConfig& config, const NfBlockSizes& sizes)
      : conv1(detail::nf_conv<T>(config, sizes.in_channels, sizes.middle_channels, 1)),
        conv2(detail::nf_conv<T>(config, sizes.middle_channels, sizes.middle_channels, 3, sizes.stride, sizes.groups)),
        conv3(detail::nf_conv<T>(config, sizes.middle_channels, sizes.out_channels, 1)),
        attn_last(nf_attention<T>(config, sizes.out_channels)),
        beta(sizes.beta) {
    if (sizes.has_downsampling()) {
      downsample.emplace(config, sizes.stride, detail::nf_conv<T>(config, sizes.in_channels, sizes.out_channels, 1));
    }
    if (config.second_3x3) {
      conv2b = detail::nf_conv<T>(config, sizes.middle_channels, sizes.middle_channels, 3, 1, sizes.groups);
    }
    if (config.is_deepmind) skipinit_gain = Parameter<T>(Extents{});
  }

  Shape output_shape(const Shape& in) const { return detail::nf_block_shape(*this, in); }
  Count macs(const Shape& in) const { return detail::nf_block_macs(*this, in); }

  Tensor<T> forward(TensorView<const T> in, const GainedActivation<T>& act) const {
    Tensor<T> activated = act.forward(in);
    activated.matrix() *= static_cast<T>(beta);
    Tensor<T> x = conv1.forward(activated);
    x = conv2.forward(act.forward(x));
    if (conv2b) x = conv2b->forward(act.forward(x));
    x = conv3.forward(act.forward(x));
    if (attn_last) {
      x = attn_last->forward(x);
      x.matrix() *= static_cast<T>(NfNetConfig::attention_gain);
    }
    if (skipinit_gain) x.matrix() *= (*skipinit_gain)[0];
    x.matrix() *= static_cast<T>(NfNetConfig::alpha);
    if (downsample) {
      x.matrix() += downsample->forward(activated).matrix();
    } else {
      x.matrix() += in.matrix();
    }
    return x;
  }

  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    if (self.skipinit_gain) visitor("skipinit_gain", *self.skipinit_gain);
    if (self.downsample) visitor("downsample", *self.downsample);
    visitor("conv1", self.conv1);
    visitor("conv2", self.conv2);
    if (self.conv2b) visitor("conv2b", *self.conv2b);
    visitor("conv3", self.conv3);
    if (self.attn_last) visitor("attn_last", *self.attn_last);
  }
};

/// An NFNet as trained, under timm's names.
template <class T>
class NfNet {
 public:
  using Scalar = T;
  using Config = NfNetConfig;

  GainedActivation<T> act;  // everywhere
  std::vector<ScaledStdConv2d<T>> stem;
  std::optional<MaxPool2d<T>> stem_pool;
  std::vector<std::vector<NfBlock<T>>> stages;
  std::optional<ScaledStdConv2d<T>> final_conv;  // 1×1
  Linear<T> fc;

  /// Weights zero, gains one but for those of SkipInit, which are zero.
  explicit NfNet(const NfNetConfig& config)
      : act((config.check(), GainedActivation<T>{nf_nonlinearity<T>(config), config.gamma_after_activation()})),
        fc(config.head_width(), config.classes),
        config_(config) {
    Index channels = config.in_channels;
    for (const Index width : config.stem_widths) {
      const bool is_first_or_last = stem.empty() || stem.size() + 1 == config.stem_widths.size();
      const Index kernel = config.stem == NfStem::pooled_7x7 ? 7 : 3;
      stem.push_back(detail::nf_conv<T>(config, channels, width, kernel, is_first_or_last ? 2 : 1));
      channels = width;
    }
    if (config.stem == NfStem::pooled_7x7) stem_pool.emplace(Window{.kernel = 3, .stride = 2, .padding = 1});
    for (const auto& stage : config.blocks()) {
      stages.emplace_back();
      for (const NfBlockSizes& sizes : stage) stages.back().emplace_back(config, sizes);
    }
    if (config.final_width > 0) final_conv = detail::nf_conv<T>(config, config.widths.back(), config.final_width, 1);
  }

  const NfNetConfig& config() const { return config_; }

  /// Shape of the logits: (N, 1, 1, classes).
  Shape output_shape(const Shape& in) const { return detail::nfnet_output_shape(*this, in); }
  Count macs(const Shape& in) const { return detail::nfnet_macs(*this, in); }

  /// `in` (N, H, W, 3), normalised; logits (N, 1, 1, classes). `observe(name, map)` sees the output of every stage.
  template <class Observer = detail::IgnoreFeatures>
  Tensor<T> forward(TensorView<const T> in, Observer&& observe = {}) const {
    return detail::nfnet_forward(*this, in, observe);
  }

  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    detail::visit_nfnet(self, visitor);
  }

 private:
  NfNetConfig config_;
};

}  // namespace plainnet
