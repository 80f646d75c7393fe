#pragma once
// Folding an NFNet: standardised weights become plain ones, and take in the numbers between them.

#include <string_view>

#include "plainnet/core/thread_pool.hpp"
#include "plainnet/fold/folding.hpp"
#include "plainnet/networks/folded_nfnet.hpp"

namespace plainnet {

inline constexpr std::string_view standardization_into_weights = "standardisation and gain into the weights";
inline constexpr std::string_view activation_gain_into_weights = "activation's gain into the weights after it";
inline constexpr std::string_view beta_into_weights = "beta into the weights after it";
inline constexpr std::string_view alpha_into_convolution = "alpha into the convolution before it";
inline constexpr std::string_view alpha_into_gates =
    "alpha, SkipInit's and attention's gain into one factor of the gates";

namespace detail {

/// conv(before · x) · after of standardised weights:
///
///   after · (W'(before · x) + b) = (after · before · W') x + after · b
///
/// Exact with zero padding, which stays zero if it is scaled. `folded` holds the weights of `trained`, which has lost
/// them.
template <class T>
void fold_standardized(const ScaledStdConv2d<T>& trained, double before, double after, Conv2d<T>& folded,
                       FoldContext& context) {
  Vector scale = to_vector(trained.gain);
  for (double& gain : scale)
    gain *= before * after * trained.gamma / std::sqrt(static_cast<double>(folded.weight.columns()));
  standardize(folded.weight, scale, trained.eps);
  for (T& bias : *folded.bias) bias = static_cast<T>(after * static_cast<double>(bias));
  context.count(standardization_into_weights);
}

}  // namespace detail

/// Exact algebra in double precision. Takes the network's place in memory if it is given up: fold(std::move(trained)).
template <class T>
Folding<FoldedNfNet<T>> fold(NfNet<T> trained, const FoldOptions& options = {}) {
  using detail::fold_standardized;
  ThreadPool pool(options.threads);
  FoldContext context{pool};
  FoldedNfNet<T> folded(std::move(trained));
  const double gain = trained.act.gain;  // NOLINT(bugprone-use-after-move): what has no place in `folded` stays
  const auto count_gain = [&](Index times) {
    if (gain != 1.0) context.count(activation_gain_into_weights, times);
  };

  for (std::size_t i = 0; i < folded.stem.size(); ++i) {
    fold_standardized(trained.stem[i], i == 0 ? 1.0 : gain, 1.0, folded.stem[i], context);
  }
  count_gain(static_cast<Index>(folded.stem.size()) - 1);
  for (std::size_t i = 0; i < folded.stages.size(); ++i) {
    for (std::size_t j = 0; j < folded.stages[i].size(); ++j) {
      const NfBlock<T>& from = trained.stages[i][j];
      FoldedNfBlock<T>& to = folded.stages[i][j];
      double branch = NfNetConfig::alpha;
      if (from.skipinit_gain) branch *= static_cast<double>((*from.skipinit_gain)[0]);
      if (to.attn_last) {
        to.attn_last->gain[0] = static_cast<T>(branch * NfNetConfig::attention_gain);
        branch = 1.0;
      }
      fold_standardized(from.conv1, gain * from.beta, 1.0, to.conv1, context);
      fold_standardized(from.conv2, gain, 1.0, to.conv2, context);
      if (to.conv2b) fold_standardized(*from.conv2b, gain, 1.0, *to.conv2b, context);
      fold_standardized(from.conv3, gain, branch, to.conv3, context);
      if (to.downsample) {
        // The mean of pixels that are scaled is the mean, scaled.
        fold_standardized(from.downsample->conv, gain * from.beta, 1.0, to.downsample->conv, context);
      }
      count_gain(3 + (to.conv2b ? 1 : 0) + (to.downsample ? 1 : 0));
      context.count(beta_into_weights, to.downsample ? 2 : 1);
      context.count(to.attn_last ? alpha_into_gates : alpha_into_convolution);
    }
  }
  if (folded.final_conv) fold_standardized(*trained.final_conv, 1.0, 1.0, *folded.final_conv, context);
  // The head's mean over pixels commutes with the gain.
  for (T& weight : folded.fc.weight) weight = static_cast<T>(gain * static_cast<double>(weight));
  count_gain(1);
  return {std::move(folded), std::move(context.merges)};
}

}  // namespace plainnet
