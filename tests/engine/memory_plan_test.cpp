#include <limits>

#include <gtest/gtest.h>

#include "plainnet/engine/memory_plan.hpp"
#include "plainnet/networks/vanillanet_variants.hpp"
#include "support/compare.hpp"
#include "support/random.hpp"

namespace plainnet {
namespace {

std::string describe(const std::vector<Lifetime>& values, const MemoryPlan& plan) {
  std::string text;
  for (std::size_t i = 0; i < values.size(); ++i) {
    text += concatenate("\n  value ", i, ": ", values[i].size, " elements, alive ", values[i].first, " … ",
                        values[i].last, ", at ", plan.offsets[i]);
  }
  return text;
}

/// Each value lies inside the memory, on a boundary, and at no step on an element of another that is alive.
void expect_sound(const std::vector<Lifetime>& values, const MemoryPlan& plan, Index granularity) {
  ASSERT_EQ(plan.offsets.size(), values.size());
  Index steps = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    ASSERT_GE(plan.offsets[i], 0) << i;
    ASSERT_EQ(plan.offsets[i] % granularity, 0) << i;
    ASSERT_LE(plan.offsets[i] + values[i].size, plan.size) << i << describe(values, plan);
    steps = std::max(steps, values[i].last + 1);
  }
  for (Index step = 0; step < steps; ++step) {
    std::vector<std::ptrdiff_t> owner(static_cast<std::size_t>(plan.size), -1);
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (step < values[i].first || step > values[i].last) continue;
      for (Index e = 0; e < values[i].size; ++e) {
        auto& place = owner[static_cast<std::size_t>(plan.offsets[i] + e)];
        ASSERT_EQ(place, -1) << "values " << place << " and " << i << " overlap at step " << step
                             << describe(values, plan);
        place = static_cast<std::ptrdiff_t>(i);
      }
    }
  }
}

Index rounded(Index size, Index granularity) {
  while (size % granularity != 0) ++size;
  return size;
}

/// At least this much is needed: the most that is alive at a step.
Index least_size(const std::vector<Lifetime>& values, Index granularity) {
  Index most = 0;
  for (const Lifetime& at : values) {
    Index sum = 0;
    for (const Lifetime& value : values) {
      if (value.first <= at.first && at.first <= value.last) sum += rounded(value.size, granularity);
    }
    most = std::max(most, sum);
  }
  return most;
}

/// Each value is read by the next step and no later.
std::vector<Lifetime> chain(const std::vector<Index>& sizes) {
  std::vector<Lifetime> values;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    values.push_back({sizes[i], static_cast<Index>(i), static_cast<Index>(i) + 1});
  }
  return values;
}

TEST(PlanMemory, NeverPutsTwoValuesThatLiveAtOnceIntoOnePlace) {
  test::Random random(1);
  for (int round = 0; round < 400; ++round) {
    const Index granularity = round % 3 == 0 ? 1 : round % 3 == 1 ? 8 : 16;
    std::vector<Lifetime> values;
    const Index count = random.integer(1, 14);
    for (Index i = 0; i < count; ++i) {
      const Index first = random.integer(0, 10);
      values.push_back({random.integer(0, round % 2 == 0 ? 5 : 70), first, first + random.integer(0, 5)});
    }
    expect_sound(values, plan_memory(values, granularity), granularity);
    if (HasFatalFailure()) return;
  }
}

TEST(PlanMemory, GivesAChainOfEqualMapsTwoPlaces) {
  const std::vector<Lifetime> values = chain({100, 100, 100, 100, 100});
  const MemoryPlan plan = plan_memory(values, 16);
  EXPECT_EQ(plan.size, 2 * 112);
  for (std::size_t i = 2; i < values.size(); ++i) EXPECT_EQ(plan.offsets[i], plan.offsets[i - 2]);
}

/// Sizes of the maps of a VanillaNet on one image: convolution, pooling, activation of each block.
std::vector<Index> map_sizes(const VanillaNetConfig& config, Index image) {
  const Window stem = config.stem_window();
  Index side = (image + 2 * stem.padding.top - 4) / stem.stride.height + 1;
  std::vector<Index> sizes(2, side * side * config.widths[0]);
  for (std::size_t i = 0; i < config.strides.size(); ++i) {
    const Index width = config.widths[i + 1];
    sizes.push_back(side * side * width);
    if (config.strides[i] > 1) {
      const Index adaptive = config.adaptive_pools.empty() ? 0 : config.adaptive_pools[i];
      side = adaptive > 0 ? adaptive : side / config.strides[i];
      sizes.push_back(side * side * width);
    }
    sizes.push_back(side * side * width);
  }
  sizes.push_back(config.widths.back());
  sizes.push_back(config.classes);
  return sizes;
}

TEST(PlanMemory, NeedsForEveryVanillaNetJustWhatTwoNeighboursTake) {
  for (const VanillaNetVariant& row : vanillanet_variants) {
    const std::vector<Lifetime> values = chain(map_sizes(row.config(), row.preprocessing.size));
    EXPECT_EQ(plan_memory(values, 16).size, least_size(values, 16)) << row.name;
  }
}

TEST(PlanMemory, KeepsValuesThatAreReadLater) {
  // Value 0 is read at the end, as a feature or a shortcut is.
  const std::vector<Lifetime> values = {{10, 0, 3}, {20, 1, 2}, {20, 2, 3}, {20, 3, 4}};
  const MemoryPlan plan = plan_memory(values, 1);
  expect_sound(values, plan, 1);
  EXPECT_EQ(plan.size, 50);
}

TEST(PlanMemory, TakesNothingForNothing) {
  EXPECT_EQ(plan_memory({}, 16).size, 0);
  EXPECT_EQ(plan_memory({{0, 0, 1}, {0, 0, 1}}, 16).size, 0);
}

TEST(PlanMemory, RefusesSizesThatCannotBeCounted) {
  const Index largest = std::numeric_limits<Index>::max();
  EXPECT_THROW(plan_memory({{largest, 0, 1}}, 16), Error);
  EXPECT_THROW(plan_memory({{largest / 2, 0, 1}, {largest / 2, 0, 1}, {largest / 2, 0, 1}}, 1), Error);
}

}  // namespace
}  // namespace plainnet
