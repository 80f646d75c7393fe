#pragma once
// Reproducible random numbers, maps and networks.

#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>

#include "plainnet/core/parameter.hpp"
#include "plainnet/core/tensor.hpp"
#include "plainnet/layers/layer.hpp"

namespace plainnet::test {

/// The same numbers with every compiler and library, which the distributions of <random> are not.
class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}

  /// In [low, high).
  double uniform(double low, double high) {
    return low + (high - low) * (static_cast<double>(engine_() >> 11) * 0x1p-53);
  }

  /// low, …, high.
  Index integer(Index low, Index high) {
    return low + static_cast<Index>(engine_() % static_cast<std::uint64_t>(high - low + 1));
  }

  bool coin() { return (engine_() >> 40) % 2 == 0; }

  template <class T>
  void fill(T* begin, T* end, double low, double high) {
    for (; begin != end; ++begin) *begin = static_cast<T>(uniform(low, high));
  }

  template <class T>
  void fill(Parameter<T>& parameter, double low = -1, double high = 1) {
    fill(parameter.begin(), parameter.end(), low, high);
  }

  template <class T>
  Tensor<T> map(const Shape& shape, double low = -1, double high = 1) {
    Tensor<T> result(shape);
    fill(result.data(), result.data() + shape.elements(), low, high);
    return result;
  }

  /// Numbers as training might leave them, and nothing that an error could hide behind: no bias or mean near zero for
  /// all channels, scales of both signs, weights that keep the size of what passes.
  template <class Network>
  void fill_network(Network& network) {
    for_each_parameter(network, [this](const std::string& name, auto& parameter, ParameterKind) {
      const Extents& extents = parameter.extents();
      if (extents.rank() >= 2) {
        const double bound = std::sqrt(3.0 * static_cast<double>(extents[0]) / static_cast<double>(parameter.size()));
        fill(parameter, -bound, bound);
      } else if (name.ends_with("running_var")) {
        fill(parameter, 0.5, 1.5);
      } else if (name.ends_with("bias") || name.ends_with("running_mean")) {
        fill(parameter, -0.5, 0.5);
      } else {
        for (auto& scale : parameter) {
          scale = static_cast<std::remove_reference_t<decltype(scale)>>(uniform(0.5, 1.5) * (coin() ? 1 : -1));
        }
      }
    });
  }

 private:
  std::mt19937_64 engine_;
};

}  // namespace plainnet::test
