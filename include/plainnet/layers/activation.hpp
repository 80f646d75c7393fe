#pragma once
// Activations, and the layer that does nothing.

#include <algorithm>
#include <cmath>
#include <numbers>

#include "plainnet/layers/layer.hpp"

namespace plainnet {

/// A layer that keeps the shape, given element by element: y = Derived(x). Without parameters unless Derived has some.
template <class T, class Derived>
struct ElementwiseLayer {
  using Scalar = T;

  Shape output_shape(const Shape& in) const { return in; }
  Count macs(const Shape&) const { return 0; }

  Tensor<T> forward(TensorView<const T> in) const {
    Tensor<T> out(in.shape());
    std::transform(in.data(), in.data() + in.shape().elements(), out.data(), static_cast<const Derived&>(*this));
    return out;
  }

  template <class Self, class Visitor>
  static void visit(Self&, Visitor&&) {}
};

/// y = x; stands where training had a layer that inference has not, for instance dropout.
template <class T>
struct Identity : ElementwiseLayer<T, Identity<T>> {
  static constexpr bool is_channelwise = true;  // as a token mixer, see TokenMixer
  T operator()(T x) const { return x; }
};

/// y = max(x, 0). NaN stays NaN.
template <class T>
struct Relu : ElementwiseLayer<T, Relu<T>> {
  T operator()(T x) const { return x < 0 ? T{0} : x; }
};

/// y = x for x ≥ 0, slope · x below. The activation that deep training anneals (arXiv 2305.12972, equation 1):
/// (1 − λ)·ReLU(x) + λ·x has slope λ, which goes from 0 to 1 over the epochs; at 1 it is the identity.
template <class T>
struct LeakyRelu : ElementwiseLayer<T, LeakyRelu<T>> {
  double slope;

  explicit LeakyRelu(double slope_) : slope(slope_) {}

  bool is_identity() const { return slope == 1.0; }

  T operator()(T x) const { return x < 0 ? static_cast<T>(slope) * x : x; }
};

/// y = x · Φ(x) = x/2 · (1 + erf(x/√2)), the exact form (arXiv 1606.08415), not the approximation by tanh.
template <class T>
struct Gelu : ElementwiseLayer<T, Gelu<T>> {
  T operator()(T x) const {
    return static_cast<T>(0.5) * x * (T{1} + std::erf(x * static_cast<T>(std::numbers::sqrt2 / 2)));
  }
};

/// y = x · σ(x) = x / (1 + e^-x) (arXiv 1606.08415, section 5), also called swish.
template <class T>
struct Silu : ElementwiseLayer<T, Silu<T>> {
  T operator()(T x) const { return x / (T{1} + std::exp(-x)); }
};

/// y = max(x, 0)² (arXiv 2109.08668). NaN stays NaN.
template <class T>
struct SquaredRelu : ElementwiseLayer<T, SquaredRelu<T>> {
  T operator()(T x) const { return x < 0 ? T{0} : x * x; }
};

/// y = scale · max(x, 0)² + bias, both learned numbers (arXiv 2210.13452, equation 5).
template <class T>
struct StarRelu : ElementwiseLayer<T, StarRelu<T>> {
  Parameter<T> scale{{1}};
  Parameter<T> bias{{1}};

  T operator()(T x) const { return scale[0] * SquaredRelu<T>{}(x) + bias[0]; }

  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("scale", self.scale);
    visitor("bias", self.bias);
  }
};

}  // namespace plainnet
