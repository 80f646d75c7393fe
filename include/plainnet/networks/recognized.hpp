#pragma once
// What recognising a checkpoint finds out.

#include <algorithm>
#include <string>
#include <vector>

#include "plainnet/io/state_dict.hpp"
#include "plainnet/networks/registry.hpp"

namespace plainnet {

/// What a checkpoint holds.
struct Recognized {
  const Variant* variant;  // the row
  NetworkConfig config;    // the row's, with what the file has of its own: classes, input channels, act_num, code
  Form form;
  bool keeps_activations = false;  // a VanillaNet folded at a slope other than 1: the annealed activations are there
};

namespace detail {

inline std::string join(const std::vector<Index>& numbers) {
  std::string text;
  for (Index number : numbers) text += (text.empty() ? "" : ", ") + std::to_string(number);
  return text;
}

/// How unlike two lists of sizes are: positions that differ, and those that only one has.
inline Index unlikeness(const std::vector<Index>& a, const std::vector<Index>& b) {
  const std::size_t shorter = std::min(a.size(), b.size());
  std::size_t count = std::max(a.size(), b.size()) - shorter;
  for (std::size_t i = 0; i < shorter; ++i) count += a[i] == b[i] ? 0 : 1;
  return static_cast<Index>(count);
}

/// The name of the variant that the file itself states; empty if it does not.
inline std::string stated_model(const StateDict& tensors) {
  const auto named = tensors.metadata.find("plainnet.model");
  return named == tensors.metadata.end() ? std::string() : named->second;
}

/// Extent i of a tensor that a network of this family ("a VanillaNet") must have, of this rank and not empty.
inline Index extent_of(const StateDict& tensors, std::string_view family, const std::string& name, std::size_t rank,
                       std::size_t i) {
  const StoredTensor* tensor = tensors.find(name);
  if (!tensor) fail(tensors.source, ": looks like ", family, ", but ", name, " is missing");
  require(tensor->extents.rank() >= rank && tensor->extents.elements() > 0, tensors.source, ": looks like ", family,
          ", but ", name, " is of shape ", tensor->extents);
  return tensor->extents[i];
}

}  // namespace detail
}  // namespace plainnet
