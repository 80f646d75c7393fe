// The 3×3 convolutions of NFNets by each method, on the shapes of dm_nfnet_f0 at 256×256 and of nf_resnet50, one
// thread.
//
//   nfnet_kernels --benchmark_filter=winograd.*avx2
//
// Each first compares its result with the readable layer's. FLOP/s are those of the direct method for all.

#include <benchmark/benchmark.h>

#include "plainnet/core/thread_pool.hpp"
#include "plainnet/kernels/winograd.hpp"
#include "plainnet/plainnet.hpp"

namespace {

using namespace plainnet;

constexpr double most_disagreement = 1e-4;

template <class Packed>
void time_packed(benchmark::State& state, const Conv2d<float>& layer, const Packed& packed, const Shape& in_shape) {
  const Tensor<float> in = probe_input<float>(in_shape);
  Tensor<float> out(layer.output_shape(in_shape));
  ThreadPool pool(1);
  AlignedVector<float> scratch(static_cast<std::size_t>(packed.scratch()));
  const auto run = [&] { kernels::convolve<float>(in.view(), packed, {}, out.view(), scratch.data(), pool); };
  run();
  const Tensor<float> expected = layer.forward(in);
  const auto difference = static_cast<double>((out.matrix() - expected.matrix()).cwiseAbs().maxCoeff() /
                                              expected.matrix().cwiseAbs().maxCoeff());
  if (!(difference < most_disagreement)) {
    return state.SkipWithError(concatenate("wrong by ", difference).c_str());
  }
  for (auto _ : state) {
    run();
    benchmark::ClobberMemory();
  }
  state.counters["FLOP/s"] = benchmark::Counter(2.0 * static_cast<double>(layer.macs(in_shape)),
                                                benchmark::Counter::kIsIterationInvariantRate);
}

const char* name_of(kernels::ConvolutionMethod method) {
  using enum kernels::ConvolutionMethod;
  if (method == direct) return "direct";
  if (method == winograd_2x2) return "winograd_2x2";
  if (method == winograd_2x2_stride_2) return "winograd_2x2_stride_2";
  return method == winograd_4x4 ? "winograd_4x4" : "winograd_4x4_of_taps";
}

void add(const Shape& in, const Conv2dSizes& sizes, kernels::ConvolutionMethod method, Isa isa) {
  using enum kernels::ConvolutionMethod;
  const std::string name =
      concatenate(name_of(method), "/", in.height, "x", in.width, "x", in.channels, "-", sizes.out_channels,
                  "/groups:", sizes.groups, "/stride:", sizes.window.stride.height, "/", to_string(isa));
  benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
    Conv2d<float> layer(sizes);
    fill_randomly(layer);
    const float* bias = layer.bias ? layer.bias->data() : nullptr;
    if (method == direct) {
      time_packed(state, layer,
                  kernels::pack_convolution(layer.weight.data(), bias, sizes.in_channels, sizes.out_channels,
                                            sizes.window, sizes.groups, isa),
                  in);
    } else {
      time_packed(state, layer,
                  kernels::pack_winograd(layer.weight.data(), bias, sizes.in_channels, sizes.out_channels, sizes.window,
                                         sizes.groups, method, isa),
                  in);
    }
  });
}

struct Row {
  Index side;
  Index in_channels;
  Index out_channels;
  Index groups;
  Index stride;
};

}  // namespace

int main(int argc, char** argv) {
  using enum kernels::ConvolutionMethod;
  const Row rows[] = {
      {256, 3, 16, 1, 2},   {128, 16, 32, 1, 1},     {128, 32, 64, 1, 1},  {128, 64, 128, 1, 2},  // stem
      {64, 128, 128, 1, 1}, {32, 256, 256, 2, 1},    {16, 768, 768, 6, 1}, {8, 768, 768, 6, 1},   // blocks
      {64, 256, 256, 2, 2}, {32, 768, 768, 6, 2},    {16, 768, 768, 6, 2},                        // first of a stage
      {56, 256, 256, 4, 1}, {14, 1536, 1536, 24, 1},                                              // groups of 64
      {56, 64, 64, 1, 1},   {28, 128, 128, 1, 1},    {14, 256, 256, 1, 1}, {7, 512, 512, 1, 1},   // nf_resnet50
      {56, 64, 128, 1, 2},  {28, 128, 320, 1, 2},    {14, 320, 512, 1, 2},                        // MetaFormers
  };
  for (const Isa isa : all_isas) {
    if (!is_supported(isa)) continue;
    for (const Row& row : rows) {
      const Padding padding = row.stride == 1 ? Padding(1) : Padding(0, 1, 0, 1);
      const Conv2dSizes sizes{.in_channels = row.in_channels,
                              .out_channels = row.out_channels,
                              .window = {.kernel = 3, .stride = row.stride, .padding = padding},
                              .groups = row.groups};
      for (kernels::ConvolutionMethod method :
           {direct, winograd_2x2, winograd_4x4, winograd_4x4_of_taps, winograd_2x2_stride_2}) {
        if (fits(method, sizes.window)) add({1, row.side, row.side, row.in_channels}, sizes, method, isa);
      }
    }
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
}
