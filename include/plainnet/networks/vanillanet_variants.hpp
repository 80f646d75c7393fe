#pragma once
// The published VanillaNets, a row each (huawei-noah/VanillaNet; widths are 4 or, for x1_5, 6 times the paper's).

#include <array>
#include <string>
#include <string_view>

#include "plainnet/image/preprocess.hpp"
#include "plainnet/networks/vanillanet.hpp"

namespace plainnet {

/// A row: name, sizes, how it wants its pictures, and what was published of it.
struct VanillaNetVariant {
  std::string_view name;
  Index unit;                // of the widths
  std::string_view widths;   // in units, a digit each
  std::string_view strides;  // a digit for each block
  double published_top1;     // %, on ImageNet-1k; 0: our own network, never published
  Index classes = 1000;
  Preprocessing preprocessing = {};
  std::array<Index, 3> adaptive_pools = {};  // sides of the maps that blocks of stride 2 give; 0: they pool by stride

  VanillaNetConfig config() const {
    VanillaNetConfig config{.widths = {}, .strides = {}, .classes = classes};
    for (const char width : widths) config.widths.push_back(unit * (width - '0'));
    for (const char stride : strides) config.strides.push_back(stride - '0');
    if (adaptive_pools[0] == 0) return config;
    const Index* side = adaptive_pools.data();
    for (const char stride : strides) config.adaptive_pools.push_back(stride == '1' ? 0 : *side++);
    return config;
  }

  /// Address of the published file; empty if there is none.
  std::string checkpoint() const {
    if (published_top1 == 0) return {};
    return concatenate("https://github.com/huawei-noah/VanillaNet/releases/download/ckpt/", name, ".pth");
  }
};

inline constexpr std::array vanillanet_variants = {
    // Numbers 8 to 13 differ in how often the block of 4 units is repeated.
    VanillaNetVariant{"vanillanet_5", 512, "1248", "222", 72.49},
    VanillaNetVariant{"vanillanet_6", 512, "12488", "2221", 76.36},
    VanillaNetVariant{"vanillanet_7", 512, "112488", "12221", 77.98},
    VanillaNetVariant{"vanillanet_8", 512, "1124488", "122121", 79.13},
    VanillaNetVariant{"vanillanet_9", 512, "11244488", "1221121", 79.87},
    VanillaNetVariant{"vanillanet_10", 512, "112444488", "12211121", 80.57},
    VanillaNetVariant{"vanillanet_11", 512, "1124444488", "122111121", 81.08},
    VanillaNetVariant{"vanillanet_12", 512, "11244444488", "1221111121", 81.55},
    VanillaNetVariant{"vanillanet_13", 512, "112444444488", "12211111121", 82.05},
    VanillaNetVariant{"vanillanet_13_x1_5", 768, "112444444488", "12211111121", 82.53},
    VanillaNetVariant{.name = "vanillanet_13_x1_5_ada_pool",
                      .unit = 768,
                      .widths = "112444444488",
                      .strides = "12211111121",
                      .published_top1 = 83.11,
                      .adaptive_pools = {38, 19, 10}},
    // Ours: the digits model that ships with plainnet, and the narrow network of the tests.
    VanillaNetVariant{"vanillanet_digits", 64, "1244", "221", 0.0, 10, {.size = 64, .crop = 1.0}},
    VanillaNetVariant{"vanillanet_test", 32, "1224", "221", 0.0, 10, {.size = 64, .crop = 1.0}},
};

}  // namespace plainnet
