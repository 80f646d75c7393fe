#pragma once
// The algebra of folding, on matrices and vectors alone, in double precision.

#include <algorithm>

#include "plainnet/core/tensor.hpp"
#include "plainnet/kernels/matmul.hpp"

namespace plainnet {

using Vector = Eigen::VectorXd;

/// y = scale · x + shift, channel by channel.
struct ChannelAffine {
  Vector scale;
  Vector shift;

  static ChannelAffine identity(Index channels) { return {Vector::Ones(channels), Vector::Zero(channels)}; }

  bool has_channels(Index channels) const { return scale.size() == channels && shift.size() == channels; }
};

/// γ · (x − μ) / √(σ² + ε) + β = s·x + t  ⇒  s = γ / √(σ² + ε), t = β − s·μ
inline ChannelAffine batch_norm_affine(const Vector& gamma, const Vector& beta, const Vector& mean,
                                       const Vector& variance, double eps) {
  const Index channels = gamma.size();
  require(beta.size() == channels && mean.size() == channels && variance.size() == channels,
          "a batch norm needs as many numbers of each kind; found ", channels, " scales, ", beta.size(), " shifts, ",
          mean.size(), " means and ", variance.size(), " variances");
  const Vector scale = (gamma.array() / (variance.array() + eps).sqrt()).matrix();
  return {scale, beta - scale.cwiseProduct(mean)};
}

/// s · (W x + b) + t = (s·W) x + (s·b + t). Exact for any convolution, padded too: what is scaled is its output.
template <class T>
void scale_outputs(const ChannelAffine& affine, MatrixMap<const T> weight, const Vector& bias, MatrixMap<T> out_weight,
                   MatrixMap<T> out_bias) {
  require(affine.has_channels(weight.rows()) && bias.size() == weight.rows(), weight.rows(),
          " outputs, but a scale of ", affine.scale.size(), " and a bias of ", bias.size());
  for (Index o = 0; o < weight.rows(); ++o) {
    out_weight.row(o) = (affine.scale[o] * weight.row(o).template cast<double>()).template cast<T>();
  }
  out_bias.col(0) = (affine.scale.cwiseProduct(bias) + affine.shift).template cast<T>();
}

namespace detail {

/// Rows of diag(row_scale) · W · diag(column_scale), converted to double while they are packed.
template <class T>
struct ScaledRows {
  MatrixMap<const T> weight;
  const Vector& row_scale;
  const Vector& column_scale;

  void pack(Index first, Index count, Index height, double* packed) const {
    for (Index k = 0; k < weight.cols(); ++k) {
      for (Index r = 0; r < height; ++r) {
        packed[k * height + r] =
            r < count ? row_scale[first + r] * static_cast<double>(weight(first + r, k)) * column_scale[k] : 0.0;
      }
    }
  }
};

}  // namespace detail

/// Two linear maps, each followed by an affine map of its channels, as one:
///
///   s₂·(W₂·(s₁·(W₁ x + b₁) + t₁) + b₂) + t₂ = W x + b
///   W = diag(s₂)·W₂·diag(s₁)·W₁,   b = s₂·(W₂·(s₁·b₁ + t₁) + b₂) + t₂
///
/// Exact where W₁ is a k×k convolution, padded too, and W₂ is 1×1. (A padded k×k after a 1×1 would not be: at the
/// border it sees zeros in place of b₁.) The result is computed some columns at a time, so that double copies stay
/// small beside the weights.
template <class T>
void compose(MatrixMap<const T> weight2, const Vector& bias2, const ChannelAffine& affine2, MatrixMap<const T> weight1,
             const Vector& bias1, const ChannelAffine& affine1, MatrixMap<T> out_weight, MatrixMap<T> out_bias,
             ThreadPool& pool) {
  require(affine1.has_channels(weight1.rows()) && bias1.size() == weight1.rows(), weight1.rows(),
          " inner channels, but a scale of ", affine1.scale.size(), " and a bias of ", bias1.size());
  require(affine2.has_channels(weight2.rows()) && bias2.size() == weight2.rows(), weight2.rows(),
          " outputs, but a scale of ", affine2.scale.size(), " and a bias of ", bias2.size());
  require(weight2.cols() == weight1.rows(), "the second map takes ", weight2.cols(), " channels, the first gives ",
          weight1.rows());
  const Vector inner = affine1.scale.cwiseProduct(bias1) + affine1.shift;
  for (Index o = 0; o < weight2.rows(); ++o) {
    const double sum = weight2.row(o).template cast<double>().dot(inner.transpose());
    out_bias(o, 0) = static_cast<T>(affine2.scale[o] * (sum + bias2[o]) + affine2.shift[o]);
  }
  constexpr Index columns_at_once = 512;
  const detail::ScaledRows<T> rows{weight2, affine2.scale, affine1.scale};
  AlignedVector<double> scratch(
      static_cast<std::size_t>(kernels::matmul_scratch<double>(weight1.rows()) * pool.size()));
  for (Index first = 0; first < weight1.cols(); first += columns_at_once) {
    const Index count = std::min(columns_at_once, weight1.cols() - first);
    const kernels::StridedMatrix<T> part{weight1.data() + first, weight1.rows(), count, weight1.cols(), 1};
    const auto packed = kernels::pack_matrix<double, T>(part, nullptr, best_isa());
    RowMajorMatrix<double> product(weight2.rows(), count);
    kernels::multiply<double>(rows, weight2.rows(), packed, nullptr, product.data(), count, scratch.data(), pool);
    out_weight.middleCols(first, count) = product.template cast<T>();
  }
}

}  // namespace plainnet
