#pragma once
// The image on which the readable layers check an answer.

#include <algorithm>

#include "plainnet/core/shape.hpp"

namespace plainnet::program {

/// Readable layers take the largest networks half a minute for an image of 224 pixels, and less than a second for this.
inline constexpr Index probe_side = 64;

/// One image of that side, or of the side of `full` where the network works at one size only.
template <class Network>
Shape probe_shape(const Network& network, const Shape& full) {
  const Shape small{1, std::min(full.height, probe_side), std::min(full.width, probe_side), full.channels};
  try {
    network.output_shape(small);
    return small;
  } catch (const Error&) {
    return {1, full.height, full.width, full.channels};
  }
}

}  // namespace plainnet::program
