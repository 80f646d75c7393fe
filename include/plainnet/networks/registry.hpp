#pragma once
// All variants of all families by name, and networks of a family that is known at run time. A family adds its
// alternative to each of the three types below.

#include <algorithm>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "plainnet/core/order.hpp"
#include "plainnet/networks/folded_metaformer.hpp"
#include "plainnet/networks/folded_nfnet.hpp"
#include "plainnet/networks/metaformer_variants.hpp"
#include "plainnet/networks/nfnet_variants.hpp"
#include "plainnet/networks/parameters.hpp"
#include "plainnet/networks/vanillanet_variants.hpp"

namespace plainnet {

/// The configuration of a network of any family.
using NetworkConfig = std::variant<VanillaNetConfig, MetaFormerConfig, NfNetConfig>;

/// A network as trained, of any family.
template <class T>
using AnyTrained = std::variant<VanillaNet<T>, PublishedMetaFormer<T>, NfNet<T>>;

/// A folded network of any family.
template <class T>
using AnyFolded = std::variant<FoldedVanillaNet<T>, PublishedFoldedMetaFormer<T>, FoldedNfNet<T>>;

/// `slope` is that of a VanillaNet's annealed activations; other families have none.
template <class T>
AnyTrained<T> make_trained(const NetworkConfig& config, double slope = 1.0) {
  if (const auto* vanillanet = std::get_if<VanillaNetConfig>(&config)) return VanillaNet<T>(*vanillanet, slope);
  if (const auto* nfnet = std::get_if<NfNetConfig>(&config)) return NfNet<T>(*nfnet);
  return PublishedMetaFormer<T>(std::get<MetaFormerConfig>(config));
}

/// The same for the folded form.
template <class T>
AnyFolded<T> make_folded(const NetworkConfig& config, double slope = 1.0) {
  if (const auto* vanillanet = std::get_if<VanillaNetConfig>(&config)) return FoldedVanillaNet<T>(*vanillanet, slope);
  if (const auto* nfnet = std::get_if<NfNetConfig>(&config)) return FoldedNfNet<T>(*nfnet);
  return PublishedFoldedMetaFormer<T>(std::get<MetaFormerConfig>(config));
}

/// Of the weights in a file.
enum class Form { trained, folded };

/// A row of the table of variants.
struct Variant {
  std::string name;
  std::string family;
  NetworkConfig config;
  Preprocessing preprocessing;
  double published_top1;   // %, on ImageNet-1k; 0: none
  std::string checkpoint;  // address of the published file or of the page that has it; empty: none
  Form published_form;     // whose parameters and multiply-adds are published

  /// (N, size, size, 3) in the size that its published accuracy is measured at.
  Shape input_shape(Index batch = 1) const { return {batch, preprocessing.size, preprocessing.size, 3}; }
};

/// All rows of all families.
inline const std::vector<Variant>& variants() {
  static const std::vector<Variant> all = [] {
    std::vector<Variant> rows;
    rows.reserve(vanillanet_variants.size() + metaformer_variants.size() + nfnet_variants.size());
    for (const VanillaNetVariant& row : vanillanet_variants) {
      rows.push_back({std::string(row.name), "VanillaNet", row.config(), row.preprocessing, row.published_top1,
                      row.checkpoint(), Form::folded});
    }
    for (const MetaFormerVariant& row : metaformer_variants) {
      rows.push_back({std::string(row.name), std::string(row.family()), row.config(), row.preprocessing(),
                      row.published_top1, row.checkpoint(), Form::trained});
    }
    for (const NfNetVariant& row : nfnet_variants) {
      rows.push_back({std::string(row.name), std::string(row.family()), row.config(), row.preprocessing(),
                      row.published_top1, row.checkpoint(), Form::trained});
    }
    return rows;
  }();
  return all;
}

namespace detail {

/// Levenshtein distance: letters to add, drop or change to get from one name to the other.
inline Index edit_distance(std::string_view a, std::string_view b) {
  std::vector<Index> row;
  for (std::size_t j = 0; j <= b.size(); ++j) row.push_back(static_cast<Index>(j));
  for (std::size_t i = 1; i <= a.size(); ++i) {
    Index diagonal = row[0];
    row[0] = static_cast<Index>(i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const Index change = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, change});
    }
  }
  return row.back();
}

}  // namespace detail

/// The row of that name; Error with the nearest names if there is none.
inline const Variant& variant_named(std::string_view name) {
  std::vector<Index> distances;
  for (const Variant& variant : variants()) {
    if (variant.name == name) return variant;
    distances.push_back(detail::edit_distance(variant.name, name));
  }
  std::string names;
  for (const std::size_t i : ascending(distances, 3)) names += (names.empty() ? "" : ", ") + variants()[i].name;
  fail("unknown model '", name.substr(0, 100), "'; the nearest known are ", names);
}

}  // namespace plainnet
