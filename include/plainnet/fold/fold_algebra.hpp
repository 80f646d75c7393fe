#pragma once
// The algebra of folding, on matrices and vectors alone, in double precision.

#include <algorithm>
#include <cmath>
#include <type_traits>
#include <vector>

#include "plainnet/core/parameter.hpp"
#include "plainnet/core/share_out.hpp"
#include "plainnet/core/thread_pool.hpp"
#include "plainnet/kernels/scaled_product.hpp"

namespace plainnet {

/// Folding is done in double.
using Vector = std::vector<double>;

/// y = scale · x + shift, channel by channel.
struct ChannelAffine {
  Vector scale;
  Vector shift;

  static ChannelAffine identity(std::size_t channels) { return {Vector(channels, 1.0), Vector(channels, 0.0)}; }

  bool has_channels(std::size_t channels) const { return scale.size() == channels && shift.size() == channels; }
};

/// γ · (x − μ) / √(σ² + ε) + β = s·x + t  ⇒  s = γ / √(σ² + ε), t = β − s·μ
inline ChannelAffine batch_norm_affine(const Vector& gamma, const Vector& beta, const Vector& mean,
                                       const Vector& variance, double eps) {
  const std::size_t channels = gamma.size();
  require(beta.size() == channels && mean.size() == channels && variance.size() == channels,
          "a batch norm needs as many numbers of each kind; found ", channels, " scales, ", beta.size(), " shifts, ",
          mean.size(), " means and ", variance.size(), " variances");
  ChannelAffine affine;
  for (std::size_t c = 0; c < channels; ++c) {
    const double scale = gamma[c] / std::sqrt(variance[c] + eps);
    affine.scale.push_back(scale);
    affine.shift.push_back(beta[c] - scale * mean[c]);
  }
  return affine;
}

/// Scaled weight standardisation (arXiv 2101.08692, equation 2), for every output o, a row of `weight`:
///
///   W'(o) = scale(o) · (W(o) − μ(o)) / √(σ²(o) + ε)
///
/// μ and σ² are mean and biased variance of the row. In place: a large network does not fit in memory twice.
template <class T>
void standardize(Parameter<T>& weight, const Vector& scale, double eps) {
  const Index columns = weight.columns();
  require(static_cast<Index>(scale.size()) == weight.rows(), weight.rows(), " outputs, but ", scale.size(), " gains");
  T* row = weight.begin();
  for (std::size_t o = 0; o < scale.size(); ++o, row += columns) {
    double sum = 0.0, squares = 0.0;
    for (Index i = 0; i < columns; ++i) sum += static_cast<double>(row[i]);
    const double mean = sum / static_cast<double>(columns);
    for (Index i = 0; i < columns; ++i) {
      const double difference = static_cast<double>(row[i]) - mean;
      squares += difference * difference;
    }
    const double factor = scale[o] / std::sqrt(squares / static_cast<double>(columns) + eps);
    for (Index i = 0; i < columns; ++i) row[i] = static_cast<T>(factor * (static_cast<double>(row[i]) - mean));
  }
}

/// A linear map between two affine maps of its channels, as one:
///
///   s₂·(W·(s₁·x + t₁) + b) + t₂ = W' x + b'
///   W' = diag(s₂)·W·diag(s₁),   b' = s₂·(W·t₁ + b) + t₂
///
/// Exact for a linear layer and a 1×1 convolution. For any other convolution too where t₁ = 0: zero padding stays zero
/// if it is scaled, and what `after` changes is the output. (With t₁ the border would see zeros in place of it.) A
/// column of `weight` belongs to input column / taps; `out_weight` has the extents of `weight`. Without `out_bias`
/// there may be no b, t₁ or t₂.
template <class T>
void affine_around(const ChannelAffine& before, const Parameter<T>& weight, const Vector& bias,
                   const ChannelAffine& after, Parameter<T>& out_weight, std::type_identity_t<Parameter<T>>* out_bias) {
  const Index outputs = weight.rows();
  const Index inputs = static_cast<Index>(before.scale.size());
  const auto is_zero = [](const Vector& v) { return std::all_of(v.begin(), v.end(), [](double x) { return x == 0; }); };
  require(static_cast<Index>(bias.size()) == outputs && after.has_channels(bias.size()), outputs,
          " outputs, but a scale of ", after.scale.size(), " and a bias of ", bias.size());
  require(before.has_channels(before.scale.size()) && inputs > 0 && weight.columns() % inputs == 0, weight.columns(),
          " inputs, but a scale of ", inputs);
  const Index taps = weight.columns() / inputs;
  const bool has_shift = !is_zero(before.shift);
  require(taps == 1 || !has_shift, "a shift does not fold into a convolution of more than one tap");
  require(out_bias || (!has_shift && is_zero(bias) && is_zero(after.shift)), "this fold needs a bias");
  const T* in = weight.begin();
  T* out = out_weight.begin();
  for (std::size_t o = 0; o < bias.size(); ++o) {
    double sum = bias[o];
    for (std::size_t i = 0; i < before.scale.size(); ++i) {
      for (Index tap = 0; tap < taps; ++tap) {
        const auto w = static_cast<double>(*in++);
        *out++ = static_cast<T>(after.scale[o] * w * before.scale[i]);
        if (has_shift) sum += w * before.shift[i];
      }
    }
    if (out_bias) out_bias->begin()[o] = static_cast<T>(after.scale[o] * sum + after.shift[o]);
  }
}

namespace detail {

/// In eight sums, of which a processor has that many under way.
template <class T>
double dot(const T* row, const Vector& vector) {
  double sums[8] = {};
  std::size_t i = 0;
  for (; i + 8 <= vector.size(); i += 8) {
    for (std::size_t j = 0; j < 8; ++j) sums[j] += static_cast<double>(row[i + j]) * vector[i + j];
  }
  for (; i < vector.size(); ++i) sums[0] += static_cast<double>(row[i]) * vector[i];
  return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

}  // namespace detail

/// Two linear maps, each followed by an affine map of its channels, as one:
///
///   s₂·(W₂·(s₁·(W₁ x + b₁) + t₁) + b₂) + t₂ = W x + b
///   W = diag(s₂)·W₂·diag(s₁)·W₁,   b = s₂·(W₂·(s₁·b₁ + t₁) + b₂) + t₂
///
/// Exact where W₁ is a k×k convolution, padded too, and W₂ is 1×1. (A padded k×k after a 1×1 would not be: at the
/// border it sees zeros in place of b₁.)
template <class T>
void compose(const Parameter<T>& weight2, const Vector& bias2, const ChannelAffine& affine2,
             const Parameter<T>& weight1, const Vector& bias1, const ChannelAffine& affine1, Parameter<T>& out_weight,
             Parameter<T>& out_bias, ThreadPool& pool, AlignedVector<double>& workspace) {
  const std::size_t outputs = bias2.size();
  const std::size_t middle = bias1.size();
  const Index columns = weight1.columns();
  require(affine1.has_channels(middle) && weight1.rows() == static_cast<Index>(middle), weight1.rows(),
          " inner channels, but a scale of ", affine1.scale.size(), " and a bias of ", middle);
  require(affine2.has_channels(outputs) && weight2.rows() == static_cast<Index>(outputs), weight2.rows(),
          " outputs, but a scale of ", affine2.scale.size(), " and a bias of ", outputs);
  require(weight2.columns() == weight1.rows(), "the second map takes ", weight2.columns(),
          " channels, the first gives ", weight1.rows());
  Vector shift(middle);
  for (std::size_t m = 0; m < middle; ++m) shift[m] = affine1.scale[m] * bias1[m] + affine1.shift[m];
  share_out(pool, weight2.rows(), 4, [&](Range part, Index) {
    for (Index o = part.begin; o < part.end; ++o) {
      const auto at = static_cast<std::size_t>(o);
      const double sum = bias2[at] + detail::dot(weight2.data() + o * weight2.columns(), shift);
      out_bias[o] = static_cast<T>(affine2.scale[at] * sum + affine2.shift[at]);
    }
  });
  const kernels::ScaledProduct<T> product{.rows = weight2.rows(),
                                          .depth = weight1.rows(),
                                          .columns = columns,
                                          .left = weight2.data(),
                                          .right = weight1.data(),
                                          .row_scale = affine2.scale.data(),
                                          .depth_scale = affine1.scale.data(),
                                          .out = out_weight.data()};
  kernels::multiply(product, chosen_isa(), workspace, pool);
}

}  // namespace plainnet
