#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "image/test_pictures.hpp"
#include "plainnet/core/error.hpp"
#include "plainnet/image/pnm.hpp"

namespace plainnet::detail {
namespace {

using test::Bytes;

Image read(std::string_view text) { return read_pnm(Bytes(text).get(), {}); }

TEST(Pnm, ReadsGreyAndColour) {
  EXPECT_EQ(read("P5 2 1 255 ab").pixels, (std::vector<std::uint8_t>{'a', 'a', 'a', 'b', 'b', 'b'}));
  EXPECT_EQ(read("P6 1 2 255 abcdef").pixels, (std::vector<std::uint8_t>{'a', 'b', 'c', 'd', 'e', 'f'}));
  EXPECT_EQ(read("P6 1 2 255 abcdef").height, 2);
}

TEST(Pnm, CommentsMayStandInTheHeader) {
  EXPECT_EQ(read("P5\n# by hand\n2# two\r1\n#\n255\nab").width, 2);
  EXPECT_EQ(read("P5 1 1 255\n#").pixels[0], '#') << "one white space ends the header, whatever follows";
}

TEST(Pnm, SamplesAreScaledByTheMaximum) {
  EXPECT_EQ(read(std::string_view("P5 4 1 2 \0\1\2\3", 13)).pixels,
            (std::vector<std::uint8_t>{0, 0, 0, 128, 128, 128, 255, 255, 255, 255, 255, 255}));
  EXPECT_EQ(read(std::string_view("P6 1 1 1000 \0\0\1\xf4\3\xe8", 18)).pixels,
            (std::vector<std::uint8_t>{0, 128, 255}));
}

TEST(Pnm, RefusesAFileCutOffAnywhere) {
  const Bytes file("P6 2 2 255 abcdefghijkl");
  for (std::size_t length = 2; length < file.get().size(); ++length) {
    EXPECT_THROW(read_pnm(std::span(file.get()).first(length), {}), Error) << length << " bytes";
  }
}

TEST(Pnm, RefusesNonsenseHeaders) {
  for (std::string_view text :
       {"P5 0 1 255 a", "P5 1 0 255 a", "P5 -1 1 255 a", "P5 x 1 255 a", "P5 1 1 0 a", "P5 1 1 65536 aaaa",
        "P5 1 1 255x", "P5 99999999999 1 255 a", "P6 60000 60000 255 a", "P6 16384 16384 255 a", "P5 # no end"}) {
    EXPECT_THROW(read(text), Error) << text;
  }
}

}  // namespace
}  // namespace plainnet::detail
