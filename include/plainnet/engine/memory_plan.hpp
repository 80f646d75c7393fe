#pragma once
// Where each intermediate map of a run lies in one block of memory: maps that are never needed together share space.

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <vector>

#include "plainnet/core/shape.hpp"

namespace plainnet {

/// A value of `size` elements, written at step `first` and last read at step `last`.
struct Lifetime {
  Index size = 0;
  Index first = 0;
  Index last = 0;

  bool overlaps(const Lifetime& other) const { return first <= other.last && other.first <= last; }
};

struct MemoryPlan {
  std::vector<Index> offsets;  // one for each value, in elements, multiples of the granularity
  Index size = 0;              // elements in all
};

/// Greedy by size: the largest values first, each at the lowest place where no value lies that lives at the same
/// time. For the chains of maps of all VanillaNets this is the least that is possible: what two neighbours take.
inline MemoryPlan plan_memory(const std::vector<Lifetime>& values, Index granularity) {
  const auto at = [](auto& items, Index i) -> auto& { return items[static_cast<std::size_t>(i)]; };
  std::vector<Index> order(values.size());
  std::iota(order.begin(), order.end(), Index{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](Index a, Index b) { return at(values, a).size > at(values, b).size; });
  MemoryPlan plan{.offsets = std::vector<Index>(values.size()), .size = 0};
  std::vector<Index> placed;  // by offset
  for (const Index value : order) {
    const Index size = checked_add(at(values, value).size, granularity - 1) / granularity * granularity;
    Index offset = 0;
    for (const Index other : placed) {
      if (!at(values, value).overlaps(at(values, other))) continue;
      if (checked_add(offset, size) <= at(plan.offsets, other)) break;
      const Index end = at(plan.offsets, other) + at(values, other).size;
      offset = std::max(offset, (end + granularity - 1) / granularity * granularity);
    }
    at(plan.offsets, value) = offset;
    plan.size = std::max(plan.size, checked_add(offset, size));
    placed.insert(std::upper_bound(placed.begin(), placed.end(), value,
                                   [&](Index a, Index b) { return at(plan.offsets, a) < at(plan.offsets, b); }),
                  value);
  }
  return plan;
}

}  // namespace plainnet
