#include <limits>

#include <gtest/gtest.h>

#include "plainnet/core/shape.hpp"
#include "support/compare.hpp"

namespace plainnet {
namespace {

constexpr Index largest = std::numeric_limits<Index>::max();

TEST(CheckedMultiply, MultipliesUpToTheLargestIndex) {
  EXPECT_EQ(checked_multiply(6, 7), 42);
  EXPECT_EQ(checked_multiply(0, largest), 0);
  EXPECT_EQ(checked_multiply(largest, 0), 0);
  EXPECT_EQ(checked_multiply(1, largest), largest);
  EXPECT_EQ(checked_multiply(largest, 1), largest);
  EXPECT_EQ(checked_multiply(largest / 3, 3), largest / 3 * 3);
}

TEST(CheckedMultiply, RefusesOverflow) {
  EXPECT_NE(test::error_of([] { checked_multiply(largest / 3 + 1, 3); }).find("overflow"), std::string::npos);
  EXPECT_THROW(checked_multiply(2, largest), Error);
  EXPECT_THROW(checked_multiply(Index{1} << 32, Index{1} << 31), Error);
  EXPECT_THROW(checked_multiply(largest, largest), Error);
}

TEST(CheckedMultiply, RefusesNegativeSizes) {
  EXPECT_NE(test::error_of([] { checked_multiply(-2, 3); }).find("negative size: -2 times 3"), std::string::npos);
  EXPECT_THROW(checked_multiply(0, -1), Error);
}

TEST(CheckedAdd, RefusesOverflowAndNegativeSizes) {
  EXPECT_EQ(checked_add(largest - 1, 1), largest);
  EXPECT_EQ(checked_add(0, 0), 0);
  EXPECT_THROW(checked_add(largest, 1), Error);
  EXPECT_THROW(checked_add(largest, largest), Error);
  EXPECT_THROW(checked_add(-1, 1), Error);
}

TEST(Shape, CountsPixelsAndElements) {
  const Shape shape{.batch = 2, .height = 3, .width = 5, .channels = 7};
  EXPECT_EQ(shape.pixels(), 30);
  EXPECT_EQ(shape.elements(), 210);
  EXPECT_EQ(Shape{}.elements(), 1);
  EXPECT_EQ((Shape{.batch = 2, .height = 0, .width = 5, .channels = 7}.elements()), 0);
}

TEST(Shape, RefusesMoreElementsThanCanBeCounted) {
  const Shape shape{.batch = 1, .height = Index{1} << 31, .width = Index{1} << 31, .channels = 3};
  EXPECT_EQ(shape.pixels(), Index{1} << 62);
  EXPECT_THROW(shape.elements(), Error);
}

TEST(Shape, PrintsItsSizesWithTheirNames) {
  EXPECT_EQ(to_string(Shape{.batch = 1, .height = 2, .width = 3, .channels = 4}), "(N 1, H 2, W 3, C 4)");
}

TEST(Extents, ListTheirDimensionsInOrder) {
  const Extents extents{4, 3, 2};
  EXPECT_EQ(extents.rank(), 3u);
  EXPECT_EQ(extents[0], 4);
  EXPECT_EQ(extents[2], 2);
  EXPECT_EQ((std::vector<Index>(extents.begin(), extents.end())), (std::vector<Index>{4, 3, 2}));
  EXPECT_EQ(extents.elements(), 24);
  EXPECT_EQ(to_string(extents), "(4, 3, 2)");
}

TEST(Extents, OfRankZeroAreOneNumber) {
  EXPECT_EQ(Extents{}.rank(), 0u);
  EXPECT_EQ(Extents{}.elements(), 1);
  EXPECT_EQ(to_string(Extents{}), "()");
}

TEST(Extents, AreEqualOnlyWithTheSameRank) {
  EXPECT_EQ((Extents{2, 3}), (Extents{2, 3}));
  EXPECT_FALSE((Extents{2, 3}) == (Extents{3, 2}));
  EXPECT_FALSE((Extents{2, 3}) == (Extents{2, 3, 1}));
  EXPECT_FALSE((Extents{2, 0}) == (Extents{2}));
  EXPECT_FALSE(Extents{} == Extents{0});
}

TEST(Extents, RefuseNegativeAndTooManyDimensions) {
  EXPECT_THROW((Extents{2, -1}), Error);
  EXPECT_EQ((Extents{1, 1, 1, 1, 1, 1, 1, 1}.rank()), 8u);
  EXPECT_THROW((Extents{1, 1, 1, 1, 1, 1, 1, 1, 1}), Error);
}

TEST(Extents, RefuseMoreElementsThanCanBeCounted) {
  EXPECT_THROW((Extents{Index{1} << 32, Index{1} << 32}.elements()), Error);
  EXPECT_EQ((Extents{0, largest, largest}.elements()), 0);
}

TEST(Counts, HoldBillionsWhereverAnIndexCannot) {
  EXPECT_EQ(multiply_counts(3'000'000'000, 3), 9'000'000'000);
  EXPECT_EQ(add_counts(3'000'000'000, 3'000'000'000), 6'000'000'000);
  EXPECT_THROW(multiply_counts(Count{1} << 62, 2), Error);
  EXPECT_THROW(add_counts(std::numeric_limits<Count>::max(), 1), Error);
  EXPECT_THROW(multiply_counts(-1, 2), Error);
}

}  // namespace
}  // namespace plainnet
