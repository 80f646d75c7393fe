#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "image/test_pictures.hpp"
#include "io/error_message.hpp"
#include "io/temporary_folder.hpp"
#include "plainnet/core/error.hpp"
#include "plainnet/image/preprocess.hpp"
#include "plainnet/image/resize.hpp"
#include "plainnet/io/image.hpp"
#include "support/data.hpp"

namespace plainnet {
namespace {

using test::Bytes;
using test::error_of;

nlohmann::json read_json(std::string_view name) { return nlohmann::json::parse(std::ifstream(test::data(name))); }

std::vector<std::byte> read_bytes(std::string_view name) {
  const MappedFile file = read_whole_file(test::data(name));
  return {file.bytes().begin(), file.bytes().end()};
}

bool is_jpeg(std::string_view name) { return name.ends_with(".jpg"); }

double mean_difference(const Image& a, const Image& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.pixels.size(); ++i) sum += std::abs(a.pixels[i] - b.pixels[i]);
  return sum / static_cast<double>(a.pixels.size());
}

testing::AssertionResult contains(const std::string& text, std::string_view part) {
  if (text.find(part) != std::string::npos) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "\"" << text << "\" lacks \"" << part << "\"";
}

/// FNV-1a, 64 bits.
std::uint64_t hash(std::span<const std::uint8_t> bytes) {
  std::uint64_t value = 0xcbf29ce484222325;
  for (std::uint8_t byte : bytes) value = (value ^ byte) * 0x100000001b3;
  return value;
}

// preprocess/expected.json is what timm's evaluation transform makes of the pictures, on Pillow.
TEST(EvaluationTransform, AgreesWithTheReference) {
  const nlohmann::json expected = read_json("preprocess/expected.json");
  int lossless = 0;
  for (const nlohmann::json& item : expected.at("cases")) {
    const std::string file = item.at("file");
    const Preprocessing preprocessing{.size = item.at("size"),
                                      .crop = item.at("crop_pct"),
                                      .mode = item.at("crop_mode") == "squash" ? CropMode::squash : CropMode::center};
    SCOPED_TRACE(file + ", size " + std::to_string(preprocessing.size) + ", crop " +
                 std::to_string(preprocessing.crop));
    const Image decoded = load_image(test::data("preprocess") / file);
    ASSERT_EQ(decoded.width, item.at("decoded")[0]);
    ASSERT_EQ(decoded.height, item.at("decoded")[1]);

    const Image image = resize_and_crop(decoded, preprocessing);
    ASSERT_EQ(image.width, preprocessing.size);
    ASSERT_EQ(image.height, preprocessing.size);
    std::int64_t sums[3] = {0, 0, 0};
    for (std::size_t i = 0; i < image.pixels.size(); ++i) sums[i % 3] += image.pixels[i];

    if (is_jpeg(file)) {  // decoders are free to differ a little
      for (std::size_t c = 0; c < 3; ++c) {
        EXPECT_LT(std::abs(sums[c] - item.at("sum")[c].get<std::int64_t>()), image.width * image.height / 10);
      }
      double difference = 0;
      for (const nlohmann::json& sample : item.at("pixels_hwc")) {
        difference += std::abs(image.pixels.at(sample[0]) - sample[1].get<int>());
      }
      EXPECT_LT(difference / static_cast<double>(item.at("pixels_hwc").size()), 1.0);
      continue;
    }

    ++lossless;
    EXPECT_EQ(hash(image.pixels), std::stoull(item.at("fnv1a64_hwc").get<std::string>(), nullptr, 16));
    for (std::size_t c = 0; c < 3; ++c) EXPECT_EQ(sums[c], item.at("sum")[c]);
    for (const nlohmann::json& sample : item.at("pixels_hwc")) EXPECT_EQ(image.pixels.at(sample[0]), sample[1]);

    const Tensor<float> normalized = preprocess(decoded, preprocessing);
    for (const nlohmann::json& sample : item.at("normalised_chw")) {
      const Index index = sample[0];
      const Index area = image.width * image.height;
      const Index c = index / area, y = index % area / image.width, x = index % image.width;
      EXPECT_EQ(normalized(0, y, x, c), sample[1].get<float>()) << "channel " << c << " of " << x << ", " << y;
    }
  }
  EXPECT_EQ(lossless, 30);
}

// preprocess/decoded.json is what Pillow finds in pictures of many kinds; make_decoded.py made both.
TEST(DecodeImage, AgreesWithPillow) {
  const nlohmann::json expected = read_json("preprocess/decoded.json");
  ASSERT_EQ(expected.size(), 64u);
  for (const nlohmann::json& item : expected) {
    const std::string file = item.at("file");
    SCOPED_TRACE(file);
    const Image image = load_image(test::data("preprocess/decoded") / file);
    Image pillow(item.at("width"), item.at("height"));
    const std::string rgb = item.at("rgb");
    ASSERT_EQ(rgb.size(), 2 * pillow.pixels.size());
    for (std::size_t i = 0; i < pillow.pixels.size(); ++i) {
      pillow.pixels[i] = static_cast<std::uint8_t>(std::stoi(rgb.substr(2 * i, 2), nullptr, 16));
    }
    ASSERT_EQ(image.width, pillow.width);
    ASSERT_EQ(image.height, pillow.height);
    if (is_jpeg(file)) {
      EXPECT_LT(mean_difference(image, pillow), 1.0);
    } else {
      EXPECT_EQ(image, pillow);
    }
  }
}

TEST(DecodeImage, ManyThreadsMayDecodeAtOnce) {
  const std::vector<std::byte> small = read_bytes("preprocess/tiny.png");
  const std::vector<std::byte> large = read_bytes("preprocess/photo_progressive.jpg");
  const Image small_image = decode_image(small), large_image = decode_image(large);
  std::vector<std::thread> threads;
  std::vector<int> wrong(4, 0);
  for (int& count : wrong) {
    threads.emplace_back([&] {
      for (int i = 0; i < 10; ++i) count += decode_image(small) != small_image || decode_image(large) != large_image;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(4, 0));
}

// Every beginning of a file is refused: what is missing at its end would be invented pixels.
TEST(DecodeImage, RefusesAFileCutOffAnywhere) {
  for (std::string_view name :
       {"tiny.png", "decoded/rgba_16_interlaced.png", "decoded/420.jpg", "decoded/444_progressive.jpg",
        "decoded/restart.jpg", "decoded/os2_4.bmp", "decoded/24.bmp", "decoded/maximum_255.ppm"}) {
    const std::vector<std::byte> file = read_bytes("preprocess/" + std::string(name));
    const std::size_t padding = name == "decoded/24.bmp" ? 3 : 0;  // of the last row, which is not needed
    for (std::size_t length = 0; length < file.size() - padding; ++length) {
      EXPECT_THROW(decode_image(std::span(file).first(length)), Error) << name << ", " << length << " bytes";
    }
  }
}

TEST(DecodeImage, SurvivesDamage) {
  std::mt19937 random(1);
  int images = 0;
  for (const nlohmann::json& item : read_json("preprocess/decoded.json")) {
    const std::vector<std::byte> good = read_bytes("preprocess/decoded/" + item.at("file").get<std::string>());
    for (int round = 0; round < 40; ++round) {
      std::vector<std::byte> bad = good;
      for (std::size_t flips = 1 + random() % 3; flips > 0; --flips) {
        bad[random() % bad.size()] ^= static_cast<std::byte>(1u << random() % 8);
      }
      try {
        decode_image(bad, {.max_pixels = 1 << 20}).check();
        ++images;
      } catch (const Error&) {
      }
    }
  }
  EXPECT_GT(images, 100) << "the test should get past the first bytes";
}

TEST(DecodeImage, SaysWhatIsWrong) {
  const auto error = [](const Bytes& file) { return error_of([&] { decode_image(file.get(), {}, "cat.jpg"); }); };
  EXPECT_EQ(error(Bytes()), "cat.jpg: is empty; expected a picture");
  EXPECT_EQ(error(Bytes("hello\n")), "cat.jpg: expected a JPEG, PNG, BMP, PGM or PPM picture, found text");
  EXPECT_EQ(
      error(Bytes().big_endian(0x01fe0a00, 4)),
      "cat.jpg: expected a JPEG, PNG, BMP, PGM or PPM picture, found a file that begins with the bytes 01 fe 0a 00");
  EXPECT_EQ(error(Bytes("\x89PNG\r\n\x1a\n")),
            "cat.jpg: cannot read this PNG picture: the file ends too early, after 8 bytes; was a download or a copy "
            "cut off?");
  EXPECT_EQ(error(Bytes("P6 60000 60000 255 ")),
            "cat.jpg: cannot read this PPM picture: the header says 60000 x 60000 pixels; at most 16384 a side and "
            "67108864 in all are decoded (ImageLimits)");
}

TEST(DecodeImage, NamesFormatsThatItDoesNotRead) {
  const auto error = [](const Bytes& file) { return error_of([&] { decode_image(file.get()); }); };
  EXPECT_TRUE(contains(error(Bytes("GIF89a......")), "GIF"));
  EXPECT_TRUE(contains(error(Bytes("RIFF....WEBPVP8 ")), "WebP"));
  EXPECT_TRUE(contains(error(Bytes().big_endian(28, 4).add("ftypheic")), "HEIC"));
  EXPECT_TRUE(contains(error(Bytes("8BPS........")), "Photoshop"));
  EXPECT_TRUE(contains(error(Bytes("#?RADIANCE\n")), "HDR"));
  EXPECT_TRUE(contains(error(Bytes("<!DOCTYPE html>")), "HTML"));
  EXPECT_TRUE(contains(error(Bytes("P3 1 1 255 1 2 3")), "text-form PPM"));
  // A TGA file has no magic number: uncompressed, 1 x 1 pixel of 24 bits.
  EXPECT_NE(error(Bytes().zeros(2).add("\2").zeros(9).add(std::string_view("\1\0\1\0\x18\0abc", 9))), "");
}

/// A PNG of one colour, its header and structure right, with this in place of its compressed pixels.
Bytes png_of(std::uint32_t width, std::uint32_t height, const Bytes& compressed) {
  const auto chunk = [](const Bytes& content) {
    return Bytes()
        .big_endian(static_cast<std::uint32_t>(content.get().size() - 4), 4)
        .add(content)
        .big_endian(detail::png_checksum(content.get()), 4);
  };
  return Bytes("\x89PNG\r\n\x1a\n")
      .add(chunk(Bytes("IHDR").big_endian(width, 4).big_endian(height, 4).big_endian(0x08020000, 4).zeros(1)))
      .add(chunk(Bytes("IDAT").add(compressed)))
      .add(chunk(Bytes("IEND")));
}

TEST(DecodeImage, RefusesAbsurdSizesBeforeItAsksForMemory) {
  for (const std::uint32_t size : {0u, 16384u, 60000u, 0x7fffffffu, 0xffffffffu}) {
    EXPECT_TRUE(contains(error_of([&] { decode_image(png_of(size, size, Bytes("x")).get()); }), "the header says"))
        << size;
  }
  EXPECT_TRUE(contains(error_of([] { decode_image(png_of(16384, 1, Bytes("x")).get()); }), "the decoder says"));

  std::vector<std::byte> jpeg = read_bytes("preprocess/decoded/420.jpg");
  const std::vector<std::byte> frame = Bytes("\xff\xc0").get();
  const auto size = std::search(jpeg.begin(), jpeg.end(), frame.begin(), frame.end()) + 5;
  std::fill_n(size, 4, std::byte{0xff});
  EXPECT_TRUE(contains(error_of([&] { decode_image(jpeg); }), "the header says 65535 x 65535"));
}

TEST(DecodeImage, HoldsItsLimits) {
  const std::vector<std::byte> file = read_bytes("preprocess/tiny.png");  // 31 x 17
  EXPECT_NO_THROW(decode_image(file, {.max_bytes = file.size(), .max_dimension = 31, .max_pixels = 31 * 17}));
  EXPECT_THROW(decode_image(file, {.max_bytes = file.size() - 1}), Error);
  EXPECT_THROW(decode_image(file, {.max_dimension = 30}), Error);
  EXPECT_THROW(decode_image(file, {.max_pixels = 31 * 17 - 1}), Error);
}

/// At least so many zeros, deflated: a zero, then "the last byte, 258 times" again and again in 13 bits each.
Bytes deflated_zeros(std::size_t count) {
  Bytes compressed;
  std::uint32_t byte = 0;
  int filled = 0;
  const auto add_bits = [&](std::string_view bits) {
    for (char bit : bits) {
      byte |= static_cast<std::uint32_t>(bit - '0') << filled;
      if (++filled == 8) {
        compressed.big_endian(byte, 1);
        byte = 0;
        filled = 0;
      }
    }
  };
  compressed.big_endian(0x7801, 2);
  add_bits(
      "1"
      "10");             // the last block, with the fixed codes
  add_bits("00110000");  // zero
  for (std::size_t i = 0; i < count; i += 258)
    add_bits(
        "11000101"
        "00000");
  add_bits(
      "0000000"
      "0000000");  // end of block, and filling
  return compressed;
}

TEST(DecodeImage, StopsAFileThatUnpacksToMoreThanItsHeaderSays) {
  EXPECT_NO_THROW(decode_image(png_of(1, 1, deflated_zeros(1000)).get()));
  EXPECT_TRUE(contains(error_of([] { decode_image(png_of(1, 1, deflated_zeros(16 << 20)).get()); }), "outofmem"));
}

TEST(LoadImage, ReadsAFileThroughALink) {
  const test::TemporaryFolder folder;
  std::filesystem::create_symlink(std::filesystem::absolute(test::data("preprocess/tiny.png")), folder / "link.jpg");
  EXPECT_EQ(load_image(folder / "link.jpg"), load_image(test::data("preprocess/tiny.png")));
}

TEST(LoadImage, NamesTheFileThatItCannotRead) {
  const test::TemporaryFolder folder;
  const auto error = [](const std::filesystem::path& path, const ImageLimits& limits = {}) {
    return error_of([&] { load_image(path, limits); });
  };
  test::write_text(folder / "empty.png", "");
  test::write_text(folder / "text.png", "just text");
  for (std::string_view name : {"missing.png", "empty.png", "text.png", ""}) {
    EXPECT_TRUE(contains(error(folder / name), (folder / name).string())) << name;
  }
  EXPECT_TRUE(contains(error(folder / "missing.png"), "no such file"));
  EXPECT_TRUE(contains(error(folder / ""), "folder"));
  EXPECT_TRUE(contains(error(folder / "empty.png"), "empty"));
  EXPECT_TRUE(contains(error(folder / "text.png", {.max_bytes = 8}), "has 9 bytes; at most 8"));
  std::filesystem::create_symlink(folder / "nowhere", folder / "link.png");
  EXPECT_TRUE(contains(error(folder / "link.png"), "link.png"));
}

}  // namespace
}  // namespace plainnet
