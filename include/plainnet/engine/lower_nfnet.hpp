#pragma once
// Folded NFNets as programs.

#include "plainnet/engine/nfnet_operations.hpp"
#include "plainnet/engine/packing.hpp"
#include "plainnet/engine/program.hpp"

namespace plainnet {
namespace detail {

template <class T>
kernels::Activation kernel_of(const NfNonlinearity<T>& act) {
  if (std::holds_alternative<Gelu<T>>(act.choice())) return kernels::Activation::gelu;
  if (std::holds_alternative<Silu<T>>(act.choice())) return kernels::Activation::silu;
  return kernels::Activation::relu;
}

template <class T>
void append_gates(Program<T>& program, Index shortcut, const FoldedGates<T>& gates) {
  const T gain = gates.gain[0];
  if (const auto* squeeze = std::get_if<SqueezeExcite<T>>(&gates.attention.choice())) {
    const auto pack = [&](const Linear<T>& linear) { return pack_linear(linear, program.isa(), program.pool()); };
    program.template add_to<SqueezeExciteOperation<T>>(shortcut, pack(squeeze->fc1), pack(squeeze->fc2), gain);
  } else {
    const auto& efficient = std::get<EfficientChannelAttention<T>>(gates.attention.choice());
    program.template add_to<EfficientAttentionOperation<T>>(shortcut, numbers_of(efficient.weight), gain,
                                                            program.isa());
  }
}

template <class T>
void append_nf_block(Program<T>& program, const FoldedNfBlock<T>& block, kernels::Activation act) {
  Index shortcut = program.last_value();
  program.template add<ActivationOperation<T>>(act, program.isa());
  if (block.downsample) {
    const Index activated = program.last_value();
    if (block.downsample->pool) program.append(*block.downsample->pool);
    program.append(block.downsample->conv);
    shortcut = program.last_value();
    program.read(activated);
  }
  program.append(block.conv1, act);
  program.append(block.conv2, act);
  if (block.conv2b) program.append(*block.conv2b, act);
  if (block.attn_last) {
    program.append(block.conv3);
    append_gates(program, shortcut, *block.attn_last);
  } else {
    program.append_onto(shortcut, block.conv3);
  }
}

/// `Network` is a FoldedNfNet, whose parameters are freed as they are packed unless it is const.
template <class Network, class T>
void lower_nfnet(Network& network, Program<T>& program) {
  const kernels::Activation act = kernel_of<T>(network.act);
  for (std::size_t i = 0; i < network.stem.size(); ++i) {
    program.append(network.stem[i], i + 1 < network.stem.size() ? act : kernels::Activation::none);
    give_up(network.stem[i]);
  }
  if (network.stem_pool) program.append(*network.stem_pool);
  for (std::size_t i = 0; i < network.stages.size(); ++i) {
    for (auto& block : network.stages[i]) {
      append_nf_block(program, block, act);
      give_up(block);
    }
    program.name_feature(concatenate("stages.", i));
  }
  if (network.final_conv) {
    program.append(*network.final_conv, act);
    give_up(*network.final_conv);
  } else {
    program.template add<ActivationOperation<T>>(act, program.isa());
  }
  program.append(GlobalAvgPool2d<T>{});
  program.append(network.fc);
  give_up(network.fc);
}

}  // namespace detail

template <class T>
void lower(const FoldedNfNet<T>& network, Program<T>& program) {
  detail::lower_nfnet(network, program);
}
template <class T>
void lower(FoldedNfNet<T>&& network, Program<T>& program) {
  detail::lower_nfnet(network, program);
}

}  // namespace plainnet
