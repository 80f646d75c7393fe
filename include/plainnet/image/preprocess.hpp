#pragma once
// The evaluation transform: resize, crop, normalise, bit for bit what timm does with Pillow.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "plainnet/core/error.hpp"
#include "plainnet/core/shape.hpp"
#include "plainnet/core/tensor.hpp"
#include "plainnet/image/image.hpp"
#include "plainnet/image/resize.hpp"

namespace plainnet {

/// What is resized to floor(size / crop) before the centre is cut out.
enum class CropMode {
  center,  ///< the shorter edge; the picture keeps its proportions
  squash,  ///< both edges; the picture becomes a square
};

inline constexpr std::array<float, 3> imagenet_mean = {0.485f, 0.456f, 0.406f};
inline constexpr std::array<float, 3> imagenet_deviation = {0.229f, 0.224f, 0.225f};

/// How a variant wants its pictures. The defaults are those of most published networks.
struct Preprocessing {
  Index size = 224;     ///< width and height of what the network sees
  double crop = 0.875;  ///< part of the resized edge that the crop keeps; above 1 the picture gets a black border
  CropMode mode = CropMode::center;
  std::array<float, 3> mean = imagenet_mean;  ///< of red, green, blue in [0, 1]
  std::array<float, 3> deviation = imagenet_deviation;

  bool operator==(const Preprocessing&) const = default;
};

/// The edge that is resized to: floor(size / crop).
inline Index resized_edge(const Preprocessing& preprocessing) {
  constexpr Index size_limit = 1 << 13, edge_limit = 1 << 15;  // far beyond any network, within any memory
  const Index size = preprocessing.size;
  const double crop = preprocessing.crop;
  require(size > 0 && size <= size_limit, "input size ", size, ": expected 1 to ", size_limit, " pixels");
  require(std::isfinite(crop) && crop > 0, "crop ", crop, ": expected a part of the edge, like 0.875");
  const double edge = std::floor(static_cast<double>(size) / crop);
  require(edge >= 1 && edge <= edge_limit, "input size ", size, " and crop ", crop, " ask for an edge of ", edge,
          " pixels: expected 1 to ", edge_limit);
  return static_cast<Index>(edge);
}

/// In pixels.
struct ImageSize {
  Index width = 0;
  Index height = 0;

  bool operator==(const ImageSize&) const = default;
};

/// The size of the whole resized picture, of which the crop is a part. The longer edge is truncated.
inline ImageSize resized_size(ImageSize original, const Preprocessing& preprocessing) {
  require(original.width > 0 && original.height > 0, "a picture without pixels cannot be resized");
  const Index edge = resized_edge(preprocessing);
  if (preprocessing.mode == CropMode::squash) return {edge, edge};
  const auto longer = [edge](Index longer_edge, Index shorter_edge) {
    return checked_multiply(edge, longer_edge) / shorter_edge;
  };
  return original.width <= original.height ? ImageSize{edge, longer(original.height, original.width)}
                                           : ImageSize{longer(original.width, original.height), edge};
}

/// Where a centre crop of `size` begins in an edge of `extent` pixels. Half a pixel goes to the even side, as Python's
/// round() does; below zero is a border, of which the smaller half comes first.
inline Index crop_offset(Index extent, Index size) {
  const Index excess = extent - size;
  if (excess < 0) return -(-excess / 2);
  const Index half = excess / 2;
  return half + (excess % 2) * (half % 2);
}

/// The picture as the network sees it, before normalisation: (size, size, 3).
///
/// Only the crop is computed: a picture of 1 × 16384 pixels, which resized as a whole would have a thousand million of
/// them, costs no more than another.
inline Image resize_and_crop(const Image& image, const Preprocessing& preprocessing) {
  const Index size = preprocessing.size;
  const ImageSize resized = resized_size({image.width, image.height}, preprocessing);
  const Index left = crop_offset(resized.width, size);
  const Index top = crop_offset(resized.height, size);
  Image part = resize(image, resized.width, resized.height,
                      {.left = std::max<Index>(left, 0),
                       .top = std::max<Index>(top, 0),
                       .width = std::min(size, resized.width),
                       .height = std::min(size, resized.height)});
  if (part.width == size && part.height == size) return part;

  Image framed(size, size);
  for (Index y = 0; y < part.height; ++y) {
    std::copy_n(part.row(y), part.width * Image::channels,
                framed.row(y + std::max<Index>(-top, 0)) + std::max<Index>(-left, 0) * Image::channels);
  }
  return framed;
}

/// (x / 255 - mean) / deviation for each pixel, in float and in this order; (1, height, width, 3).
inline Tensor<float> normalize(const Image& image, const Preprocessing& preprocessing) {
  image.check();
  std::array<std::array<float, 256>, Image::channels> value;
  for (std::size_t c = 0; c < value.size(); ++c) {
    const float deviation = preprocessing.deviation[c];
    require(std::isfinite(deviation) && deviation > 0, "deviation ", deviation, ": expected a positive number");
    for (std::size_t x = 0; x < value[c].size(); ++x) {
      value[c][x] = (static_cast<float>(x) / 255.0f - preprocessing.mean[c]) / deviation;
    }
  }

  Tensor<float> normalized({.batch = 1, .height = image.height, .width = image.width, .channels = Image::channels});
  float* out = normalized.data();
  for (std::size_t i = 0; i < image.pixels.size(); i += value.size()) {
    for (std::size_t c = 0; c < value.size(); ++c) *out++ = value[c][image.pixels[i + c]];
  }
  return normalized;
}

/// A picture made ready for a network: (1, size, size, 3).
inline Tensor<float> preprocess(const Image& image, const Preprocessing& preprocessing) {
  return normalize(resize_and_crop(image, preprocessing), preprocessing);
}

}  // namespace plainnet
