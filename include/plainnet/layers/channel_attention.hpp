#pragma once
// Attention over channels: each channel of an image is multiplied by a gate in 0 … 1 that depends on the means of all.

#include <cmath>

#include "plainnet/layers/activation.hpp"
#include "plainnet/layers/linear.hpp"
#include "plainnet/layers/pooling.hpp"
#include "plainnet/layers/sequential.hpp"

namespace plainnet {

namespace detail {

/// y(n, p, c) = gates(n, c) · x(n, p, c)
template <class T>
Tensor<T> gated(TensorView<const T> in, const Tensor<T>& gates) {
  Tensor<T> out(in.shape());
  const Index pixels = in.shape().height * in.shape().width;
  for (Index n = 0; n < in.shape().batch; ++n) {
    out.matrix().middleRows(n * pixels, pixels) = in.image(n).array().rowwise() * gates.matrix().row(n).array();
  }
  return out;
}

template <class T>
void apply_sigmoid(Tensor<T>& x) {
  x.matrix() = x.matrix().unaryExpr([](T value) { return T{1} / (T{1} + std::exp(-value)); });
}

}  // namespace detail

/// gates = σ(fc2(max(fc1(mean(x)), 0))), the mean over pixels (arXiv 1709.01507, equations 2 and 3).
template <class T>
struct SqueezeExcite {
  using Scalar = T;

  Linear<T> fc1;  // C to fewer
  Linear<T> fc2;  // and back

  SqueezeExcite(Index channels, Index hidden) : fc1(channels, hidden), fc2(hidden, channels) {}

  Shape output_shape(const Shape& in) const {
    fc1.output_shape(in);
    return in;
  }
  Count macs(const Shape& in) const {
    const Shape mean = GlobalAvgPool2d<T>{}.output_shape(in);
    return fc1.macs(mean) + fc2.macs(fc1.output_shape(mean));
  }

  /// (N, 1, 1, C)
  Tensor<T> gates(TensorView<const T> in) const {
    Tensor<T> x = fc1.forward(GlobalAvgPool2d<T>{}.forward(in));
    x = Relu<T>{}.forward(x);
    x = fc2.forward(x);
    detail::apply_sigmoid(x);
    return x;
  }
  Tensor<T> forward(TensorView<const T> in) const { return detail::gated(in, gates(in)); }

  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("fc1", self.fc1);
    visitor("fc2", self.fc2);
  }
};

/// gates = σ(weight ∗ mean(x)): a convolution along the channels, zeros beyond the first and the last (arXiv
/// 1910.03151, equation 6).
template <class T>
struct EfficientChannelAttention {
  using Scalar = T;

  Parameter<T> weight;  // (1, 1, k), k odd

  explicit EfficientChannelAttention(Index channels) : weight({1, 1, kernel_of(channels)}) {}

  /// k = |log₂(C) + 1| / 2, truncated, then the next odd number, at least 3 (equation 10, as timm rounds it).
  static Index kernel_of(Index channels) {
    const auto k = static_cast<Index>(std::abs(std::log2(static_cast<double>(channels)) + 1.0) / 2.0);
    return std::max<Index>(3, k % 2 == 1 ? k : k + 1);
  }

  Shape output_shape(const Shape& in) const { return in; }
  /// Not counted, as in the published counts: some 5 for each channel, a hundred-thousandth of a network's.
  Count macs(const Shape&) const { return 0; }

  /// (N, 1, 1, C)
  Tensor<T> gates(TensorView<const T> in) const {
    const Tensor<T> mean = GlobalAvgPool2d<T>{}.forward(in);
    Tensor<T> x(mean.shape());
    const Index reach = weight.size() / 2;
    for (Index n = 0; n < in.shape().batch; ++n) {
      for (Index c = 0; c < in.shape().channels; ++c) {
        for (Index k = 0; k < weight.size(); ++k) {
          const Index from = c + k - reach;
          if (from >= 0 && from < in.shape().channels) x(n, 0, 0, c) += weight[k] * mean(n, 0, 0, from);
        }
      }
    }
    detail::apply_sigmoid(x);
    return x;
  }
  Tensor<T> forward(TensorView<const T> in) const { return detail::gated(in, gates(in)); }

  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("conv.weight", self.weight);
  }
};

/// Squeeze and excite, or efficient channel attention.
template <class T>
using ChannelAttention = OneOf<SqueezeExcite<T>, EfficientChannelAttention<T>>;

/// The gates (N, 1, 1, C) of whichever it is.
template <class T>
Tensor<T> gates_of(const ChannelAttention<T>& attention, TensorView<const T> in) {
  return std::visit([&](const auto& any) { return any.gates(in); }, attention.choice());
}

}  // namespace plainnet
