#pragma once
// PNM pictures: binary greymaps (P5, PGM) and pixmaps (P6, PPM).

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "plainnet/core/error.hpp"
#include "plainnet/core/shape.hpp"
#include "plainnet/image/byte_reader.hpp"
#include "plainnet/image/image.hpp"
#include "plainnet/image/limits.hpp"

namespace plainnet::detail {

/// The next number of a PNM header; takes the one white space that ends it as well. A comment, from # on, counts as the
/// line end that ends it.
inline std::uint32_t read_pnm_number(ByteReader& reader) {
  const auto next = [&reader] {
    char c = static_cast<char>(reader.byte());
    if (c == '#') {
      while (c != '\n' && c != '\r') c = static_cast<char>(reader.byte());
    }
    return c;
  };
  const auto is_space = [](char c) { return c == ' ' || (c >= '\t' && c <= '\r'); };

  char c = next();
  while (is_space(c)) c = next();
  std::uint32_t number = 0;
  int digits = 0;
  for (; c >= '0' && c <= '9'; c = next()) {
    require(++digits <= 9, "a number in the header has more than 9 digits");
    number = 10 * number + static_cast<std::uint32_t>(c - '0');
  }
  require(digits > 0 && is_space(c), "expected a number in the header");
  return number;
}

/// Samples above the maximum count as the maximum; others are scaled to 0 ... 255 and rounded, to even at one half.
///
/// stb_image reads these files too, but takes samples as they are: too dark for a maximum below 255, and with the bytes
/// of 16-bit samples exchanged.
inline Image read_pnm(std::span<const std::byte> file, const ImageLimits& limits) {
  ByteReader reader(file);
  reader.skip(1);
  const std::size_t channels = reader.byte() == '6' ? 3 : 1;
  const Index width = extent_from(read_pnm_number(reader));
  const Index height = extent_from(read_pnm_number(reader));
  const std::uint32_t maximum = read_pnm_number(reader);
  check_dimensions(width, height, limits);
  require(maximum > 0 && maximum < 65536, "the largest sample is said to be ", maximum, ", expected 1 to 65535");

  std::vector<std::uint8_t> scaled(maximum + 1);
  for (std::size_t i = 0; i < scaled.size(); ++i) {
    scaled[i] = static_cast<std::uint8_t>(std::nearbyint(static_cast<double>(i) / maximum * 255));
  }

  const std::size_t bytes = maximum > 255 ? 2 : 1;
  const std::size_t pixels = static_cast<std::size_t>(width * height);
  ByteReader samples(reader.take(pixels * channels * bytes));
  Image image(width, height);
  std::uint8_t* out = image.pixels.data();
  for (std::size_t i = 0; i < pixels; ++i, out += 3) {
    for (std::size_t c = 0; c < channels; ++c) out[c] = scaled[std::min(samples.big_endian(bytes), maximum)];
    if (channels == 1) out[1] = out[2] = out[0];
  }
  return image;
}

}  // namespace plainnet::detail
