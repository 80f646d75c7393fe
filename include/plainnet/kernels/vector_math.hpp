#pragma once
// Functions of vectors, for other kernels to use: exponential, activations, parts of vectors, sums of lanes.
//
// Error bounds of the float versions; double computes lane by lane with the functions of <cmath>.
//
//   exponential(x)  relative error 4e-7; 0 below −87.68, where the result would be smaller than 2^-126, ∞ above 88.38
//   sigmoid(x)      1 / (1 + e^-x); absolute error 4e-7
//   silu(x)         x · sigmoid(x); error 4e-7 · |x|; NaN for −∞ as in PyTorch
//   gelu(x)         x · Φ(x), Φ(x) = (1 + erf(x / √2)) / 2; error 4e-7 · |x|; NaN for −∞ as in PyTorch
//
// NaN gives NaN in all of them.

#include <cmath>

#include "plainnet/kernels/dispatch.hpp"
#include "plainnet/kernels/simd.hpp"

namespace plainnet::kernels {

/// What is done to each element of a result.
enum class Activation {
  none,
  relu,          // max(x, 0)
  leaky_relu,    // x < 0 ? slope · x : x
  gelu,          // x · Φ(x)
  squared_relu,  // max(x, 0)²
  sigmoid,       // 1 / (1 + e^-x)
  silu           // x / (1 + e^-x)
};

}  // namespace plainnet::kernels

#define PLAINNET_KERNEL "plainnet/kernels/vector_math.inl"
#include "plainnet/kernels/for_each_isa.hpp"

namespace plainnet::kernels {

/// out[i] = act(in[i]); both may be the same array.
template <class T>
void activate(const T* in, Index count, Activation activation, T slope, T* out, Isa isa) {
  PLAINNET_DISPATCH(isa, activate_array<T>(in, count, activation, slope, out));
}

/// out[i] = e^in[i]; both may be the same array.
template <class T>
void exponential(const T* in, Index count, T* out, Isa isa) {
  PLAINNET_DISPATCH(isa, exponential_array<T>(in, count, out));
}

}  // namespace plainnet::kernels
