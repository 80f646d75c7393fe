#pragma once
// Normalisation: by statistics gathered in training, and by those of the map itself.

#include <algorithm>
#include <cmath>
#include <optional>

#include "plainnet/layers/layer.hpp"

namespace plainnet {

/// y = weight · (x − running_mean) / √(running_var + eps) + bias, per channel (arXiv 1502.03167, at inference).
template <class T>
class BatchNorm2d {
 public:
  using Scalar = T;

  Parameter<T> weight;        // (C)
  Parameter<T> bias;          // (C)
  Parameter<T> running_mean;  // (C)
  Parameter<T> running_var;   // (C)
  double eps;

  /// The identity, but for eps.
  BatchNorm2d(Index channels, double eps_)
      : weight({channels}), bias({channels}), running_mean({channels}), running_var({channels}), eps(eps_) {
    std::fill(weight.begin(), weight.end(), T{1});
    std::fill(running_var.begin(), running_var.end(), T{1});
  }

  Index channels() const { return weight.size(); }

  Shape output_shape(const Shape& in) const {
    require(in.channels == channels(), "a batch norm of ", channels(), " channels was given ", in.channels);
    return in;
  }

  /// None: published counts leave normalisation out.
  Count macs(const Shape&) const { return 0; }

  Tensor<T> forward(TensorView<const T> in) const {
    Tensor<T> out(output_shape(in.shape()));
    const auto row = [](const Parameter<T>& p) { return p.matrix().col(0).transpose().array(); };
    const auto scale = (row(weight) / (row(running_var) + static_cast<T>(eps)).sqrt()).eval();
    for (Index i = 0; i < in.matrix().rows(); ++i) {
      out.matrix().row(i) = ((in.matrix().row(i).array() - row(running_mean)) * scale + row(bias)).matrix();
    }
    return out;
  }

  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("weight", self.weight);
    visitor("bias", self.bias);
    visitor("running_mean", self.running_mean, ParameterKind::statistic);
    visitor("running_var", self.running_var, ParameterKind::statistic);
  }
};

/// What shares a mean and a variance: the channels of one pixel (layer norm, arXiv 1607.06450), or a whole image's map
/// (group norm with one group, arXiv 1803.08494).
enum class NormOver { channels, map };

/// y = (x − mean) / √(variance + eps), with the biased variance. Both are summed in double: a map has up to millions of
/// elements, more than a float counts.
template <class T>
struct Normalize {
  using Scalar = T;

  NormOver over;
  double eps;

  Shape output_shape(const Shape& in) const {
    require(in.channels > 0, "a norm was given a map without channels");
    return in;
  }

  /// None: published counts leave normalisation out.
  Count macs(const Shape&) const { return 0; }

  Tensor<T> forward(TensorView<const T> in) const {
    Tensor<T> out(output_shape(in.shape()));
    const Shape& shape = in.shape();
    const Index together = over == NormOver::channels ? 1 : shape.height * shape.width;  // pixels
    for (Index first = 0; together > 0 && first < shape.pixels(); first += together) {
      const auto x = in.matrix().middleRows(first, together).array();
      const auto& wide = x.template cast<double>();
      const double mean = wide.mean();
      const double variance = (wide - mean).square().mean();
      out.matrix().middleRows(first, together).array() =
          (x - static_cast<T>(mean)) * static_cast<T>(1.0 / std::sqrt(variance + eps));
    }
    return out;
  }

  template <class Self, class Visitor>
  static void visit(Self&, Visitor&&) {}
};

/// y = weight · normalize(x) + bias, weight and bias per channel.
template <class T>
class LayerNorm {
 public:
  using Scalar = T;

  Parameter<T> weight;               // (C)
  std::optional<Parameter<T>> bias;  // (C)
  Normalize<T> normalize;

  /// Weight 1, bias 0.
  LayerNorm(Index channels, NormOver over, double eps, bool with_bias = true)
      : weight({channels}), normalize{over, eps} {
    std::fill(weight.begin(), weight.end(), T{1});
    if (with_bias) bias = Parameter<T>({channels});
  }

  Index channels() const { return weight.size(); }

  Shape output_shape(const Shape& in) const {
    require(in.channels == channels(), "a norm of ", channels(), " channels was given ", in.channels);
    return normalize.output_shape(in);
  }
  Count macs(const Shape& in) const { return normalize.macs(in); }

  Tensor<T> forward(TensorView<const T> in) const {
    output_shape(in.shape());
    Tensor<T> out = normalize.forward(in);
    out.matrix().array().rowwise() *= weight.matrix().col(0).transpose().array();
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
