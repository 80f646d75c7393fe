#pragma once
// Sorting by a number.

#include <algorithm>
#include <cstddef>
#include <limits>
#include <utility>
#include <vector>

#include "plainnet/core/shape.hpp"

namespace plainnet {

/// Positions of the `most` smallest keys in ascending order of the keys, equal ones in their own order.
inline std::vector<std::size_t> ascending(const std::vector<Index>& keys,
                                          Index most = std::numeric_limits<Index>::max()) {
  std::vector<std::pair<Index, std::size_t>> pairs;
  pairs.reserve(keys.size());
  for (const Index key : keys) pairs.emplace_back(key, pairs.size());
  const auto end = pairs.begin() + std::clamp<Index>(most, 0, static_cast<Index>(pairs.size()));
  std::partial_sort(pairs.begin(), end, pairs.end());
  std::vector<std::size_t> order;
  for (auto pair = pairs.begin(); pair != end; ++pair) order.push_back(pair->second);
  return order;
}

}  // namespace plainnet
