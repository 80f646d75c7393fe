#pragma once
// VanillaNet (Chen et al., "VanillaNet: the Power of Minimalism in Deep Learning", arXiv 2305.12972): the network as
// trained and as folded. Parameter names are those of the published code, huawei-noah/VanillaNet.

#include <algorithm>
#include <vector>

#include "plainnet/layers/activation.hpp"
#include "plainnet/layers/convolution.hpp"
#include "plainnet/layers/pooling.hpp"
#include "plainnet/layers/sequential.hpp"
#include "plainnet/layers/series_activation.hpp"
#include "plainnet/networks/features.hpp"

namespace plainnet {

/// One VanillaNet. Block i maps widths[i] to widths[i + 1] channels.
struct VanillaNetConfig {
  std::vector<Index> widths;
  std::vector<Index> strides;              // one for each block: 1 keeps the map, 2 halves it
  std::vector<Index> adaptive_pools = {};  // empty, or one for each block: its map's side in place of a stride
  Index classes = 1000;
  Index act_num = 3;  // n: series activations see (2n + 1) × (2n + 1) pixels
  Index in_channels = 3;

  bool operator==(const VanillaNetConfig&) const = default;

  Index blocks() const { return static_cast<Index>(strides.size()); }

  /// Where blocks pool adaptively, the stem overlaps its windows a little more and pads.
  Window stem_window() const {
    return adaptive_pools.empty() ? Window{.kernel = 4, .stride = 4} : Window{.kernel = 4, .stride = 3, .padding = 1};
  }

  void check() const {
    require(!strides.empty() && widths.size() == strides.size() + 1,
            "a VanillaNet needs one width more than strides; found ", widths.size(), " widths and ", strides.size(),
            " strides");
    require(adaptive_pools.empty() || adaptive_pools.size() == strides.size(),
            "a VanillaNet needs as many adaptive pools as strides, or none; found ", adaptive_pools.size(), " and ",
            strides.size());
    require(classes > 0 && act_num >= 0 && in_channels > 0,
            "a VanillaNet needs classes, input channels and act_num ≥ 0");
    const auto all = [](const std::vector<Index>& numbers, Index least) {
      return std::all_of(numbers.begin(), numbers.end(), [least](Index number) { return number >= least; });
    };
    require(all(widths, 1) && all(strides, 1) && all(adaptive_pools, 0),
            "a VanillaNet needs positive widths and strides, and no negative adaptive pools");
  }
};

/// All batch norms of VanillaNet.
inline constexpr double vanillanet_eps = 1e-6;

/// Nothing, a maximum over stride × stride pixels, or a maximum over the cells of a grid.
template <class T>
using VanillaPool = OneOf<Identity<T>, MaxPool2d<T>, AdaptiveMaxPool2d<T>>;

/// That of a block, counted from 0.
template <class T>
VanillaPool<T> vanilla_pool(const VanillaNetConfig& config, std::size_t block) {
  const Index stride = config.strides[block];
  if (stride == 1) return Identity<T>{};
  if (!config.adaptive_pools.empty() && config.adaptive_pools[block] > 0) {
    return AdaptiveMaxPool2d<T>(config.adaptive_pools[block]);
  }
  return MaxPool2d<T>(Window{.kernel = stride, .stride = stride});
}

namespace detail {

template <class T>
Conv2d<T> pointwise(Index in_channels, Index out_channels) {
  return Conv2d<T>({.in_channels = in_channels, .out_channels = out_channels});
}

}  // namespace detail

// ---------------------------------------------------------------------------------------------------------------
// As trained

/// Two 1×1 convolutions with an activation between them that training anneals to the identity, pooling, activation.
template <class T>
struct VanillaBlock {
  using Scalar = T;

  Sequential<Conv2d<T>, BatchNorm2d<T>> conv1;  // 1×1, keeps the width
  LeakyRelu<T> act_learn;
  Sequential<Conv2d<T>, BatchNorm2d<T>> conv2;  // 1×1, to the next width
  VanillaPool<T> pool;
  SeriesActivation<T> act;

  VanillaBlock(const VanillaNetConfig& config, std::size_t i, double slope)
      : conv1(detail::pointwise<T>(config.widths[i], config.widths[i]), {config.widths[i], vanillanet_eps}),
        act_learn(slope),
        conv2(detail::pointwise<T>(config.widths[i], config.widths[i + 1]), {config.widths[i + 1], vanillanet_eps}),
        pool(vanilla_pool<T>(config, i)),
        act(config.widths[i + 1], config.act_num, vanillanet_eps) {}

  Shape output_shape(const Shape& in) const { return pool.output_shape(conv2.output_shape(in)); }

  Count macs(const Shape& in) const { return conv1.macs(in) + conv2.macs(in) + act.macs(output_shape(in)); }

  Tensor<T> forward(TensorView<const T> in) const {
    Tensor<T> x = conv1.forward(in);
    x = act_learn.forward(x);
    x = conv2.forward(x);
    x = pool.forward(x);
    return act.forward(x);
  }

  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("conv1", self.conv1);
    visitor("conv2", self.conv2);
    visitor("act", self.act);
  }
};

/// A VanillaNet as trained, under the names of the published code.
template <class T>
class VanillaNet {
 public:
  using Scalar = T;
  using Config = VanillaNetConfig;

  Sequential<Conv2d<T>, BatchNorm2d<T>> stem1;
  LeakyRelu<T> act_learn;
  Sequential<Conv2d<T>, BatchNorm2d<T>, SeriesActivation<T>> stem2;
  std::vector<VanillaBlock<T>> stages;
  Sequential<GlobalAvgPool2d<T>, Identity<T>, Conv2d<T>, BatchNorm2d<T>> cls1;  // the identity was dropout
  Sequential<Conv2d<T>> cls2;

  /// All parameters zero, batch norms the identity. `slope` is that of the annealed activations: not stored in any
  /// published checkpoint, 1 at the end of deep training.
  explicit VanillaNet(const VanillaNetConfig& config, double slope = 1.0)
      : stem1((config.check(), Conv2d<T>({.in_channels = config.in_channels,
                                          .out_channels = config.widths.front(),
                                          .window = config.stem_window()})),
              {config.widths.front(), vanillanet_eps}),
        act_learn(slope),
        stem2(detail::pointwise<T>(config.widths.front(), config.widths.front()),
              {config.widths.front(), vanillanet_eps}, {config.widths.front(), config.act_num, vanillanet_eps}),
        cls1({}, {}, detail::pointwise<T>(config.widths.back(), config.classes), {config.classes, vanillanet_eps}),
        cls2(detail::pointwise<T>(config.classes, config.classes)),
        config_(config) {
    for (std::size_t i = 0; i < config.strides.size(); ++i) stages.emplace_back(config, i, slope);
  }

  const VanillaNetConfig& config() const { return config_; }
  double slope() const { return act_learn.slope; }

  /// Shape of the logits: (N, 1, 1, classes).
  Shape output_shape(const Shape& in) const {
    Shape shape = stem1.output_shape(in);
    for (const auto& stage : stages) shape = stage.output_shape(shape);
    return cls2.output_shape(cls1.output_shape(shape));
  }

  Count macs(const Shape& in) const {
    Shape shape = stem1.output_shape(in);
    Count total = stem1.macs(in) + stem2.macs(shape);
    for (const auto& stage : stages) {
      total += stage.macs(shape);
      shape = stage.output_shape(shape);
    }
    return total + cls1.macs(shape) + cls2.macs(cls1.output_shape(shape));
  }

  /// `in` (N, H, W, 3), normalised; logits (N, 1, 1, classes). `observe(name, map)` sees the output of the stem and of
  /// every stage, under its name in the published code.
  template <class Observer = detail::IgnoreFeatures>
  Tensor<T> forward(TensorView<const T> in, Observer&& observe = {}) const {
    Tensor<T> x = stem1.forward(in);
    x = act_learn.forward(x);
    x = stem2.forward(x);
    observe("stem", x.view());
    for (std::size_t i = 0; i < stages.size(); ++i) {
      x = stages[i].forward(x);
      observe(concatenate("stages.", i), x.view());
    }
    x = cls1.forward(x);
    x = act_learn.forward(x);
    return cls2.forward(x);
  }

  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("stem1", self.stem1);
    visitor("stem2", self.stem2);
    for (std::size_t i = 0; i < self.stages.size(); ++i) visitor(concatenate("stages.", i), self.stages[i]);
    visitor("cls1", self.cls1);
    visitor("cls2", self.cls2);
  }

 private:
  VanillaNetConfig config_;
};

// ---------------------------------------------------------------------------------------------------------------
// Folded. These types have no place for a batch norm: that folding is complete is checked by the compiler.

/// What is left of convolution, batch norm, annealed activation, convolution, batch norm: one convolution where the
/// slope is 1, else both with the activation between them.
template <class T>
using FoldedConv = OneOf<Conv2d<T>, Sequential<Conv2d<T>, LeakyRelu<T>, Conv2d<T>>>;

/// A folded pair of all zeros: `first`, then 1×1 to `out_channels`.
template <class T>
FoldedConv<T> folded_conv(const Conv2dSizes& first, Index out_channels, double slope) {
  if (slope == 1.0) {
    Conv2dSizes merged = first;
    merged.out_channels = out_channels;
    return Conv2d<T>(merged);
  }
  return Sequential(Conv2d<T>(first), LeakyRelu<T>(slope), detail::pointwise<T>(first.out_channels, out_channels));
}

/// One convolution, pooling, activation.
template <class T>
struct FoldedVanillaBlock {
  using Scalar = T;

  FoldedConv<T> conv;
  VanillaPool<T> pool;
  FoldedSeriesActivation<T> act;

  Shape output_shape(const Shape& in) const { return pool.output_shape(conv.output_shape(in)); }

  Count macs(const Shape& in) const { return conv.macs(in) + act.macs(output_shape(in)); }

  Tensor<T> forward(TensorView<const T> in) const {
    Tensor<T> x = conv.forward(in);
    x = pool.forward(x);
    return act.forward(x);
  }

  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("conv", self.conv);
    visitor("act", self.act);
  }
};

/// A VanillaNet without batch norms; its annealed activations are left only if their slope is not 1.
template <class T>
class FoldedVanillaNet {
 public:
  using Scalar = T;
  using Config = VanillaNetConfig;

  Sequential<FoldedConv<T>, FoldedSeriesActivation<T>> stem;
  std::vector<FoldedVanillaBlock<T>> stages;
  Sequential<GlobalAvgPool2d<T>, Identity<T>, FoldedConv<T>> cls;  // the identity was dropout

  /// All parameters zero, in the sizes that folding a VanillaNet of this configuration and slope gives.
  explicit FoldedVanillaNet(const VanillaNetConfig& config, double slope = 1.0)
      : stem((config.check(), folded_conv<T>({.in_channels = config.in_channels,
                                              .out_channels = config.widths.front(),
                                              .window = config.stem_window()},
                                             config.widths.front(), slope)),
             {config.widths.front(), config.act_num}),
        cls({}, {},
            folded_conv<T>({.in_channels = config.widths.back(), .out_channels = config.classes}, config.classes,
                           slope)),
        config_(config),
        slope_(slope) {
    for (std::size_t i = 0; i < config.strides.size(); ++i) {
      const Index in = config.widths[i];
      const Index out = config.widths[i + 1];
      stages.push_back({folded_conv<T>({.in_channels = in, .out_channels = in}, out, slope), vanilla_pool<T>(config, i),
                        FoldedSeriesActivation<T>(out, config.act_num)});
    }
  }

  const VanillaNetConfig& config() const { return config_; }
  double slope() const { return slope_; }

  /// Shape of the logits: (N, 1, 1, classes).
  Shape output_shape(const Shape& in) const {
    Shape shape = stem.output_shape(in);
    for (const auto& stage : stages) shape = stage.output_shape(shape);
    return cls.output_shape(shape);
  }

  Count macs(const Shape& in) const {
    Count total = stem.macs(in);
    Shape shape = stem.output_shape(in);
    for (const auto& stage : stages) {
      total += stage.macs(shape);
      shape = stage.output_shape(shape);
    }
    return total + cls.macs(shape);
  }

  /// As VanillaNet::forward.
  template <class Observer = detail::IgnoreFeatures>
  Tensor<T> forward(TensorView<const T> in, Observer&& observe = {}) const {
    Tensor<T> x = stem.forward(in);
    observe("stem", x.view());
    for (std::size_t i = 0; i < stages.size(); ++i) {
      x = stages[i].forward(x);
      observe(concatenate("stages.", i), x.view());
    }
    return cls.forward(x);
  }

  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("stem", self.stem);
    for (std::size_t i = 0; i < self.stages.size(); ++i) visitor(concatenate("stages.", i), self.stages[i]);
    visitor("cls", self.cls);
  }

 private:
  VanillaNetConfig config_;
  double slope_;
};

}  // namespace plainnet
