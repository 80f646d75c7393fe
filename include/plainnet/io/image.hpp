#pragma once
// From a picture file to pixels: JPEG, PNG, BMP, PGM and PPM. Needs stb_image; not part of plainnet.hpp.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

#include "plainnet/core/error.hpp"
#include "plainnet/core/shape.hpp"
#include "plainnet/image/bmp.hpp"
#include "plainnet/image/image.hpp"
#include "plainnet/image/jpeg.hpp"
#include "plainnet/image/limits.hpp"
#include "plainnet/image/png.hpp"
#include "plainnet/image/pnm.hpp"
#include "plainnet/image/stb_image.hpp"
#include "plainnet/io/mapped_file.hpp"

namespace plainnet {
namespace detail {

struct StbFree {
  void operator()(void* samples) const { stb::stbi_image_free(samples); }
};
template <class Sample>
using StbPointer = std::unique_ptr<Sample[], StbFree>;

/// Runs one of stb_image's functions on a JPEG or PNG file whose structure is checked; width and height are those of
/// its header. Returns (height, width, 3).
template <class Sample>
StbPointer<Sample> run_stb(Sample* (*load)(const stb::stbi_uc*, int, int*, int*, int*, int),
                           std::span<const std::byte> file, Index width, Index height) {
  // The largest need is that of an interlaced PNG with 4 samples of 16 bits: its 8 bytes a pixel are unpacked into a
  // buffer that may double. JPEG pads both sides to multiples of 32, which counts for small and for thin pictures.
  stb_memory_limit = (std::size_t{4} << 20) + static_cast<std::size_t>(width * height) * 24 + 2 * file.size();
  stb::stbi__g_failure_reason = "damaged";
  int found_width = 0, found_height = 0, found_channels = 0;
  StbPointer<Sample> samples(load(reinterpret_cast<const stb::stbi_uc*>(file.data()), static_cast<int>(file.size()),
                                  &found_width, &found_height, &found_channels, 3));
  if (samples == nullptr) {
    // Not every failure has a reason; before a JPEG file, stb_image failed to find PNG in it.
    const std::string_view reason = stb::stbi__g_failure_reason;
    fail("the decoder says \"", reason == "bad png sig" ? "damaged" : reason, "\"");
  }
  require(found_width == width && found_height == height, "its header contradicts itself");
  return samples;
}

inline Image decode_with_stb(std::span<const std::byte> file, Index width, Index height, int bits) {
  const std::size_t bytes = static_cast<std::size_t>(width * height) * 3;
  if (bits <= 8) {
    const auto samples = run_stb(stb::stbi_load_from_memory, file, width, height);
    return {width, height, {samples.get(), samples.get() + bytes}};
  }
  // To 8 bits here, for stb_image's conversion had faults until 2023.
  const auto samples = run_stb(stb::stbi_load_16_from_memory, file, width, height);
  Image image(width, height);
  std::transform(samples.get(), samples.get() + bytes, image.pixels.begin(),
                 [](std::uint16_t sample) { return static_cast<std::uint8_t>(sample >> 8); });
  return image;
}

inline Image decode_png(std::span<const std::byte> file, const ImageLimits& limits) {
  const PngStructure png = read_png_structure(file);
  check_dimensions(png.width, png.height, limits);
  if (png.palette_colors == 0 || png.palette_colors == 256)
    return decode_with_stb(file, png.width, png.height, png.bits);
  return decode_with_stb(fill_png_palette(file, png), png.width, png.height, png.bits);
}

inline Image decode_jpeg(std::span<const std::byte> file, const ImageLimits& limits) {
  const JpegStructure jpeg = read_jpeg_structure(file);
  check_dimensions(jpeg.width, jpeg.height, limits);
  return decode_with_stb(file, jpeg.width, jpeg.height, 8);
}

struct PictureFormat {
  std::string_view name;
  std::size_t offset;  ///< in the file, of the bytes that tell it
  std::string_view magic;
  Image (*decode)(std::span<const std::byte>, const ImageLimits&) = nullptr;  ///< none: not supported
};

inline constexpr PictureFormat picture_formats[] = {
    {"JPEG", 0, "\xff\xd8\xff", decode_jpeg},
    {"PNG", 0, "\x89PNG\r\n\x1a\n", decode_png},
    {"BMP", 0, "BM", read_bmp},
    {"PGM", 0, "P5", read_pnm},
    {"PPM", 0, "P6", read_pnm},
    {"text-form PGM", 0, "P2"},
    {"text-form PPM", 0, "P3"},
    {"PBM", 0, "P1"},
    {"PBM", 0, "P4"},
    {"GIF", 0, "GIF8"},
    {"WebP", 8, "WEBP"},
    {"HEIC, AVIF or video", 4, "ftyp"},
    {"TIFF", 0, {"II*\0", 4}},
    {"TIFF", 0, {"MM\0*", 4}},
    {"Photoshop", 0, "8BPS"},
    {"Radiance HDR", 0, "#?RADIANCE"},
    {"JPEG XL", 0, "\xff\x0a"},
    {"PDF", 0, "%PDF"},
    {"SVG, XML or HTML", 0, "<"},
};

inline const PictureFormat* find_picture_format(std::span<const std::byte> file) {
  const auto matches = [&](const PictureFormat& format) {
    return file.size() >= format.offset + format.magic.size() &&
           std::memcmp(file.data() + format.offset, format.magic.data(), format.magic.size()) == 0;
  };
  const auto* const found = std::find_if(std::begin(picture_formats), std::end(picture_formats), matches);
  return found == std::end(picture_formats) ? nullptr : found;
}

/// What a file of unknown format is: text, or its first bytes.
inline std::string describe_file(std::span<const std::byte> file) {
  const auto is_text = [](std::byte b) {
    return b >= std::byte{' '} || (b >= std::byte{'\t'} && b <= std::byte{'\r'});
  };
  const auto start = file.first(std::min<std::size_t>(file.size(), 64));
  if (std::all_of(start.begin(), start.end(), is_text)) return "text";
  std::string description = "a file that begins with the bytes";
  for (std::byte b : file.first(std::min<std::size_t>(file.size(), 4))) {
    constexpr std::string_view digits = "0123456789abcdef";
    description +=
        {' ', digits[std::to_integer<std::size_t>(b >> 4)], digits[std::to_integer<std::size_t>(b & std::byte{15})]};
  }
  return description;
}

}  // namespace detail

/// The picture in a file that lies in memory; `name` is what errors call it.
///
/// Grey becomes RGB, alpha is dropped and not blended, of 16-bit PNG samples the high byte is kept, the orientation
/// that a camera notes and colour profiles are ignored. That is what Pillow's convert("RGB") does, but for PNG pictures
/// of 16-bit grey, which Pillow 9.4 clips to 255. Lossless pictures are equal to Pillow's to the byte; JPEG, whose
/// decoders are free to differ, mostly to a level or two.
///
/// Error if it is not a picture of these formats, exceeds a limit, is cut off or is damaged in a way that shows. Any
/// number of threads may decode at once.
inline Image decode_image(std::span<const std::byte> file, const ImageLimits& limits = {},
                          std::string_view name = "image") {
  require(!file.empty(), name, ": is empty; expected a picture");
  detail::check_file_size(file.size(), limits, name);
  const detail::PictureFormat* const format = detail::find_picture_format(file);
  if (format == nullptr)
    fail(name, ": expected a JPEG, PNG, BMP, PGM or PPM picture, found ", detail::describe_file(file));
  require(format->decode != nullptr, name, ": is a ", format->name,
          " file; only JPEG, PNG, BMP and binary PGM and PPM pictures can be read");
  try {
    return format->decode(file, limits);
  } catch (const Error& error) {
    fail(name, ": cannot read this ", format->name, " picture: ", error.what());
  }
}

/// The picture in a file, see decode_image. Error also if there is no such file or it cannot be read.
inline Image load_image(const std::filesystem::path& path, const ImageLimits& limits = {}) {
  const std::string name = path.string();
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  if (!error) detail::check_file_size(size, limits, name);
  // Not mapped: should somebody shorten a mapped file meanwhile, the system would end the program.
  return decode_image(read_whole_file(path).bytes(), limits, name);
}

}  // namespace plainnet
