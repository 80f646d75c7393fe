#pragma once
// Whether a checkpoint holds an NFNet, and which.

#include <optional>

#include "plainnet/networks/recognized.hpp"

namespace plainnet::detail {

/// What the names and shapes of an NFNet's tensors tell: all but the activation, the strides and, of a folded one, the
/// convention.
struct NfNetTraits {
  Form form = Form::trained;
  NfNetConfig config;                  // but for its bottleneck
  std::vector<Index> middle_channels;  // of each stage's blocks, in place of it
};

inline std::optional<NfNetTraits> nfnet_traits(const StateDict& tensors) {
  NfNetTraits traits;
  NfNetConfig& config = traits.config;
  const auto has = [&](const std::string& name) { return tensors.find(name) != nullptr; };
  const auto extent = [&](const std::string& name, std::size_t rank, std::size_t i) {
    return extent_of(tensors, "an NFNet", name, rank, i);
  };
  const bool is_pooled = has("stem.conv.weight");
  const std::string first = is_pooled ? "stem.conv" : "stem.conv1";
  if (!has(first + ".weight") || !has("stages.0.0.conv1.weight")) return std::nullopt;
  if (!has(first + ".gain")) traits.form = Form::folded;
  config.is_deepmind = has("stages.0.0.skipinit_gain");
  config.in_channels = extent(first + ".weight", 4, 1);
  const Index kernel = is_pooled ? 7 : 3;
  require(extent(first + ".weight", 4, 2) == kernel && extent(first + ".weight", 4, 3) == kernel, tensors.source,
          ": looks like an NFNet, but ", first, ".weight is of shape ", tensors.at(first + ".weight").extents,
          "; expected a kernel of ", kernel, "x", kernel);
  config.stem = is_pooled ? NfStem::pooled_7x7 : NfStem::all_3x3;
  config.stem_widths.clear();
  if (is_pooled) config.stem_widths = {extent(first + ".weight", 4, 0)};
  for (Index i = 1; !is_pooled && has(concatenate("stem.conv", i, ".weight")); ++i) {
    config.stem_widths.push_back(extent(concatenate("stem.conv", i, ".weight"), 4, 0));
  }
  // Blocks are counted by what most of their numbers are in: a file of kilobytes shall not ask for gigabytes.
  Index channels = config.stem_widths.back();
  for (Index i = 0; has(concatenate("stages.", i, ".0.conv1.weight")); ++i) {
    const Index middle = extent(concatenate("stages.", i, ".0.conv1.weight"), 4, 0);
    const Index width = extent(concatenate("stages.", i, ".0.conv3.weight"), 4, 0);
    Index depth = 0;
    for (;; ++depth, channels = width) {
      const std::string conv1 = concatenate("stages.", i, '.', depth, ".conv1.weight");
      const std::string conv3 = concatenate("stages.", i, '.', depth, ".conv3.weight");
      if (!has(conv1)) break;
      const bool fits = extent(conv3, 4, 0) == width && extent(conv3, 4, 1) == middle &&
                        extent(conv1, 4, 0) == middle && extent(conv1, 4, 1) == channels;
      require(fits, tensors.source, ": looks like an NFNet, but ", conv1, " and ", conv3, " are of shapes ",
              tensors.at(conv1).extents, " and ", tensors.at(conv3).extents, " where ", channels, " channels come in, ",
              middle, " are between them and ", width, " go out");
    }
    config.depths.push_back(depth);
    config.widths.push_back(width);
    traits.middle_channels.push_back(middle);
  }
  const std::string block = "stages.0.0.";
  const Index per_group = extent(block + "conv2.weight", 4, 1);
  config.group_width = per_group == traits.middle_channels.front() && !has(block + "conv2b.weight") ? 0 : per_group;
  config.second_3x3 = has(block + "conv2b.weight");
  config.attention = has(block + "attn_last.fc1.weight")    ? NfAttention::squeeze_excite
                     : has(block + "attn_last.conv.weight") ? NfAttention::efficient
                                                            : NfAttention::none;
  config.final_width = has("final_conv.weight") ? extent("final_conv.weight", 4, 0) : 0;
  config.classes = extent("head.fc.weight", 2, 0);
  require(extent("head.fc.weight", 2, 1) == config.head_width(), tensors.source, ": head.fc.weight is of shape ",
          tensors.at("head.fc.weight").extents, "; expected ", config.head_width(), " inputs");
  return traits;
}

/// Channels between the 1×1 convolutions of each stage's blocks.
inline std::vector<Index> middle_channels_of(const NfNetConfig& config) {
  std::vector<Index> all;
  for (const auto& stage : config.blocks()) all.push_back(stage.front().middle_channels);
  return all;
}

inline std::string describe(const NfNetConfig& config, const std::vector<Index>& middle_channels) {
  return concatenate("depths ", join(config.depths), ", widths ", join(config.widths), " by way of ",
                     join(middle_channels), ", groups of ", config.group_width, ", ",
                     config.attention == NfAttention::none        ? "no attention"
                     : config.attention == NfAttention::efficient ? "efficient channel attention"
                                                                  : "squeeze-excite",
                     config.is_deepmind ? ", with" : ", without", " SkipInit");
}
inline std::string describe(const NfNetConfig& row) { return describe(row, middle_channels_of(row)); }
inline std::string describe(const NfNetTraits& found) { return describe(found.config, found.middle_channels); }

/// How unlike a row and what was found are. The widened rows' group width is nominal: their first stage has one group
/// of all its channels.
inline Index unlikeness(const NfNetConfig& row, const NfNetTraits& found) {
  const NfNetConfig& config = found.config;
  const NfBlockSizes first = row.block(row.stem_widths.back(), row.widths.front(), 1, 1.0);
  const Index per_group = row.group_width == 0 ? 0 : first.middle_channels / first.groups;
  return unlikeness(row.depths, config.depths) + unlikeness(row.widths, config.widths) +
         unlikeness(middle_channels_of(row), found.middle_channels) + unlikeness(row.stem_widths, config.stem_widths) +
         (per_group == config.group_width ? 0 : 1) + (row.stem == config.stem ? 0 : 1) +
         (row.attention == config.attention ? 0 : 1) + (row.second_3x3 == config.second_3x3 ? 0 : 1) +
         (row.final_width == config.final_width ? 0 : 1) +
         (found.form == Form::folded || row.is_deepmind == config.is_deepmind ? 0 : 1);
}

/// The row that a file's sizes belong to; where several do, which a folded file's can, the one that the file names.
inline const Variant& nfnet_row(const StateDict& tensors, const NfNetTraits& found) {
  const auto config_of = [](const Variant* row) -> const auto& { return std::get<NfNetConfig>(row->config); };
  const std::string stated = stated_model(tensors);
  std::vector<const Variant*> rows, same;
  std::vector<Index> distances;
  std::string candidates;
  for (const Variant& variant : variants()) {
    if (!std::holds_alternative<NfNetConfig>(variant.config)) continue;
    rows.push_back(&variant);
    distances.push_back(unlikeness(config_of(&variant), found));
    if (distances.back() > 0) continue;
    if (variant.name == stated) return variant;
    same.push_back(&variant);
    candidates += (candidates.empty() ? "" : " or ") + variant.name;
  }
  if (same.size() == 1) return *same.front();
  require(same.empty(), tensors.source, ": its tensors fit ", candidates, ", which differ in padding: name the model");
  const std::vector<std::size_t> nearest = ascending(distances, 2);
  const Variant* const first = rows[nearest[0]];
  const Variant* const second = rows[nearest[1]];
  fail(tensors.source, ": an NFNet of ", describe(found), ", which is none of the known variants; the nearest are ",
       first->name, " (", describe(config_of(first)), ") and ", second->name, " (", describe(config_of(second)), ")");
}

/// Error if a folded file says that it is of the other convention: nothing else tells them apart, and the convolutions
/// would pad wrongly.
inline void require_stated_padding(const StateDict& tensors, const NfNetTraits& found, const Variant& row) {
  const std::string stated = stated_model(tensors);
  for (const Variant& variant : variants()) {
    const auto* const config = std::get_if<NfNetConfig>(&variant.config);
    if (found.form != Form::folded || variant.name != stated || !config) continue;
    require(config->is_deepmind == std::get<NfNetConfig>(row.config).is_deepmind, tensors.source, ": was folded as ",
            stated, ", whose convolutions pad otherwise than those of ", row.name);
  }
}

/// The NFNet that the tensors are; nothing if they are of another kind. `wanted` may be null.
inline std::optional<Recognized> recognize_nfnet(const StateDict& tensors, const Variant* wanted) {
  const auto traits = nfnet_traits(tensors);
  if (!traits) return std::nullopt;
  const Variant& row = wanted ? *wanted : nfnet_row(tensors, *traits);
  const auto* const of_row = std::get_if<NfNetConfig>(&row.config);
  if (!of_row) fail(tensors.source, ": holds an NFNet, so not ", row.name);
  NfNetConfig config = *of_row;
  require(unlikeness(config, *traits) == 0, tensors.source, ": holds an NFNet of ", describe(*traits), "; ", row.name,
          " is of ", describe(config), ": is it another variant?");
  require_stated_padding(tensors, *traits, row);
  config.classes = traits->config.classes;
  config.in_channels = traits->config.in_channels;
  return Recognized{&row, config, traits->form};
}

}  // namespace plainnet::detail
