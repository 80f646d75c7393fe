#pragma once
// Folded networks as programs. A family adds one function here.

#include "plainnet/engine/program.hpp"
#include "plainnet/networks/vanillanet.hpp"

namespace plainnet {

template <class T>
Program<T> lower(const FoldedVanillaNet<T>& network, Isa isa) {
  Program<T> program(isa);
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
