// One benchmark a variant: the trained form on the readable layers, and the folded engine on 1 and 2 threads.
//
//   networks --benchmark_filter=vanillanet_5/
//
// Weights are random. Each benchmark first compares the engine with the readable folded form, on a small picture.

#include <benchmark/benchmark.h>

#include "plainnet/plainnet.hpp"

namespace {

using namespace plainnet;

Tensor<float> picture(Index size) { return probe_input<float>({1, size, size, 3}); }

/// Largest difference of a logit between the engine and the readable layers, relative to the largest logit.
template <class Folded>
double disagreement(const Folded& network) {
  const Tensor<float> input = picture(64);
  const Tensor<float> expected = network.forward(input);
  const Engine engine = prepare(network, input.shape());
  Workspace<float> workspace = engine.workspace();
  const auto found = engine.run(input, workspace);
  return static_cast<double>((found.matrix() - expected.matrix()).cwiseAbs().maxCoeff() /
                             expected.matrix().cwiseAbs().maxCoeff());
}

void count_work(benchmark::State& state, Count macs) {
  state.counters["GMAC"] = static_cast<double>(macs) * 1e-9;
  state.counters["FLOP/s"] =
      benchmark::Counter(2.0 * static_cast<double>(macs), benchmark::Counter::kIsIterationInvariantRate);
}

void trained_form(benchmark::State& state, const Variant& variant) {
  std::visit(
      [&](auto network) {
        fill_randomly(network);
        const Tensor<float> input = picture(variant.preprocessing.size);
        for (auto _ : state) benchmark::DoNotOptimize(network.forward(input));
        count_work(state, network.macs(input.shape()));
      },
      make_trained<float>(variant.config));
}

void folded_engine(benchmark::State& state, const Variant& variant) {
  std::visit(
      [&](auto network) {
        fill_randomly(network);
        if (const double difference = disagreement(network); !(difference < 1e-4)) {
          return state.SkipWithError(concatenate("wrong by ", difference).c_str());
        }
        const Tensor<float> input = picture(variant.preprocessing.size);
        const Engine engine = prepare(network, input.shape(), {.threads = state.range(0)});
        Workspace<float> workspace = engine.workspace();
        for (auto _ : state) benchmark::DoNotOptimize(engine.run(input, workspace).data());
        count_work(state, engine.macs());
        state.SetLabel(std::string(to_string(engine.isa())));
      },
      make_folded<float>(variant.config));
}

}  // namespace

int main(int argc, char** argv) {
  for (const Variant& variant : variants()) {
    const auto add = [&](const char* form, auto function) {
      return benchmark::RegisterBenchmark((variant.name + "/" + form).c_str(), function, variant)
          ->Unit(benchmark::kMillisecond)
          ->UseRealTime();
    };
    add("trained", trained_form);
    add("engine", folded_engine)->ArgName("threads")->Arg(1)->Arg(2);
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
}
