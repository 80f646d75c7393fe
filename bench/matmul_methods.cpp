// Products of 1×1 layers by each method (kernels/inner_product.hpp), one thread. FLOP/s are those of the definition for
// both; methods take turns with
//
//   matmul_methods --benchmark_enable_random_interleaving --benchmark_repetitions=9
//
// Each first compares both results. As in a network, weights come from memory: run after run takes another copy of
// them, of 128 MB in all.

#include <benchmark/benchmark.h>

#include "plainnet/core/thread_pool.hpp"
#include "plainnet/plainnet.hpp"

namespace {

using namespace plainnet;
using kernels::MatmulMethod;

constexpr double most_disagreement = 1e-4;
constexpr Index all_weights = (128 << 20) / sizeof(float);

struct Sizes {
  Index rows, depth, columns;
};

void time_product(benchmark::State& state, const Sizes& sizes, MatmulMethod method, Isa isa) {
  const Index rows = sizes.rows, depth = sizes.depth, columns = sizes.columns;
  Linear<float> layer(depth, columns, true);
  fill_randomly(layer);
  const auto packed_by = [&](MatmulMethod by) { return detail::pack_linear(layer, isa, callers_thread(), by); };
  const std::vector<kernels::PackedMatrix<float>> copies(
      static_cast<std::size_t>(std::max<Index>(1, all_weights / (depth * columns))), packed_by(method));
  std::size_t turn = 0;
  const Tensor<float> in = probe_input<float>({1, 1, rows, depth});
  const kernels::MatrixRows<float> source(in.data(), depth);
  ThreadPool pool(1);
  AlignedVector<float> scratch(static_cast<std::size_t>(kernels::matmul_scratch<float>(depth)));
  const auto run = [&](Tensor<float>& out, const kernels::PackedMatrix<float>& packed) {
    kernels::multiply<float>(source, rows, packed, {}, out.data(), columns, scratch.data(), pool);
  };
  Tensor<float> out({1, 1, rows, columns}), expected({1, 1, rows, columns});
  run(expected, packed_by(MatmulMethod::definition));
  run(out, copies.front());
  const auto difference = static_cast<double>((out.matrix() - expected.matrix()).cwiseAbs().maxCoeff() /
                                              expected.matrix().cwiseAbs().maxCoeff());
  if (!(difference < most_disagreement)) return state.SkipWithError(concatenate("wrong by ", difference).c_str());
  for (auto _ : state) {
    run(out, copies[turn++ % copies.size()]);
    benchmark::ClobberMemory();
  }
  state.counters["FLOP/s"] = benchmark::Counter(2.0 * static_cast<double>(rows * depth * columns),
                                                benchmark::Counter::kIsIterationInvariantRate);
}

}  // namespace

int main(int argc, char** argv) {
  for (const Isa isa : all_isas) {
    if (!is_supported(isa)) continue;
    for (const Sizes& sizes :
         {Sizes{3136, 512, 1024}, {784, 1024, 2048}, {196, 2048, 4096}, {196, 2048, 2048}, {196, 1024, 1024},
          {196, 512, 2048},       {196, 2048, 512},  {196, 320, 1280},  {196, 1280, 320},  {196, 640, 320},
          {256, 1536, 768},       {256, 768, 1536},  {3136, 768, 1536}, {784, 512, 512},   {784, 1024, 256},
          {784, 512, 128},        {784, 128, 512},   {3136, 64, 256},   {3136, 256, 64},   {49, 512, 2048},
          {49, 2048, 512},        {4, 2048, 512}}) {
      for (const MatmulMethod method : {MatmulMethod::definition, MatmulMethod::inner_products}) {
        const std::string name = concatenate(sizes.rows, "x", sizes.depth, "x", sizes.columns, "/", to_string(isa), "/",
                                             method == MatmulMethod::definition ? "definition" : "inner");
        benchmark::RegisterBenchmark(name.c_str(),
                                     [=](benchmark::State& state) { time_product(state, sizes, method, isa); });
      }
    }
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
}
