#include <gtest/gtest.h>

#include "plainnet/core/order.hpp"

namespace plainnet {
namespace {

using Positions = std::vector<std::size_t>;

TEST(Ascending, ListsPositionsFromTheSmallestKeyOn) {
  EXPECT_EQ(ascending({30, -10, 20}), (Positions{1, 2, 0}));
  EXPECT_EQ(ascending({}), Positions());
}

TEST(Ascending, KeepsTheOrderOfEqualKeys) {
  EXPECT_EQ(ascending(std::vector<Index>(5, 7)), (Positions{0, 1, 2, 3, 4}));
  EXPECT_EQ(ascending({2, 1, 2, 1, 2}), (Positions{1, 3, 0, 2, 4}));
}

TEST(Ascending, ListsNoMoreThanAreWanted) {
  EXPECT_EQ(ascending({30, -10, 20, 5}, 2), (Positions{1, 3}));
  EXPECT_EQ(ascending({2, 1, 1, 1}, 2), (Positions{1, 2}));
  EXPECT_EQ(ascending({2, 1}, 5), (Positions{1, 0}));
  EXPECT_EQ(ascending({2, 1}, 0), Positions());
  EXPECT_EQ(ascending({2, 1}, -1), Positions());
}

}  // namespace
}  // namespace plainnet
