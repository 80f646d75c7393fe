#pragma once
// Folded networks, appended to programs. A family adds one function.

#include "plainnet/engine/lower_metaformer.hpp"
#include "plainnet/engine/lower_nfnet.hpp"
#include "plainnet/engine/packing.hpp"
#include "plainnet/engine/program.hpp"
#include "plainnet/networks/vanillanet.hpp"

namespace plainnet {

/// Any network that has no overload below: one as trained, or one of a family that engines do not know yet.
template <class Network, class T>
void lower(const Network&, Program<T>&) {
  static_assert(sizeof(Network) == 0,
                "An engine runs folded networks only: fold this network first (plainnet/fold/fold.hpp), or give its "
                "type a lower() beside that of FoldedVanillaNet.");
}

namespace detail {

/// `Network` is a FoldedVanillaNet, whose parameters are freed as they are packed unless it is const.
template <class Network, class T>
void lower_vanillanet(Network& network, Program<T>& program) {
  program.append(network.stem);
  program.name_feature("stem");
  for (std::size_t i = 0; i < network.stages.size(); ++i) {
    auto& stage = network.stages[i];
    program.append_pooled(stage.conv, stage.pool);
    program.append(stage.act);
    give_up(stage);
    program.name_feature(concatenate("stages.", i));
  }
  program.append(network.cls);
  give_up(network.cls);
}

}  // namespace detail

template <class T>
void lower(const FoldedVanillaNet<T>& network, Program<T>& program) {
  detail::lower_vanillanet(network, program);
}
template <class T>
void lower(FoldedVanillaNet<T>&& network, Program<T>& program) {
  detail::lower_vanillanet(network, program);
}

}  // namespace plainnet
