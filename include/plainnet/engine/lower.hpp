#pragma once
// Folded networks as programs, which are fastest on images of the shape `input`. A family adds one function.

#include "plainnet/engine/lower_metaformer.hpp"
#include "plainnet/engine/lower_nfnet.hpp"
#include "plainnet/engine/program.hpp"
#include "plainnet/networks/vanillanet.hpp"

namespace plainnet {

/// Any network that has no overload below: one as trained, or one of a family that engines do not know yet.
template <class Network>
Program<typename Network::Scalar> lower(const Network&, Isa isa, const Shape&) {
  static_assert(sizeof(Network) == 0,
                "An engine runs folded networks only: fold this network first (plainnet/fold/fold.hpp), or give its "
                "type a lower() beside that of FoldedVanillaNet.");
  return Program<typename Network::Scalar>(isa);
}

template <class T>
Program<T> lower(const FoldedVanillaNet<T>& network, Isa isa, const Shape& input) {
  Program<T> program(isa, input);
  program.append(network.stem);
  program.name_feature("stem");
  for (std::size_t i = 0; i < network.stages.size(); ++i) {
    program.append(network.stages[i].conv);
    program.append(network.stages[i].pool);
    program.append(network.stages[i].act);
    program.name_feature(concatenate("stages.", i));
  }
  program.append(network.cls);
  return program;
}

}  // namespace plainnet
