#pragma once
// The operations of folded NFNets that no other family has.

#include <utility>

#include "plainnet/core/share_out.hpp"
#include "plainnet/engine/operations.hpp"
#include "plainnet/kernels/channel_attention.hpp"
#include "plainnet/networks/folded_nfnet.hpp"

namespace plainnet {

/// act(x), where no operation before it can compute it while it writes: the map itself is needed too.
template <class T>
struct ActivationOperation final : Operation<T> {
  kernels::Activation activation;
  Isa isa;

  ActivationOperation(kernels::Activation activation_, Isa isa_) : activation(activation_), isa(isa_) {}

  std::string_view name() const override { return "activation"; }
  Shape output_shape(const Shape& in) const override { return in; }
  Overwrites overwrites(const Shape&, Index) const override { return Overwrites::input; }
  void run(TensorView<const T> in, const T*, TensorView<T> out, T*, Executor& pool) const override {
    const Index count = in.shape().elements();
    constexpr Index unit = 64;  // elements
    share_out(pool, (count + unit - 1) / unit, 4, [&](Range units, Index) {
      const Range part{units.begin * unit, std::min(units.end * unit, count)};
      kernels::activate<T>(in.data() + part.begin, part.size(), activation, T{0}, out.data() + part.begin, isa);
    });
  }
};

/// The end of a block: gain · gates(x) · x + residual, with the gates of a squeeze-excite.
template <class T>
struct SqueezeExciteOperation final : Operation<T> {
  kernels::PackedMatrix<T> fc1;
  kernels::PackedMatrix<T> fc2;
  T gain;

  SqueezeExciteOperation(kernels::PackedMatrix<T> fc1_, kernels::PackedMatrix<T> fc2_, T gain_)
      : fc1(std::move(fc1_)), fc2(std::move(fc2_)), gain(gain_) {}

  std::string_view name() const override { return "squeeze-excite"; }
  Shape output_shape(const Shape& in) const override {
    require(in.channels == fc1.depth, "a squeeze-excite of ", fc1.depth, " channels was given ", in.channels);
    return in;
  }
  Count macs(const Shape& in) const override {
    return multiply_counts(in.batch, 2 * multiply_counts(fc1.depth, fc1.columns));
  }
  Index scratch(const Shape& in, Index threads) const override {
    return checked_add(checked_multiply(in.batch, 2 * fc1.depth + fc1.columns),
                       checked_multiply(matmul_scratch(), threads));
  }
  Overwrites overwrites(const Shape&, Index) const override { return Overwrites::residual; }
  Index weight_elements() const override { return fc1.size() + fc2.size(); }
  void run(TensorView<const T> in, const T* residual, TensorView<T> out, T* scratch, Executor& pool) const override {
    const Index batch = in.shape().batch;
    const Index channels = fc1.depth;
    T* const means = scratch;                       // (N, C)
    T* const hidden = means + batch * channels;     // (N, fewer)
    T* const gates = hidden + batch * fc1.columns;  // (N, C)
    T* const rest = gates + batch * channels;
    kernels::global_mean<T>(in, {means, {batch, 1, 1, channels}}, fc1.isa, pool);
    kernels::multiply<T>(kernels::MatrixRows<T>(means, channels), batch, fc1, {.activation = kernels::Activation::relu},
                         hidden, fc1.columns, rest, pool);
    kernels::multiply<T>(kernels::MatrixRows<T>(hidden, fc1.columns), batch, fc2,
                         {.activation = kernels::Activation::sigmoid}, gates, channels, rest, pool);
    kernels::add_gated<T>(in, gates, gain, residual, out, fc1.isa, pool);
  }

 private:
  Index matmul_scratch() const {
    return std::max(kernels::matmul_scratch<T>(fc1.depth), kernels::matmul_scratch<T>(fc2.depth));
  }
};

/// The same with the gates of an efficient channel attention.
template <class T>
struct EfficientAttentionOperation final : Operation<T> {
  AlignedVector<T> weight;  // (k)
  T gain;
  Isa isa;

  EfficientAttentionOperation(AlignedVector<T> weight_, T gain_, Isa isa_)
      : weight(std::move(weight_)), gain(gain_), isa(isa_) {}

  std::string_view name() const override { return "channel attention"; }
  Shape output_shape(const Shape& in) const override { return in; }
  Index scratch(const Shape& in, Index) const override {
    return checked_multiply(2, checked_multiply(in.batch, in.channels));
  }
  Overwrites overwrites(const Shape&, Index) const override { return Overwrites::residual; }
  Index weight_elements() const override { return static_cast<Index>(weight.size()); }
  void run(TensorView<const T> in, const T* residual, TensorView<T> out, T* scratch, Executor& pool) const override {
    const Index batch = in.shape().batch;
    const Index channels = in.shape().channels;
    T* const gates = scratch + batch * channels;
    kernels::global_mean<T>(in, {scratch, {batch, 1, 1, channels}}, isa, pool);
    for (Index n = 0; n < batch; ++n) {
      kernels::gates_of_neighbours<T>(scratch + n * channels, channels, weight.data(),
                                      static_cast<Index>(weight.size()), gates + n * channels, isa);
    }
    kernels::add_gated<T>(in, gates, gain, residual, out, isa, pool);
  }
};

}  // namespace plainnet
