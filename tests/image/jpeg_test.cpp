#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>

#include <gtest/gtest.h>

#include "image/test_pictures.hpp"
#include "plainnet/core/error.hpp"
#include "plainnet/image/jpeg.hpp"

namespace plainnet::detail {
namespace {

using test::Bytes;

Bytes segment(std::uint32_t marker, const Bytes& content) {
  return Bytes()
      .big_endian(0xff00 | marker, 2)
      .big_endian(static_cast<std::uint32_t>(content.get().size() + 2), 2)
      .add(content);
}

Bytes frame(std::uint32_t height, std::uint32_t width, std::uint32_t marker = 0xc0) {
  return segment(marker, Bytes().big_endian(8, 1).big_endian(height, 2).big_endian(width, 2).big_endian(1, 1).zeros(3));
}

/// A table with so many codes of 16 bits and, up to 255, of 15.
Bytes huffman_table(std::uint32_t symbols) {
  const std::uint32_t long_codes = symbols < 255 ? symbols : 255;
  return segment(0xc4, Bytes().zeros(15).big_endian(symbols - long_codes, 1).big_endian(long_codes, 1).zeros(symbols));
}

Bytes scan() { return segment(0xda, Bytes().zeros(6)).add("data"); }

Bytes jpeg(std::initializer_list<Bytes> parts) {
  Bytes file("\xff\xd8");
  for (const Bytes& part : parts) file.add(part);
  return file.add("\xff\xd9");
}

TEST(JpegStructure, FindsTheSize) {
  for (std::uint32_t marker : {0xc0u, 0xc1u, 0xc2u}) {
    const JpegStructure structure = read_jpeg_structure(jpeg({frame(300, 400, marker), scan()}).get());
    EXPECT_EQ(structure.width, 400);
    EXPECT_EQ(structure.height, 300);
  }
}

TEST(JpegStructure, DoesNotTakeDataForMarkers) {
  Bytes data;
  data.big_endian(0xff00, 2).big_endian(0xffd0, 2).big_endian(0xffd7, 2).big_endian(0xffffff00, 4);
  EXPECT_NO_THROW(read_jpeg_structure(jpeg({frame(3, 4), scan(), data}).get()));
}

TEST(JpegStructure, DoesNotTakeThePreviewForThePicture) {
  const Bytes preview = jpeg({frame(30, 40), scan()});
  const JpegStructure structure = read_jpeg_structure(jpeg({segment(0xe1, preview), frame(300, 400), scan()}).get());
  EXPECT_EQ(structure.width, 400);
}

TEST(JpegStructure, IgnoresWhatFollowsThePicture) {
  EXPECT_NO_THROW(read_jpeg_structure(jpeg({frame(3, 4), scan()}).add("rubbish").get()));
}

TEST(JpegStructure, RefusesAFileCutOffAnywhere) {
  const Bytes file = jpeg({segment(0xe0, Bytes("JFIF")), huffman_table(200), frame(3, 4), scan()});
  for (std::size_t length = 2; length < file.get().size(); ++length) {
    EXPECT_THROW(read_jpeg_structure(std::span(file.get()).first(length)), Error) << length << " bytes";
  }
}

TEST(JpegStructure, RefusesHuffmanTablesLargerThanStbImagesArrays) {
  EXPECT_NO_THROW(read_jpeg_structure(jpeg({huffman_table(256), frame(3, 4), scan()}).get()));
  EXPECT_THROW(read_jpeg_structure(jpeg({huffman_table(257), frame(3, 4), scan()}).get()), Error);
  EXPECT_THROW(read_jpeg_structure(jpeg({frame(3, 4), scan(), huffman_table(405), scan()}).get()), Error);
}

TEST(JpegStructure, RefusesScansWithoutEnd) {
  const auto with_scans = [](int scans) {
    Bytes all = frame(3, 4, 0xc2);
    for (int i = 0; i < scans; ++i) all.add(scan());
    return jpeg({all});
  };
  EXPECT_NO_THROW(read_jpeg_structure(with_scans(500).get()));
  EXPECT_THROW(read_jpeg_structure(with_scans(501).get()), Error);
}

TEST(JpegStructure, RefusesWhatIsNotSupported) {
  for (std::uint32_t marker : {0xc3u, 0xc5u, 0xc9u, 0xcfu}) {
    EXPECT_THROW(read_jpeg_structure(jpeg({frame(3, 4, marker), scan()}).get()), Error) << "marker " << marker;
  }
  EXPECT_THROW(read_jpeg_structure(jpeg({frame(3, 4), frame(3, 4), scan()}).get()), Error);
  EXPECT_THROW(read_jpeg_structure(jpeg({Bytes().big_endian(0xffe00001, 4), frame(3, 4), scan()}).get()), Error);
}

}  // namespace
}  // namespace plainnet::detail
