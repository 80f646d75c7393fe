#pragma once
// What a MetaFormer is made of, and where the published codes keep its parts.

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "plainnet/core/window.hpp"
#include "plainnet/layers/normalization.hpp"

namespace plainnet {

/// The published code that a checkpoint belongs to. They name the tensors differently, and where they compute
/// different things each checkpoint is run as its own code would.
enum class MetaFormerCode { poolformer, metaformer, timm };  // sail-sg/poolformer, sail-sg/metaformer, timm

/// Of arXiv 2111.11418 (PoolFormer and the hybrids): biases, GELU, layer scales, norms with a bias. Of arXiv 2210.13452
/// (the baselines): no biases in blocks, StarReLU, residual scales in the last two of four stages, norms without a
/// bias, also after the stem and before downsampling.
enum class MetaFormerGeneration { first, baselines };

/// All that tells one MetaFormer from another, weights and number type apart.
struct MetaFormerConfig {
  std::vector<Index> depths;  // blocks of each stage
  std::vector<Index> widths;
  std::string mixers;  // a letter for each stage, see PublishedMixers
  MetaFormerGeneration generation = MetaFormerGeneration::first;
  NormOver norm_over = NormOver::map;  // in blocks
  bool mlp_head = false;               // else one linear layer
  Index position_stage = -1;           // a position embedding stands before its blocks; -1: there is none
  MetaFormerCode code = MetaFormerCode::timm;
  Index classes = 1000;
  Index in_channels = 3;
  Index size = 224;  // of the image that spatial mixers and position embeddings are made for

  bool operator==(const MetaFormerConfig&) const = default;

  std::size_t stages() const { return depths.size(); }
  bool is_baseline() const { return generation == MetaFormerGeneration::baselines; }
  double block_eps() const { return is_baseline() ? 1e-6 : 1e-5; }

  /// The head's norm: sail-sg/poolformer keeps that of its blocks. It stands before the mean over pixels there, after
  /// it everywhere else.
  double head_eps() const { return code == MetaFormerCode::poolformer ? block_eps() : 1e-6; }
  bool head_norm_first() const { return code == MetaFormerCode::poolformer; }
  /// The norm inside an MLP head: sail-sg/metaformer takes PyTorch's default.
  double mlp_head_eps() const { return code == MetaFormerCode::timm ? 1e-6 : 1e-5; }

  bool has_res_scale(std::size_t stage) const { return is_baseline() && stage >= 2; }

  /// The convolution before stage i: the stem, or downsampling.
  Window window(std::size_t stage) const {
    return stage == 0 ? Window{.kernel = 7, .stride = 4, .padding = 2} : Window{.kernel = 3, .stride = 2, .padding = 1};
  }

  /// Side of the map of a stage, of a square image of `size`.
  Index map_side(std::size_t stage) const {
    Shape shape{.batch = 1, .height = size, .width = size, .channels = 1};
    for (std::size_t i = 0; i <= stage; ++i) shape = output_shape(shape, window(i), 1);
    return shape.height;
  }

  void check() const {
    const auto all_positive = [](const std::vector<Index>& numbers) {
      return std::all_of(numbers.begin(), numbers.end(), [](Index number) { return number > 0; });
    };
    require(!depths.empty() && widths.size() == depths.size() && mixers.size() == depths.size(),
            "a MetaFormer needs a depth, a width and a mixer for each stage; found ", depths.size(), ", ",
            widths.size(), " and ", mixers.size());
    require(all_positive(depths) && all_positive(widths) && classes > 0 && in_channels > 0 && size > 0,
            "a MetaFormer needs positive depths, widths, classes, input channels and size");
    require(position_stage < static_cast<Index>(stages()), "no stage ", position_stage, " for a position embedding");
  }
};

/// Where a published code keeps the parts of a stage.
struct MetaFormerStageNames {
  std::string conv, norm, position, blocks;                    // of blocks what precedes their number
  std::string conv_feature, position_feature, blocks_feature;  // of the modules' outputs; empty: no module of its own
};

/// Those of a stage, counted from 0, in the code that the configuration names.
inline MetaFormerStageNames stage_names(const MetaFormerConfig& config, std::size_t stage) {
  if (config.code == MetaFormerCode::poolformer) {
    // One list, "network": blocks, downsampling, (position embedding,) blocks, …
    const Index positions_before = config.position_stage >= 0 && config.position_stage <= static_cast<Index>(stage);
    const Index number = 2 * static_cast<Index>(stage) + positions_before;  // of the blocks
    const bool has_position = config.position_stage == static_cast<Index>(stage);
    const auto module = [](Index i) { return concatenate("network.", i); };
    const std::string conv = module(number - 1 - has_position);
    return {.conv = stage == 0 ? "patch_embed.proj" : conv + ".proj",
            .norm = {},
            .position = module(number - 1),
            .blocks = module(number) + ".",
            .conv_feature = stage == 0 ? "" : conv,
            .position_feature = module(number - 1),
            .blocks_feature = module(number)};
  }
  const std::string name = concatenate("stages.", stage);
  if (config.code == MetaFormerCode::metaformer) {
    const std::string layer = concatenate("downsample_layers.", stage);
    return {.conv = layer + ".conv",
            .norm = layer + (stage == 0 ? ".post_norm" : ".pre_norm"),
            .position = layer + ".position",
            .blocks = name + ".",
            .conv_feature = {},
            .position_feature = {},
            .blocks_feature = name};
  }
  const std::string layer = stage == 0 ? "stem" : name + ".downsample";
  return {.conv = layer + ".conv",
          .norm = layer + ".norm",
          .position = name + ".position",
          .blocks = name + ".blocks.",
          .conv_feature = {},
          .position_feature = {},
          .blocks_feature = name};
}

}  // namespace plainnet
