#pragma once
// Multilayer perceptrons: the channel mixing of MetaFormer blocks, and the head of ConvFormer and CAFormer.

#include "plainnet/layers/activation.hpp"
#include "plainnet/layers/linear.hpp"
#include "plainnet/layers/normalization.hpp"
#include "plainnet/layers/sequential.hpp"

namespace plainnet {

/// fc2(act(fc1(x))) for every pixel.
template <class T>
struct Mlp {
  using Scalar = T;
  using Activation = OneOf<Gelu<T>, StarRelu<T>>;

  Linear<T> fc1;
  Activation act;
  Linear<T> fc2;

  Shape output_shape(const Shape& in) const { return fc2.output_shape(fc1.output_shape(in)); }
  Count macs(const Shape& in) const { return fc1.macs(in) + fc2.macs(fc1.output_shape(in)); }

  Tensor<T> forward(TensorView<const T> in) const {
    Tensor<T> x = fc1.forward(in);
    x = act.forward(x);
    return fc2.forward(x);
  }

  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("fc1", self.fc1);
    visitor("act", self.act);
    visitor("fc2", self.fc2);
  }
};

/// fc2(norm(max(fc1(x), 0)²)) (arXiv 2210.13452).
template <class T>
struct MlpHead {
  using Scalar = T;

  Linear<T> fc1;
  SquaredRelu<T> act;
  LayerNorm<T> norm;
  Linear<T> fc2;

  /// Zero but for the norm's weight, which is one.
  MlpHead(Index channels, Index classes, double eps)
      : fc1(channels, 4 * channels), norm(4 * channels, NormOver::channels, eps), fc2(4 * channels, classes) {}

  Shape output_shape(const Shape& in) const { return fc2.output_shape(fc1.output_shape(in)); }
  Count macs(const Shape& in) const { return fc1.macs(in) + fc2.macs(fc1.output_shape(in)); }

  Tensor<T> forward(TensorView<const T> in) const {
    Tensor<T> x = fc1.forward(in);
    x = act.forward(x);
    x = norm.forward(x);
    return fc2.forward(x);
  }

  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("fc1", self.fc1);
    visitor("norm", self.norm);
    visitor("fc2", self.fc2);
  }
};

}  // namespace plainnet
