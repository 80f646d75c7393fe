#pragma once
// Token mixers: what a MetaFormer block does across pixels (arXiv 2111.11418 and 2210.13452). Each is a layer that
// keeps the shape of its map.

#include <cmath>
#include <string>

#include "plainnet/layers/activation.hpp"
#include "plainnet/layers/convolution.hpp"
#include "plainnet/layers/linear.hpp"
#include "plainnet/layers/pooling.hpp"

namespace plainnet {

/// A layer that keeps the shape. What may be folded through it, it says by constants of its type:
///
///   static constexpr bool is_channelwise = true      mixer(s·x) = s·mixer(x) for any scale s per channel
///   static constexpr bool ignores_constants = true   mixer(x + t) = mixer(x) for any t per channel
template <class L, class T>
concept TokenMixer = Layer<L, T>;

namespace detail {

template <class Mixer>
constexpr bool is_channelwise() {
  if constexpr (requires { Mixer::is_channelwise; }) return Mixer::is_channelwise;
  return false;
}
template <class Mixer>
constexpr bool ignores_constants() {
  if constexpr (requires { Mixer::ignores_constants; }) return Mixer::ignores_constants;
  return false;
}

}  // namespace detail

/// y = mean of the 3×3 neighbourhood − x; at the border the mean of the pixels that there are (2111.11418, equation 4).
template <class T>
struct PoolMixer {
  using Scalar = T;
  static constexpr bool is_channelwise = true;
  static constexpr bool ignores_constants = true;

  AvgPool2d<T> pool{Window{.kernel = 3, .padding = 1}, /*count_include_pad=*/false};

  Shape output_shape(const Shape& in) const { return pool.output_shape(in); }
  Count macs(const Shape&) const { return 0; }

  Tensor<T> forward(TensorView<const T> in) const {
    Tensor<T> out = pool.forward(in);
    out.matrix() -= in.matrix();
    return out;
  }

  template <class Self, class Visitor>
  static void visit(Self&, Visitor&&) {}
};

namespace detail {

/// softmax(scale · q kᵀ) v for every head of (q, k, v), (head), (dimension) side by side.
template <class T>
Tensor<T> attend(const Tensor<T>& qkv, Index head_dim, double scale) {
  Shape shape = qkv.shape();
  shape.channels /= 3;
  Tensor<T> out(shape);
  for (Index n = 0; n < shape.batch; ++n) {
    const auto all = qkv.view().image(n);
    auto result = out.view().image(n);
    for (Index first = 0; first < shape.channels; first += head_dim) {
      const auto q = all.middleCols(first, head_dim);
      const auto k = all.middleCols(shape.channels + first, head_dim);
      const auto v = all.middleCols(2 * shape.channels + first, head_dim);
      RowMajorMatrix<T> weights = static_cast<T>(scale) * (q * k.transpose());  // (tokens, tokens)
      for (Index i = 0; i < weights.rows(); ++i) {
        weights.row(i) = (weights.row(i).array() - weights.row(i).maxCoeff()).exp().matrix();
        weights.row(i) /= weights.row(i).sum();
      }
      result.middleCols(first, head_dim).noalias() = weights * v;
    }
  }
  return out;
}

/// Both linear maps, and a product with head_dim terms for each pair of tokens, twice.
template <class T>
Count attention_macs(const Shape& in, const Linear<T>& qkv, const Linear<T>& proj) {
  const Count tokens = multiply_counts(in.height, in.width);
  const Count pairs = multiply_counts(in.batch, multiply_counts(tokens, tokens));
  const Shape between{in.batch, in.height, in.width, proj.in_channels()};
  return qkv.macs(in) + multiply_counts(2 * pairs, proj.in_channels()) + proj.macs(between);
}

}  // namespace detail

/// Multi-head self-attention (arXiv 1706.03762): softmax(scale · q kᵀ) v for each head, scale = 1/√head_dim.
template <class T>
class Attention {
 public:
  using Scalar = T;

  Linear<T> qkv;   // C → 3·heads·head_dim, in the order (q, k, v), (head), (dimension)
  Linear<T> proj;  // heads·head_dim → C
  Index head_dim;
  double scale;

  /// All zeros.
  Attention(Index channels, bool proj_bias, Index head_dim_ = 32)
      : qkv(channels, 3 * attention_channels(channels, head_dim_), /*with_bias=*/false),
        proj(attention_channels(channels, head_dim_), channels, proj_bias),
        head_dim(head_dim_),
        scale(1.0 / std::sqrt(static_cast<double>(head_dim_))) {}

  Index heads() const { return proj.in_channels() / head_dim; }

  Shape output_shape(const Shape& in) const {
    qkv.output_shape(in);
    return in;
  }

  Count macs(const Shape& in) const { return detail::attention_macs(in, qkv, proj); }

  Tensor<T> forward(TensorView<const T> in) const {
    return proj.forward(detail::attend(qkv.forward(in), head_dim, scale));
  }

  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("qkv", self.qkv);
    visitor("proj", self.proj);
  }

 private:
  /// The published codes round the number of heads down, but take one at least.
  static Index attention_channels(Index channels, Index head_dim) {
    require(channels > 0 && head_dim > 0, "attention needs channels and a head dimension; found ", channels, " and ",
            head_dim);
    return std::max<Index>(1, channels / head_dim) * head_dim;
  }
};

/// y(m) = Σ_n weight(m, n) · x(n) over the tokens, the same for every channel: the random mixing of RandFormer, whose
/// matrix stays as it was drawn, and the spatial fully connected layer of the hybrids.
template <class T>
class SpatialMixing {
 public:
  using Scalar = T;
  static constexpr bool is_channelwise = true;

  Parameter<T> weight;  // (tokens, tokens)

  /// All zeros. `name` is that of the weight in the published code: "random_matrix" or "fc.weight".
  SpatialMixing(Index tokens, std::string name) : weight({tokens, tokens}), name_(std::move(name)) {}

  Index tokens() const { return weight.extents()[0]; }

  Shape output_shape(const Shape& in) const {
    require(in.height * in.width == tokens(), "a mixing of ", tokens(), " tokens was given a map of ", in.height, "x",
            in.width, ": this network works at one size of image only");
    return in;
  }
  Count macs(const Shape& in) const { return multiply_counts(in.elements(), tokens()); }

  Tensor<T> forward(TensorView<const T> in) const {
    Tensor<T> out(output_shape(in.shape()));
    for (Index n = 0; n < in.shape().batch; ++n) {
      out.view().image(n).noalias() = weight.matrix() * in.image(n);
    }
    return out;
  }

  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor(self.name_, self.weight);
  }

 private:
  std::string name_;
};

/// Inverted separable convolution: 1×1 to twice the channels, StarReLU, depthwise 7×7, 1×1 back (2210.13452, section
/// 3).
template <class T>
struct SepConv {
  using Scalar = T;

  Linear<T> pwconv1;
  StarRelu<T> act1;
  Conv2d<T> dwconv;
  Linear<T> pwconv2;

  /// All zeros.
  explicit SepConv(Index channels)
      : pwconv1(channels, 2 * channels, /*with_bias=*/false),
        dwconv({.in_channels = 2 * channels,
                .out_channels = 2 * channels,
                .window = {.kernel = 7, .padding = 3},
                .groups = 2 * channels,
                .bias = false}),
        pwconv2(2 * channels, channels, /*with_bias=*/false) {}

  Shape output_shape(const Shape& in) const { return pwconv2.output_shape(pwconv1.output_shape(in)); }

  Count macs(const Shape& in) const {
    const Shape between = pwconv1.output_shape(in);
    return pwconv1.macs(in) + dwconv.macs(between) + pwconv2.macs(between);
  }

  Tensor<T> forward(TensorView<const T> in) const {
    Tensor<T> x = pwconv1.forward(in);
    x = act1.forward(x);
    x = dwconv.forward(x);
    return pwconv2.forward(x);
  }

  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("pwconv1", self.pwconv1);
    visitor("act1", self.act1);
    visitor("dwconv", self.dwconv);
    visitor("pwconv2", self.pwconv2);
  }
};

}  // namespace plainnet
