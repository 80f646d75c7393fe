#pragma once
// NFNet as folded: plain convolutions. These types have no place for a standardisation, an activation's gain, α, β or a
// learned gain beside the one number per block that the gates are multiplied by: that folding is complete is checked by
// the compiler.

#include <optional>
#include <vector>

#include "plainnet/networks/nfnet.hpp"

namespace plainnet {

/// A branch's gates: x ← gain · gates(x) · x + shortcut. The gain is 2 · α · skipinit_gain; it cannot move into the
/// convolution before, on whose result the gates depend.
template <class T>
struct FoldedGates {
  using Scalar = T;

  ChannelAttention<T> attention;
  Parameter<T> gain;  // ()

  FoldedGates(ChannelAttention<T> attention_) : attention(std::move(attention_)), gain(Extents{}) {}

  Shape output_shape(const Shape& in) const { return attention.output_shape(in); }
  Count macs(const Shape& in) const { return attention.macs(in); }
  Tensor<T> forward(TensorView<const T> in) const {
    Tensor<T> gates = gates_of(attention, in);
    gates.matrix() *= gain[0];
    return detail::gated(in, gates);
  }

  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    ChannelAttention<T>::visit(self.attention, visitor);
    visitor("gain", self.gain);
  }
};

/// a = act(x);  x ← attn_last(conv3(act(conv2b(act(conv2(act(conv1(a)))))))) + shortcut, shortcut = downsample(a) or x
template <class T>
struct FoldedNfBlock {
  using Scalar = T;

  std::optional<NfDownsampling<Conv2d<T>>> downsample;
  Conv2d<T> conv1;
  Conv2d<T> conv2;
  std::optional<Conv2d<T>> conv2b;
  Conv2d<T> conv3;
  std::optional<FoldedGates<T>> attn_last;

  Shape output_shape(const Shape& in) const { return detail::nf_block_shape(*this, in); }
  Count macs(const Shape& in) const { return detail::nf_block_macs(*this, in); }

  Tensor<T> forward(TensorView<const T> in, const NfNonlinearity<T>& act) const {
    const Tensor<T> activated = act.forward(in);
    Tensor<T> x = conv1.forward(activated);
    x = conv2.forward(act.forward(x));
    if (conv2b) x = conv2b->forward(act.forward(x));
    x = conv3.forward(act.forward(x));
    if (attn_last) x = attn_last->forward(x);
    if (downsample) {
      x.matrix() += downsample->forward(activated).matrix();
    } else {
      x.matrix() += in.matrix();
    }
    return x;
  }

  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    if (self.downsample) visitor("downsample", *self.downsample);
    visitor("conv1", self.conv1);
    visitor("conv2", self.conv2);
    if (self.conv2b) visitor("conv2b", *self.conv2b);
    visitor("conv3", self.conv3);
    if (self.attn_last) visitor("attn_last", *self.attn_last);
  }
};

/// An NFNet whose weights are standardised and hold the gains.
template <class T>
class FoldedNfNet {
 public:
  using Scalar = T;
  using Config = NfNetConfig;

  NfNonlinearity<T> act;  // everywhere
  std::vector<Conv2d<T>> stem;
  std::optional<MaxPool2d<T>> stem_pool;
  std::vector<std::vector<FoldedNfBlock<T>>> stages;
  std::optional<Conv2d<T>> final_conv;
  Linear<T> fc;

  /// All zeros, in the sizes that folding an NFNet of this configuration gives.
  explicit FoldedNfNet(const NfNetConfig& config) : FoldedNfNet(NfNet<T>(config)) {}

  /// Takes the parameters of a trained network over as they are: whoever folds scales them in place, since a large
  /// network does not fit in memory twice. What has no place here is dropped.
  explicit FoldedNfNet(NfNet<T>&& trained)
      : act(trained.act.act), stem_pool(trained.stem_pool), fc(std::move(trained.fc)), config_(trained.config()) {
    for (ScaledStdConv2d<T>& conv : trained.stem) stem.push_back(plain(conv));
    for (std::size_t i = 0; i < trained.stages.size(); ++i) {
      stages.emplace_back();
      for (std::size_t j = 0; j < trained.stages[i].size(); ++j) {
        stages.back().push_back(block(trained.stages[i][j]));
      }
    }
    if (trained.final_conv) final_conv = plain(*trained.final_conv);
  }

  const NfNetConfig& config() const { return config_; }

  /// Shape of the logits: (N, 1, 1, classes).
  Shape output_shape(const Shape& in) const { return detail::nfnet_output_shape(*this, in); }
  Count macs(const Shape& in) const { return detail::nfnet_macs(*this, in); }

  /// As NfNet::forward.
  template <class Observer = detail::IgnoreFeatures>
  Tensor<T> forward(TensorView<const T> in, Observer&& observe = {}) const {
    return detail::nfnet_forward(*this, in, observe);
  }

  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    detail::visit_nfnet(self, visitor);
  }

 private:
  static Conv2d<T> plain(ScaledStdConv2d<T>& conv) {
    return Conv2d<T>(std::move(conv.weight), std::move(conv.bias), conv.window(), conv.groups());
  }

  FoldedNfBlock<T> block(NfBlock<T>& from) const {
    FoldedNfBlock<T> to{std::nullopt, plain(from.conv1), plain(from.conv2),
                        std::nullopt, plain(from.conv3), std::nullopt};
    if (from.downsample) {
      to.downsample.emplace(config_, from.downsample->pool ? 2 : 1, plain(from.downsample->conv));
    }
    if (from.conv2b) to.conv2b = plain(*from.conv2b);
    if (from.attn_last) to.attn_last.emplace(std::move(*from.attn_last));
    return to;
  }

  NfNetConfig config_;
};

}  // namespace plainnet
