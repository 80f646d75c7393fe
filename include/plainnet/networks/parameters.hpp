#pragma once
// Questions about a network's parameters that one enumeration answers.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "plainnet/layers/layer.hpp"

namespace plainnet {

/// Number of learned parameters, as published counts: batch norms' running statistics are not learned.
template <class Network>
Index count_parameters(const Network& network) {
  Index count = 0;
  for_each_parameter(network, [&](const std::string&, const auto& parameter, ParameterKind kind) {
    if (kind == ParameterKind::learned) count += parameter.size();
  });
  return count;
}

/// Gives a network without weights random ones, always the same, under which activations keep their size: to time it,
/// or to compare its forms.
template <class Network>
void fill_randomly(Network& network) {
  std::uint64_t state = 0x9E3779B97F4A7C15u;
  const auto uniform = [&state] {                                 // in [−1, 1)
    state = state * 6364136223846793005u + 1442695040888963407u;  // Knuth's linear congruential generator
    return static_cast<double>(state >> 40) * 0x1p-23 - 1.0;
  };
  for_each_parameter(network, [&](const std::string& name, auto& parameter, ParameterKind) {
    const Extents& extents = parameter.extents();
    const bool is_scale = extents.rank() == 1 && !name.ends_with("bias") && !name.ends_with("running_mean");
    const Index fan_in = extents.rank() < 2 ? 1 : std::max<Index>(1, parameter.size() / std::max<Index>(1, extents[0]));
    const double reach = extents.rank() < 2 ? 0.25 : std::sqrt(3.0 / static_cast<double>(fan_in));
    for (auto& value : parameter) {
      value = static_cast<std::remove_reference_t<decltype(value)>>((is_scale ? 1.0 : 0.0) + reach * uniform());
    }
  });
}

}  // namespace plainnet
