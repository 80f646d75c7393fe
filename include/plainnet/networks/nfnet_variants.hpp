#pragma once
// The NFNets, a row each (timm; the widened rows are of deepmind-research/nfnets and arXiv 2310.16764).

#include <array>
#include <string>
#include <string_view>

#include "plainnet/image/preprocess.hpp"
#include "plainnet/networks/nfnet.hpp"

namespace plainnet {

/// What the networks of one series have in common.
enum class NfSeries {
  deepmind,  // dm_nfnet_f: DeepMind's weights, in its convention
  f,         // nfnet_f: the same networks in timm's convention, never published with weights
  plus,      // widened, in DeepMind's convention; no public weights
  light,     // nfnet_l: SiLU, narrow bottlenecks and groups
  eca,       // eca_nfnet_l: the same with efficient channel attention
  resnet,    // nf_resnet: ReLU, dense 3×3, no attention
};

/// A row: name, how often each of the series' depths is repeated, how it wants its pictures, and what was published of
/// it. The size is the one that the accuracy is measured at; training took a smaller one.
struct NfNetVariant {
  std::string_view name;
  NfSeries series;
  Index repeats;  // of depths 1, 2, 6, 3; of nf_resnet50: 3, 4, 6, 3
  Index size;
  double crop;
  double published_top1;         // %, on ImageNet-1k; 0: none
  std::string_view recipe = {};  // timm's name of the weights; empty: there are none
  Index final_width = 3072;

  NfNetConfig config() const {
    NfNetConfig config{.depths = {repeats, 2 * repeats, 6 * repeats, 3 * repeats},
                       .widths = {256, 512, 1536, 1536},
                       .is_deepmind = series == NfSeries::deepmind || series == NfSeries::plus,
                       .final_width = final_width};
    switch (series) {
      case NfSeries::plus:
        config.widths = {384, 768, 2048, 2048};
        config.stem_widths.back() = 192;
        config.whole_groups = false;
        break;
      case NfSeries::light:
      case NfSeries::eca:
        config.activation = NfActivation::silu;
        config.group_width = 64;
        config.bottleneck = config.reduction = 0.25;
        if (series == NfSeries::eca) config.attention = NfAttention::efficient;
        break;
      case NfSeries::resnet:
        config.depths = {3, 4, 6, 3};
        config.widths = {256, 512, 1024, 2048};
        config.activation = NfActivation::relu;
        config.stem = NfStem::pooled_7x7;
        config.stem_widths = {64};
        config.group_width = 0;
        config.bottleneck = 0.25;
        config.second_3x3 = false;
        config.attention = NfAttention::none;
        break;
      default: break;
    }
    return config;
  }

  Preprocessing preprocessing() const {
    return {.size = size, .crop = crop, .mode = series == NfSeries::deepmind ? CropMode::squash : CropMode::center};
  }

  std::string_view family() const {
    return series == NfSeries::light || series == NfSeries::eca || series == NfSeries::resnet ? "NFNet light" : "NFNet";
  }

  /// Address of the page that has the published file; empty if there is none.
  std::string checkpoint() const {
    return recipe.empty() ? std::string() : concatenate("https://huggingface.co/timm/", name, '.', recipe);
  }
};

inline constexpr auto nfnet_variants = [] {
  using enum NfSeries;
  return std::to_array<NfNetVariant>({
      {"dm_nfnet_f0", deepmind, 1, 256, 0.9, 83.468, "dm_in1k"},
      {"dm_nfnet_f1", deepmind, 2, 320, 0.91, 84.7, "dm_in1k"},
      {"dm_nfnet_f2", deepmind, 3, 352, 0.92, 85.184, "dm_in1k"},
      {"dm_nfnet_f3", deepmind, 4, 416, 0.94, 85.676, "dm_in1k"},
      {"dm_nfnet_f4", deepmind, 5, 512, 0.951, 85.838, "dm_in1k"},
      {"dm_nfnet_f5", deepmind, 6, 544, 0.954, 86.102, "dm_in1k"},
      {"dm_nfnet_f6", deepmind, 7, 576, 0.956, 86.364, "dm_in1k"},
      {"nfnet_f0", f, 1, 256, 0.9, 0.0},
      {"nfnet_f1", f, 2, 320, 0.9, 0.0},
      {"nfnet_f2", f, 3, 352, 0.9, 0.0},
      {"nfnet_f3", f, 4, 416, 0.9, 0.0},
      {"nfnet_f4", f, 5, 512, 0.9, 0.0},
      {"nfnet_f5", f, 6, 544, 0.9, 0.0},
      {"nfnet_f6", f, 7, 576, 0.9, 0.0},
      {"nfnet_f7", f, 8, 608, 0.9, 0.0},
      {"nfnet_f4_plus", plus, 5, 512, 0.951, 0.0, "", 4096},
      {"nfnet_f7_plus", plus, 8, 608, 0.956, 0.0, "", 4096},
      {"nfnet_l0", light, 1, 288, 1.0, 82.766, "ra2_in1k", 2304},
      {"eca_nfnet_l0", eca, 1, 288, 1.0, 82.59, "ra2_in1k", 2304},
      {"eca_nfnet_l1", eca, 2, 320, 1.0, 84.062, "ra2_in1k"},
      {"eca_nfnet_l2", eca, 3, 384, 1.0, 84.71, "ra3_in1k"},
      {"eca_nfnet_l3", eca, 4, 448, 1.0, 0.0},
      {"nf_resnet50", resnet, 1, 288, 0.94, 80.658, "ra2_in1k", 0},
  });
}();

}  // namespace plainnet
