#pragma once
// A picture in memory, RGB with 8 bits a channel, and cutting a part out of it.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "plainnet/core/error.hpp"
#include "plainnet/core/shape.hpp"

namespace plainnet {

/// A picture that owns its pixels: (height, width, 3), row-major, contiguous, in the order red, green, blue.
struct Image {
  Index width = 0;
  Index height = 0;
  std::vector<std::uint8_t> pixels;

  static constexpr Index channels = 3;

  /// No pixels at all.
  Image() = default;

  /// A black picture.
  Image(Index columns, Index rows) : Image(columns, rows, std::vector<std::uint8_t>(bytes(columns, rows))) {}

  /// A picture of given pixels, (rows, columns, 3).
  Image(Index columns, Index rows, std::vector<std::uint8_t> rgb)
      : width(columns), height(rows), pixels(std::move(rgb)) {
    check();
  }

  /// The first of the 3 · width bytes of row y.
  std::uint8_t* row(Index y) { return pixels.data() + y * width * channels; }
  const std::uint8_t* row(Index y) const { return pixels.data() + y * width * channels; }

  /// Error unless there are pixels, and as many as width and height say. The members are public, so whoever indexes the
  /// pixels of a picture from elsewhere calls this first.
  void check() const {
    require(pixels.size() == bytes(width, height), "picture of ", width, " x ", height, " pixels: expected ",
            bytes(width, height), " bytes, 3 a pixel, found ", pixels.size());
  }

  bool operator==(const Image&) const = default;

 private:
  static std::size_t bytes(Index columns, Index rows) {
    require(columns > 0 && rows > 0, "picture of ", columns, " x ", rows, " pixels: at least 1 x 1 is needed");
    return static_cast<std::size_t>(checked_multiply(checked_multiply(columns, rows), channels));
  }
};

/// A rectangle of pixels.
struct Region {
  Index left = 0;
  Index top = 0;
  Index width = 0;
  Index height = 0;
};

namespace detail {

inline void check_region(const Region& region, Index width, Index height) {
  require(region.left >= 0 && region.width > 0 && region.width <= width - region.left && region.top >= 0 &&
              region.height > 0 && region.height <= height - region.top,
          "region of ", region.width, " x ", region.height, " pixels at (", region.left, ", ", region.top,
          ") does not lie in a picture of ", width, " x ", height);
}

}  // namespace detail

/// The pixels of the region alone.
inline Image crop(const Image& image, const Region& region) {
  image.check();
  detail::check_region(region, image.width, image.height);
  Image part(region.width, region.height);
  for (Index y = 0; y < region.height; ++y) {
    std::copy_n(image.row(region.top + y) + region.left * Image::channels, region.width * Image::channels, part.row(y));
  }
  return part;
}

}  // namespace plainnet
