#pragma once
// The structure of JPEG files: checked before a decoder sees them.

#include <cstddef>
#include <cstdint>
#include <span>

#include "plainnet/core/error.hpp"
#include "plainnet/core/shape.hpp"
#include "plainnet/image/byte_reader.hpp"

namespace plainnet::detail {

struct JpegStructure {
  Index width = 0;
  Index height = 0;
};

/// Segment DHT: tables of 16 counts of codes and then so many symbols. More than 256 symbols make stb_image 2.27 write
/// past its table.
inline void check_huffman_tables(ByteReader segment) {
  while (segment.remaining() > 0) {
    segment.skip(1);
    std::size_t symbols = 0;
    for (int length = 1; length <= 16; ++length) symbols += segment.byte();
    require(symbols <= 256, "a Huffman table has ", symbols, " symbols, at most 256 are possible");
    segment.skip(symbols);
  }
}

/// The second byte of the next marker: behind an 0xff that is neither data (0xff 0x00) nor filling (0xff 0xff), restart
/// markers passed over. Compressed data in between is passed over as well.
inline std::uint8_t next_jpeg_marker(ByteReader& reader) {
  for (;;) {
    reader.skip_past(std::byte{0xff});
    std::uint8_t marker = reader.byte();
    while (marker == 0xff) marker = reader.byte();
    const bool restart = marker >= 0xd0 && marker <= 0xd7;
    if (marker != 0 && !restart) return marker;
  }
}

/// Walks the segments up to the marker that ends the picture. Error if the file ends earlier, where stb_image would
/// fill the rest with grey, or if a table would do harm. A progressive picture may have at most 500 scans: each costs a
/// pass over all of the picture, however short it is in the file.
inline JpegStructure read_jpeg_structure(std::span<const std::byte> file) {
  JpegStructure jpeg;
  int scans = 0;
  ByteReader reader(file, 2);  // start of image
  for (;;) {
    const std::uint8_t marker = next_jpeg_marker(reader);
    if (marker == 0xd9) return jpeg;                  // EOI, end of image
    if (marker == 0xd8 || marker == 0x01) continue;   // SOI, TEM: without content
    const std::size_t length = reader.big_endian(2);  // counts its own two bytes
    require(length >= 2, "a segment has the length ", length, "; the file is damaged");
    ByteReader segment(reader.take(length - 2));

    if (marker == 0xda) {  // SOS, start of scan
      require(++scans <= 500, "it has more than 500 scans");
    } else if (marker == 0xc4) {  // DHT, define Huffman tables
      check_huffman_tables(segment);
    } else if (marker == 0xc0 || marker == 0xc1 || marker == 0xc2) {  // SOF, start of frame: sequential, progressive
      require(jpeg.width == 0, "it has two frames");
      segment.skip(1);  // bits a sample
      jpeg.height = static_cast<Index>(segment.big_endian(2));
      jpeg.width = static_cast<Index>(segment.big_endian(2));
    } else if (marker >= 0xc0 && marker <= 0xcf && marker != 0xc8 && marker != 0xcc) {  // all other SOF
      fail("lossless, hierarchical and arithmetic-coded JPEG is not supported; save it as ordinary JPEG or PNG");
    }
  }
}

}  // namespace plainnet::detail
