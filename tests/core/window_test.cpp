#include <algorithm>
#include <array>

#include <gtest/gtest.h>

#include "plainnet/core/window.hpp"
#include "support/compare.hpp"

namespace plainnet {
namespace {

constexpr Index huge = std::numeric_limits<Index>::max();

TEST(OutputExtent, CountsThePositionsOfTheWindow) {
  for (Index in = 0; in <= 12; ++in) {
    for (Index kernel = 1; kernel <= 5; ++kernel) {
      for (Index stride = 1; stride <= 4; ++stride) {
        for (Index dilation = 1; dilation <= 3; ++dilation) {
          for (Index before = 0; before <= 3; ++before) {
            for (Index after = 0; after <= 3; ++after) {
              for (Rounding rounding : {Rounding::floor, Rounding::ceil}) {
                const bool ceil = rounding == Rounding::ceil;
                const test::Axis axis{kernel, stride, dilation, before, after, ceil};
                ASSERT_EQ(output_extent(in, kernel, stride, dilation, before, after, rounding), axis.positions(in))
                    << "in " << in << ", kernel " << kernel << ", stride " << stride << ", dilation " << dilation
                    << ", padding " << before << " and " << after << (ceil ? ", ceil" : ", floor");
              }
            }
          }
        }
      }
    }
  }
}

struct CeilCase {
  Index in, kernel, stride, dilation, padding, floor, ceil;
};

// Worked out by hand from PyTorch's rule: ceil_mode keeps a last window that begins inside the input or the padding
// before it.
TEST(OutputExtent, RoundsAsPyTorch) {
  const std::array<CeilCase, 9> rows = {{
      {6, 3, 2, 1, 0, 2, 3},  // one column missing
      {7, 3, 2, 1, 0, 3, 3},  // fits
      {5, 2, 3, 1, 0, 2, 2},  // fits: 0, 3
      {3, 2, 2, 1, 0, 1, 2},  // the last window sees one column
      {3, 2, 2, 1, 1, 2, 2},  // a third window would begin in the padding behind
      {4, 1, 3, 1, 0, 2, 2},  // fits: 0, 3
      {2, 3, 2, 1, 0, 0, 1},  // smaller than the window: kept when rounding up
      {1, 2, 2, 1, 0, 0, 1},  // as NFNet's shortcut meets on a map of one pixel
      {1, 4, 2, 1, 0, 0, 0},  // too small even then
  }};
  for (const CeilCase& row : rows) {
    SCOPED_TRACE(
        concatenate("in ", row.in, ", kernel ", row.kernel, ", stride ", row.stride, ", padding ", row.padding));
    const auto extent = [&](Rounding rounding) {
      return output_extent(row.in, row.kernel, row.stride, row.dilation, row.padding, row.padding, rounding);
    };
    EXPECT_EQ(extent(Rounding::floor), row.floor);
    EXPECT_EQ(extent(Rounding::ceil), row.ceil);
  }
}

TEST(OutputExtent, RefusesWindowsThatAreNone) {
  EXPECT_NE(test::error_of([] { output_extent(8, 3, 0, 1, 0, 0, Rounding::floor); }).find("stride 0"),
            std::string::npos);
  EXPECT_THROW(output_extent(8, 0, 1, 1, 0, 0, Rounding::floor), Error);
  EXPECT_THROW(output_extent(8, 3, 1, 0, 0, 0, Rounding::ceil), Error);
  EXPECT_THROW(output_extent(8, 3, 1, 1, -1, 0, Rounding::floor), Error);
  EXPECT_THROW(output_extent(8, 3, 1, 1, 0, -1, Rounding::floor), Error);
  EXPECT_THROW(output_extent(-1, 3, 1, 1, 0, 0, Rounding::floor), Error);
}

TEST(OutputExtent, NeverOverflows) {
  for (Rounding rounding : {Rounding::floor, Rounding::ceil}) {
    EXPECT_EQ(output_extent(8, huge, 1, 1, 0, 0, rounding), 0);
    EXPECT_EQ(output_extent(8, 2, huge, 1, 0, 0, rounding), 1);
    EXPECT_EQ(output_extent(huge, 1, 1, 1, 0, 0, rounding), huge);
    EXPECT_THROW(output_extent(8, huge, 1, huge, 0, 0, rounding), Error);
    EXPECT_THROW(output_extent(8, huge, 1, 2, 0, 0, rounding), Error);
    EXPECT_THROW(output_extent(8, 3, 1, 1, huge, 0, rounding), Error);
    EXPECT_THROW(output_extent(8, 3, 1, 1, huge - 8, 1, rounding), Error);
  }
}

TEST(OutputShape, TakesEachAxisForItself) {
  const Window window{.kernel = {2, 5}, .stride = {1, 2}, .dilation = {3, 1}, .padding = {1, 0, 2, 3}};
  const Shape out = output_shape({.batch = 3, .height = 9, .width = 10, .channels = 4}, window, 6);
  EXPECT_EQ(out, (Shape{.batch = 3, .height = 7, .width = 6, .channels = 6}));
}

TEST(OutputShape, RefusesAMapThatNoWindowFitsIn) {
  const Shape in{.batch = 1, .height = 8, .width = 3, .channels = 3};
  const std::string message = test::error_of([&] { output_shape(in, Window{.kernel = 4, .stride = 4}, 8); });
  EXPECT_NE(message.find("8x3"), std::string::npos) << message;
  EXPECT_NE(message.find("4x4"), std::string::npos) << message;
  EXPECT_THROW(output_shape({.batch = 1, .height = 0, .width = 8, .channels = 3}, Window{.kernel = 1}, 8), Error);
}

TEST(SamePadding, GivesOneOutputAStrideWithTheLeastPadding) {
  for (Index in = 1; in <= 17; ++in) {
    for (Index kernel = 1; kernel <= 7; ++kernel) {
      for (Index stride = 1; stride <= 4; ++stride) {
        for (Index dilation = 1; dilation <= 3; ++dilation) {
          SCOPED_TRACE(concatenate("in ", in, ", kernel ", kernel, ", stride ", stride, ", dilation ", dilation));
          Window window{.kernel = {kernel, 1}, .stride = {stride, 1}, .dilation = {dilation, 1}};
          const Shape shape{.batch = 1, .height = in, .width = 4, .channels = 1};
          window.padding = same_padding(shape, window);
          Index ceiling = 0;
          while (ceiling * stride < in) ++ceiling;
          const Index top = window.padding.top;
          const Index bottom = window.padding.bottom;
          ASSERT_EQ(test::vertical(window).positions(in), ceiling);
          ASSERT_TRUE(bottom - top == 0 || bottom - top == 1) << top << " and " << bottom;
          if (top + bottom > 0) {
            // One row less would be one output less.
            const test::Axis less{kernel, stride, dilation, top, bottom - 1, false};
            ASSERT_EQ(less.positions(in), ceiling - 1);
          }
          ASSERT_EQ(window.padding.left + window.padding.right, 0);
        }
      }
    }
  }
}

TEST(SamePadding, IsAsymmetricOnEvenSizes) {
  const Window window{.kernel = 3, .stride = 2};
  EXPECT_EQ(same_padding({.batch = 1, .height = 8, .width = 7, .channels = 1}, window), (Padding{0, 1, 1, 1}));
}

TEST(SamePadding, RefusesWindowsThatAreNone) {
  const Shape in{.batch = 1, .height = 8, .width = 8, .channels = 1};
  EXPECT_THROW(same_padding(in, Window{.kernel = 3, .stride = {1, 0}}), Error);
  EXPECT_THROW(same_padding(in, Window{.kernel = 0}), Error);
  EXPECT_THROW(same_padding(in, Window{.kernel = 3, .dilation = 0}), Error);
  EXPECT_THROW(same_padding(in, Window{.kernel = huge, .dilation = huge}), Error);
  EXPECT_THROW(same_padding({.batch = 1, .height = 0, .width = 8, .channels = 1}, Window{.kernel = 3}), Error);
}

TEST(PaddedFor, PutsSamePaddingIntoNumbersForTheMap) {
  for (Index height = 1; height <= 9; ++height) {
    for (Index width = 1; width <= 9; ++width) {
      for (Index kernel : {1, 2, 3, 5}) {
        for (Index stride : {1, 2, 3}) {
          SCOPED_TRACE(concatenate(height, "x", width, ", kernel ", kernel, ", stride ", stride));
          const Shape in{.batch = 2, .height = height, .width = width, .channels = 3};
          // Its own padding counts for nothing.
          const Window same{.kernel = kernel, .stride = {stride, 1}, .padding = 7, .same = true};
          const Window padded = padded_for(in, same);
          ASSERT_FALSE(padded.same);
          ASSERT_EQ(padded.padding, same_padding(in, same));
          ASSERT_EQ(padded.kernel, same.kernel);
          ASSERT_EQ(padded.stride, same.stride);
          Index ceiling = 0;
          while (ceiling * stride < height) ++ceiling;
          const Shape expected{.batch = 2, .height = ceiling, .width = width, .channels = 5};
          ASSERT_EQ(output_shape(in, same, 5), expected);
          ASSERT_EQ(output_shape(in, padded, 5), expected);
          ASSERT_EQ(test::vertical(padded).positions(height), ceiling);
        }
      }
    }
  }
}

TEST(PaddedFor, LeavesAWindowOfGivenPaddingAsItIs) {
  const Window window{.kernel = 3, .stride = 2, .dilation = 2, .padding = {1, 2, 3, 4}, .rounding = Rounding::ceil};
  EXPECT_EQ(padded_for({.batch = 1, .height = 8, .width = 7, .channels = 1}, window), window);
}

// The released NFNets see even maps, where PyTorch's symmetric padding would move every window by a pixel.
TEST(PaddedFor, PadsEvenMapsAtTheEndAndOddMapsOnBothSides) {
  const Window same{.kernel = 3, .stride = 2, .same = true};
  const auto padding_of = [&](Index height, Index width) {
    return padded_for({.batch = 1, .height = height, .width = width, .channels = 1}, same).padding;
  };
  EXPECT_EQ(padding_of(256, 256), (Padding{0, 1, 0, 1}));
  EXPECT_EQ(padding_of(255, 253), (Padding{1, 1, 1, 1}));
  EXPECT_EQ(padding_of(1, 2), (Padding{1, 1, 0, 1}));
}

TEST(OutputShape, OfSamePaddingRefusesAnEmptyMap) {
  EXPECT_THROW(output_shape({.batch = 1, .height = 0, .width = 8, .channels = 3}, Window{.same = true}, 8), Error);
}

TEST(Window, IsPointwiseWhenOutputsSeeJustTheirPixel) {
  EXPECT_TRUE(Window{}.is_pointwise());
  EXPECT_TRUE((Window{.dilation = 2}.is_pointwise()));  // of one pixel
  EXPECT_TRUE((Window{.same = true}.is_pointwise()));   // which adds nothing
  EXPECT_FALSE((Window{.kernel = 3, .same = true}.is_pointwise()));
  EXPECT_FALSE((Window{.stride = 2, .same = true}.is_pointwise()));
  EXPECT_FALSE((Window{.kernel = {1, 2}}.is_pointwise()));
  EXPECT_FALSE((Window{.kernel = {2, 1}}.is_pointwise()));
  EXPECT_FALSE((Window{.stride = {2, 1}}.is_pointwise()));
  EXPECT_FALSE((Window{.stride = {1, 2}}.is_pointwise()));
  EXPECT_FALSE((Window{.padding = {0, 0, 0, 1}}.is_pointwise()));
}

TEST(Window, SizesOfOneNumberHoldForBothAxes) {
  EXPECT_EQ(Extent2D{3}, (Extent2D{3, 3}));
  EXPECT_EQ(Padding{2}, (Padding{2, 2, 2, 2}));
  EXPECT_EQ(Padding{}, Padding{0});
}

}  // namespace
}  // namespace plainnet
