#pragma once
// Functions of vectors, for other kernels to use: exponentials, activations, parts of vectors, sums of lanes.
//
// Error bounds of the float versions; double computes lane by lane with the functions of <cmath>.
//
//   exponential(x)  relative error 4e-7; 0 below −87.68, where the result would be smaller than 2^-126, ∞ above 88.38
//   power_of_two(x) 2^x of x ≤ 0; relative error 3e-7; 0 below −126.5
//   sigmoid(x)      1 / (1 + e^-x); absolute error 4e-7
//   silu(x)         x · sigmoid(x); error 4e-7 · |x|; NaN for −∞ as in PyTorch
//   gelu(x)         x · Φ(x), Φ(x) = (1 + erf(x / √2)) / 2; error 4e-7 · |x|, with AVX-512 1.2e-7 · |x|; NaN for
//                  −∞ as in PyTorch
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

/// Φ(x) − ½ for x ≥ 0 in 16 pieces, around n · step: coefficient k of piece n is gelu_pieces[k][n], of r^k with
/// r = x / step − n, |r| ≤ ½. Interpolated in Chebyshev's points, error 3e-9; ½ to the last bit at the end of the last.
inline constexpr float gelu_pieces_end = 5.549f;  // so that rounding stays below 15.5 · step
inline constexpr float gelu_pieces_in_one = 15.5f / 5.55f;
alignas(64) inline constexpr float gelu_pieces[6][16] = {
    {-1.63671664e-17f, 0.139852479f, 0.263044149f, 0.358632028f, 0.423965007f, 0.463298976f, 0.484158486f, 0.493902504f,
     0.497911751f, 0.499364793f, 0.499828637f, 0.499959052f, 0.499991328f, 0.499998391f, 0.499999732f, 0.49999997f},
    {0.142847076f, 0.13397719f, 0.11053744f, 0.0802244842f, 0.0512181036f, 0.0287646502f, 0.0142106414f, 0.00617571548f,
     0.00236091274f, 0.00079394714f, 0.000234867184f, 6.11184369e-05f, 1.39907597e-05f, 2.81727807e-06f,
     4.99042471e-07f, 7.77615625e-08f},
    {3.63083876e-16f, -0.00858843233f, -0.0141717969f, -0.0154282767f, -0.0131333936f, -0.0092199035f, -0.00546593359f,
     -0.00277130143f, -0.00121077208f, -0.000458050694f, -0.000150549473f, -4.30910441e-05f, -1.07595606e-05f,
     -2.34679987e-06f, -4.47586501e-07f, -7.47049214e-08f},
    {-0.00305235991f, -0.00249579526f, -0.00115068292f, 0.000263777736f, 0.00115063484f, 0.00135546247f, 0.0010979058f,
     0.000697089185f, 0.000363512372f, 0.000159221134f, 5.93253935e-05f, 1.89534258e-05f, 5.21986749e-06f,
     1.24392943e-06f, 2.57219313e-07f, 4.62486653e-08f},
    {-9.42055433e-16f, 0.000261511537f, 0.000374146854f, 0.000303047855f, 0.000133401059f, -1.91538093e-05f,
     -9.34259151e-05f, -9.67872911e-05f, -6.7342582e-05f, -3.62908322e-05f, -1.59301217e-05f, -5.83631208e-06f,
     -1.80966344e-06f, -4.7909856e-07f, -1.08948925e-07f, -2.1372534e-08f},
    {5.831206e-05f, 4.10097928e-05f, 2.90137746e-06f, -2.82128713e-05f, -3.55687116e-05f, -2.34327363e-05f,
     -6.67252425e-06f, 3.95216239e-06f, 6.77812614e-06f, 5.27218845e-06f, 2.91877768e-06f, 1.26972895e-06f,
     4.51811047e-07f, 1.3428253e-07f, 3.37554127e-08f, 7.23605353e-09f}};

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

/// out[i] = 2^in[i] of in[i] ≤ 0; both may be the same array.
template <class T>
void power_of_two(const T* in, Index count, T* out, Isa isa) {
  PLAINNET_DISPATCH(isa, power_of_two_array<T>(in, count, out));
}

}  // namespace plainnet::kernels
