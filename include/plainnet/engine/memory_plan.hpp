#pragma once
// Where each intermediate map of a run lies in one block of memory: maps that are never needed together share space.

#include <algorithm>
#include <cstddef>
#include <vector>

#include "plainnet/core/order.hpp"
#include "plainnet/core/shape.hpp"

namespace plainnet {

/// A value of `size` elements, written at step `first` and last read at step `last`.
struct Lifetime {
  Index size = 0;
  Index first = 0;
  Index last = 0;

  bool overlaps(const Lifetime& other) const { return first <= other.last && other.first <= last; }
};

/// Where each value lies in one piece of memory.
struct MemoryPlan {
  std::vector<Index> offsets;  // one for each value, in elements, multiples of the granularity
  Index size = 0;              // elements in all
};

/// Greedy by size: the largest values first, each at the lowest place where no value lies that lives at the same
/// time. For the chains of maps of all VanillaNets this is the least that is possible: what two neighbours take.
inline MemoryPlan plan_memory(const std::vector<Lifetime>& values, Index granularity) {
  std::vector<Index> negative_sizes;
  negative_sizes.reserve(values.size());
  for (const Lifetime& value : values) negative_sizes.push_back(-value.size);
  MemoryPlan plan{.offsets = std::vector<Index>(values.size()), .size = 0};
  std::vector<std::size_t> placed;  // by offset
  for (const std::size_t value : ascending(negative_sizes)) {
    const Index size = checked_add(values[value].size, granularity - 1) / granularity * granularity;
    Index offset = 0;
    for (const std::size_t other : placed) {
      if (!values[value].overlaps(values[other])) continue;
      if (checked_add(offset, size) <= plan.offsets[other]) break;
      const Index end = plan.offsets[other] + values[other].size;
      offset = std::max(offset, (end + granularity - 1) / granularity * granularity);
    }
    plan.offsets[value] = offset;
    plan.size = std::max(plan.size, checked_add(offset, size));
    std::size_t place = 0;
    while (place < placed.size() && plan.offsets[placed[place]] <= offset) ++place;
    placed.insert(placed.begin() + static_cast<Index>(place), value);
  }
  return plan;
}

}  // namespace plainnet
