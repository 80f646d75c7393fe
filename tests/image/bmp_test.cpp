#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "image/test_pictures.hpp"
#include "io/error_message.hpp"
#include "plainnet/core/error.hpp"
#include "plainnet/image/bmp.hpp"

namespace plainnet::detail {
namespace {

using test::Bytes;

struct Header {
  std::int32_t width = 2;
  std::int32_t height = 2;
  std::uint32_t bits = 24;
  std::uint32_t compression = 0;
  std::uint32_t size = 40;
  std::uint32_t pixels = 54;
  std::uint32_t colors = 0;
};

Bytes bmp(const Header& header, const Bytes& rest) {
  return Bytes("BM")
      .zeros(8)
      .little_endian(header.pixels, 4)
      .little_endian(header.size, 4)
      .little_endian(static_cast<std::uint32_t>(header.width), 4)
      .little_endian(static_cast<std::uint32_t>(header.height), 4)
      .little_endian(1, 2)
      .little_endian(header.bits, 2)
      .little_endian(header.compression, 4)
      .zeros(12)
      .little_endian(header.colors, 4)
      .zeros(4)
      .add(rest);
}

const Bytes two_rows("123456..abcdef..");  // blue, green, red; each row padded to four bytes

TEST(Bmp, RowsGoFromBottomToTopUnlessTheHeightIsNegative) {
  const auto pixels = [](std::string_view text) { return std::vector<std::uint8_t>(text.begin(), text.end()); };
  EXPECT_EQ(read_bmp(bmp({}, two_rows).get(), {}).pixels, pixels("cbafed321654"));
  EXPECT_EQ(read_bmp(bmp({.height = -2}, two_rows).get(), {}).pixels, pixels("321654cbafed"));
}

TEST(Bmp, RefusesAFileCutOffAnywhere) {
  const Bytes file = bmp({}, two_rows);
  for (std::size_t length = 2; length + 2 < file.get().size(); ++length) {
    EXPECT_THROW(read_bmp(std::span(file.get()).first(length), {}), Error) << length << " bytes";
  }
  EXPECT_NO_THROW(read_bmp(std::span(file.get()).first(file.get().size() - 2), {})) << "only padding is missing";
}

TEST(Bmp, ColoursThatThePaletteLacksAreGrey) {
  const Image image = read_bmp(bmp({.width = 3, .height = 1, .bits = 8, .pixels = 58, .colors = 1},
                                   Bytes("abc.").add(Bytes().little_endian(0x090100, 4)))
                                   .get(),
                               {});
  EXPECT_EQ(image.pixels, (std::vector<std::uint8_t>{'c', 'b', 'a', 1, 1, 1, 9, 9, 9}));
}

TEST(Bmp, WidensFewBitsToTheFullRange) {
  const BmpMask five{0x7c00};
  EXPECT_EQ(five.of(0x83ff), 0);
  EXPECT_EQ(five.of(0xffff), 255);
  EXPECT_EQ(five.of(1 << 10), 8);  // 255 / 31 = 8.2
  const BmpMask ten{0x3ff00000};
  EXPECT_EQ(ten.of(0x3ff00000), 255);
  EXPECT_EQ(ten.of(0x20000000), 127);
  const BmpMask all{0xffffffff};
  EXPECT_EQ(all.of(0xffffffff), 255);
}

TEST(Bmp, RefusesAbsurdSizesBeforeItAsksForMemory) {
  for (const Header& header :
       {Header{.width = 60000, .height = 60000}, Header{.width = 16384, .height = 16384}, Header{.width = -2},
        Header{.width = 0}, Header{.height = 0}, Header{.height = std::numeric_limits<std::int32_t>::min()}}) {
    const std::string error = test::error_of([&] { read_bmp(bmp(header, two_rows).get(), {}); });
    EXPECT_EQ(error.substr(0, 15), "the header says") << header.width << " x " << header.height;
  }
}

TEST(Bmp, RefusesWhatIsNotSupported) {
  EXPECT_THROW(read_bmp(bmp({.bits = 8, .compression = 1}, two_rows).get(), {}), Error);
  EXPECT_THROW(read_bmp(bmp({.bits = 4, .compression = 2}, two_rows).get(), {}), Error);
  EXPECT_THROW(read_bmp(bmp({.bits = 24, .compression = 3}, two_rows).get(), {}), Error);
  EXPECT_THROW(read_bmp(bmp({.bits = 32, .compression = 4}, two_rows).get(), {}), Error);
  EXPECT_THROW(read_bmp(bmp({.bits = 0}, two_rows).get(), {}), Error);
  EXPECT_THROW(read_bmp(bmp({.bits = 48}, two_rows).get(), {}), Error);
  EXPECT_THROW(read_bmp(bmp({.size = 13}, two_rows).get(), {}), Error);
  EXPECT_THROW(read_bmp(bmp({.bits = 32, .compression = 3, .pixels = 66}, Bytes().zeros(12).add(two_rows)).get(), {}),
               Error)
      << "masks of zero";
}

}  // namespace
}  // namespace plainnet::detail
