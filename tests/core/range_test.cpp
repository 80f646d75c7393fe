#include <algorithm>

#include <gtest/gtest.h>

#include "plainnet/core/range.hpp"

namespace plainnet {
namespace {

TEST(PartOf, CoversEveryPositionOnceInOrder) {
  for (Index count = 0; count <= 40; ++count) {
    for (Index parts = 1; parts <= 45; ++parts) {
      Index next = 0;
      for (Index i = 0; i < parts; ++i) {
        const Range part = part_of(count, parts, i);
        EXPECT_EQ(part.begin, next) << "part " << i << " of " << parts << " of " << count;
        EXPECT_GE(part.size(), 0) << "part " << i << " of " << parts << " of " << count;
        next = part.end;
      }
      EXPECT_EQ(next, count) << parts << " parts";
    }
  }
}

TEST(PartOf, SharesOutAsEvenlyAsCanBe) {
  for (Index count = 0; count <= 40; ++count) {
    for (Index parts = 1; parts <= 45; ++parts) {
      Index least = count;
      Index most = 0;
      for (Index i = 0; i < parts; ++i) {
        least = std::min(least, part_of(count, parts, i).size());
        most = std::max(most, part_of(count, parts, i).size());
      }
      EXPECT_LE(most - least, 1) << parts << " parts of " << count;
    }
  }
}

}  // namespace
}  // namespace plainnet
