#pragma once
// Whether a checkpoint holds a MetaFormer, and which.

#include <optional>

#include "plainnet/networks/recognized.hpp"

namespace plainnet::detail {

/// Metadata of a folded file that says whose code its checkpoint was of: its head is computed as there.
inline constexpr std::string_view code_key = "plainnet.code";
inline constexpr std::array<std::string_view, 3> code_names = {"poolformer", "metaformer", "timm"};

inline std::string_view to_string(MetaFormerCode code) { return code_names[static_cast<std::size_t>(code)]; }

/// What the names and shapes of a MetaFormer's tensors tell: all but which of pooling and identity a mixer without
/// parameters is, which stands as '?'.
struct MetaFormerTraits {
  Form form = Form::trained;
  MetaFormerConfig config;
};

/// Reads the sizes of one network after the other part from the names of its code.
class MetaFormerReader {
 public:
  MetaFormerReader(const StateDict& tensors, MetaFormerTraits& traits) : tensors_(tensors), traits_(traits) {}

  void read() {
    MetaFormerConfig& config = traits_.config;
    for (std::size_t stage = 0; stage == 0 || has(conv(stage)); ++stage) {
      config.position_stage = find_position(stage);
      config.widths.push_back(extent(conv(stage), 4, 0));
      require_inputs(conv(stage), stage == 0 ? config.in_channels : config.widths[stage - 1]);
      config.depths.push_back(count_blocks(stage));
      config.mixers += mixer(stage);
    }
    const std::string head = traits_.form == Form::trained && config.code != MetaFormerCode::timm ? "head" : "head.fc";
    config.mlp_head = has(head + ".fc1.weight");
    const std::string last = config.mlp_head ? head + ".fc2.weight" : head + ".weight";
    config.classes = extent(last, 2, 0);
    require_inputs(last, config.widths.back() * (config.mlp_head ? 4 : 1));
  }

 private:
  bool has(const std::string& name) const { return tensors_.find(name) != nullptr; }
  Index extent(const std::string& name, std::size_t rank, std::size_t i) const {
    return extent_of(tensors_, "a MetaFormer", name, rank, i);
  }

  MetaFormerStageNames names(std::size_t stage) const {
    if (traits_.form == Form::trained) return stage_names(traits_.config, stage);
    const std::string name = concatenate("stages.", stage, ".");
    MetaFormerStageNames folded;
    folded.conv = name + "downsample.conv";
    folded.position = name + "position";
    folded.blocks = name + "blocks.";
    return folded;
  }
  std::string conv(std::size_t stage) const { return names(stage).conv + ".weight"; }

  /// The stage's position embedding, or what is known so far. Its place in the list moves the names after it.
  Index find_position(std::size_t stage) const {
    MetaFormerConfig moved = traits_.config;
    if (moved.position_stage >= 0) return moved.position_stage;
    moved.position_stage = static_cast<Index>(stage);
    const std::string name = traits_.form == Form::trained ? stage_names(moved, stage).position : names(stage).position;
    return has(name + ".pos_embed") ? moved.position_stage : -1;
  }

  /// Blocks are counted by what most of their numbers are in: a file of kilobytes shall not ask for gigabytes.
  Index count_blocks(std::size_t stage) const {
    const Index width = traits_.config.widths[stage];
    Index count = 0;
    for (;; ++count) {
      const std::string name = concatenate(names(stage).blocks, count, ".mlp.fc1.weight");
      if (!has(name)) return count;
      require(extent(name, 2, 0) == 4 * width, tensors_.source, ": ", name, " is of shape ", tensors_.at(name).extents,
              "; expected ", 4 * width, " outputs");
      require_inputs(name, width);
    }
  }

  char mixer(std::size_t stage) const {
    const std::string name = names(stage).blocks + "0.token_mixer.";
    if (has(name + "qkv.weight")) return 'a';
    if (has(name + "pwconv1.weight")) return 'c';
    for (const std::string inner : {"", "mixer."}) {
      if (has(name + inner + "fc.weight")) return 'f';
      if (has(name + inner + "random_matrix")) return 'r';
    }
    return '?';
  }

  void require_inputs(const std::string& name, Index inputs) const {
    require(extent(name, 2, 1) == inputs, tensors_.source, ": ", name, " is of shape ", tensors_.at(name).extents,
            "; expected ", inputs, " inputs");
  }

  const StateDict& tensors_;
  MetaFormerTraits& traits_;
};

inline std::optional<MetaFormerTraits> metaformer_traits(const StateDict& tensors) {
  MetaFormerTraits traits;
  MetaFormerConfig& config = traits.config;
  const auto has = [&](std::string_view name) { return tensors.find(std::string(name)) != nullptr; };
  std::string stem;
  if (has("patch_embed.proj.weight")) {
    stem = "patch_embed.proj.weight", config.code = MetaFormerCode::poolformer;
  } else if (has("downsample_layers.0.conv.weight")) {
    stem = "downsample_layers.0.conv.weight", config.code = MetaFormerCode::metaformer;
    config.generation = MetaFormerGeneration::baselines;
  } else if (has("stem.conv.weight") && has("stages.0.blocks.0.norm1.weight")) {
    stem = "stem.conv.weight", config.code = MetaFormerCode::timm;
    if (has("stem.norm.weight")) config.generation = MetaFormerGeneration::baselines;
  } else if (has("stages.0.downsample.conv.weight")) {
    stem = "stages.0.downsample.conv.weight", traits.form = Form::folded;
    if (has("stages.0.downsample.norm.weight")) config.generation = MetaFormerGeneration::baselines;
    const auto stated = tensors.metadata.find(std::string(code_key));
    const auto code = stated == tensors.metadata.end()
                          ? code_names.end()
                          : std::find(code_names.begin(), code_names.end(), stated->second);
    require(code != code_names.end(), tensors.source, ": holds a folded MetaFormer, but its metadata does not say ",
            code_key, ": was it written by plainnet fold?");
    config.code = static_cast<MetaFormerCode>(code - code_names.begin());
  } else {
    return std::nullopt;
  }
  config.in_channels = extent_of(tensors, "a MetaFormer", stem, 4, 1);
  MetaFormerReader(tensors, traits).read();
  return traits;
}

/// Whether a row has these mixers, as far as they can be told.
inline bool fits_mixers(std::string_view row, std::string_view found) {
  return row.size() == found.size() && std::equal(row.begin(), row.end(), found.begin(), [](char r, char f) {
           return f == '?' ? r == 'i' || r == 'p' : r == f;
         });
}

inline std::string describe(const MetaFormerConfig& config) {
  return concatenate(config.is_baseline() ? "second" : "first", " generation, depths ", join(config.depths),
                     ", widths ", join(config.widths), ", mixers ", config.mixers);
}

inline Index unlikeness(const MetaFormerConfig& row, const MetaFormerConfig& found) {
  return unlikeness(row.depths, found.depths) + unlikeness(row.widths, found.widths) +
         (fits_mixers(row.mixers, found.mixers) ? 0 : 1) + (row.generation == found.generation ? 0 : 1);
}

/// The row that a file's sizes and mixers belong to. Of rows of one network, for other sizes of image or other
/// classes, the first, unless the file names another; where rows compute different things, only if the file names it.
inline const Variant& metaformer_row(const StateDict& tensors, const MetaFormerConfig& found) {
  const auto config_of = [](const Variant* row) -> const auto& { return std::get<MetaFormerConfig>(row->config); };
  const std::string stated = stated_model(tensors);
  std::vector<const Variant*> rows, same;
  std::vector<Index> distances;
  for (const Variant& variant : variants()) {
    if (!std::holds_alternative<MetaFormerConfig>(variant.config)) continue;
    rows.push_back(&variant);
    distances.push_back(unlikeness(config_of(&variant), found));
    if (distances.back() > 0) continue;
    if (variant.name == stated) return variant;
    // timm has neither identity nor random mixing.
    const bool is_other_code = found.code == MetaFormerCode::timm && config_of(&variant).code != MetaFormerCode::timm;
    if (!is_other_code) same.push_back(&variant);
  }
  std::string candidates;
  const Variant* best = nullptr;
  for (const Variant* row : same) {
    if (config_of(row).mixers != config_of(same.front()).mixers || !best) {
      candidates += (candidates.empty() ? "" : " or ") + row->name;
    }
    if (!best || (config_of(row).classes == found.classes && config_of(best).classes != found.classes)) best = row;
  }
  require(candidates.find(" or ") == candidates.npos, tensors.source, ": its tensors fit ", candidates,
          ", whose token mixers have no parameters to tell them apart: name the model");
  if (best) return *best;
  const std::vector<std::size_t> nearest = ascending(distances, 2);
  const Variant* const first = rows[nearest[0]];
  const Variant* const second = rows[nearest[1]];
  fail(tensors.source, ": a MetaFormer of ", describe(found), ", which is none of the known variants; the nearest are ",
       first->name, " (", describe(config_of(first)), ") and ", second->name, " (", describe(config_of(second)), ")");
}

/// The MetaFormer that the tensors are; nothing if they are of another kind. `wanted` may be null.
inline std::optional<Recognized> recognize_metaformer(const StateDict& tensors, const Variant* wanted) {
  const auto traits = metaformer_traits(tensors);
  if (!traits) return std::nullopt;
  const Variant& row = wanted ? *wanted : metaformer_row(tensors, traits->config);
  const auto* const of_row = std::get_if<MetaFormerConfig>(&row.config);
  if (!of_row) fail(tensors.source, ": holds a MetaFormer, so not ", row.name);
  MetaFormerConfig config = *of_row;
  require(unlikeness(config, traits->config) == 0, tensors.source, ": holds a MetaFormer of ", describe(traits->config),
          "; ", row.name, " is of ", describe(config), ": is it another variant?");
  config.code = traits->config.code;
  config.classes = traits->config.classes;
  config.in_channels = traits->config.in_channels;
  return Recognized{&row, config, traits->form};
}

}  // namespace plainnet::detail
