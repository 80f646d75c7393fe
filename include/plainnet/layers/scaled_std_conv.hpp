#pragma once
// Convolution whose weights are standardised: what NFNets are made of.

#include <cmath>

#include "plainnet/layers/convolution.hpp"

namespace plainnet {

/// Scaled weight standardisation (arXiv 2101.08692, equation 2): a convolution with, for every output channel o,
///
///   W'(o) = gain(o) · scale · (W(o) − μ(o)) / √(σ²(o) + ε)
///
/// μ and σ² are mean and (biased) variance of the `fan_in` weights of one output; scale = γ / √fan_in, where γ is the
/// gain of the activation before it, or 1 where that is applied in the activation. ε as timm adds it.
template <class T>
class ScaledStdConv2d {
 public:
  using Scalar = T;

  Parameter<T> weight;  // (O, I / groups, kh, kw)
  Parameter<T> bias;    // (O)
  Parameter<T> gain;    // (O, 1, 1, 1)
  double gamma;
  double eps;

  /// Weights and biases zero, gains one.
  ScaledStdConv2d(const Conv2dSizes& sizes, double gamma_, double eps_)
      : gamma(gamma_), eps(eps_), window_(sizes.window), groups_(sizes.groups) {
    Conv2d<T> plain(sizes);
    weight = std::move(plain.weight);
    bias = Parameter<T>({sizes.out_channels});
    gain = Parameter<T>({sizes.out_channels, 1, 1, 1});
    std::fill(gain.begin(), gain.end(), T{1});
  }

  const Window& window() const { return window_; }
  Index groups() const { return groups_; }
  Index out_channels() const { return weight.extents()[0]; }
  /// γ / √fan_in
  double scale() const { return gamma / std::sqrt(static_cast<double>(weight.columns())); }

  Shape output_shape(const Shape& in) const {
    require(in.channels == weight.extents()[1] * groups_, "a convolution of ", weight.extents()[1] * groups_,
            " channels was given ", in.channels);
    return plainnet::output_shape(in, window_, out_channels());
  }
  Count macs(const Shape& in) const { return multiply_counts(output_shape(in).pixels(), weight.size()); }

  Tensor<T> forward(TensorView<const T> in) const { return standardized().forward(in); }

  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("weight", self.weight);
    visitor("bias", self.bias);
    visitor("gain", self.gain);
  }

 private:
  Conv2d<T> standardized() const {
    Conv2d<T> conv(weight, bias, window_, groups_);
    // In double: what a mean or a variance loses is lost by all weights of an output at once, and so by every layer
    // after.
    auto rows = conv.weight.matrix();
    for (Index o = 0; o < rows.rows(); ++o) {
      const auto row = rows.row(o).template cast<double>().array().eval();
      const auto centred = (row - row.mean()).eval();
      const double factor = static_cast<double>(gain[o]) * scale() / std::sqrt(centred.square().mean() + eps);
      rows.row(o) = (factor * centred).template cast<T>().matrix();
    }
    return conv;
  }

  Window window_;
  Index groups_;
};

}  // namespace plainnet
