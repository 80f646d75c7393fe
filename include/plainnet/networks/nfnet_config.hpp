#pragma once
// What an NFNet is made of.

#include <algorithm>
#include <cmath>
#include <vector>

#include "plainnet/core/window.hpp"

namespace plainnet {

/// The activation of all blocks.
enum class NfActivation { relu, gelu, silu };

/// What is done between convolutions to keep the variance: γ² · Var(act(x)) = 1 for standard normal x (arXiv
/// 2101.08692, section 4.3; the numbers of deepmind-research/nfnets).
inline double activation_gamma(NfActivation activation) {
  switch (activation) {
    case NfActivation::gelu: return 1.7015043497085571;
    case NfActivation::silu: return 1.7881293296813965;
    default: return 1.7139588594436646;
  }
}

/// The convolutions before the first block.
enum class NfStem {
  all_3x3,     // the first and the last at stride 2
  pooled_7x7,  // one, at stride 2, then the maximum of 3×3 at stride 2
};

/// The gates of channels: none, two linear maps, or one convolution over the channels.
enum class NfAttention { none, squeeze_excite, efficient };

/// One bottleneck block. `beta` = 1 / √(expected variance of its input).
struct NfBlockSizes {
  Index in_channels;
  Index middle_channels;
  Index out_channels;
  Index groups;
  Index stride;
  double beta;

  bool has_downsampling() const { return in_channels != out_channels || stride != 1; }
};

/// One NFNet (Brock et al., arXiv 2101.08692 and 2102.06171), in two conventions: DeepMind's, and timm's own. In
/// DeepMind's the activations multiply by γ, padding is SAME and each block ends with a learned gain (SkipInit); in
/// timm's γ is in the standardised weights and padding is symmetric.
struct NfNetConfig {
  std::vector<Index> depths;  // blocks of each stage
  std::vector<Index> widths;
  bool is_deepmind = false;
  NfActivation activation = NfActivation::gelu;
  NfStem stem = NfStem::all_3x3;
  std::vector<Index> stem_widths = {16, 32, 64, 128};
  Index group_width = 128;   // of the 3×3 convolutions; 0: they are dense
  double bottleneck = 0.5;   // of a block's width
  bool whole_groups = true;  // the bottleneck is cut to a multiple of group_width, see middle_of()
  bool second_3x3 = true;
  NfAttention attention = NfAttention::squeeze_excite;
  double reduction = 0.5;  // of the squeeze
  Index final_width = 0;   // of the last 1×1 convolution; 0: there is none
  Index classes = 1000;
  Index in_channels = 3;

  bool operator==(const NfNetConfig&) const = default;

  static constexpr double alpha = 0.2;           // of what a block adds to its shortcut
  static constexpr double attention_gain = 2.0;  // since gates are 1/2 on average
  static constexpr double eps = 1e-5;            // of the standardisation

  /// What activations multiply by, and what is in the standardised weights.
  double gamma_after_activation() const { return is_deepmind ? activation_gamma(activation) : 1.0; }
  double gamma_in_weights() const { return is_deepmind ? 1.0 : activation_gamma(activation); }

  Window window(Index kernel, Index stride) const {
    if (is_deepmind) return {.kernel = kernel, .stride = stride, .same = true};
    return {.kernel = kernel, .stride = stride, .padding = (kernel - 1 + stride - 1) / 2};
  }

  /// Before the 1×1 convolution of a shortcut that halves the map: windows at an odd end divide by what they see.
  Window pool_window() const { return {.kernel = 2, .stride = 2, .rounding = Rounding::ceil}; }

  /// Channels between a block's 1×1 convolutions: a multiple of 8, and of the group width. The widened networks' first
  /// stage has 192; the released code cuts them to one group of 128, while the paper's counts are those of one group
  /// of 192 (`whole_groups` false).
  NfBlockSizes block(Index inputs, Index outputs, Index stride, double beta) const {
    const Index wanted = rounded(static_cast<double>(outputs) * bottleneck, 0.9);
    const Index groups = group_width == 0 ? 1 : std::max<Index>(1, wanted / group_width);
    const bool is_cut = group_width > 0 && group_width % 8 == 0 && (whole_groups || wanted % groups != 0);
    return {inputs, is_cut ? groups * group_width : wanted, outputs, groups, stride, beta};
  }

  /// The blocks of each stage. The variance begins at 1, grows by α² with every block, and begins again at 1 + α² after
  /// the first block of a stage, whose shortcut is normalised too.
  std::vector<std::vector<NfBlockSizes>> blocks() const {
    std::vector<std::vector<NfBlockSizes>> stages;
    double variance = 1.0;
    Index channels = stem_widths.back();
    for (std::size_t i = 0; i < depths.size(); ++i) {
      stages.emplace_back();
      for (Index j = 0; j < depths[i]; ++j) {
        stages.back().push_back(block(channels, widths[i], j == 0 && i > 0 ? 2 : 1, 1.0 / std::sqrt(variance)));
        variance = (j == 0 ? 1.0 : variance) + alpha * alpha;
        channels = widths[i];
      }
    }
    return stages;
  }

  /// Channels between the two linear maps of a squeeze-excite.
  Index squeezed(Index channels) const { return rounded(static_cast<double>(channels) * reduction, 0.0); }

  /// Channels that the head sees.
  Index head_width() const { return final_width > 0 ? final_width : widths.back(); }

  void check() const {
    const auto all_positive = [](const std::vector<Index>& numbers) {
      return std::all_of(numbers.begin(), numbers.end(), [](Index number) { return number > 0; });
    };
    require(!depths.empty() && widths.size() == depths.size(), "an NFNet needs a depth and a width for each stage; ",
            "found ", depths.size(), " depths and ", widths.size(), " widths");
    require(all_positive(depths) && all_positive(widths) && all_positive(stem_widths) && classes > 0 &&
                in_channels > 0 && final_width >= 0 && group_width >= 0,
            "an NFNet needs positive depths, widths, classes and input channels");
    require(stem == NfStem::pooled_7x7 ? stem_widths.size() == 1 : stem_widths.size() >= 2, "an NFNet's stem has one ",
            "convolution before its pool, or at least two; found ", stem_widths.size());
    require(bottleneck > 0 && reduction > 0, "an NFNet's bottleneck and reduction are positive parts");
  }

 private:
  /// The nearest multiple of 8, at least 8; the next one if that is below `least` of the number.
  static Index rounded(double number, double least) {
    const Index multiple = std::max<Index>(8, static_cast<Index>(number + 4.0) / 8 * 8);
    return static_cast<double>(multiple) < least * number ? multiple + 8 : multiple;
  }
};

}  // namespace plainnet
