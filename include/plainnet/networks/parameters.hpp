#pragma once
// Questions about a network's parameters that one enumeration answers.

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

}  // namespace plainnet
