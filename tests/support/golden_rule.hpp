#pragma once
// The weights and the input of the reference outputs, given by a formula instead of files.
//
//   h   = FNV-1a-64(name) xor seed
//   z_i = splitmix64(h + (i + 1) · 0x9E3779B97F4A7C15), i = 0, 1, … in row-major order
//   u_i = (z_i >> 40) · 2^-24, in [0, 1)
//
// A tensor's value is a function of u_i, of its rule and its shape, computed in double and rounded to float.

#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>

#include "plainnet/core/error.hpp"
#include "plainnet/core/parameter.hpp"
#include "plainnet/core/tensor.hpp"
#include "plainnet/layers/layer.hpp"

namespace plainnet::test {

/// The u_i of one name.
class GoldenUniform {
 public:
  explicit GoldenUniform(std::string_view name, std::uint64_t seed = 0) {
    for (const char c : name) hash_ = (hash_ ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
    hash_ ^= seed;
  }

  double operator[](Index i) const {
    std::uint64_t z = hash_ + (static_cast<std::uint64_t>(i) + 1) * 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    return static_cast<double>(z >> 40) * 0x1p-24;
  }

 private:
  std::uint64_t hash_ = 0xCBF29CE484222325u;
};

/// The rule that the reference files give a tensor of this name and rank.
inline std::string_view golden_rule_for(std::string_view name, std::size_t rank) {
  const std::string_view last = name.substr(name.rfind('.') + 1);  // rfind: npos + 1 is 0
  const auto contains = [&](std::string_view text) { return name.find(text) != name.npos; };
  if (last == "num_batches_tracked") return "zero";
  if (last == "running_mean") return "mean";
  if (last == "running_var") return "var";
  if (last == "random_matrix") return "mixing";
  if (last == "skipinit_gain") return "small";
  if (last == "gain") return "scale";
  if (last == "pos_embed") return "bias";
  if (contains("layer_scale")) return "small";
  if (contains("res_scale")) return "scale";
  if (last == "scale") return "scale";
  if (last == "bias") return "bias";
  return rank >= 2 ? "weight" : "scale";
}

/// Fills a parameter called `name` by a rule of the reference files, or by the one that its name implies.
template <class T>
void fill(Parameter<T>& parameter, std::string_view name, std::uint64_t seed = 0, std::string_view rule = {}) {
  const Extents& extents = parameter.extents();
  if (rule.empty()) rule = golden_rule_for(name, extents.rank());
  const GoldenUniform u(name, seed);
  const auto fill_with = [&](auto value) {
    for (Index i = 0; i < parameter.size(); ++i) parameter[i] = static_cast<T>(static_cast<float>(value(u[i])));
  };
  if (rule == "weight") {
    const Index fan_in = extents.rank() > 1 && extents[0] > 0 ? parameter.size() / extents[0] : 1;
    const double bound = std::sqrt(3.0 / static_cast<double>(fan_in));
    fill_with([&](double x) { return (2 * x - 1) * bound; });
  } else if (rule == "scale") {
    fill_with([](double x) { return 0.75 + 0.5 * x; });
  } else if (rule == "small") {
    fill_with([](double x) { return 0.25 + 0.5 * x; });
  } else if (rule == "bias") {
    fill_with([](double x) { return 0.2 * (x - 0.5); });
  } else if (rule == "mean") {
    fill_with([](double x) { return 0.5 * (x - 0.5); });
  } else if (rule == "var") {
    fill_with([](double x) { return 0.5 + x; });
  } else if (rule == "mixing") {
    require(extents.rank() > 0, name, ": the rule mixing needs a last extent");
    const auto last = static_cast<double>(extents[extents.rank() - 1]);
    fill_with([&](double x) { return 2.0 * x / last; });
  } else if (rule == "zero") {
    fill_with([](double) { return 0.0; });
  } else {
    fail(name, ": unknown rule \"", rule, "\"");
  }
}

/// Fills every parameter of a network by the rule that its name implies.
template <class Network>
void fill_network(Network& network, std::uint64_t seed = 0) {
  for_each_parameter(network,
                     [&](const std::string& name, auto& parameter, ParameterKind) { fill(parameter, name, seed); });
}

/// The input of the reference files: coarse blocks of 16 by 16 pixels and fine noise, three channels, channels last.
inline Tensor<float> golden_image(Index batch, Index height, Index width, std::uint64_t seed = 0) {
  Tensor<float> image({.batch = batch, .height = height, .width = width, .channels = 3});
  const Index rows = (height + 15) / 16;
  const Index columns = (width + 15) / 16;
  for (Index n = 0; n < batch; ++n) {
    const GoldenUniform coarse("image.coarse." + std::to_string(n), seed);
    const GoldenUniform fine("image.fine." + std::to_string(n), seed);
    for (Index c = 0; c < 3; ++c) {
      for (Index y = 0; y < height; ++y) {
        for (Index x = 0; x < width; ++x) {
          const double block = coarse[(c * rows + y / 16) * columns + x / 16];
          const double noise = fine[(c * height + y) * width + x];
          image(n, y, x, c) = static_cast<float>(3.0 * (block - 0.5) + (noise - 0.5));
        }
      }
    }
  }
  return image;
}

}  // namespace plainnet::test
