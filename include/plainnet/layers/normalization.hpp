#pragma once
// Normalisation by statistics gathered in training.

#include <algorithm>

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
  Index macs(const Shape&) const { return 0; }

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

}  // namespace plainnet
