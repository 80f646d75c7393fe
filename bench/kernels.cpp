// One benchmark a kernel and instruction set, on the shapes of the published VanillaNets, one thread.
//
//   kernels --benchmark_filter=convolution/.*avx512
//
// Each first compares its result with the readable layer's.

#include <benchmark/benchmark.h>

#include "plainnet/core/thread_pool.hpp"
#include "plainnet/plainnet.hpp"

namespace {

using namespace plainnet;

constexpr double most_disagreement = 1e-4;

double disagreement(TensorView<const float> found, TensorView<const float> expected) {
  return static_cast<double>((found.matrix() - expected.matrix()).cwiseAbs().maxCoeff() /
                             expected.matrix().cwiseAbs().maxCoeff());
}

/// Times an operation of the engine against its readable layer.
template <class L>
void time_layer(benchmark::State& state, const L& layer, Isa isa, const Shape& in_shape) {
  Program<float> program(isa);
  program.append(layer);
  const Operation<float>& operation = *program.steps().front().operation;
  const Tensor<float> in = probe_input<float>(in_shape);
  Tensor<float> out(layer.output_shape(in_shape));
  ThreadPool pool(1);
  AlignedVector<float> scratch(static_cast<std::size_t>(operation.scratch(in.shape(), 1)));
  const auto run = [&] { operation.run(in.view(), nullptr, out.view(), scratch.data(), pool); };
  run();
  if (const double difference = disagreement(out, layer.forward(in)); !(difference < most_disagreement)) {
    return state.SkipWithError(concatenate("wrong by ", difference).c_str());
  }
  for (auto _ : state) {
    run();
    benchmark::ClobberMemory();
  }
  const double macs = static_cast<double>(layer.macs(in_shape));
  if (macs > 0)
    state.counters["FLOP/s"] = benchmark::Counter(2.0 * macs, benchmark::Counter::kIsIterationInvariantRate);
  const double bytes = 4.0 * static_cast<double>(in_shape.elements() + out.shape().elements());
  state.counters["B/s of maps"] = benchmark::Counter(bytes, benchmark::Counter::kIsIterationInvariantRate);
}

std::string name_of(const char* kernel, const Shape& in, Index out_channels, Isa isa) {
  return concatenate(kernel, "/", in.height, "x", in.width, "x", in.channels, "-", out_channels, "/", to_string(isa));
}

void add_convolution(const Shape& in, const Conv2dSizes& sizes, Isa isa) {
  benchmark::RegisterBenchmark(name_of("convolution", in, sizes.out_channels, isa).c_str(),
                               [=](benchmark::State& state) {
                                 Conv2d<float> layer(sizes);
                                 fill_randomly(layer);
                                 time_layer(state, layer, isa, in);
                               });
}

void add_series(const Shape& in, Isa isa) {
  benchmark::RegisterBenchmark(name_of("series", in, in.channels, isa).c_str(), [=](benchmark::State& state) {
    FoldedSeriesActivation<float> layer(in.channels, 3);
    fill_randomly(layer);
    time_layer(state, layer, isa, in);
  });
}

void add_max_pool(const Shape& in, Isa isa) {
  benchmark::RegisterBenchmark(name_of("max_pool", in, in.channels, isa).c_str(), [=](benchmark::State& state) {
    time_layer(state, MaxPool2d<float>({.kernel = 2, .stride = 2}), isa, in);
  });
}

}  // namespace

int main(int argc, char** argv) {
  for (const Isa isa : all_isas) {
    if (!is_supported(isa)) continue;
    add_convolution({1, 224, 224, 3}, {.in_channels = 3, .out_channels = 512, .window = {.kernel = 4, .stride = 4}},
                    isa);
    for (const auto& [side, in, out] : {std::array<Index, 3>{56, 512, 1024},
                                        {28, 1024, 2048},
                                        {14, 2048, 2048},
                                        {14, 2048, 4096},
                                        {7, 4096, 4096},
                                        {1, 4096, 1000}}) {
      add_convolution({1, side, side, in}, {.in_channels = in, .out_channels = out}, isa);
    }
    for (const auto& [side, channels] : {std::array<Index, 2>{56, 512}, {28, 1024}, {14, 2048}, {7, 4096}}) {
      add_series({1, side, side, channels}, isa);
    }
    add_max_pool({1, 56, 56, 1024}, isa);
    add_max_pool({1, 14, 14, 4096}, isa);
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
}
