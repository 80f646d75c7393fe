#pragma once
// VanillaNet's series activation, as trained and as folded.

#include "plainnet/layers/activation.hpp"
#include "plainnet/layers/normalization.hpp"

namespace plainnet {
namespace detail {

/// Checks that `weight` is (C, 1, 2n + 1, 2n + 1) and returns n.
template <class T>
Index series_reach(const Parameter<T>& weight) {
  const Extents& e = weight.extents();
  require(e.rank() == 4 && e[1] == 1 && e[2] == e[3] && e[2] % 2 == 1,
          "a series activation's weight is (C, 1, 2n + 1, 2n + 1); found ", e);
  return e[2] / 2;
}

/// Σ over the (2n + 1) × (2n + 1) neighbourhood, per channel, of weight · ReLU(x); zeros outside the map.
template <class T>
Tensor<T> sum_of_shifted_relus(TensorView<const T> in, const Parameter<T>& weight) {
  using Array = Eigen::Array<T, 1, Eigen::Dynamic>;
  const Index n = series_reach(weight);
  const Index side = 2 * n + 1;
  const Shape& shape = in.shape();
  require(shape.channels == weight.extents()[0], "a series activation of ", weight.extents()[0], " channels was given ",
          shape.channels);
  const Tensor<T> relu = Relu<T>{}.forward(in);
  Tensor<T> out(shape);
  for (Index ky = 0; ky < side; ++ky) {
    for (Index kx = 0; kx < side; ++kx) {
      Array tap(shape.channels);
      for (Index c = 0; c < shape.channels; ++c) tap[c] = weight[(c * side + ky) * side + kx];
      for (Index b = 0; b < shape.batch; ++b) {
        for (Index y = std::max<Index>(0, n - ky); y < std::min(shape.height, shape.height + n - ky); ++y) {
          for (Index x = std::max<Index>(0, n - kx); x < std::min(shape.width, shape.width + n - kx); ++x) {
            Eigen::Map<Array>(out.view().pixel(b, y, x), shape.channels) +=
                tap * Eigen::Map<const Array>(relu.view().pixel(b, y + ky - n, x + kx - n), shape.channels);
          }
        }
      }
    }
  }
  return out;
}

}  // namespace detail

/// Series-informed activation (arXiv 2305.12972, equation 5) as trained: the sum of weighted, shifted ReLUs, then a
/// batch norm in place of a bias.
template <class T>
class SeriesActivation {
 public:
  using Scalar = T;

  Parameter<T> weight;  // (C, 1, 2n + 1, 2n + 1)
  BatchNorm2d<T> bn;

  SeriesActivation(Index channels, Index n, double eps)
      : weight({channels, 1, 2 * n + 1, 2 * n + 1}), bn(channels, eps) {}

  Shape output_shape(const Shape& in) const { return bn.output_shape(in); }
  Count macs(const Shape& in) const { return multiply_counts(in.pixels(), weight.size()); }

  Tensor<T> forward(TensorView<const T> in) const { return bn.forward(detail::sum_of_shifted_relus(in, weight)); }

  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("weight", self.weight);
    visitor("bn", self.bn);
  }
};

/// The same, folded: the batch norm is in the weight and a bias.
template <class T>
class FoldedSeriesActivation {
 public:
  using Scalar = T;

  Parameter<T> weight;  // (C, 1, 2n + 1, 2n + 1)
  Parameter<T> bias;    // (C)

  FoldedSeriesActivation(Index channels, Index n) : weight({channels, 1, 2 * n + 1, 2 * n + 1}), bias({channels}) {}

  Index channels() const { return bias.size(); }
  /// The n of the (2n + 1) × (2n + 1) neighbourhood.
  Index reach() const { return detail::series_reach(weight); }

  Shape output_shape(const Shape& in) const {
    require(in.channels == channels(), "a series activation of ", channels(), " channels was given ", in.channels);
    return in;
  }
  Count macs(const Shape& in) const { return multiply_counts(in.pixels(), weight.size()); }

  Tensor<T> forward(TensorView<const T> in) const {
    Tensor<T> out = detail::sum_of_shifted_relus(in, weight);
    out.matrix().rowwise() += bias.matrix().col(0).transpose();
    return out;
  }

  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("weight", self.weight);
    visitor("bias", self.bias);
  }
};

}  // namespace plainnet
