#pragma once
// The rewrite rules: what layers of a trained network become when they are folded.

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "plainnet/fold/fold_algebra.hpp"
#include "plainnet/networks/vanillanet.hpp"

namespace plainnet {

/// A rule and how often it was used.
struct Merge {
  std::string rule;
  Index count = 0;
};

/// What folding works with, and what it has merged so far.
struct FoldContext {
  ThreadPool& pool;
  std::vector<Merge> merges = {};

  void count(std::string_view rule, Index times = 1) {
    const auto place = std::find_if(merges.begin(), merges.end(), [&](const Merge& m) { return m.rule == rule; });
    if (place != merges.end()) {
      place->count += times;
    } else {
      merges.push_back({std::string(rule), times});
    }
  }
};

inline constexpr std::string_view norm_into_convolution = "batch norm into its convolution";
inline constexpr std::string_view norm_into_series = "batch norm into its series activation";
inline constexpr std::string_view convolutions_into_one =
    "convolution and 1x1 convolution into one (activation annealed to the identity)";

namespace detail {

template <class T>
Vector to_vector(const Parameter<T>& parameter) {
  return Vector(parameter.begin(), parameter.end());
}

template <class T>
Vector bias_of(const Conv2d<T>& conv) {
  return conv.bias ? to_vector(*conv.bias) : Vector(static_cast<std::size_t>(conv.out_channels()));
}

template <class T>
ChannelAffine affine_of(const BatchNorm2d<T>& norm) {
  return batch_norm_affine(to_vector(norm.weight), to_vector(norm.bias), to_vector(norm.running_mean),
                           to_vector(norm.running_var), norm.eps);
}

/// A convolution of all zeros, with a bias.
template <class T>
Conv2d<T> with_bias(Conv2dSizes sizes) {
  sizes.bias = true;
  return Conv2d<T>(sizes);
}

}  // namespace detail

/// Convolution, batch norm → convolution.
template <class T>
Conv2d<T> fold(const Conv2d<T>& conv, const BatchNorm2d<T>& norm, FoldContext& context) {
  Conv2d<T> folded = detail::with_bias<T>(conv.sizes());
  scale_outputs(detail::affine_of(norm), conv.weight, detail::bias_of(conv), folded.weight, *folded.bias);
  context.count(norm_into_convolution);
  return folded;
}

/// Series of shifted ReLUs, batch norm → the same with a bias.
template <class T>
FoldedSeriesActivation<T> fold(const SeriesActivation<T>& act, FoldContext& context) {
  FoldedSeriesActivation<T> folded(act.bn.channels(), detail::series_reach(act.weight));
  const Vector no_bias(static_cast<std::size_t>(act.bn.channels()));
  scale_outputs(detail::affine_of(act.bn), act.weight, no_bias, folded.weight, folded.bias);
  context.count(norm_into_series);
  return folded;
}

namespace detail {

/// conv1, affine1, identity, conv2, affine2 → one convolution.
template <class T>
Conv2d<T> merge(const Conv2d<T>& conv1, const ChannelAffine& affine1, const Conv2d<T>& conv2,
                const ChannelAffine& affine2, FoldContext& context) {
  require(conv2.window().is_pointwise() && conv1.groups() == 1 && conv2.groups() == 1,
          "only a 1x1 convolution merges into the one before it, and neither may be grouped");
  Conv2dSizes sizes = conv1.sizes();
  sizes.out_channels = conv2.out_channels();
  Conv2d<T> merged = with_bias<T>(sizes);
  compose(conv2.weight, bias_of(conv2), affine2, conv1.weight, bias_of(conv1), affine1, merged.weight, *merged.bias,
          context.pool);
  context.count(convolutions_into_one);
  return merged;
}

}  // namespace detail

/// Convolution, batch norm, annealed activation, 1×1 convolution, batch norm → one convolution if the activation has
/// become the identity; else the activation stays, and the batch norms merge.
template <class T>
FoldedConv<T> fold(const Conv2d<T>& conv1, const BatchNorm2d<T>& norm1, const LeakyRelu<T>& act, const Conv2d<T>& conv2,
                   const BatchNorm2d<T>& norm2, FoldContext& context) {
  if (!act.is_identity()) return Sequential(fold(conv1, norm1, context), act, fold(conv2, norm2, context));
  context.count(norm_into_convolution, 2);
  return detail::merge(conv1, detail::affine_of(norm1), conv2, detail::affine_of(norm2), context);
}

/// The same without a second batch norm: the end of the head.
template <class T>
FoldedConv<T> fold(const Conv2d<T>& conv1, const BatchNorm2d<T>& norm1, const LeakyRelu<T>& act, const Conv2d<T>& conv2,
                   FoldContext& context) {
  if (!act.is_identity()) return Sequential(fold(conv1, norm1, context), act, conv2);
  context.count(norm_into_convolution);
  return detail::merge(conv1, detail::affine_of(norm1), conv2,
                       ChannelAffine::identity(static_cast<std::size_t>(conv2.out_channels())), context);
}

}  // namespace plainnet
