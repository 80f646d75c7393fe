#pragma once
// Small NFNets of every kind.

#include <string>
#include <utility>
#include <vector>

#include "plainnet/networks/nfnet_config.hpp"

namespace plainnet::test {

struct SmallNfNet {
  std::string name;
  NfNetConfig config;
};

/// Odd widths, several groups, a stage of two blocks, a first stage that changes its channels and not its size.
inline NfNetConfig small_nfnet(bool is_deepmind = true) {
  return {.depths = {1, 2, 1},
          .widths = {21, 37, 26},
          .is_deepmind = is_deepmind,
          .stem_widths = {5, 7, 9, 13},
          .group_width = 8,
          .final_width = 43,
          .classes = 11};
}

/// All combinations of what the convolutions and activations are, and of what a network has and has not.
inline std::vector<SmallNfNet> small_nfnets() {
  std::vector<SmallNfNet> all;
  for (const bool is_deepmind : {false, true}) {
    for (const NfActivation activation : {NfActivation::relu, NfActivation::gelu, NfActivation::silu}) {
      for (const NfAttention attention : {NfAttention::none, NfAttention::squeeze_excite, NfAttention::efficient}) {
        for (const bool is_pooled : {false, true}) {
          for (const bool second_3x3 : {false, true}) {
            for (const bool has_final_conv : {false, true}) {
              NfNetConfig config = small_nfnet(is_deepmind);
              config.activation = activation;
              config.attention = attention;
              config.second_3x3 = second_3x3;
              if (is_pooled) config.stem = NfStem::pooled_7x7, config.stem_widths = {13};
              if (!has_final_conv) config.final_width = 0;
              constexpr const char* activations[] = {"relu", "gelu", "silu"};
              constexpr const char* attentions[] = {"no attention", "squeeze-excite", "efficient attention"};
              all.push_back(
                  {concatenate(is_deepmind ? "deepmind, " : "timm, ", activations[static_cast<int>(activation)], ", ",
                               attentions[static_cast<int>(attention)], is_pooled ? ", pooled stem" : "",
                               second_3x3 ? ", second 3x3" : "", has_final_conv ? ", final conv" : ""),
                   config});
            }
          }
        }
      }
    }
    const std::string convention = is_deepmind ? "deepmind, " : "timm, ";
    NfNetConfig config = small_nfnet(is_deepmind);
    config.group_width = 0;
    all.push_back({convention + "dense", config});
    config.group_width = 16;
    all.push_back({convention + "bottlenecks cut to whole groups", config});
    config.whole_groups = false;
    all.push_back({convention + "bottlenecks not cut", config});
    config = small_nfnet(is_deepmind);
    config.stem_widths.back() = config.widths.front();
    config.in_channels = 2;
    all.push_back({convention + "no downsampling in the first stage", config});
    config.stem_widths = {5, 21};
    config.depths = {2};
    config.widths = {21};
    all.push_back({convention + "no downsampling at all", config});
  }
  return all;
}

/// Maps of odd sizes on the way, which windows of stride 2 do not divide, and of even ones.
inline std::vector<Shape> small_pictures(const NfNetConfig& config, Index batch = 2) {
  return {{.batch = batch, .height = 25, .width = 38, .channels = config.in_channels},
          {.batch = batch, .height = 32, .width = 16, .channels = config.in_channels}};
}

}  // namespace plainnet::test
