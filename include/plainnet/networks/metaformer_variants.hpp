#pragma once
// The published MetaFormers, a row each (sail-sg/poolformer, sail-sg/metaformer, timm).

#include <array>
#include <string>
#include <string_view>

#include "plainnet/image/preprocess.hpp"
#include "plainnet/networks/metaformer.hpp"

namespace plainnet {

/// Blocks and channels of the four stages.
struct MetaFormerSize {
  std::array<Index, 4> depths;
  std::array<Index, 4> widths;
};

namespace metaformer_sizes {

inline constexpr std::array<Index, 4> small = {64, 128, 320, 512};
inline constexpr std::array<Index, 4> medium = {96, 192, 384, 768};
inline constexpr MetaFormerSize s12{{2, 2, 6, 2}, small};
inline constexpr MetaFormerSize s24{{4, 4, 12, 4}, small};
inline constexpr MetaFormerSize s36{{6, 6, 18, 6}, small};
inline constexpr MetaFormerSize m36{{6, 6, 18, 6}, medium};
inline constexpr MetaFormerSize m48{{8, 8, 24, 8}, medium};
// ConvFormer and CAFormer have more blocks in the middle.
inline constexpr MetaFormerSize conv_s18{{3, 3, 9, 3}, small};
inline constexpr MetaFormerSize conv_s36{{3, 12, 18, 3}, small};
inline constexpr MetaFormerSize conv_m36{{3, 12, 18, 3}, {96, 192, 384, 576}};
inline constexpr MetaFormerSize conv_b36{{3, 12, 18, 3}, {128, 256, 512, 768}};

}  // namespace metaformer_sizes

/// A row: name, sizes, mixers (letters of PublishedMixers), and what was published of it.
struct MetaFormerVariant {
  std::string_view name;
  MetaFormerSize sizes;
  std::string_view mixers;
  MetaFormerGeneration generation;
  MetaFormerCode code;    // of the published file
  double published_top1;  // %, on ImageNet-1k; 0: none
  double crop = 1.0;
  Index size = 224;
  Index classes = 1000;

  MetaFormerConfig config() const {
    const bool is_baseline = generation == MetaFormerGeneration::baselines;
    const std::size_t first_attention = mixers.find('a');
    const bool over_channels = mixers.find_first_of("ac") != mixers.npos;
    return {.depths = {sizes.depths.begin(), sizes.depths.end()},
            .widths = {sizes.widths.begin(), sizes.widths.end()},
            .mixers = std::string(mixers),
            .generation = generation,
            .norm_over = over_channels ? NormOver::channels : NormOver::map,
            .mlp_head = is_baseline && over_channels,
            .position_stage = is_baseline || first_attention == mixers.npos ? -1 : static_cast<Index>(first_attention),
            .code = code,
            .classes = classes,
            .size = size};
  }

  Preprocessing preprocessing() const { return {.size = size, .crop = crop}; }

  std::string_view family() const {
    if (generation == MetaFormerGeneration::baselines) return "MetaFormer baseline";
    return code == MetaFormerCode::timm ? "PoolFormer" : "MetaFormer hybrid";
  }

  /// Address of the published file, or of the page that has it.
  std::string checkpoint() const {
    switch (code) {
      case MetaFormerCode::timm:
        return concatenate("https://huggingface.co/timm/", name.substr(0, name.find("_384")), ".sail_in1k",
                           size == 384 ? "_384" : "");
      case MetaFormerCode::poolformer:
        return concatenate("https://github.com/sail-sg/poolformer/releases/download/v1.0/", name, ".pth.tar");
      default:
        return concatenate("https://huggingface.co/sail/dl/resolve/main/", name.substr(0, name.find('_')), "/", name,
                           ".pth");
    }
  }
};

inline constexpr auto metaformer_variants = [] {
  using namespace metaformer_sizes;
  constexpr auto first = MetaFormerGeneration::first;
  constexpr auto baselines = MetaFormerGeneration::baselines;
  constexpr auto timm = MetaFormerCode::timm;
  constexpr auto poolformer = MetaFormerCode::poolformer;
  constexpr auto metaformer = MetaFormerCode::metaformer;
  return std::to_array<MetaFormerVariant>({
      {"poolformer_s12", s12, "pppp", first, timm, 77.238, 0.9},
      {"poolformer_s24", s24, "pppp", first, timm, 80.294, 0.9},
      {"poolformer_s36", s36, "pppp", first, timm, 81.428, 0.9},
      {"poolformer_m36", m36, "pppp", first, timm, 82.104, 0.95},
      {"poolformer_m48", m48, "pppp", first, timm, 82.462, 0.95},
      {"metaformer_id_s12", s12, "iiii", first, poolformer, 74.3, 0.9},
      {"metaformer_pppa_s12_224", s12, "pppa", first, poolformer, 78.3, 0.95},
      {"metaformer_ppaa_s12_224", s12, "ppaa", first, poolformer, 81.0, 0.95},
      {"metaformer_pppf_s12_224", s12, "pppf", first, poolformer, 77.5, 0.9},
      {"metaformer_ppff_s12_224", s12, "ppff", first, poolformer, 77.9, 0.95},
      {"identityformer_s12", s12, "iiii", baselines, metaformer, 74.6},
      {"identityformer_s24", s24, "iiii", baselines, metaformer, 78.2},
      {"identityformer_s36", s36, "iiii", baselines, metaformer, 79.3},
      {"identityformer_m36", m36, "iiii", baselines, metaformer, 80.0},
      {"identityformer_m48", m48, "iiii", baselines, metaformer, 80.4},
      {"randformer_s12", s12, "iirr", baselines, metaformer, 76.6},
      {"randformer_s24", s24, "iirr", baselines, metaformer, 78.2},
      {"randformer_s36", s36, "iirr", baselines, metaformer, 79.5},
      {"randformer_m36", m36, "iirr", baselines, metaformer, 81.2},
      {"randformer_m48", m48, "iirr", baselines, metaformer, 81.4},
      {"poolformerv2_s12", s12, "pppp", baselines, timm, 78.008},
      {"poolformerv2_s24", s24, "pppp", baselines, timm, 80.746},
      {"poolformerv2_s36", s36, "pppp", baselines, timm, 81.576},
      {"poolformerv2_m36", m36, "pppp", baselines, timm, 82.214},
      {"poolformerv2_m48", m48, "pppp", baselines, timm, 82.612},
      {"convformer_s18", conv_s18, "cccc", baselines, timm, 82.968},
      {"convformer_s18_384", conv_s18, "cccc", baselines, timm, 84.392, 1.0, 384},
      {"convformer_s18_in21k", conv_s18, "cccc", baselines, metaformer, 0.0, 1.0, 224, 21841},
      {"convformer_s36", conv_s36, "cccc", baselines, timm, 84.068},
      {"convformer_s36_384", conv_s36, "cccc", baselines, timm, 85.38, 1.0, 384},
      {"convformer_s36_in21k", conv_s36, "cccc", baselines, metaformer, 0.0, 1.0, 224, 21841},
      {"convformer_m36", conv_m36, "cccc", baselines, timm, 84.486},
      {"convformer_m36_384", conv_m36, "cccc", baselines, timm, 85.58, 1.0, 384},
      {"convformer_m36_in21k", conv_m36, "cccc", baselines, metaformer, 0.0, 1.0, 224, 21841},
      {"convformer_b36", conv_b36, "cccc", baselines, timm, 84.826},
      {"convformer_b36_384", conv_b36, "cccc", baselines, timm, 85.77, 1.0, 384},
      {"convformer_b36_in21k", conv_b36, "cccc", baselines, metaformer, 0.0, 1.0, 224, 21841},
      {"caformer_s18", conv_s18, "ccaa", baselines, timm, 83.664},
      {"caformer_s18_384", conv_s18, "ccaa", baselines, timm, 85.036, 1.0, 384},
      {"caformer_s18_in21k", conv_s18, "ccaa", baselines, metaformer, 0.0, 1.0, 224, 21841},
      {"caformer_s36", conv_s36, "ccaa", baselines, timm, 84.528},
      {"caformer_s36_384", conv_s36, "ccaa", baselines, timm, 85.762, 1.0, 384},
      {"caformer_s36_in21k", conv_s36, "ccaa", baselines, metaformer, 0.0, 1.0, 224, 21841},
      {"caformer_m36", conv_m36, "ccaa", baselines, timm, 85.242},
      {"caformer_m36_384", conv_m36, "ccaa", baselines, timm, 86.164, 1.0, 384},
      {"caformer_m36_in21k", conv_m36, "ccaa", baselines, metaformer, 0.0, 1.0, 224, 21841},
      {"caformer_b36", conv_b36, "ccaa", baselines, timm, 85.502},
      {"caformer_b36_384", conv_b36, "ccaa", baselines, timm, 86.4, 1.0, 384},
      {"caformer_b36_in21k", conv_b36, "ccaa", baselines, metaformer, 0.0, 1.0, 224, 21841},
  });
}();

}  // namespace plainnet
