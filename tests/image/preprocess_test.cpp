#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>

#include <gtest/gtest.h>

#include "image/test_pictures.hpp"
#include "plainnet/core/error.hpp"
#include "plainnet/image/preprocess.hpp"

namespace plainnet {
namespace {

TEST(ResizedEdge, IsTheFloorOfSizeOverCrop) {
  struct Row {
    Index size;
    double crop;
    Index edge;
  };
  constexpr Row published[] = {
      {224, 0.875, 256}, {224, 0.9, 248},   {224, 0.95, 235},  {224, 1.0, 224},   {384, 1.0, 384},   {192, 0.9, 213},
      {256, 0.9, 284},   {224, 0.91, 246},  {320, 0.91, 351},  {256, 0.92, 278},  {352, 0.92, 382},  {320, 0.94, 340},
      {416, 0.94, 442},  {384, 0.951, 403}, {512, 0.951, 538}, {416, 0.954, 436}, {544, 0.954, 570}, {448, 0.956, 468},
      {576, 0.956, 602}, {480, 0.9, 533},   {608, 0.9, 675},
  };
  for (const Row& row : published) {
    EXPECT_EQ(resized_edge({.size = row.size, .crop = row.crop}), row.edge) << row.size << " / " << row.crop;
  }
}

TEST(ResizedEdge, RefusesNonsense) {
  EXPECT_THROW(resized_edge({.size = 0}), Error);
  EXPECT_THROW(resized_edge({.size = -224}), Error);
  EXPECT_THROW(resized_edge({.size = std::numeric_limits<Index>::max()}), Error);
  EXPECT_THROW(resized_edge({.crop = 0}), Error);
  EXPECT_THROW(resized_edge({.crop = -1}), Error);
  EXPECT_THROW(resized_edge({.crop = std::nan("")}), Error);
  EXPECT_THROW(resized_edge({.crop = std::numeric_limits<double>::infinity()}), Error);
  EXPECT_THROW(resized_edge({.crop = 1e-9}), Error);
  EXPECT_THROW(resized_edge({.crop = 225}), Error);
}

TEST(ResizedSize, TheLongerEdgeIsTruncated) {
  EXPECT_EQ(resized_size({1031, 777}, {}), (ImageSize{339, 256}));  // 256 · 1031 / 777 = 339.68
  EXPECT_EQ(resized_size({777, 1031}, {}), (ImageSize{256, 339}));
  EXPECT_EQ(resized_size({300, 300}, {}), (ImageSize{256, 256}));
  EXPECT_EQ(resized_size({3, 2}, {}), (ImageSize{384, 256}));
}

TEST(ResizedSize, SquashedPicturesAreSquare) {
  EXPECT_EQ(resized_size({1031, 777}, {.size = 256, .crop = 0.9, .mode = CropMode::squash}), (ImageSize{284, 284}));
}

TEST(CropOffset, HalfAPixelGoesToTheEvenSide) {
  EXPECT_EQ(crop_offset(4, 4), 0);
  EXPECT_EQ(crop_offset(5, 4), 0);  // 0.5
  EXPECT_EQ(crop_offset(6, 4), 1);
  EXPECT_EQ(crop_offset(7, 4), 2);   // 1.5
  EXPECT_EQ(crop_offset(9, 4), 2);   // 2.5
  EXPECT_EQ(crop_offset(11, 4), 4);  // 3.5
  EXPECT_EQ(crop_offset(256, 224), 16);
  EXPECT_EQ(crop_offset(339, 224), 58);  // 57.5
}

TEST(CropOffset, TheSmallerHalfOfABorderComesFirst) {
  EXPECT_EQ(crop_offset(3, 4), 0);
  EXPECT_EQ(crop_offset(2, 4), -1);
  EXPECT_EQ(crop_offset(1, 4), -1);
}

TEST(ResizeAndCrop, IsTheCentreOfTheResizedPicture) {
  const Image image = test::random_image(70, 50, 1);
  const Preprocessing preprocessing{.size = 28, .crop = 0.875};
  const Image whole = resize(image, 44, 32);  // 32 · 70 / 50 = 44.8
  EXPECT_EQ(resize_and_crop(image, preprocessing), crop(whole, {.left = 8, .top = 2, .width = 28, .height = 28}));
}

TEST(ResizeAndCrop, SquashResizesBothEdges) {
  const Image image = test::random_image(70, 50, 2);
  const Preprocessing preprocessing{.size = 28, .crop = 0.91, .mode = CropMode::squash};
  const Image whole = resize(image, 30, 30);
  EXPECT_EQ(resize_and_crop(image, preprocessing), crop(whole, {.left = 1, .top = 1, .width = 28, .height = 28}));
}

TEST(ResizeAndCrop, APictureSmallerThanTheCropGetsABlackBorder) {
  Image white(12, 10);
  white.pixels.assign(white.pixels.size(), 255);
  const Image framed = resize_and_crop(white, {.size = 8, .crop = 1.6});  // shorter edge 5, longer edge 6
  for (Index y = 0; y < 8; ++y) {
    for (Index x = 0; x < 8; ++x) {
      const bool inside = x >= 1 && x < 7 && y >= 1 && y < 6;
      EXPECT_EQ(framed.row(y)[3 * x], inside ? 255 : 0) << x << ", " << y;
    }
  }
}

TEST(ResizeAndCrop, OneEdgeMayBeCroppedAndTheOtherFramed) {
  Image white(40, 10);
  white.pixels.assign(white.pixels.size(), 255);
  const Image framed = resize_and_crop(white, {.size = 8, .crop = 2.0});  // 16 x 4
  for (Index y = 0; y < 8; ++y) {
    for (Index x = 0; x < 8; ++x) EXPECT_EQ(framed.row(y)[3 * x], y >= 2 && y < 6 ? 255 : 0) << x << ", " << y;
  }
}

// Resized, the picture of 1 x 16384 would be 256 x 4194304.
TEST(ResizeAndCrop, ThinPicturesCostNoMoreThanOthers) {
  for (const bool tall : {false, true}) {
    for (const CropMode mode : {CropMode::center, CropMode::squash}) {
      const Image image = test::random_image(tall ? 1 : 16384, tall ? 16384 : 1, 3);
      const Image cropped = resize_and_crop(image, {.mode = mode});
      EXPECT_EQ(cropped.width, 224);
      EXPECT_EQ(cropped.height, 224);
    }
  }
  // All that the crop shows of it lies within two pixels of the middle.
  Image line(1, 16384);
  for (Index y = 8188; y < 8196; ++y) line.row(y)[0] = 200;
  const Image cropped = resize_and_crop(line, {});
  for (std::size_t i = 0; i < cropped.pixels.size(); ++i) ASSERT_EQ(cropped.pixels[i], i % 3 == 0 ? 200 : 0);
}

TEST(ResizeAndCrop, ASinglePixelFillsThePicture) {
  const Image cropped = resize_and_crop(Image(1, 1, {10, 20, 30}), {});
  for (std::size_t i = 0; i < cropped.pixels.size(); ++i) ASSERT_EQ(cropped.pixels[i], 10 * (i % 3 + 1));
}

TEST(Normalize, IsScaledShiftedAndDividedInFloat) {
  Image image(256, 1);
  for (std::size_t i = 0; i < image.pixels.size(); ++i) image.pixels[i] = static_cast<std::uint8_t>(i / 3);
  const Tensor<float> normalized = normalize(image, {});
  ASSERT_EQ(normalized.shape(), (Shape{.batch = 1, .height = 1, .width = 256, .channels = 3}));
  const float mean[] = {0.485f, 0.456f, 0.406f};
  const float deviation[] = {0.229f, 0.224f, 0.225f};
  for (Index x = 0; x < 256; ++x) {
    for (Index c = 0; c < 3; ++c) {
      volatile float value = static_cast<float>(x) / 255.0f;  // rounded to float after every step
      value = value - mean[c];
      value = value / deviation[c];
      EXPECT_EQ(normalized(0, 0, x, c), value) << "pixel " << x << ", channel " << c;
    }
  }
}

TEST(Normalize, TakesMeanAndDeviationOfTheVariant) {
  const Tensor<float> normalized =
      normalize(Image(1, 1, {0, 255, 51}), {.mean = {0.5f, 0.5f, 0.2f}, .deviation = {0.5f, 0.25f, 1.0f}});
  EXPECT_EQ(normalized(0, 0, 0, 0), -1.0f);
  EXPECT_EQ(normalized(0, 0, 0, 1), 2.0f);
  EXPECT_EQ(normalized(0, 0, 0, 2), 0.0f);
}

TEST(Normalize, RefusesADeviationOfZero) {
  EXPECT_THROW(normalize(Image(1, 1), {.deviation = {1.0f, 0.0f, 1.0f}}), Error);
  EXPECT_THROW(normalize(Image(), {}), Error);
}

TEST(Preprocess, GivesWhatTheNetworkSees) {
  const Image image = test::random_image(33, 47, 4);
  const Preprocessing preprocessing{.size = 20, .crop = 0.9};
  const Tensor<float> seen = preprocess(image, preprocessing);
  ASSERT_EQ(seen.shape(), (Shape{.batch = 1, .height = 20, .width = 20, .channels = 3}));
  const Tensor<float> steps = normalize(resize_and_crop(image, preprocessing), preprocessing);
  for (Index i = 0; i < seen.shape().elements(); ++i) ASSERT_EQ(seen.data()[i], steps.data()[i]);
}

}  // namespace
}  // namespace plainnet
