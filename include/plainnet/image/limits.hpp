#pragma once
// How large a picture file may be, checked before memory is asked for.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>

#include "plainnet/core/error.hpp"
#include "plainnet/core/shape.hpp"

namespace plainnet {

/// A few bytes can claim to be a picture of gigabytes; these limits are checked against its header. They can be lowered
/// or raised, but never above 65535 pixels a side, 2^28 pixels and 2^31 - 1 bytes, which the decoder relies on.
struct ImageLimits {
  std::size_t max_bytes = std::size_t{256} << 20;  ///< of the file
  Index max_dimension = 16384;                     ///< width or height
  Index max_pixels = Index{64} << 20;              ///< width · height
};

namespace detail {

inline void check_file_size(std::uintmax_t bytes, const ImageLimits& limits, std::string_view name) {
  const std::uintmax_t most = std::min<std::uintmax_t>(limits.max_bytes, 0x7fffffff);
  require(bytes <= most, name, ": has ", bytes, " bytes; at most ", most, " are read (ImageLimits::max_bytes)");
}

/// Width or height as a header says it; on a 32-bit machine, what no Index can hold becomes the largest, far beyond
/// every limit.
inline Index extent_from(std::int64_t number) {
  return static_cast<Index>(std::min<std::int64_t>(number, std::numeric_limits<Index>::max()));
}

inline void check_dimensions(Index width, Index height, const ImageLimits& limits) {
  require(width > 0 && height > 0, "the header says ", width, " x ", height, " pixels; the file is damaged");
  const Index side = std::min<Index>(limits.max_dimension, 65535);
  const Index pixels = std::min<Index>(limits.max_pixels, Index{1} << 28);
  require(width <= side && height <= side && width <= pixels / height, "the header says ", width, " x ", height,
          " pixels; at most ", side, " a side and ", pixels, " in all are decoded (ImageLimits)");
}

}  // namespace detail
}  // namespace plainnet
