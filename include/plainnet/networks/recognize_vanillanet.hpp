#pragma once
// Whether a checkpoint holds a VanillaNet, and which.

#include <optional>

#include "plainnet/networks/recognized.hpp"

namespace plainnet::detail {

/// What the names and shapes of a VanillaNet's tensors tell: all but strides and adaptive pools.
struct VanillaNetTraits {
  Form form = Form::trained;
  bool keeps_activations = false;
  VanillaNetConfig config;
};

inline std::optional<VanillaNetTraits> vanillanet_traits(const StateDict& tensors) {
  VanillaNetTraits traits;
  const auto extent = [&](const std::string& name, std::size_t rank, std::size_t i) {
    return extent_of(tensors, "a VanillaNet", name, rank, i);
  };
  std::string first, last, conv, series;
  if (tensors.find("stem1.0.weight")) {
    first = "stem1.0.weight", series = "stem2.2.weight", conv = ".conv2.0.weight", last = "cls2.0.weight";
  } else if (tensors.find("stem.0.weight") && tensors.find("stem.1.weight")) {
    traits.form = Form::folded;
    first = "stem.0.weight", series = "stem.1.weight", conv = ".conv.weight", last = "cls.2.weight";
  } else if (tensors.find("stem.0.0.weight")) {
    traits.form = Form::folded;
    traits.keeps_activations = true;
    first = "stem.0.0.weight", series = "stem.1.weight", conv = ".conv.2.weight", last = "cls.2.2.weight";
  } else {
    return std::nullopt;
  }
  traits.config.in_channels = extent(first, 4, 1);
  traits.config.widths = {extent(first, 4, 0)};
  traits.config.act_num = extent(series, 4, 2) / 2;
  traits.config.classes = extent(last, 4, 0);
  // The tensors that tell the sizes must hold all of their numbers: a file of kilobytes shall not ask for gigabytes.
  const auto require_inputs = [&](const std::string& name, Index inputs) {
    require(extent(name, 4, 1) == inputs, tensors.source, ": ", name, " is of shape ", tensors.at(name).extents,
            "; expected ", inputs, " inputs");
  };
  for (Index i = 0; tensors.find(concatenate("stages.", i, conv)); ++i) {
    require_inputs(concatenate("stages.", i, conv), traits.config.widths.back());
    traits.config.widths.push_back(extent(concatenate("stages.", i, conv), 4, 0));
  }
  const bool is_merged = traits.form == Form::folded && !traits.keeps_activations;
  require_inputs(last, is_merged ? traits.config.widths.back() : traits.config.classes);
  require(extent(series, 4, 0) == traits.config.widths.front() && extent(series, 4, 3) == extent(series, 4, 2),
          tensors.source, ": ", series, " is of shape ", tensors.at(series).extents, "; expected (",
          traits.config.widths.front(), ", 1, k, k)");
  return traits;
}

/// The row that a VanillaNet's widths belong to; where several do, the one that the file itself names.
inline const Variant& vanillanet_row(const StateDict& tensors, const std::vector<Index>& widths) {
  const auto widths_of = [](const Variant* row) -> const auto& {
    return std::get<VanillaNetConfig>(row->config).widths;
  };
  std::vector<const Variant*> rows, same;
  std::vector<Index> distances;
  for (const Variant& variant : variants()) {
    if (!std::holds_alternative<VanillaNetConfig>(variant.config)) continue;
    rows.push_back(&variant);
    distances.push_back(unlikeness(widths_of(&variant), widths));
    if (distances.back() == 0) same.push_back(&variant);
  }
  if (same.size() == 1) return *same.front();
  const std::string stated = stated_model(tensors);
  std::string candidates;
  for (const Variant* row : same) {
    if (row->name == stated) return *row;
    candidates += (candidates.empty() ? "" : " or ") + row->name;
  }
  require(same.empty(), tensors.source, ": its tensors fit ", candidates,
          ", which differ only in strides and pooling: name the model");
  const std::vector<std::size_t> nearest = ascending(distances, 2);
  const Variant* const first = rows[nearest[0]];
  const Variant* const second = rows[nearest[1]];
  fail(tensors.source, ": a VanillaNet of widths ", join(widths),
       ", which is none of the known variants; the nearest are ", first->name, " (", join(widths_of(first)), ") and ",
       second->name, " (", join(widths_of(second)), ")");
}

/// The VanillaNet that the tensors are; nothing if they are of another kind. `wanted` may be null.
inline std::optional<Recognized> recognize_vanillanet(const StateDict& tensors, const Variant* wanted) {
  const auto traits = vanillanet_traits(tensors);
  if (!traits) return std::nullopt;
  const Variant& row = wanted ? *wanted : vanillanet_row(tensors, traits->config.widths);
  const auto* const of_row = std::get_if<VanillaNetConfig>(&row.config);
  if (!of_row) fail(tensors.source, ": holds a VanillaNet, so not ", row.name);
  VanillaNetConfig config = *of_row;
  require(config.widths == traits->config.widths, tensors.source, ": holds a VanillaNet of widths ",
          join(traits->config.widths), "; ", row.name, " has ", join(config.widths), ": is it another variant?");
  config.classes = traits->config.classes;
  config.act_num = traits->config.act_num;
  config.in_channels = traits->config.in_channels;
  return Recognized{&row, config, traits->form, traits->keeps_activations};
}

}  // namespace plainnet::detail
