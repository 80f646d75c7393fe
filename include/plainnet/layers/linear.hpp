#pragma once
// Fully connected layer over the channels.

#include <optional>

#include "plainnet/layers/layer.hpp"

namespace plainnet {

/// y = weight · x + bias for the channels of every pixel.
template <class T>
class Linear {
 public:
  using Scalar = T;

  Parameter<T> weight;               // (O, I)
  std::optional<Parameter<T>> bias;  // (O)

  /// All zeros.
  Linear(Index in_channels, Index out_channels, bool with_bias = true) : weight({out_channels, in_channels}) {
    if (with_bias) bias = Parameter<T>({out_channels});
  }

  Index in_channels() const { return weight.extents()[1]; }
  Index out_channels() const { return weight.extents()[0]; }

  Shape output_shape(const Shape& in) const {
    require(in.channels == in_channels(), "a linear layer of ", in_channels(), " inputs was given ", in.channels);
    return {in.batch, in.height, in.width, out_channels()};
  }
  Count macs(const Shape& in) const { return multiply_counts(in.pixels(), weight.size()); }

  Tensor<T> forward(TensorView<const T> in) const {
    Tensor<T> out(output_shape(in.shape()));
    out.matrix().noalias() = in.matrix() * weight.matrix().transpose();
    if (bias) out.matrix().rowwise() += bias->matrix().col(0).transpose();
    return out;
  }

  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("weight", self.weight);
    if (self.bias) visitor("bias", *self.bias);
  }
};

}  // namespace plainnet
