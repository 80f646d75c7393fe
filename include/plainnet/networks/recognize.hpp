#pragma once
// Which network a checkpoint holds, told from the names and shapes of its tensors.

#include <optional>

#include "plainnet/io/state_dict.hpp"
#include "plainnet/networks/registry.hpp"

namespace plainnet {

enum class Form { trained, folded };

struct Recognized {
  const Variant* variant;  // the row
  NetworkConfig config;    // the row's, with the file's own number of classes, act_num and input channels
  Form form;
  bool keeps_activations;  // folded at a slope other than 1: the annealed activations are still there
};

namespace detail {

/// What the names and shapes of a VanillaNet's tensors tell: all but strides and adaptive pools.
struct VanillaNetTraits {
  Form form = Form::trained;
  bool keeps_activations = false;
  VanillaNetConfig config;
};

inline std::optional<VanillaNetTraits> vanillanet_traits(const StateDict& tensors) {
  VanillaNetTraits traits;
  const auto extent = [&](const std::string& name, std::size_t rank, std::size_t i) {
    const StoredTensor* tensor = tensors.find(name);
    if (!tensor) fail(tensors.source, ": looks like a VanillaNet, but ", name, " is missing");
    require(tensor->extents.rank() == rank && tensor->extents.elements() > 0, tensors.source,
            ": looks like a VanillaNet, but ", name, " is of shape ", tensor->extents);
    return tensor->extents[i];
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

inline std::string join(const std::vector<Index>& numbers) {
  std::string text;
  for (Index number : numbers) text += (text.empty() ? "" : ", ") + std::to_string(number);
  return text;
}

/// How unlike two lists of widths are: positions that differ, and those that only one has.
inline Index unlikeness(const std::vector<Index>& a, const std::vector<Index>& b) {
  const std::size_t shorter = std::min(a.size(), b.size());
  std::size_t count = std::max(a.size(), b.size()) - shorter;
  for (std::size_t i = 0; i < shorter; ++i) count += a[i] == b[i] ? 0 : 1;
  return static_cast<Index>(count);
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
  const auto named = tensors.metadata.find("plainnet.model");
  std::string candidates;
  for (const Variant* row : same) {
    if (named != tensors.metadata.end() && row->name == named->second) return *row;
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

}  // namespace detail

/// The network that a checkpoint holds: the variant called `name`, or, where that is empty, the one that its tensors
/// fit. Error if they fit none or several, with the nearest and what differs. Other numbers of classes, other act_num
/// and other input channels than a row's are the file's right.
inline Recognized recognize(const StateDict& tensors, std::string_view name = "") {
  const Variant* const wanted = name.empty() ? nullptr : &variant_named(name);
  const auto traits = detail::vanillanet_traits(tensors);
  if (!traits) {
    fail(tensors.source, ": no known network", wanted ? concatenate(", so not ", name) : std::string(),
         tensors.size() == 0
             ? concatenate("; it holds no tensors")
             : concatenate("; its first tensor is '", detail::printable(tensors.begin()->name),
                           "', a VanillaNet has stem1.0.weight (as trained) or stem.0.weight (folded)"));
  }
  const Variant& row = wanted ? *wanted : detail::vanillanet_row(tensors, traits->config.widths);
  VanillaNetConfig config = std::get<VanillaNetConfig>(row.config);
  require(config.widths == traits->config.widths, tensors.source, ": holds a VanillaNet of widths ",
          detail::join(traits->config.widths), "; ", row.name, " has ", detail::join(config.widths),
          ": is it another variant?");
  config.classes = traits->config.classes;
  config.act_num = traits->config.act_num;
  config.in_channels = traits->config.in_channels;
  return {&row, config, traits->form, traits->keeps_activations};
}

}  // namespace plainnet
