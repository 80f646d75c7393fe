#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "image/test_pictures.hpp"
#include "plainnet/core/error.hpp"
#include "plainnet/image/png.hpp"

namespace plainnet::detail {
namespace {

using test::Bytes;

Bytes chunk(std::string_view type, const Bytes& content = {}) {
  const Bytes checked = Bytes(type).add(content);
  return Bytes()
      .big_endian(static_cast<std::uint32_t>(content.get().size()), 4)
      .add(checked)
      .big_endian(png_checksum(checked.get()), 4);
}

Bytes header_chunk(std::uint32_t width, std::uint32_t height) {
  return chunk("IHDR", Bytes().big_endian(width, 4).big_endian(height, 4).big_endian(8, 1).zeros(4));
}

Bytes png(std::initializer_list<Bytes> chunks) {
  Bytes file("\x89PNG\r\n\x1a\n");
  for (const Bytes& c : chunks) file.add(c);
  return file;
}

TEST(PngChecksum, IsThatOfTheStandard) {
  EXPECT_EQ(png_checksum(Bytes("IEND").get()), 0xae426082u);
  EXPECT_EQ(png_checksum(Bytes("123456789").get()), 0xcbf43926u);
}

TEST(PngStructure, FindsSizeAndPalette) {
  const Bytes file = png({header_chunk(7, 5), chunk("tEXt", Bytes("hello")), chunk("PLTE", Bytes("abcdef")),
                          chunk("IDAT", Bytes("...")), chunk("IEND")});
  const PngStructure structure = read_png_structure(file.get());
  EXPECT_EQ(structure.width, 7);
  EXPECT_EQ(structure.height, 5);
  EXPECT_EQ(structure.bits, 8);
  EXPECT_EQ(structure.palette_colors, 2u);
}

TEST(PngStructure, IgnoresWhatFollowsTheLastChunk) {
  EXPECT_NO_THROW(read_png_structure(png({header_chunk(7, 5), chunk("IEND"), Bytes("rubbish")}).get()));
}

TEST(PngStructure, RefusesAFileCutOffAnywhere) {
  const Bytes file = png({header_chunk(7, 5), chunk("IDAT", Bytes("......")), chunk("IEND")});
  for (std::size_t length = 8; length < file.get().size(); ++length) {
    EXPECT_THROW(read_png_structure(std::span(file.get()).first(length)), Error) << length << " bytes";
  }
}

TEST(PngStructure, RefusesAFlippedBitInChunksThatMatter) {
  const Bytes good = png({header_chunk(7, 5), chunk("IDAT", Bytes("......")), chunk("IEND")});
  for (std::size_t i = 8; i < good.get().size(); ++i) {
    Bytes bad = good;
    bad.get()[i] ^= std::byte{0x10};
    EXPECT_THROW(read_png_structure(bad.get()), Error) << "byte " << i;
  }
}

TEST(PngStructure, ForgivesDamagedRemarks) {
  Bytes remark = chunk("tEXt", Bytes("hello"));
  remark.get()[9] ^= std::byte{1};
  EXPECT_NO_THROW(read_png_structure(png({header_chunk(7, 5), remark, chunk("IEND")}).get()));
}

TEST(PngStructure, RefusesWhatStbImageWouldTrust) {
  // A length beyond the file, for which memory would be asked.
  EXPECT_THROW(read_png_structure(png({header_chunk(7, 5), Bytes().big_endian(0x7fffffff, 4).add("IDAT")}).get()),
               Error);
  EXPECT_THROW(read_png_structure(png({chunk("IDAT"), header_chunk(7, 5), chunk("IEND")}).get()), Error);
  EXPECT_THROW(read_png_structure(png({chunk("CgBI"), header_chunk(7, 5), chunk("IEND")}).get()), Error);
  EXPECT_THROW(read_png_structure(png({header_chunk(7, 5), header_chunk(7, 5), chunk("IEND")}).get()), Error);
  EXPECT_THROW(read_png_structure(png({header_chunk(7, 5), chunk("ABCD"), chunk("IEND")}).get()), Error);
  EXPECT_THROW(read_png_structure(png({header_chunk(7, 5), chunk("PLTE", Bytes("ab")), chunk("IEND")}).get()), Error);
  EXPECT_THROW(read_png_structure(png({header_chunk(7, 5), chunk("PLTE", Bytes().zeros(771)), chunk("IEND")}).get()),
               Error);
  EXPECT_THROW(
      read_png_structure(
          png({header_chunk(7, 5), chunk("PLTE", Bytes("abc")), chunk("PLTE", Bytes("abc")), chunk("IEND")}).get()),
      Error);
}

TEST(FillPngPalette, AddsTheGreysThatLack) {
  const Bytes file = png({header_chunk(7, 5), chunk("PLTE", Bytes("abcdef")), chunk("IEND")});
  const std::vector<std::byte> filled = fill_png_palette(file.get(), read_png_structure(file.get()));
  Bytes colors("abcdef");
  for (std::uint32_t i = 2; i < 256; ++i) colors.big_endian(i * 0x010101, 3);
  const std::size_t palette = 8 + header_chunk(7, 5).get().size();
  ByteReader reader(filled, palette);
  EXPECT_EQ(reader.big_endian(4), 768u);
  reader.skip(4);
  const auto found = reader.take(768);
  EXPECT_EQ(std::vector<std::byte>(found.begin(), found.end()), colors.get());
  reader.skip(4);
  const auto end = reader.take(reader.remaining());
  EXPECT_EQ(std::vector<std::byte>(end.begin(), end.end()), chunk("IEND").get());
}

}  // namespace
}  // namespace plainnet::detail
