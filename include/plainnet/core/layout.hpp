#pragma once
// Between our order of a feature map's elements, channels last, and PyTorch's, channels first.

#include <span>

#include "plainnet/core/tensor.hpp"

namespace plainnet {

/// `values` are (N, C, H, W), as many as `shape` has elements.
template <class T>
Tensor<T> from_channels_first(std::span<const T> values, const Shape& shape) {
  require(static_cast<Index>(values.size()) == shape.elements(), values.size(), " values for a map of ", shape);
  Tensor<T> map(shape);
  const T* value = values.data();
  for (Index n = 0; n < shape.batch; ++n) {
    for (Index c = 0; c < shape.channels; ++c) {
      for (Index y = 0; y < shape.height; ++y) {
        for (Index x = 0; x < shape.width; ++x) map(n, y, x, c) = *value++;
      }
    }
  }
  return map;
}

/// The values of a map in the order (N, C, H, W).
template <class T>
AlignedVector<T> to_channels_first(TensorView<const T> map) {
  const Shape& shape = map.shape();
  AlignedVector<T> values(static_cast<std::size_t>(shape.elements()));
  T* value = values.data();
  for (Index n = 0; n < shape.batch; ++n) {
    for (Index c = 0; c < shape.channels; ++c) {
      for (Index y = 0; y < shape.height; ++y) {
        for (Index x = 0; x < shape.width; ++x) *value++ = map(n, y, x, c);
      }
    }
  }
  return values;
}

}  // namespace plainnet
