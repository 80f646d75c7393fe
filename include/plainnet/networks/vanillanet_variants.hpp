#pragma once
// The published VanillaNets, a row each (huawei-noah/VanillaNet; widths are 4 or, for x1_5, 6 times the paper's).

#include <string>
#include <vector>

#include "plainnet/image/preprocess.hpp"
#include "plainnet/networks/vanillanet.hpp"

namespace plainnet {

/// A row: name, sizes, how it wants its pictures, and what was published of it.
struct VanillaNetVariant {
  std::string name;
  VanillaNetConfig config;
  Preprocessing preprocessing = {};
  double published_top1 = 0.0;  // %, on ImageNet-1k; 0: none
  std::string checkpoint = "https://github.com/huawei-noah/VanillaNet/releases/download/ckpt/" + name + ".pth";
};

inline const std::vector<VanillaNetVariant>& vanillanet_variants() {
  // Numbers 8 to 13 differ in how often the block of 2048 channels is repeated.
  static const auto deep = [](Index repeats, Index unit, std::vector<Index> adaptive_pools = {}) {
    VanillaNetConfig config{
        .widths = {unit, unit, 2 * unit}, .strides = {1, 2, 2}, .adaptive_pools = std::move(adaptive_pools)};
    for (Index i = 0; i <= repeats; ++i) config.widths.push_back(4 * unit);
    for (Index i = 0; i < repeats; ++i) config.strides.push_back(1);
    config.widths.insert(config.widths.end(), {8 * unit, 8 * unit});
    config.strides.insert(config.strides.end(), {2, 1});
    return config;
  };
  static const std::vector<VanillaNetVariant> rows = {
      {"vanillanet_5", {.widths = {512, 1024, 2048, 4096}, .strides = {2, 2, 2}}, {}, 72.49},
      {"vanillanet_6", {.widths = {512, 1024, 2048, 4096, 4096}, .strides = {2, 2, 2, 1}}, {}, 76.36},
      {"vanillanet_7", deep(0, 512), {}, 77.98},
      {"vanillanet_8", deep(1, 512), {}, 79.13},
      {"vanillanet_9", deep(2, 512), {}, 79.87},
      {"vanillanet_10", deep(3, 512), {}, 80.57},
      {"vanillanet_11", deep(4, 512), {}, 81.08},
      {"vanillanet_12", deep(5, 512), {}, 81.55},
      {"vanillanet_13", deep(6, 512), {}, 82.05},
      {"vanillanet_13_x1_5", deep(6, 768), {}, 82.53},
      {"vanillanet_13_x1_5_ada_pool", deep(6, 768, {0, 38, 19, 0, 0, 0, 0, 0, 0, 10, 0}), {}, 83.11},
      // Ours: the digits model that ships with plainnet, and the narrow network of the tests.
      {"vanillanet_digits",
       {.widths = {64, 128, 256, 256}, .strides = {2, 2, 1}, .classes = 10},
       {.size = 64, .crop = 1.0},
       0.0,
       ""},
      {"vanillanet_test",
       {.widths = {32, 64, 64, 128}, .strides = {2, 2, 1}, .classes = 10},
       {.size = 64, .crop = 1.0},
       0.0,
       ""},
  };
  return rows;
}

}  // namespace plainnet
