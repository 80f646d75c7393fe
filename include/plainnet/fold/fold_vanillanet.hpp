#pragma once
// Folding a VanillaNet: the rewrite rules for its layers, and the network made of the results.

#include <string_view>

#include "plainnet/core/thread_pool.hpp"
#include "plainnet/fold/folding.hpp"
#include "plainnet/networks/vanillanet.hpp"

namespace plainnet {

inline constexpr std::string_view norm_into_convolution = "batch norm into its convolution";
inline constexpr std::string_view norm_into_series = "batch norm into its series activation";
inline constexpr std::string_view convolutions_into_one =
    "convolution and 1x1 convolution into one (activation annealed to the identity)";

namespace detail {

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
  affine_around(detail::no_change(conv.weight.columns()), conv.weight, detail::bias_of(conv), detail::affine_of(norm),
                folded.weight, &*folded.bias);
  context.count(norm_into_convolution);
  return folded;
}

/// Series of shifted ReLUs, batch norm → the same with a bias.
template <class T>
FoldedSeriesActivation<T> fold(const SeriesActivation<T>& act, FoldContext& context) {
  FoldedSeriesActivation<T> folded(act.bn.channels(), detail::series_reach(act.weight));
  const Vector no_bias(static_cast<std::size_t>(act.bn.channels()));
  affine_around(detail::no_change(act.weight.columns()), act.weight, no_bias, detail::affine_of(act.bn), folded.weight,
                &folded.bias);
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
          context.pool, context.workspace);
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
  return detail::merge(conv1, detail::affine_of(norm1), conv2, detail::no_change(conv2.out_channels()), context);
}

namespace detail {

/// Gives the weight's memory back where the convolution may be changed, and leaves it alone where it may not.
template <class T>
void release(Conv2d<T>& conv) {
  conv.weight = Parameter<T>();
}
template <class T>
void release(const Conv2d<T>&) {}

/// Of a network or a const network; of the former, what is folded is released.
template <class Trained>
auto fold_vanillanet(Trained& trained, const FoldOptions& options) {
  using T = typename Trained::Scalar;
  ThreadPool pool(options.threads);
  FoldContext context{pool};
  FoldedVanillaNet<T> folded(trained.config(), trained.slope());
  folded.stem =
      Sequential(FoldedConv<T>(fold(trained.stem1.template get<0>(), trained.stem1.template get<1>(), trained.act_learn,
                                    trained.stem2.template get<0>(), trained.stem2.template get<1>(), context)),
                 fold(trained.stem2.template get<2>(), context));
  for (std::size_t i = 0; i < trained.stages.size(); ++i) {
    auto& block = trained.stages[i];
    folded.stages[i].conv = fold(block.conv1.template get<0>(), block.conv1.template get<1>(), block.act_learn,
                                 block.conv2.template get<0>(), block.conv2.template get<1>(), context);
    folded.stages[i].act = fold(block.act, context);
    release(block.conv1.template get<0>());
    release(block.conv2.template get<0>());
  }
  folded.cls.template get<2>() = fold(trained.cls1.template get<2>(), trained.cls1.template get<3>(), trained.act_learn,
                                      trained.cls2.template get<0>(), context);
  return Folding<FoldedVanillaNet<T>>{std::move(folded), std::move(context.merges)};
}

}  // namespace detail

/// Exact algebra in double precision; `trained` stays as it is. Where the slope is not 1 the annealed activations and
/// the convolutions on both sides of them are kept.
template <class T>
Folding<FoldedVanillaNet<T>> fold(const VanillaNet<T>& trained, const FoldOptions& options = {}) {
  return detail::fold_vanillanet(trained, options);
}

/// The same of a network that nobody needs any more: its memory goes as it is folded.
template <class T>
Folding<FoldedVanillaNet<T>> fold(VanillaNet<T>&& trained, const FoldOptions& options = {}) {
  return detail::fold_vanillanet(trained, options);
}

}  // namespace plainnet
