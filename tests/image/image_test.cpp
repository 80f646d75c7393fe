#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "image/test_pictures.hpp"
#include "plainnet/core/error.hpp"
#include "plainnet/image/image.hpp"

namespace plainnet {
namespace {

TEST(Image, IsBlackUnlessToldOtherwise) {
  const Image image(3, 2);
  EXPECT_EQ(image.width, 3);
  EXPECT_EQ(image.height, 2);
  EXPECT_EQ(image.pixels, std::vector<std::uint8_t>(18, 0));
}

TEST(Image, RowsFollowEachOther) {
  const Image image(2, 2, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
  EXPECT_EQ(image.row(0)[5], 5);
  EXPECT_EQ(image.row(1)[0], 6);
}

TEST(Image, RefusesSizesThatDoNotFit) {
  EXPECT_THROW(Image(0, 1), Error);
  EXPECT_THROW(Image(1, 0), Error);
  EXPECT_THROW(Image(-1, -1), Error);
  EXPECT_THROW(Image(2, 2, std::vector<std::uint8_t>(11)), Error);
  EXPECT_THROW(Image(2, 2, std::vector<std::uint8_t>(13)), Error);
  EXPECT_THROW(Image(std::numeric_limits<Index>::max(), 3), Error);
}

TEST(Image, CheckFindsMembersThatContradictEachOther) {
  Image image(4, 4);
  EXPECT_NO_THROW(image.check());
  image.width = 5;
  EXPECT_THROW(image.check(), Error);
  EXPECT_THROW(Image().check(), Error);
}

TEST(Crop, TakesThePixelsOfTheRegion) {
  const Image image = test::random_image(5, 4, 1);
  const Image part = crop(image, {.left = 2, .top = 1, .width = 3, .height = 2});
  ASSERT_EQ(part.width, 3);
  ASSERT_EQ(part.height, 2);
  for (Index y = 0; y < 2; ++y) {
    for (Index i = 0; i < 9; ++i) EXPECT_EQ(part.row(y)[i], image.row(y + 1)[i + 6]);
  }
}

TEST(Crop, RefusesRegionsThatStickOut) {
  const Image image(5, 4);
  EXPECT_NO_THROW(crop(image, {.left = 0, .top = 0, .width = 5, .height = 4}));
  EXPECT_THROW(crop(image, {.left = 1, .top = 0, .width = 5, .height = 4}), Error);
  EXPECT_THROW(crop(image, {.left = 0, .top = 1, .width = 5, .height = 4}), Error);
  EXPECT_THROW(crop(image, {.left = -1, .top = 0, .width = 5, .height = 4}), Error);
  EXPECT_THROW(crop(image, {.left = 0, .top = 0, .width = 0, .height = 4}), Error);
}

}  // namespace
}  // namespace plainnet
