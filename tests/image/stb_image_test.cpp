// A program may use a stb_image of its own, even in the same source file, before and after the one of this library.

#include <cstddef>
#include <cstring>
#include <string_view>

#include <gtest/gtest.h>

// clang-format off
#define STB_IMAGE_STATIC
#include <stb/stb_image.h>

#include "plainnet/io/image.hpp"

#define STB_IMAGE_IMPLEMENTATION
#include <stb/stb_image.h>
// clang-format on

#include "plainnet/image/image.hpp"
#include "support/data.hpp"

namespace plainnet {
namespace {

TEST(StbImage, TheUsersOwnKeepsItsFormats) {
  constexpr std::string_view gif("GIF89a\1\0\2\0\x80\0\0\0\0\0\xff\xff\xff", 19);
  int width = 0, height = 0, channels = 0;
  EXPECT_EQ(stbi_info_from_memory(reinterpret_cast<const stbi_uc*>(gif.data()), static_cast<int>(gif.size()), &width,
                                  &height, &channels),
            1);
  EXPECT_EQ(height, 2);
}

TEST(StbImage, SettingsOfTheUsersOwnDoNotReachThisOne) {
  const MappedFile file = read_whole_file(test::data("preprocess/tiny.png"));
  const Image upright = decode_image(file.bytes());

  stbi_set_flip_vertically_on_load(1);
  int width = 0, height = 0, channels = 0;
  stbi_uc* pixels = stbi_load_from_memory(reinterpret_cast<const stbi_uc*>(file.bytes().data()),
                                          static_cast<int>(file.bytes().size()), &width, &height, &channels, 3);
  ASSERT_NE(pixels, nullptr);
  EXPECT_EQ(std::memcmp(pixels, upright.row(upright.height - 1), static_cast<std::size_t>(3 * upright.width)), 0);
  stbi_image_free(pixels);

  EXPECT_EQ(decode_image(file.bytes()), upright);
  stbi_set_flip_vertically_on_load(0);
}

}  // namespace
}  // namespace plainnet
