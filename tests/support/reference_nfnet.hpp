#pragma once
// NFNet again, as plain loops in double: of the library's network only the numbers are used, by their names, and the
// configuration.

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "plainnet/layers/layer.hpp"
#include "plainnet/networks/nfnet_config.hpp"
#include "support/reference_layers.hpp"

namespace plainnet::test {

class ReferenceNfNet {
 public:
  /// `network` as trained.
  template <class Network>
  explicit ReferenceNfNet(const Network& network) : config_(network.config()) {
    for_each_parameter(network, [this](const std::string& name, const auto& parameter, ParameterKind) {
      numbers_.emplace(name, std::pair(parameter.extents(), Numbers(parameter)));
    });
  }

  /// The logits; the output of every stage to `stages`.
  Map forward(Map x, std::vector<Map>& stages) const {
    if (has("stem.conv.weight")) {
      x = conv("stem.conv", x, 2);
      x = reference_max_pool(x, Window{.kernel = 3, .stride = 2, .padding = 1});
    } else {
      const std::size_t last = config_.stem_widths.size();
      for (std::size_t i = 1; i <= last; ++i) {
        if (i > 1) x = act(x);
        x = conv("stem.conv" + std::to_string(i), x, i == 1 || i == last ? 2 : 1);
      }
    }
    double variance = 1.0;
    for (std::size_t i = 0; i < config_.depths.size(); ++i) {
      for (Index j = 0; j < config_.depths[i]; ++j) {
        const std::string name = "stages." + std::to_string(i) + "." + std::to_string(j) + ".";
        x = block(name, x, i > 0 && j == 0 ? 2 : 1, 1.0 / std::sqrt(variance));
        if (j == 0) variance = 1.0;
        variance += 0.2 * 0.2;
      }
      stages.push_back(x);
    }
    if (has("final_conv.weight")) x = conv("final_conv", x, 1);
    return linear("head.fc", reference_global_mean(act(x)));
  }

 private:
  bool has(const std::string& name) const { return numbers_.count(name) > 0; }
  const Extents& extents(const std::string& name) const { return numbers_.at(name).first; }
  const Numbers& numbers(const std::string& name) const { return numbers_.at(name).second; }

  double gamma() const {
    if (config_.activation == NfActivation::relu) return 1.7139588594436646;
    return config_.activation == NfActivation::gelu ? 1.7015043497085571 : 1.7881293296813965;
  }

  Map act(const Map& in) const {
    return reference_each(in, [this](double x) {
      double y = x < 0 ? 0 : x;
      if (config_.activation == NfActivation::gelu) y = x * std::erfc(-x / std::sqrt(2.0)) / 2;
      if (config_.activation == NfActivation::silu) y = x * reference_sigmoid(x);
      return config_.is_deepmind ? gamma() * y : y;
    });
  }

  Map linear(const std::string& name, const Map& in) const {
    return reference_linear(in, numbers(name + ".weight"), numbers(name + ".bias"));
  }

  Map conv(const std::string& name, const Map& in, Index stride) const {
    const Extents& shape = extents(name + ".weight");
    const double fan_in = static_cast<double>(shape[1] * shape[2] * shape[3]);
    const double scale = (config_.is_deepmind ? 1.0 : gamma()) / std::sqrt(fan_in);
    Window window{.kernel = {shape[2], shape[3]}, .stride = stride, .padding = (stride - 1 + shape[2] - 1) / 2};
    if (config_.is_deepmind) window = reference_same(window, in.height, in.width);
    return reference_convolution(
        in, reference_standardized(numbers(name + ".weight"), numbers(name + ".gain"), scale, 1e-5),
        numbers(name + ".bias"), shape[0], window, in.channels / shape[1]);
  }

  Map gates(const std::string& name, const Map& in) const {
    const Map mean = reference_global_mean(in);
    if (has(name + "conv.weight")) {
      return reference_each(reference_along_channels(mean, numbers(name + "conv.weight")), reference_sigmoid);
    }
    const Map hidden = reference_leaky_relu(linear(name + "fc1", mean), 0.0);
    return reference_each(linear(name + "fc2", hidden), reference_sigmoid);
  }

  Map block(const std::string& name, const Map& in, Index stride, double beta) const {
    const Map a = reference_each(act(in), [beta](double x) { return beta * x; });
    Map shortcut = in;
    if (has(name + "downsample.conv.weight")) {
      const Window halve{.kernel = 2, .stride = 2, .rounding = Rounding::ceil};
      shortcut = conv(name + "downsample.conv", stride > 1 ? reference_avg_pool(a, halve, false) : a, 1);
    }
    Map x = conv(name + "conv1", a, 1);
    x = conv(name + "conv2", act(x), stride);
    if (has(name + "conv2b.weight")) x = conv(name + "conv2b", act(x), 1);
    x = conv(name + "conv3", act(x), 1);
    const double gain = 0.2 * (has(name + "skipinit_gain") ? numbers(name + "skipinit_gain")[0] : 1.0);
    if (has(name + "attn_last.fc1.weight") || has(name + "attn_last.conv.weight")) {
      x = reference_gated(x, gates(name + "attn_last.", x), 2.0);
    }
    return reference_sum(reference_each(x, [gain](double v) { return gain * v; }), shortcut);
  }

  NfNetConfig config_;
  std::map<std::string, std::pair<Extents, Numbers>> numbers_;
};

}  // namespace plainnet::test
