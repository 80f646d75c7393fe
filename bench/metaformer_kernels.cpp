// One benchmark a kernel and instruction set, on the maps of the smallest published MetaFormers, one thread.
//
//   metaformer_kernels --benchmark_filter=attention/.*avx512
//
// Each first compares its result with the same kernel's in double precision on the baseline instruction set, which the
// tests compare with plain loops.

#include <array>
#include <cmath>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "plainnet/core/thread_pool.hpp"
#include "plainnet/kernels/attention.hpp"
#include "plainnet/kernels/depthwise.hpp"
#include "plainnet/kernels/normalized_rows.hpp"
#include "plainnet/kernels/pool_mixer.hpp"
#include "plainnet/kernels/shared_matmul.hpp"
#include "plainnet/kernels/token_mixing.hpp"

namespace {

using namespace plainnet;
using namespace plainnet::kernels;

constexpr double most_disagreement = 1e-4;

/// Numbers between −1 and 1 that are the same for every type.
template <class T>
AlignedVector<T> numbers(Index count, unsigned seed) {
  AlignedVector<T> values(static_cast<std::size_t>(count));
  for (T& value : values) {
    seed = seed * 1664525u + 1013904223u;
    value = static_cast<T>(static_cast<float>(seed >> 8) * 0x1p-23f - 1.0f);
  }
  return values;
}

/// What every kernel here works on: a map of tokens, something of the same size, constants of each channel.
template <class T>
struct Operands {
  Shape shape;
  Isa isa;
  ThreadPool pool{1};
  AlignedVector<T> in = numbers<T>(shape.elements(), 1);
  AlignedVector<T> out = AlignedVector<T>(in.size(), T{0});
  AlignedVector<T> per_channel = numbers<T>(4 * shape.channels, 2);
  std::vector<Moments<T>> moments = std::vector<Moments<T>>(static_cast<std::size_t>(shape.batch));

  Operands(const Shape& shape_, Isa isa_) : shape(shape_), isa(isa_) {}

  TensorView<const T> map() const { return {in.data(), shape}; }
  TensorView<T> result() { return {out.data(), shape}; }
};

template <class T>
struct PoolMixing : Operands<T> {
  using Operands<T>::Operands;
  double macs() const { return 0; }
  void run() {
    this->moments[0] = {T{0}, T{2}};
    pool_mix<T>(this->map(), this->map(), nullptr, this->per_channel.data(), this->moments.data(), this->result(),
                this->isa, this->pool);
  }
};

/// Group norm: moments, then the map.
template <class T>
struct GroupNorm : Operands<T> {
  AlignedVector<T> scratch;
  GroupNorm(const Shape& shape_, Isa isa_)
      : Operands<T>(shape_, isa_), scratch(static_cast<std::size_t>(image_moments_scratch<T>(shape_))) {}
  double macs() const { return 0; }
  void run() {
    image_moments<T>(this->map(), static_cast<T>(1e-5), this->moments.data(), scratch.data(), this->isa, this->pool);
    const auto by = Normalization<T>::of_images(this->moments.data(), this->shape);
    normalize<T>(this->map(), by, {.scale = this->per_channel.data(), .shift = this->per_channel.data()},
                 this->result(), this->isa, this->pool);
  }
};

/// Layer norm, 1×1 to four times the channels, GELU.
template <class T>
struct MlpUp : Operands<T> {
  Index hidden = 4 * this->shape.channels;
  AlignedVector<T> weight = numbers<T>(this->shape.channels * hidden, 3);
  PackedMatrix<T> packed =
      pack_matrix<T, T>({weight.data(), this->shape.channels, hidden, hidden, 1}, this->per_channel.data(), this->isa);
  AlignedVector<T> scratch = numbers<T>(matmul_scratch<T>(this->shape.channels), 4);
  MlpUp(const Shape& shape_, Isa isa_) : Operands<T>(shape_, isa_) {
    this->out.resize(static_cast<std::size_t>(shape_.pixels() * hidden));
  }
  double macs() const { return static_cast<double>(this->shape.elements() * hidden); }
  void run() {
    const Index channels = this->shape.channels;
    const NormalizedRows<T> rows(this->in.data(), channels, channels,
                                 Normalization<T>::of_pixels(static_cast<T>(1e-5)));
    multiply<T>(rows, this->shape.pixels(), packed, {.activation = Activation::gelu}, this->out.data(), hidden,
                scratch.data(), this->pool);
  }
};

template <class T>
struct Depthwise7x7 : Operands<T> {
  AlignedVector<T> weight = numbers<T>(this->shape.channels * 49, 3);
  PackedDepthwise<T> packed = pack_depthwise<T>(weight.data(), nullptr, this->shape.channels, 3,
                                                DepthwiseInput::squared_relu, this->isa, T{-0.25});
  using Operands<T>::Operands;
  double macs() const { return static_cast<double>(this->shape.elements() * 49); }
  void run() { depthwise<T>(this->map(), packed, this->result(), this->pool); }
};

template <class T>
struct TokenMixing : Operands<T> {
  Index tokens = this->shape.height * this->shape.width;
  AlignedVector<T> weight = numbers<T>(tokens * tokens, 3);
  AlignedVector<T> scratch = numbers<T>(token_mixing_scratch<T>(tokens, this->shape.channels, this->isa), 4);
  using Operands<T>::Operands;
  double macs() const { return static_cast<double>(this->shape.elements() * tokens); }
  void run() {
    this->moments[0] = {T{0}, T{2}};
    const auto by = Normalization<T>::of_images(this->moments.data(), this->shape);
    mix_tokens<T>(this->map(), weight.data(), &by, this->per_channel.data(), nullptr,
                  {.residual = this->in.data(), .residual_stride = this->shape.channels}, this->result(),
                  scratch.data(), this->isa, this->pool);
  }
};

/// `shape` is that of the result.
template <class T>
struct AttentionOf32 : Operands<T> {
  Index tokens = this->shape.height * this->shape.width;
  AlignedVector<T> qkv = numbers<T>(3 * this->shape.elements(), 3);
  AlignedVector<T> scratch = numbers<T>(attention_scratch<T>(tokens, 32, this->isa), 4);
  using Operands<T>::Operands;
  double macs() const { return static_cast<double>(2 * this->shape.elements() * tokens); }
  void run() {
    Shape qkv_shape = this->shape;
    qkv_shape.channels *= 3;
    const Index heads = qkv_shape.channels / 96;
    attend<T>(AttentionInput<T>::of_map({qkv.data(), qkv_shape}, heads), heads, this->result(), scratch.data(),
              this->isa, this->pool);
  }
};

template <template <class> class Kernel>
void add(const char* name, const Shape& shape, Isa isa) {
  benchmark::RegisterBenchmark(
      concatenate(name, "/", shape.height, "x", shape.width, "x", shape.channels, "/", to_string(isa)).c_str(),
      [=](benchmark::State& state) {
        Kernel<float> kernel(shape, isa);
        Kernel<double> exact(shape, Isa::baseline);
        kernel.run();
        exact.run();
        double largest = 0;
        double difference = 0;
        for (std::size_t i = 0; i < exact.out.size(); ++i) {
          largest = std::max(largest, std::abs(exact.out[i]));
          difference = std::max(difference, std::abs(exact.out[i] - static_cast<double>(kernel.out[i])));
        }
        if (!(difference < most_disagreement * largest)) {
          return state.SkipWithError(concatenate("wrong by ", difference, " of ", largest).c_str());
        }
        for (auto _ : state) {
          kernel.run();
          benchmark::ClobberMemory();
        }
        const auto rate = benchmark::Counter::kIsIterationInvariantRate;
        if (kernel.macs() > 0) state.counters["FLOP/s"] = benchmark::Counter(2 * kernel.macs(), rate);
        const double bytes = 4.0 * static_cast<double>(kernel.in.size() + kernel.out.size());
        state.counters["B/s of maps"] = benchmark::Counter(bytes, rate);
      });
}

}  // namespace

int main(int argc, char** argv) {
  for (const Isa isa : all_isas) {
    if (!is_supported(isa)) continue;
    for (const auto& [side, channels] : {std::array<Index, 2>{56, 64}, {28, 128}, {14, 320}, {7, 512}}) {
      const Shape shape{.batch = 1, .height = side, .width = side, .channels = channels};
      add<PoolMixing>("pool_mix", shape, isa);
      add<GroupNorm>("group_norm", shape, isa);
      add<MlpUp>("layer_norm_1x1_gelu", shape, isa);
      add<Depthwise7x7>("depthwise", {.batch = 1, .height = side, .width = side, .channels = 2 * channels}, isa);
      if (side > 14) continue;
      add<TokenMixing>("token_mixing", shape, isa);
      add<AttentionOf32>("attention", shape, isa);
    }
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
}
