#pragma once
// Folded networks as programs, which are fastest on images of the shape `input`. A family adds one function.

#include "plainnet/engine/lower_metaformer.hpp"
#include "plainnet/engine/lower_nfnet.hpp"
#include "plainnet/engine/packing.hpp"
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

namespace detail {

/// `Network` is a FoldedVanillaNet, whose parameters are freed as they are packed unless it is const.
template <class Network>
Program<typename Network::Scalar> lower_vanillanet(Network& network, Isa isa, const Shape& input) {
  Program<typename Network::Scalar> program(isa, input);
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
  return program;
}

}  // namespace detail

template <class T>
Program<T> lower(const FoldedVanillaNet<T>& network, Isa isa, const Shape& input) {
  return detail::lower_vanillanet(network, isa, input);
}
template <class T>
Program<T> lower(FoldedVanillaNet<T>&& network, Isa isa, const Shape& input) {
  return detail::lower_vanillanet(network, isa, input);
}

}  // namespace plainnet
