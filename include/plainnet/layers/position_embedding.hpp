#pragma once
// Learned position embedding.

#include "plainnet/layers/layer.hpp"

namespace plainnet {

/// y(n, y, x, c) = x(n, y, x, c) + pos_embed(c, y, x), for maps of one size only.
template <class T>
class PositionEmbedding {
 public:
  using Scalar = T;

  Parameter<T> pos_embed;  // (1, C, H, W)

  /// All zeros.
  PositionEmbedding(Index channels, Index height, Index width) : pos_embed({1, channels, height, width}) {}

  Shape output_shape(const Shape& in) const {
    const Extents& e = pos_embed.extents();
    require(in.channels == e[1] && in.height == e[2] && in.width == e[3], "a position embedding of ", e[2], "x", e[3],
            "x", e[1], " was given a map of ", in.height, "x", in.width, "x", in.channels,
            ": this network works at one size of image only");
    return in;
  }
  Count macs(const Shape&) const { return 0; }

  Tensor<T> forward(TensorView<const T> in) const {
    Tensor<T> out(output_shape(in.shape()));
    const Index pixels = in.shape().height * in.shape().width;
    const MatrixMap<const T> by_channel(pos_embed.data(), in.shape().channels, pixels);
    for (Index n = 0; n < in.shape().batch; ++n) {
      out.matrix().middleRows(n * pixels, pixels) = in.matrix().middleRows(n * pixels, pixels) + by_channel.transpose();
    }
    return out;
  }

  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("pos_embed", self.pos_embed);
  }
};

}  // namespace plainnet
