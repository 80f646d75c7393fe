#pragma once
// BMP pictures: 1, 4 and 8 bits with a palette; 16, 24 and 32 bits; any header from OS/2 1.x to Windows 5.

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "plainnet/core/error.hpp"
#include "plainnet/core/shape.hpp"
#include "plainnet/image/byte_reader.hpp"
#include "plainnet/image/image.hpp"
#include "plainnet/image/limits.hpp"

namespace plainnet::detail {

/// Where one of the three colours lies inside a pixel.
struct BmpMask {
  std::uint32_t mask = 0;

  /// Widened to 0 ... 255.
  std::uint8_t of(std::uint32_t pixel) const {
    const int shift = std::countr_zero(mask);
    const std::uint64_t value = (pixel & mask) >> shift;
    const std::uint64_t largest = mask >> shift;
    return static_cast<std::uint8_t>(largest == 255 ? value : value * 255 / largest);
  }
};

/// Colours as 0xRRGGBB.
using BmpPalette = std::array<std::uint32_t, 256>;

struct BmpHeader {
  Index width = 0;
  Index height = 0;
  bool top_down = false;
  std::uint32_t bits = 0;  ///< a pixel
  std::size_t pixels = 0;  ///< where they begin in the file
  BmpPalette palette{};    ///< for 8 and fewer bits
  std::array<BmpMask, 3> masks = {BmpMask{0xff0000}, BmpMask{0x00ff00}, BmpMask{0x0000ff}};  ///< red, green, blue
};

/// As many as there are in the file of `count` colours, each of blue, green, red and perhaps padding. A colour i that
/// the palette lacks is grey i, as in Pillow.
inline BmpPalette read_bmp_palette(ByteReader reader, std::size_t count, std::size_t bytes_per_color) {
  BmpPalette palette;
  for (std::uint32_t i = 0; i < palette.size(); ++i) {
    palette[i] = i * 0x010101;
    if (i >= count || reader.remaining() < bytes_per_color) continue;
    palette[i] = reader.little_endian(3);
    reader.skip(bytes_per_color - 3);
  }
  return palette;
}

/// Layout: file header of 14 bytes, information header that begins with its size, masks or palette, pixels.
inline BmpHeader read_bmp_header(std::span<const std::byte> file) {
  BmpHeader header;
  ByteReader reader(file, 10);
  header.pixels = reader.little_endian(4);
  const std::size_t size = reader.little_endian(4);
  const bool os2 = size == 12;
  require(os2 || (size >= 40 && size <= 124), "the header has ", size, " bytes, expected 12 or 40 to 124");

  const auto extent = [&]() -> std::int64_t {
    if (os2) return reader.little_endian(2);
    return static_cast<std::int32_t>(reader.little_endian(4));
  };
  header.width = extent_from(extent());
  const std::int64_t height = extent();
  header.height = extent_from(height < 0 ? -height : height);
  header.top_down = height < 0;
  reader.skip(2);  // planes, always 1
  header.bits = reader.little_endian(2);

  enum Compression : std::uint32_t { none = 0, run_length_8 = 1, run_length_4 = 2, masks = 3, masks_with_alpha = 6 };
  std::uint32_t compression = none;
  std::uint32_t colors = 0;
  if (!os2) {
    compression = reader.little_endian(4);
    reader.skip(12);  // bytes of the pixels, pixels a metre across and down
    colors = reader.little_endian(4);
    reader.skip(4);  // important colours
  }
  require(compression != run_length_8 && compression != run_length_4,
          "run-length compression is not supported; save it uncompressed or as PNG");
  const bool has_masks = compression == masks || compression == masks_with_alpha;
  require(compression == none || (has_masks && (header.bits == 16 || header.bits == 32)), "compression ", compression,
          " with ", header.bits, " bits a pixel is not supported");

  switch (header.bits) {
    case 1:
    case 4:
    case 8: {
      const std::size_t all = std::size_t{1} << header.bits;
      header.palette = read_bmp_palette(ByteReader(file, 14 + size),
                                        colors > 0 ? std::min<std::size_t>(colors, all) : all, os2 ? 3 : 4);
      break;
    }
    case 16: header.masks = {BmpMask{0x7c00}, BmpMask{0x03e0}, BmpMask{0x001f}}; break;
    case 24:
    case 32: break;
    default: fail(header.bits, " bits a pixel; expected 1, 4, 8, 16, 24 or 32");
  }
  if (has_masks) {  // at the same place whether the header counts them as its own or not
    for (BmpMask& mask : header.masks) {
      mask.mask = reader.little_endian(4);
      require(mask.mask != 0, "a colour mask is zero; the file is damaged");
    }
  }
  return header;
}

/// Alpha is dropped.
///
/// stb_image reads these files too, but takes what a truncated file lacks as black, and colours that the palette lacks
/// (four of every OS/2 palette) from uninitialised memory.
inline Image read_bmp(std::span<const std::byte> file, const ImageLimits& limits) {
  const BmpHeader header = read_bmp_header(file);
  check_dimensions(header.width, header.height, limits);

  const std::size_t width = static_cast<std::size_t>(header.width);
  const std::size_t height = static_cast<std::size_t>(header.height);
  const std::size_t row_bytes = (width * header.bits + 7) / 8;
  const std::size_t stride = (row_bytes + 3) / 4 * 4;  // only the last row may lack its padding
  const auto rows = ByteReader(file, header.pixels).take(stride * (height - 1) + row_bytes);

  Image image(header.width, header.height);
  for (std::size_t y = 0; y < height; ++y) {
    ByteReader row(rows.subspan(y * stride, row_bytes));
    std::uint8_t* out = image.row(static_cast<Index>(header.top_down ? y : height - 1 - y));
    std::uint32_t bits = 0;  // of the byte that holds pixel x, those that are not used yet, leftmost at bit 7
    for (std::size_t x = 0; x < width; ++x) {
      std::uint32_t color;
      if (header.bits > 8) {
        color = row.little_endian(header.bits / 8);
      } else {
        bits = x * header.bits % 8 == 0 ? row.byte() : bits << header.bits & 0xff;
        color = header.palette[bits >> (8 - header.bits)];
      }
      for (const BmpMask& mask : header.masks) *out++ = mask.of(color);
    }
  }
  return image;
}

}  // namespace plainnet::detail
