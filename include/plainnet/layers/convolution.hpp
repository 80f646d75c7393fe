#pragma once
// Two-dimensional convolution with any kernel, stride, dilation, padding and number of groups.

#include <optional>

#include "plainnet/core/window.hpp"
#include "plainnet/layers/layer.hpp"

namespace plainnet {

/// Of a convolution.
struct Conv2dSizes {
  Index in_channels;
  Index out_channels;
  Window window = {};
  Index groups = 1;
  bool bias = true;
};

/// y(p, o) = b(o) + Σ_i Σ_ky Σ_kx w(o, i, ky, kx) · x(window(p, ky, kx), i), zeros outside the map; with g groups,
/// outputs of group j see the inputs of group j only.
template <class T>
class Conv2d {
 public:
  using Scalar = T;

  Parameter<T> weight;               // (O, I / groups, kh, kw)
  std::optional<Parameter<T>> bias;  // (O)

  /// All zeros.
  explicit Conv2d(const Conv2dSizes& sizes) : window_(sizes.window), groups_(sizes.groups) {
    require(sizes.in_channels > 0 && sizes.out_channels > 0 && groups_ > 0 && sizes.in_channels % groups_ == 0 &&
                sizes.out_channels % groups_ == 0,
            "a convolution's channels must be positive multiples of its groups; found ", sizes.in_channels, " in, ",
            sizes.out_channels, " out, ", groups_, " groups");
    weight =
        Parameter<T>({sizes.out_channels, sizes.in_channels / groups_, window_.kernel.height, window_.kernel.width});
    if (sizes.bias) bias = Parameter<T>({sizes.out_channels});
  }

  /// Takes over parameters: `weight` (O, I / groups, kh, kw) for the window's kernel, `bias` (O).
  Conv2d(Parameter<T> weight_, std::optional<Parameter<T>> bias_, const Window& window, Index groups)
      : weight(std::move(weight_)), bias(std::move(bias_)), window_(window), groups_(groups) {
    const Extents& e = weight.extents();
    require(e.rank() == 4 && e[0] > 0 && e[1] > 0 && e[2] == window_.kernel.height && e[3] == window_.kernel.width &&
                groups_ > 0 && e[0] % groups_ == 0 && (!bias || bias->size() == e[0]),
            "a convolution's weight of shape ", e, " does not fit its window, groups or bias");
  }

  const Window& window() const { return window_; }
  Index groups() const { return groups_; }
  Index in_channels() const { return weight.extents()[1] * groups_; }
  Index out_channels() const { return weight.extents()[0]; }
  Conv2dSizes sizes() const { return {in_channels(), out_channels(), window_, groups_, bias.has_value()}; }

  Shape output_shape(const Shape& in) const {
    require(in.channels == in_channels(), "a convolution of ", in_channels(), " channels was given ", in.channels);
    return plainnet::output_shape(in, window_, out_channels());
  }

  Count macs(const Shape& in) const { return multiply_counts(output_shape(in).pixels(), weight.size()); }

  Tensor<T> forward(TensorView<const T> in) const {
    Tensor<T> out(output_shape(in.shape()));
    if (window_.is_pointwise() && groups_ == 1) {
      out.matrix().noalias() = in.matrix() * weight.matrix().transpose();
    } else {
      const Window window = padded_for(in.shape(), window_);
      for (Index n = 0; n < out.shape().batch; ++n) {
        for (Index y = 0; y < out.shape().height; ++y) convolve_row(in, window, n, y, out);
      }
    }
    if (bias) out.matrix().rowwise() += bias->matrix().col(0).transpose();
    return out;
  }

  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("weight", self.weight);
    if (self.bias) visitor("bias", *self.bias);
  }

 private:
  /// One row of outputs as a product: (W_out, I/g·kh·kw) patches times (I/g·kh·kw, O/g) weights, group by group.
  void convolve_row(TensorView<const T> in, const Window& window, Index n, Index y, Tensor<T>& out) const {
    const Index out_width = out.shape().width;
    const Index group_in = in_channels() / groups_;
    const Index group_out = out_channels() / groups_;
    RowMajorMatrix<T> patches(out_width, weight.size() / out_channels());
    MatrixMap<T> out_row(out.view().pixel(n, y, 0), out_width, out_channels());
    for (Index group = 0; group < groups_; ++group) {
      for (Index x = 0; x < out_width; ++x) {
        gather_patch(in, window, n, y, x, group * group_in, &patches(x, 0));
      }
      out_row.middleCols(group * group_out, group_out).noalias() =
          patches * weight.matrix().middleRows(group * group_out, group_out).transpose();
    }
  }

  /// The inputs that output (y, x) of a group sees, in the order of the weight: (channel, ky, kx).
  void gather_patch(TensorView<const T> in, const Window& window, Index n, Index y, Index x, Index first_channel,
                    T* patch) const {
    for (Index c = first_channel; c < first_channel + weight.extents()[1]; ++c) {
      for (Index ky = 0; ky < window.kernel.height; ++ky) {
        const Index in_y = y * window.stride.height + ky * window.dilation.height - window.padding.top;
        for (Index kx = 0; kx < window.kernel.width; ++kx) {
          const Index in_x = x * window.stride.width + kx * window.dilation.width - window.padding.left;
          const bool inside = in_y >= 0 && in_y < in.shape().height && in_x >= 0 && in_x < in.shape().width;
          *patch++ = inside ? in(n, in_y, in_x, c) : T{0};
        }
      }
    }
  }

  Window window_;
  Index groups_;
};

}  // namespace plainnet
