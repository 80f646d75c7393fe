#pragma once
// The algebra of folding, on matrices and vectors alone, in double precision.

#include <algorithm>
#include <cmath>
#include <type_traits>
#include <vector>

#include "plainnet/core/parameter.hpp"
#include "plainnet/kernels/matmul.hpp"

namespace plainnet {

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

/// Columns `first_column` … `first_column + depth − 1` of the rows of diag(row_scale) · W · diag(column_scale),
/// converted to double while they are packed.
template <class T>
struct ScaledRows : kernels::RowSource<double> {
  const Parameter<T>& weight;
  const Vector& row_scale;
  const Vector& column_scale;
  Index first_column = 0;
  Index depth = 0;

  ScaledRows(const Parameter<T>& weight_, const Vector& row_scale_, const Vector& column_scale_)
      : weight(weight_), row_scale(row_scale_), column_scale(column_scale_) {}

  void pack(Isa, Index first, Index count, Index height, double* packed) const override {
    constexpr Index chunk = 64;  // of a row, that stays in L1 until the rows beside it are packed
    for (Index begin = 0; begin < depth; begin += chunk) {
      const Index end = std::min(begin + chunk, depth);
      for (Index r = 0; r < height; ++r) {
        const T* row = weight.data() + (first + r) * weight.columns() + first_column;
        const double* scale = column_scale.data() + first_column;
        const double of_row = r < count ? row_scale[static_cast<std::size_t>(first + r)] : 0.0;
        for (Index k = begin; k < end; ++k) {
          packed[k * height + r] = r < count ? of_row * static_cast<double>(row[k]) * scale[k] : 0.0;
        }
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
void compose(const Parameter<T>& weight2, const Vector& bias2, const ChannelAffine& affine2,
             const Parameter<T>& weight1, const Vector& bias1, const ChannelAffine& affine1, Parameter<T>& out_weight,
             Parameter<T>& out_bias, ThreadPool& pool) {
  const std::size_t outputs = bias2.size();
  const std::size_t middle = bias1.size();
  const Index columns = weight1.columns();
  require(affine1.has_channels(middle) && weight1.rows() == static_cast<Index>(middle), weight1.rows(),
          " inner channels, but a scale of ", affine1.scale.size(), " and a bias of ", middle);
  require(affine2.has_channels(outputs) && weight2.rows() == static_cast<Index>(outputs), weight2.rows(),
          " outputs, but a scale of ", affine2.scale.size(), " and a bias of ", outputs);
  require(weight2.columns() == weight1.rows(), "the second map takes ", weight2.columns(),
          " channels, the first gives ", weight1.rows());
  const T* w2 = weight2.begin();
  for (std::size_t o = 0; o < outputs; ++o) {
    double sum = bias2[o];
    for (std::size_t m = 0; m < middle; ++m) {
      sum += static_cast<double>(*w2++) * (affine1.scale[m] * bias1[m] + affine1.shift[m]);
    }
    out_bias.begin()[o] = static_cast<T>(affine2.scale[o] * sum + affine2.shift[o]);
  }
  // 512 terms of 512 columns at a time: 2 MB of W₁ in double, which stay in the cache while all of W₂ passes. (With all
  // terms at once W₁ came from memory for every few rows of W₂, and the product ran at half the speed.)
  constexpr Index columns_at_once = 512;
  constexpr Index terms_at_once = 512;
  detail::ScaledRows<T> rows(weight2, affine2.scale, affine1.scale);
  AlignedVector<double> scratch(
      static_cast<std::size_t>(kernels::matmul_scratch<double>(std::min(terms_at_once, weight1.rows())) * pool.size()));
  const auto size = static_cast<std::size_t>(weight2.rows() * std::min(columns_at_once, columns));
  AlignedVector<double> product(size), sum(size);
  for (Index first = 0; first < columns; first += columns_at_once) {
    const Index count = std::min(columns_at_once, columns - first);
    for (Index term = 0; term < weight1.rows(); term += terms_at_once) {
      rows.first_column = term;
      rows.depth = std::min(terms_at_once, weight1.rows() - term);
      const kernels::StridedMatrix<T> part{weight1.data() + term * columns + first, rows.depth, count, columns, 1};
      const auto packed = kernels::pack_matrix<double, T>(part, nullptr, best_isa());
      const kernels::Epilogue<double> add{.residual = term == 0 ? nullptr : sum.data(), .residual_stride = count};
      kernels::multiply<double>(rows, weight2.rows(), packed, add, product.data(), count, scratch.data(), pool);
      std::swap(product, sum);
    }
    const double* from = sum.data();
    for (Index o = 0; o < weight2.rows(); ++o) {
      T* const to = out_weight.data() + o * columns + first;
      for (Index i = 0; i < count; ++i) to[i] = static_cast<T>(*from++);
    }
  }
}

}  // namespace plainnet
