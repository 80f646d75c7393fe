#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "image/test_pictures.hpp"
#include "plainnet/core/error.hpp"
#include "plainnet/image/resize.hpp"

namespace plainnet {
namespace {

using detail::bicubic::Axis;

// The same arithmetic in plain loops, one axis at a time and without regions.

double reference_cubic(double x) {
  x = std::fabs(x);
  if (x < 1.0) return ((-0.5 + 2.0) * x - (-0.5 + 3.0)) * x * x + 1.0;
  if (x < 2.0) return (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5;
  return 0.0;
}

std::vector<int> reference_line(const std::vector<int>& in, int size) {
  const int in_size = static_cast<int>(in.size());
  if (size == in_size) return in;
  const double scale = static_cast<double>(in_size) / size;
  const double stretch = scale < 1.0 ? 1.0 : scale;
  std::vector<int> out;
  for (int i = 0; i < size; ++i) {
    const double center = (i + 0.5) * scale;
    int begin = static_cast<int>(center - 2.0 * stretch + 0.5);
    int end = static_cast<int>(center + 2.0 * stretch + 0.5);
    if (begin < 0) begin = 0;
    if (end > in_size) end = in_size;
    double total = 0.0;
    for (int j = begin; j < end; ++j) total += reference_cubic((j - center + 0.5) * (1.0 / stretch));
    std::int64_t sum = std::int64_t{1} << 21;
    for (int j = begin; j < end; ++j) {
      const double weight = reference_cubic((j - center + 0.5) * (1.0 / stretch)) / total;
      sum += std::llround(weight * 4194304.0) * in[static_cast<std::size_t>(j)];
    }
    sum = sum >> 22;
    out.push_back(static_cast<int>(sum < 0 ? 0 : sum > 255 ? 255 : sum));
  }
  return out;
}

Image reference_resize(const Image& image, Index width, Index height) {
  const auto at = [](auto& picture, Index x, Index y, Index c) -> auto& { return picture.row(y)[x * 3 + c]; };
  Image wide(width, image.height);
  Image out(width, height);
  for (Index c = 0; c < 3; ++c) {
    for (Index y = 0; y < image.height; ++y) {
      std::vector<int> line;
      for (Index x = 0; x < image.width; ++x) line.push_back(at(image, x, y, c));
      const std::vector<int> resized = reference_line(line, static_cast<int>(width));
      for (Index x = 0; x < width; ++x) {
        at(wide, x, y, c) = static_cast<std::uint8_t>(resized[static_cast<std::size_t>(x)]);
      }
    }
    for (Index x = 0; x < width; ++x) {
      std::vector<int> line;
      for (Index y = 0; y < image.height; ++y) line.push_back(at(wide, x, y, c));
      const std::vector<int> resized = reference_line(line, static_cast<int>(height));
      for (Index y = 0; y < height; ++y) {
        at(out, x, y, c) = static_cast<std::uint8_t>(resized[static_cast<std::size_t>(y)]);
      }
    }
  }
  return out;
}

struct Sizes {
  Index in_width, in_height, width, height;
};

constexpr Sizes all_sizes[] = {
    {16, 12, 8, 6},     {17, 13, 5, 4},       {40, 30, 7, 29},  {5, 4, 16, 12},   {7, 9, 100, 3},  // down, up, both
    {1, 1, 5, 7},       {1, 9, 4, 4},         {9, 1, 4, 4},     {2, 2, 1, 1},     {3, 2, 1, 50},   // single pixels
    {200, 2, 24, 9},    {2, 200, 9, 24},      {300, 1, 299, 1}, {64, 64, 63, 65},  // thin, almost the same
    {20, 10, 20, 5},    {20, 10, 7, 10},      {20, 10, 20, 10}, {20, 10, 20, 33}, {20, 10, 31, 10},  // one pass or none
    {31, 17, 410, 224}, {173, 301, 256, 445},
};

TEST(Resize, AgreesWithPlainLoops) {
  std::uint32_t seed = 0;
  for (const Sizes& s : all_sizes) {
    for (bool extreme : {false, true}) {
      const Image image = test::random_image(s.in_width, s.in_height, ++seed, extreme);
      EXPECT_EQ(resize(image, s.width, s.height), reference_resize(image, s.width, s.height))
          << s.in_width << " x " << s.in_height << " to " << s.width << " x " << s.height;
    }
  }
}

// Pillow 9.4: Image.fromarray(numpy.arange(0, 255, 17, numpy.uint8)[None, :, None].repeat(3, 2)).resize(..., BICUBIC)
TEST(Resize, IsPillows) {
  Image ramp(15, 1);
  for (Index x = 0; x < 15; ++x) {
    for (Index c = 0; c < 3; ++c) ramp.row(0)[3 * x + c] = static_cast<std::uint8_t>(17 * x);
  }
  const auto reds = [](const Image& image) {
    std::vector<int> values;
    for (std::size_t i = 0; i < image.pixels.size(); i += 3) values.push_back(image.pixels[i]);
    return values;
  };
  EXPECT_EQ(reds(resize(ramp, 4, 1)), (std::vector<int>{25, 86, 152, 213}));
  EXPECT_EQ(reds(resize(ramp, 17, 1)),
            (std::vector<int>{0, 14, 29, 44, 59, 74, 89, 104, 119, 134, 149, 164, 179, 194, 209, 224, 238}));
}

TEST(Resize, LeavesTheSizeThatStays) {
  const Image image = test::random_image(9, 6, 3);
  EXPECT_EQ(resize(image, 9, 6), image);
}

TEST(Resize, SkipsTheVerticalPassWhenTheHeightStays) {
  const Image image = test::random_image(9, 6, 4);
  const Image resized = resize(image, 5, 6);
  for (Index y = 0; y < 6; ++y) {
    const Image row = crop(image, {.left = 0, .top = y, .width = 9, .height = 1});
    EXPECT_EQ(resize(row, 5, 1), crop(resized, {.left = 0, .top = y, .width = 5, .height = 1})) << "row " << y;
  }
}

TEST(Resize, SkipsTheHorizontalPassWhenTheWidthStays) {
  const Image image = test::random_image(9, 6, 5);
  const Image resized = resize(image, 9, 4);
  for (Index x = 0; x < 9; ++x) {
    const Image column = crop(image, {.left = x, .top = 0, .width = 1, .height = 6});
    EXPECT_EQ(resize(column, 1, 4), crop(resized, {.left = x, .top = 0, .width = 1, .height = 4})) << "column " << x;
  }
}

TEST(Resize, KeepsAPlainColour) {
  Image plain(37, 23);
  plain.pixels.assign(plain.pixels.size(), 0xc0);
  for (const Sizes& s : all_sizes) {
    for (std::uint8_t value : resize(plain, s.width, s.height).pixels) ASSERT_EQ(value, 0xc0);
  }
}

TEST(Resize, ARegionIsThatPartOfTheWhole) {
  std::uint32_t seed = 100;
  for (const Sizes& s : all_sizes) {
    const Image image = test::random_image(s.in_width, s.in_height, ++seed);
    const Image whole = resize(image, s.width, s.height);
    for (const Region& region : {Region{0, 0, 1, 1}, Region{s.width - 1, s.height - 1, 1, 1},
                                 Region{s.width / 3, s.height / 4, s.width - s.width / 2, s.height - s.height / 2}}) {
      EXPECT_EQ(resize(image, s.width, s.height, region), crop(whole, region))
          << s.in_width << " x " << s.in_height << " to " << s.width << " x " << s.height << ", region at "
          << region.left << ", " << region.top;
    }
  }
}

// The whole would take three terabytes.
TEST(Resize, ARegionOfAHugePictureCostsLittle) {
  const Image image = test::random_image(2, 3, 6);
  const Image part = resize(image, 1'000'000, 1'000'000, {.left = 999'999, .top = 0, .width = 1, .height = 1});
  for (Index c = 0; c < 3; ++c) EXPECT_NEAR(part.pixels[static_cast<std::size_t>(c)], image.row(0)[3 + c], 40);
}

TEST(Resize, RefusesWhatCannotBe) {
  const Image image(4, 4);
  EXPECT_THROW(resize(image, 0, 4), Error);
  EXPECT_THROW(resize(image, 4, -1), Error);
  EXPECT_THROW(resize(image, 8, 8, {.left = 5, .top = 0, .width = 4, .height = 4}), Error);
  EXPECT_THROW(resize(Image(), 4, 4), Error);
  Image inconsistent(4, 4);
  inconsistent.height = 5;
  EXPECT_THROW(resize(inconsistent, 2, 2), Error);
}

TEST(ResizeWeights, TheCubicHasItsKnownValues) {
  using detail::bicubic::keys_cubic;
  EXPECT_EQ(keys_cubic(0), 1);
  EXPECT_EQ(keys_cubic(0.5), 0.5625);
  EXPECT_EQ(keys_cubic(-0.5), 0.5625);
  EXPECT_EQ(keys_cubic(1), 0);
  EXPECT_EQ(keys_cubic(1.5), -0.0625);
  EXPECT_EQ(keys_cubic(-2), 0);
  EXPECT_EQ(keys_cubic(7), 0);
}

// Rounded, n weights sum to one within n / 2 units. The sums of the passes, of which the largest is that over the
// weights of one sign times 255, fit their 32 bits.
TEST(ResizeWeights, SumToOneAndCannotOverflow) {
  for (Index inputs = 1; inputs <= 60; ++inputs) {
    for (Index outputs = 1; outputs <= 60; ++outputs) {
      const Axis axis(inputs, outputs, 0, outputs);
      ASSERT_EQ(axis.outputs(), outputs);
      for (Index i = 0; i < outputs; ++i) {
        const auto [first, count] = axis.taps(i);
        ASSERT_GE(first, 0);
        ASSERT_GE(count, 1);
        ASSERT_LE(first + count, inputs);
        std::int64_t sum = 0, positive = 0;
        for (Index k = 0; k < count; ++k) {
          sum += axis.weights(i)[k];
          positive += std::max(axis.weights(i)[k], 0);
        }
        ASSERT_LE(std::abs(sum - (1 << 22)), count / 2 + 1) << inputs << " to " << outputs << ", output " << i;
        ASSERT_LE(positive * 255 + (1 << 21), std::numeric_limits<std::int32_t>::max());
        ASSERT_GE((sum - positive) * 255, std::numeric_limits<std::int32_t>::min());
      }
    }
  }
}

TEST(ResizeWeights, ARangeOfOutputsHasTheWeightsOfTheWhole) {
  const Axis whole(50, 20, 0, 20);
  const Axis part(50, 20, 7, 6);
  for (Index i = 0; i < 6; ++i) {
    ASSERT_EQ(part.taps(i).first, whole.taps(i + 7).first);
    ASSERT_EQ(part.taps(i).count, whole.taps(i + 7).count);
    for (Index k = 0; k < part.taps(i).count; ++k) EXPECT_EQ(part.weights(i)[k], whole.weights(i + 7)[k]);
  }
  EXPECT_EQ(part.span().first, whole.taps(7).first);
  EXPECT_EQ(part.span().first + part.span().count, whole.taps(12).first + whole.taps(12).count);
}

}  // namespace
}  // namespace plainnet
