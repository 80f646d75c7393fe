#pragma once
// The structure of PNG files: checked before a decoder sees them.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "plainnet/core/error.hpp"
#include "plainnet/core/shape.hpp"
#include "plainnet/image/byte_reader.hpp"
#include "plainnet/image/limits.hpp"

namespace plainnet::detail {

struct PngStructure {
  Index width = 0;
  Index height = 0;
  int bits = 0;             ///< a sample: 1, 2, 4, 8 or 16
  std::size_t palette = 0;  ///< where in the file the chunk with the colours begins, with its length; 0 if none
  std::size_t palette_colors = 0;
};

/// The checksum that follows each chunk: CRC-32, reflected, polynomial 0x04c11db7 (PNG specification, annex D).
inline std::uint32_t png_checksum(std::span<const std::byte> bytes) {
  static constexpr auto table = [] {
    std::array<std::uint32_t, 256> remainders{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      std::uint32_t remainder = i;
      for (int bit = 0; bit < 8; ++bit) remainder = remainder >> 1 ^ (remainder & 1 ? 0xedb88320u : 0u);
      remainders[i] = remainder;
    }
    return remainders;
  }();
  std::uint32_t checksum = 0xffffffff;
  for (std::byte b : bytes) checksum = checksum >> 8 ^ table[(checksum ^ std::to_integer<std::uint32_t>(b)) & 0xff];
  return ~checksum;
}

/// Walks the chunks, each of which is length, type, content, checksum. Error if the file ends before its last chunk, or
/// if a chunk that matters for the picture is damaged or unknown. stb_image checks neither, and would ask for memory of
/// whatever length a chunk claims.
inline PngStructure read_png_structure(std::span<const std::byte> file) {
  PngStructure png;
  ByteReader reader(file, 8);  // signature
  for (bool first = true;; first = false) {
    const std::size_t start = reader.position();
    const std::size_t length = reader.big_endian(4);
    const auto type_bytes = reader.take(4);
    const std::string_view type(reinterpret_cast<const char*>(type_bytes.data()), type_bytes.size());
    ByteReader content(reader.take(length));
    const std::uint32_t checksum = reader.big_endian(4);

    const bool ancillary = (type[0] & 0x20) != 0;  // small first letter: a decoder may skip it
    require(ancillary || checksum == png_checksum(file.subspan(start + 4, length + 4)),
            "the checksum of the chunk at byte ", start, " is wrong; the file is damaged");
    require(first == (type == "IHDR"), first ? "it does not begin with a header chunk" : "it has two header chunks");

    if (type == "IHDR") {
      require(length == 13, "the header chunk has ", length, " bytes, expected 13");
      png.width = extent_from(content.big_endian(4));
      png.height = extent_from(content.big_endian(4));
      png.bits = content.byte();
    } else if (type == "PLTE") {
      require(png.palette == 0, "it has two palettes");
      require(length % 3 == 0 && length <= 3 * 256, "the palette has ", length,
              " bytes, expected 3 a colour, at most 768");
      png.palette = start;
      png.palette_colors = length / 3;
    } else if (type == "IEND") {
      return png;
    } else {
      require(ancillary || type == "IDAT", "the chunk at byte ", start, " is of an unknown kind");
    }
  }
}

/// The same file with a full palette, grey i for a colour i that it lacks, as in Pillow: stb_image would take such a
/// colour from uninitialised memory. The checksum of the palette is left as it was; stb_image does not look at it.
inline std::vector<std::byte> fill_png_palette(std::span<const std::byte> file, const PngStructure& png) {
  const std::size_t colors_end = png.palette + 8 + 3 * png.palette_colors;  // after its length and its type
  std::vector<std::byte> filled(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(colors_end));
  filled[png.palette + 2] = std::byte{3 * 256 >> 8};
  filled[png.palette + 3] = std::byte{0};
  for (std::size_t i = png.palette_colors; i < 256; ++i) filled.insert(filled.end(), 3, static_cast<std::byte>(i));
  const auto rest = file.subspan(colors_end);
  filled.insert(filled.end(), rest.begin(), rest.end());
  return filled;
}

}  // namespace plainnet::detail
