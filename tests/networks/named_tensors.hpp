#pragma once
// Checkpoints of names and shapes alone, for tests of what they are recognised as.

#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "plainnet/io/state_dict.hpp"

namespace plainnet::test {

/// Zeros without memory of their own: pages that nobody touches. A format of one byte a number keeps the largest small.
inline StoredTensor stored_zeros(const Extents& extents) {
  constexpr std::size_t most = std::size_t{64} << 20;
  static const std::shared_ptr<void> memory(std::calloc(most, 1), std::free);
  const auto size = static_cast<std::size_t>(extents.elements());
  require(size <= most, "a tensor of ", size, " bytes");
  return {NumberFormat::f8_e4m3, extents, {static_cast<const std::byte*>(memory.get()), size}, memory};
}

using Named = std::vector<std::pair<std::string, Extents>>;

inline StateDict to_checkpoint(const Named& tensors) {
  StateDict checkpoint;
  checkpoint.source = "file.safetensors";
  for (const auto& [name, extents] : tensors) checkpoint.add(name, stored_zeros(extents));
  return checkpoint;
}

inline Named without(Named tensors, const std::string& name) {
  std::erase_if(tensors, [&](const auto& tensor) { return tensor.first == name; });
  return tensors;
}

inline Named with(Named tensors, const std::string& name, const Extents& extents) {
  for (auto& tensor : tensors) {
    if (tensor.first == name) tensor.second = extents;
  }
  return tensors;
}

inline void expect_in(const std::string& text, std::string_view part) {
  EXPECT_NE(text.find(part), std::string::npos) << "\"" << part << "\" is not in: " << text;
}

}  // namespace plainnet::test
