#pragma once
// Narrow networks of random weights, of every family and kind of operation, behind one type.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "plainnet/engine/engine.hpp"
#include "plainnet/networks/folded_metaformer.hpp"
#include "support/random.hpp"
#include "support/small_nfnets.hpp"

namespace plainnet::test {

struct NarrowNetwork {
  std::string name;
  bool has_norms;               // of its input, or other divisions by what depends on it
  std::vector<Shape> pictures;  // that it takes, of batch 1
  std::function<Engine(const Shape&, const EngineOptions&)> prepare;
  std::function<Tensor<double>(const Tensor<float>&)> forward;  // the readable network in double, of the same weights
};

/// The same numbers in another type.
template <class To, class From>
Tensor<To> converted(const Tensor<From>& from) {
  Tensor<To> to(from.shape());
  std::copy_n(from.data(), from.shape().elements(), to.data());
  return to;
}

/// `in_double` takes over the weights of `network`.
template <class Network, class Wide>
NarrowNetwork narrow_network(std::string name, bool has_norms, std::vector<Shape> pictures, Network network,
                             Wide in_double) {
  Random(17).fill_network(network);
  std::vector<double> numbers;
  for_each_parameter(network, [&](const std::string&, const auto& parameter, ParameterKind) {
    numbers.insert(numbers.end(), parameter.begin(), parameter.end());
  });
  auto next = numbers.begin();
  for_each_parameter(in_double, [&](const std::string&, auto& parameter, ParameterKind) {
    for (double& number : parameter) number = *next++;
  });
  const auto narrow = std::make_shared<const Network>(std::move(network));
  const auto wide = std::make_shared<const Wide>(std::move(in_double));
  return {
      std::move(name), has_norms, std::move(pictures),
      [narrow](const Shape& shape, const EngineOptions& options) { return plainnet::prepare(*narrow, shape, options); },
      [wide](const Tensor<float>& in) { return wide->forward(converted<double>(in)); }};
}

inline std::vector<NarrowNetwork> narrow_networks() {
  std::vector<NarrowNetwork> all;
  const auto add_vanillanet = [&](const std::string& name, const VanillaNetConfig& config, double slope) {
    all.push_back(narrow_network(name, false, {{1, 32, 40, 3}, {1, 45, 33, 3}}, FoldedVanillaNet<float>(config, slope),
                                 FoldedVanillaNet<double>(config, slope)));
  };
  add_vanillanet("vanillanet", {.widths = {9, 17, 20}, .strides = {2, 1}, .classes = 7}, 1.0);
  add_vanillanet("vanillanet with its activations",
                 {.widths = {8, 16, 33}, .strides = {1, 2}, .adaptive_pools = {7, 0}, .classes = 7, .act_num = 2}, 0.5);

  const auto add_metaformer = [&](const std::string& name, const std::string& mixers, MetaFormerGeneration generation) {
    const bool is_fixed = mixers.find_first_of("fr") != mixers.npos;
    const bool is_first = generation == MetaFormerGeneration::first;
    const MetaFormerConfig config{.depths = {1, 1, 1, 1},
                                  .widths = {6, 9, 18, 13},
                                  .mixers = mixers,
                                  .generation = generation,
                                  .norm_over = is_first || is_fixed ? NormOver::map : NormOver::channels,
                                  .mlp_head = !is_first,
                                  .position_stage = is_fixed ? 1 : -1,
                                  .classes = 7,
                                  .size = 64};
    std::vector<Shape> pictures = {{1, 64, 64, 3}};
    if (!is_fixed) pictures.push_back({1, 40, 67, 3});
    all.push_back(narrow_network(name, true, std::move(pictures), PublishedFoldedMetaFormer<float>(config),
                                 PublishedFoldedMetaFormer<double>(config)));
  };
  add_metaformer("poolformer", "pppp", MetaFormerGeneration::first);
  add_metaformer("metaformer of four mixers", "pifr", MetaFormerGeneration::baselines);
  add_metaformer("caformer", "ccaa", MetaFormerGeneration::baselines);

  const auto add_nfnet = [&](const std::string& name, const NfNetConfig& config) {
    all.push_back(narrow_network(name, false, {{1, 25, 38, 3}, {1, 64, 72, 3}}, FoldedNfNet<float>(config),
                                 FoldedNfNet<double>(config)));
  };
  NfNetConfig config = small_nfnet();
  add_nfnet("nfnet", config);
  config = small_nfnet(/*is_deepmind=*/false);
  config.attention = NfAttention::efficient;
  config.activation = NfActivation::silu;
  add_nfnet("nfnet with efficient attention", config);
  // Large and wide enough for every form of Winograd's algorithm: maps of 32×36, 16×18 and 8×9, and two convolutions of
  // stride 2.
  config = small_nfnet();
  config.attention = NfAttention::none;
  config.activation = NfActivation::relu;
  config.stem_widths = {16, 16, 32, 32};
  config.depths = {1, 1};
  config.widths = {32, 48};
  config.group_width = 16;
  add_nfnet("nfnet without attention", config);
  return all;
}

/// Images one after the other, in one tensor.
inline Shape batch_of(Shape picture, Index images) {
  picture.batch = images;
  return picture;
}

/// The logits of a run, copied, in a workspace of its own.
inline Tensor<float> run_alone(const Engine& engine, TensorView<const float> in) {
  Workspace<float> workspace = engine.workspace();
  const TensorView<const float> logits = engine.run(in, workspace);
  Tensor<float> copy(logits.shape());
  std::copy_n(logits.data(), logits.shape().elements(), copy.data());
  return copy;
}

/// The logits of each image of a batch by itself, one after the other.
inline Tensor<float> run_one_by_one(const NarrowNetwork& network, const Tensor<float>& batch,
                                    const EngineOptions& options = {}) {
  const Shape picture = batch_of(batch.shape(), 1);
  const Engine engine = network.prepare(picture, options);
  Tensor<float> all(batch_of(engine.output_shape(), batch.shape().batch));
  for (Index n = 0; n < batch.shape().batch; ++n) {
    const Tensor<float> logits = run_alone(engine, {batch.data() + n * picture.elements(), picture});
    std::copy_n(logits.data(), logits.shape().elements(), all.data() + n * logits.shape().elements());
  }
  return all;
}

}  // namespace plainnet::test
