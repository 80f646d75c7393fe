// How much slower a run is where numbers are denormal, which some machines compute with a hundred times slower.
//
//   pixels   all of the picture are
//   maps     those of all layers are too: the same pixels, and no bias, shift or position that would be added to them
//   weights  every second one is
//
// `ratio` is the time beside that of the same network with normal numbers, run in turns. Each benchmark first compares
// the engine with the readable folded form.

#include <chrono>

#include <benchmark/benchmark.h>

#include "plainnet/plainnet.hpp"

namespace {

using namespace plainnet;

enum class Denormal { pixels, maps, weights };

/// Half to twice 2^-130.
template <class Numbers>
void make_denormal(Numbers&& numbers, std::size_t step) {
  for (std::size_t i = 0; i < numbers.size(); i += step) numbers[i] = 0x1p-130f * (1.0f + numbers[i] / 2);
}

template <class Network>
void change_weights(Network& network, Denormal kind) {
  for_each_parameter(network, [&](const std::string& name, auto& parameter, ParameterKind) {
    const std::span<float> numbers(parameter.begin(), parameter.end());
    if (kind == Denormal::weights) make_denormal(numbers, 2);
    const bool is_added = name.ends_with("bias") || name.ends_with("shift") || name.ends_with("pos_embed");
    if (kind == Denormal::maps && is_added) std::fill(numbers.begin(), numbers.end(), 0.0f);
  });
}

struct Subject {
  Engine engine;
  Tensor<float> input;
  Workspace<float> workspace;
  double disagreement;  // of a logit from the readable form's, beside the largest, or 2^-100 if all are smaller

  template <class Network>
  Subject(const Network& network, Tensor<float> in)
      : engine(prepare(network, in.shape())), input(std::move(in)), workspace(engine.workspace()) {
    const Tensor<float> expected = network.forward(input);
    const auto found = engine.run(input, workspace);
    const float largest = expected.matrix().cwiseAbs().maxCoeff();
    disagreement = (found.matrix() - expected.matrix()).cwiseAbs().maxCoeff() / std::max(largest, 0x1p-100f);
  }

  double seconds() {
    const auto start = std::chrono::steady_clock::now();
    benchmark::DoNotOptimize(engine.run(input, workspace).data());
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
};

void denormals(benchmark::State& state, const Variant& variant, Denormal kind) {
  std::visit(
      [&](auto network) {
        fill_randomly(network);
        const Tensor<float> input = probe_input<float>(variant.input_shape());
        Subject normal(network, input);
        change_weights(network, kind);
        Tensor<float> changed = input;
        const std::span<float> pixels(changed.data(), static_cast<std::size_t>(changed.shape().elements()));
        if (kind != Denormal::weights) make_denormal(pixels, 1);
        Subject denormal(network, changed);
        for (const Subject* subject : {&normal, &denormal}) {
          if (subject->disagreement < 1e-4) continue;
          return state.SkipWithError(concatenate("wrong by ", subject->disagreement).c_str());
        }
        double normal_seconds = 0, denormal_seconds = 0;
        for (auto _ : state) {
          normal_seconds += normal.seconds();
          const double seconds = denormal.seconds();
          denormal_seconds += seconds;
          state.SetIterationTime(seconds);
        }
        state.counters["ratio"] = denormal_seconds / normal_seconds;
      },
      make_folded<float>(variant.config));
}

}  // namespace

int main(int argc, char** argv) {
  for (const char* name : {"vanillanet_5", "poolformer_s12", "convformer_s18", "caformer_s18", "nfnet_l0"}) {
    for (const auto& [label, kind] :
         {std::pair{"pixels", Denormal::pixels}, {"maps", Denormal::maps}, {"weights", Denormal::weights}}) {
      benchmark::RegisterBenchmark(concatenate(name, "/", label).c_str(), denormals, variant_named(name), kind)
          ->Unit(benchmark::kMillisecond)
          ->UseManualTime();
    }
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
}
