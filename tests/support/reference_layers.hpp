#pragma once
// Every layer again, as plain loops in double. Nothing of the library's arithmetic is used, neither that of indices nor
// that of sizes, so that no error can be in both; maps are channels first, unlike the library's.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "plainnet/core/parameter.hpp"
#include "plainnet/core/tensor.hpp"
#include "plainnet/core/window.hpp"

namespace plainnet::test {

/// A vector that takes signed indices and checks them.
class Numbers {
 public:
  explicit Numbers(Index size = 0, double value = 0.0) : values_(static_cast<std::size_t>(size), value) {}
  template <class T>
  explicit Numbers(const Parameter<T>& parameter) : values_(parameter.begin(), parameter.end()) {}

  double& operator[](Index i) { return values_.at(static_cast<std::size_t>(i)); }
  double operator[](Index i) const { return values_.at(static_cast<std::size_t>(i)); }
  Index size() const { return static_cast<Index>(values_.size()); }

  /// The size of each.
  Numbers magnitudes() const {
    Numbers result = *this;
    for (double& value : result.values_) value = std::abs(value);
    return result;
  }
  double largest() const { return values_.empty() ? 0.0 : *std::max_element(values_.begin(), values_.end()); }

 private:
  std::vector<double> values_;
};

/// A feature map (batch, channels, height, width).
struct Map {
  Index batch;
  Index channels;
  Index height;
  Index width;
  Numbers values;

  Map(Index batch_, Index channels_, Index height_, Index width_, double value = 0.0)
      : batch(batch_),
        channels(channels_),
        height(height_),
        width(width_),
        values(batch_ * channels_ * height_ * width_, value) {}

  double& at(Index n, Index c, Index y, Index x) { return values[((n * channels + c) * height + y) * width + x]; }
  double at(Index n, Index c, Index y, Index x) const { return values[((n * channels + c) * height + y) * width + x]; }

  bool has(Index y, Index x) const { return y >= 0 && x >= 0 && y < height && x < width; }

  Map magnitudes() const {
    Map result = *this;
    result.values = values.magnitudes();
    return result;
  }
};

/// A map whose elements are function(n, c, y, x).
template <class Function>
Map make_map(Index batch, Index channels, Index height, Index width, Function function) {
  Map map(batch, channels, height, width);
  for (Index n = 0; n < batch; ++n) {
    for (Index c = 0; c < channels; ++c) {
      for (Index y = 0; y < height; ++y) {
        for (Index x = 0; x < width; ++x) map.at(n, c, y, x) = function(n, c, y, x);
      }
    }
  }
  return map;
}

/// The library's map: its elements in the order (n, y, x, c), one after the other.
template <class T>
Map to_reference(TensorView<const T> view) {
  const Shape& shape = view.shape();
  Map map(shape.batch, shape.channels, shape.height, shape.width);
  const T* element = view.data();
  for (Index n = 0; n < shape.batch; ++n) {
    for (Index y = 0; y < shape.height; ++y) {
      for (Index x = 0; x < shape.width; ++x) {
        for (Index c = 0; c < shape.channels; ++c) map.at(n, c, y, x) = static_cast<double>(*element++);
      }
    }
  }
  return map;
}
template <class T>
Map to_reference(const Tensor<T>& tensor) {
  return to_reference<T>(tensor.view());
}

/// A window along one axis.
struct Axis {
  Index kernel;
  Index stride;
  Index dilation;
  Index before;
  Index after;
  bool ceil;

  /// Where window number `position` has its element k.
  Index at(Index position, Index k) const { return position * stride + k * dilation - before; }

  /// How many positions there are, by trying one after the other: a window may begin inside the map or the padding
  /// before it, and may reach over the end of the padding by nothing (floor) or by less than a stride (ceil).
  Index positions(Index extent) const {
    Index count = 0;
    for (;; ++count) {
      const Index over = at(count, kernel - 1) - (extent + after - 1);
      if (over > (ceil ? stride - 1 : 0)) return count;
      if (ceil && at(count, 0) >= extent) return count;
    }
  }
};

inline Axis vertical(const Window& w) {
  return {w.kernel.height, w.stride.height,  w.dilation.height,
          w.padding.top,   w.padding.bottom, w.rounding == Rounding::ceil};
}
inline Axis horizontal(const Window& w) {
  return {w.kernel.width, w.stride.width,  w.dilation.width,
          w.padding.left, w.padding.right, w.rounding == Rounding::ceil};
}

/// The window with SAME padding for a map of that size: as little as gives an output for every stride that begins
/// inside the map, half of it before and half behind, the odd one behind.
inline Window reference_same(Window window, Index height, Index width) {
  const auto total = [](Axis axis, Index extent) {
    Index wanted = 0;
    while (wanted * axis.stride < extent) ++wanted;
    axis.before = axis.after = 0;
    while (axis.positions(extent) < wanted) ++axis.after;
    return axis.after;
  };
  const Index rows = total(vertical(window), height);
  const Index columns = total(horizontal(window), width);
  window.padding = Padding(rows / 2, rows - rows / 2, columns / 2, columns - columns / 2);
  window.same = false;
  return window;
}

/// gain(o) · scale · (weight(o) − mean) / √(variance + eps) of the numbers of each output o.
inline Numbers reference_standardized(const Numbers& weight, const Numbers& gain, double scale, double eps) {
  const Index fan_in = weight.size() / gain.size();
  const double count = static_cast<double>(fan_in);
  Numbers result(weight.size());
  for (Index o = 0; o < gain.size(); ++o) {
    double mean = 0.0;
    for (Index i = 0; i < fan_in; ++i) mean += weight[o * fan_in + i] / count;
    double variance = 0.0;
    for (Index i = 0; i < fan_in; ++i) variance += std::pow(weight[o * fan_in + i] - mean, 2) / count;
    for (Index i = 0; i < fan_in; ++i) {
      result[o * fan_in + i] = gain[o] * scale * (weight[o * fan_in + i] - mean) / std::sqrt(variance + eps);
    }
  }
  return result;
}

/// `weight` (O, I / groups, kh, kw); `bias` (O) or nothing.
inline Map reference_convolution(const Map& in, const Numbers& weight, const Numbers& bias, Index out_channels,
                                 const Window& window, Index groups) {
  const Axis v = vertical(window);
  const Axis h = horizontal(window);
  const Index group_in = in.channels / groups;
  const Index group_out = out_channels / groups;
  return make_map(in.batch, out_channels, v.positions(in.height), h.positions(in.width),
                  [&](Index n, Index o, Index y, Index x) {
                    double sum = bias.size() > 0 ? bias[o] : 0.0;
                    for (Index i = 0; i < group_in; ++i) {
                      for (Index ky = 0; ky < v.kernel; ++ky) {
                        for (Index kx = 0; kx < h.kernel; ++kx) {
                          if (!in.has(v.at(y, ky), h.at(x, kx))) continue;
                          sum += weight[((o * group_in + i) * v.kernel + ky) * h.kernel + kx] *
                                 in.at(n, o / group_out * group_in + i, v.at(y, ky), h.at(x, kx));
                        }
                      }
                    }
                    return sum;
                  });
}

inline Map reference_batch_norm(const Map& in, const Numbers& gamma, const Numbers& beta, const Numbers& mean,
                                const Numbers& variance, double eps) {
  return make_map(in.batch, in.channels, in.height, in.width, [&](Index n, Index c, Index y, Index x) {
    return gamma[c] * (in.at(n, c, y, x) - mean[c]) / std::sqrt(variance[c] + eps) + beta[c];
  });
}

inline Map reference_leaky_relu(const Map& in, double slope) {
  return make_map(in.batch, in.channels, in.height, in.width, [&](Index n, Index c, Index y, Index x) {
    const double value = in.at(n, c, y, x);
    return value < 0 ? slope * value : value;
  });
}

/// `weight` (C, 1, 2n + 1, 2n + 1), `bias` (C) or nothing.
inline Map reference_series(const Map& in, const Numbers& weight, const Numbers& bias, Index reach) {
  const Index side = 2 * reach + 1;
  return make_map(in.batch, in.channels, in.height, in.width, [&](Index n, Index c, Index y, Index x) {
    double sum = bias.size() > 0 ? bias[c] : 0.0;
    for (Index dy = -reach; dy <= reach; ++dy) {
      for (Index dx = -reach; dx <= reach; ++dx) {
        if (!in.has(y + dy, x + dx)) continue;
        const double value = in.at(n, c, y + dy, x + dx);
        sum += weight[c * side * side + (dy + reach) * side + dx + reach] * (value < 0 ? 0.0 : value);
      }
    }
    return sum;
  });
}

inline Map reference_max_pool(const Map& in, const Window& window) {
  const Axis v = vertical(window);
  const Axis h = horizontal(window);
  return make_map(in.batch, in.channels, v.positions(in.height), h.positions(in.width),
                  [&](Index n, Index c, Index y, Index x) {
                    double largest = -std::numeric_limits<double>::infinity();
                    for (Index ky = 0; ky < v.kernel; ++ky) {
                      for (Index kx = 0; kx < h.kernel; ++kx) {
                        if (!in.has(v.at(y, ky), h.at(x, kx))) continue;
                        const double value = in.at(n, c, v.at(y, ky), h.at(x, kx));
                        if (std::isnan(value)) return value;
                        if (value > largest) largest = value;
                      }
                    }
                    return largest;
                  });
}

inline Map reference_avg_pool(const Map& in, const Window& window, bool count_include_pad) {
  const Axis v = vertical(window);
  const Axis h = horizontal(window);
  return make_map(in.batch, in.channels, v.positions(in.height), h.positions(in.width),
                  [&](Index n, Index c, Index y, Index x) {
                    double sum = 0.0;
                    double count = 0.0;
                    for (Index ky = 0; ky < v.kernel; ++ky) {
                      for (Index kx = 0; kx < h.kernel; ++kx) {
                        const Index in_y = v.at(y, ky);
                        const Index in_x = h.at(x, kx);
                        const bool in_map = in.has(in_y, in_x);
                        const bool in_padding = in_y < in.height + v.after && in_x < in.width + h.after;
                        if (in_map) sum += in.at(n, c, in_y, in_x);
                        if (in_map || (in_padding && count_include_pad)) count += 1.0;
                      }
                    }
                    return sum / count;
                  });
}

/// Cell i of `out` covers the inputs that overlap the real interval [i·in/out, (i + 1)·in/out).
inline Map reference_adaptive_max_pool(const Map& in, Index height, Index width) {
  const auto overlaps = [](Index input, Index cell, Index in_extent, Index out_extent) {
    return (input + 1) * out_extent > cell * in_extent && input * out_extent < (cell + 1) * in_extent;
  };
  return make_map(in.batch, in.channels, height, width, [&](Index n, Index c, Index y, Index x) {
    double largest = -std::numeric_limits<double>::infinity();
    for (Index in_y = 0; in_y < in.height; ++in_y) {
      for (Index in_x = 0; in_x < in.width; ++in_x) {
        if (!overlaps(in_y, y, in.height, height) || !overlaps(in_x, x, in.width, width)) continue;
        const double value = in.at(n, c, in_y, in_x);
        if (std::isnan(value)) return value;
        if (value > largest) largest = value;
      }
    }
    return largest;
  });
}

inline Map reference_global_mean(const Map& in) {
  return make_map(in.batch, in.channels, 1, 1, [&](Index n, Index c, Index, Index) {
    double sum = 0.0;
    for (Index y = 0; y < in.height; ++y) {
      for (Index x = 0; x < in.width; ++x) sum += in.at(n, c, y, x);
    }
    return sum / static_cast<double>(in.height * in.width);
  });
}

/// `weight` (O, I), `bias` (O) or nothing, for every pixel.
inline Map reference_linear(const Map& in, const Numbers& weight, const Numbers& bias) {
  const Index outputs = weight.size() / in.channels;
  return make_map(in.batch, outputs, in.height, in.width, [&](Index n, Index o, Index y, Index x) {
    double sum = bias.size() > 0 ? bias[o] : 0.0;
    for (Index i = 0; i < in.channels; ++i) sum += weight[o * in.channels + i] * in.at(n, i, y, x);
    return sum;
  });
}

/// (x − mean) / √(variance + eps) over the channels of each pixel, or over the whole map of each image.
inline Map reference_normalize(const Map& in, bool over_map, double eps) {
  return make_map(in.batch, in.channels, in.height, in.width, [&](Index n, Index c, Index y, Index x) {
    const auto mean_of = [&](auto function) {
      double sum = 0.0;
      double count = 0.0;
      for (Index i = 0; i < in.channels; ++i) {
        for (Index v = over_map ? 0 : y; v < (over_map ? in.height : y + 1); ++v) {
          for (Index h = over_map ? 0 : x; h < (over_map ? in.width : x + 1); ++h) {
            sum += function(in.at(n, i, v, h));
            count += 1.0;
          }
        }
      }
      return sum / count;
    };
    const double mean = mean_of([](double value) { return value; });
    const double variance = mean_of([&](double value) { return (value - mean) * (value - mean); });
    return (in.at(n, c, y, x) - mean) / std::sqrt(variance + eps);
  });
}

/// scale(c) · x + shift(c); either may be nothing.
inline Map reference_affine(const Map& in, const Numbers& scale, const Numbers& shift) {
  return make_map(in.batch, in.channels, in.height, in.width, [&](Index n, Index c, Index y, Index x) {
    return (scale.size() > 0 ? scale[c] : 1.0) * in.at(n, c, y, x) + (shift.size() > 0 ? shift[c] : 0.0);
  });
}

/// The mean of the 3×3 pixels around, of those that there are, less the pixel.
inline Map reference_pool_mixer(const Map& in) {
  return make_map(in.batch, in.channels, in.height, in.width, [&](Index n, Index c, Index y, Index x) {
    double sum = 0.0;
    double count = 0.0;
    for (Index dy = -1; dy <= 1; ++dy) {
      for (Index dx = -1; dx <= 1; ++dx) {
        if (!in.has(y + dy, x + dx)) continue;
        sum += in.at(n, c, y + dy, x + dx);
        count += 1.0;
      }
    }
    return sum / count - in.at(n, c, y, x);
  });
}

/// y(m) = Σ_k weight(m, k) · x(k) over the pixels in reading order.
inline Map reference_mixing(const Map& in, const Numbers& weight) {
  return make_map(in.batch, in.channels, in.height, in.width, [&](Index n, Index c, Index y, Index x) {
    double sum = 0.0;
    for (Index k = 0; k < in.height * in.width; ++k) {
      sum += weight[(y * in.width + x) * in.height * in.width + k] * in.at(n, c, k / in.width, k % in.width);
    }
    return sum;
  });
}

/// softmax(scale · q kᵀ) v; `qkv` has the channels (q, k, v), (head), (dimension).
inline Map reference_attention(const Map& qkv, Index head_dim, double scale) {
  const Index channels = qkv.channels / 3;
  const Index tokens = qkv.height * qkv.width;
  const auto at = [&](Index n, Index part, Index c, Index token) {
    return qkv.at(n, part * channels + c, token / qkv.width, token % qkv.width);
  };
  return make_map(qkv.batch, channels, qkv.height, qkv.width, [&](Index n, Index c, Index y, Index x) {
    const Index first = c / head_dim * head_dim;
    double sum = 0.0;
    double weights = 0.0;
    for (Index key = 0; key < tokens; ++key) {
      double product = 0.0;
      for (Index d = first; d < first + head_dim; ++d) product += at(n, 0, d, y * qkv.width + x) * at(n, 1, d, key);
      const double weight = std::exp(scale * product);
      weights += weight;
      sum += weight * at(n, 2, c, key);
    }
    return sum / weights;
  });
}

inline double reference_sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

/// Σ_k weight(k) · x(c + k − reach) over the channels that there are; `weight` (2 · reach + 1).
inline Map reference_along_channels(const Map& in, const Numbers& weight) {
  const Index reach = weight.size() / 2;
  return make_map(in.batch, in.channels, in.height, in.width, [&](Index n, Index c, Index y, Index x) {
    double sum = 0.0;
    for (Index from = std::max<Index>(0, c - reach); from <= std::min(in.channels - 1, c + reach); ++from) {
      sum += weight[from - c + reach] * in.at(n, from, y, x);
    }
    return sum;
  });
}

/// gain · gates(n, c) · x; `gates` has maps of one pixel.
inline Map reference_gated(const Map& in, const Map& gates, double gain = 1.0) {
  return make_map(in.batch, in.channels, in.height, in.width,
                  [&](Index n, Index c, Index y, Index x) { return gain * gates.at(n, c, 0, 0) * in.at(n, c, y, x); });
}

inline Map reference_sum(const Map& a, const Map& b) {
  return make_map(a.batch, a.channels, a.height, a.width,
                  [&](Index n, Index c, Index y, Index x) { return a.at(n, c, y, x) + b.at(n, c, y, x); });
}

/// function(value) for every value.
template <class Function>
Map reference_each(const Map& in, Function function) {
  return make_map(in.batch, in.channels, in.height, in.width,
                  [&](Index n, Index c, Index y, Index x) { return function(in.at(n, c, y, x)); });
}

}  // namespace plainnet::test
