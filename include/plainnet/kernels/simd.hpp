#pragma once
// Vectors: Simd<T> in one namespace for each instruction set, all with the same few operations.
//
//   Simd<T>::Vector, Simd<T>::lanes
//   load, store         unaligned
//   broadcast(x)        x in every lane
//   add, sub, mul, div  lane by lane
//   fma(a, b, c)        a · b + c; rounded once where the machine has it
//   at_least(low, x)    max(low, x), at_most(high, x): min(high, x); x if x is NaN
//   relu(x)             at_least(0, x)
//   larger(a, b)        the larger; NaN if either is
//   low(a, b), high(a, b)
//                       in each 16 bytes: a0 b0 a1 b1 and a2 b2 a3 b3 of floats, a0 b0 and a1 b1 of doubles
//   low_pairs, high_pairs
//                       floats only: a0 a1 b0 b1 and a2 a3 b2 b3
//   root(x)             16 bytes only: the square root
//   pieces(p, step, k)  16 bytes each from p[0] + k, p[step] + k, p[2 · step] + k, …
//   load_part(p, n, rest), store_part(p, x, n)
//                       AVX-512 only: the first n lanes and no other memory; `rest` in the other lanes
//   look_up(table, x)   floats of AVX-512 only: of 16 numbers that which the low 4 bits of each lane of x say
//   shift_bits(x)       floats only: the bits of each lane 23 places to the left, to make 2^n of n (vector_math.inl)

#include <cmath>
#include <cstring>

#include "plainnet/core/shape.hpp"
#include "plainnet/kernels/isa.hpp"

#if PLAINNET_X86
#include <immintrin.h>
#endif

namespace plainnet::kernels {

/// Elements of a vector: Simd<T>::lanes of an instruction set that is known at run time.
template <class T>
Index lanes_of(Isa isa) {
  const Index bytes = isa >= Isa::avx512 ? 64 : isa == Isa::avx2 ? 32 : 16;
  return bytes / static_cast<Index>(sizeof(T));
}

}  // namespace plainnet::kernels

namespace plainnet::kernels::baseline {

/// Compiler vectors of 16 bytes: SSE2 on x86-64, NEON on aarch64, four scalars elsewhere.
template <class T>
struct Simd {
  typedef T Vector __attribute__((vector_size(16)));
  static constexpr Index lanes = 16 / sizeof(T);

  static Vector load(const T* p) {
    Vector v;
    std::memcpy(&v, p, sizeof v);
    return v;
  }
  static void store(T* p, Vector v) { std::memcpy(p, &v, sizeof v); }
  static Vector broadcast(T x) { return Vector{} + x; }
  static Vector add(Vector a, Vector b) { return a + b; }
  static Vector sub(Vector a, Vector b) { return a - b; }
  static Vector mul(Vector a, Vector b) { return a * b; }
  static Vector div(Vector a, Vector b) { return a / b; }
  static Vector fma(Vector a, Vector b, Vector c) { return a * b + c; }
  static Vector at_least(Vector low, Vector x) { return x < low ? low : x; }
  static Vector at_most(Vector high, Vector x) { return x > high ? high : x; }
  static Vector relu(Vector x) { return at_least(Vector{}, x); }
  // NOLINTNEXTLINE(misc-redundant-expression): NaN
  static Vector larger(Vector a, Vector b) { return ((a > b) | (a != a)) ? a : b; }
  static Vector low(Vector a, Vector b) {
    if constexpr (lanes == 2) {
      return __builtin_shufflevector(a, b, 0, 2);
    } else {
      return __builtin_shufflevector(a, b, 0, 4, 1, 5);
    }
  }
  static Vector high(Vector a, Vector b) {
    if constexpr (lanes == 2) {
      return __builtin_shufflevector(a, b, 1, 3);
    } else {
      return __builtin_shufflevector(a, b, 2, 6, 3, 7);
    }
  }
  static Vector low_pairs(Vector a, Vector b) { return __builtin_shufflevector(a, b, 0, 1, 4, 5); }
  static Vector high_pairs(Vector a, Vector b) { return __builtin_shufflevector(a, b, 2, 3, 6, 7); }
  static Vector pieces(const T* const* p, Index, Index k) { return load(p[0] + k); }
  static Vector root(Vector x) {
#if PLAINNET_X86 && defined(__SSE2__)
    if constexpr (sizeof(T) == 4) {
      return _mm_sqrt_ps(x);
    } else {
      return _mm_sqrt_pd(x);
    }
#else
    for (Index i = 0; i < lanes; ++i) x[i] = std::sqrt(x[i]);
    return x;
#endif
  }
  static Vector shift_bits(Vector x) {
    static_assert(sizeof(T) == 4);
    typedef unsigned Bits __attribute__((vector_size(16)));
    return (Vector)((Bits)x << 23);
  }
};

}  // namespace plainnet::kernels::baseline

#if PLAINNET_X86

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif

namespace plainnet::kernels::avx2 {

template <class T>
struct Simd;

template <>
struct Simd<float> {
  using Vector = __m256;
  static constexpr Index lanes = 8;

  static Vector load(const float* p) { return _mm256_loadu_ps(p); }
  static void store(float* p, Vector v) { _mm256_storeu_ps(p, v); }
  static Vector broadcast(float x) { return _mm256_set1_ps(x); }
  static Vector add(Vector a, Vector b) { return _mm256_add_ps(a, b); }
  static Vector sub(Vector a, Vector b) { return _mm256_sub_ps(a, b); }
  static Vector mul(Vector a, Vector b) { return _mm256_mul_ps(a, b); }
  static Vector div(Vector a, Vector b) { return _mm256_div_ps(a, b); }
  static Vector fma(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }
  // maxps and minps return their second operand if one is NaN.
  static Vector at_least(Vector low, Vector x) { return _mm256_max_ps(low, x); }
  static Vector at_most(Vector high, Vector x) { return _mm256_min_ps(high, x); }
  static Vector relu(Vector x) { return at_least(_mm256_setzero_ps(), x); }
  static Vector larger(Vector a, Vector b) {
    return _mm256_blendv_ps(_mm256_max_ps(a, b), a, _mm256_cmp_ps(a, a, _CMP_UNORD_Q));
  }
  static Vector low(Vector a, Vector b) { return _mm256_unpacklo_ps(a, b); }
  static Vector high(Vector a, Vector b) { return _mm256_unpackhi_ps(a, b); }
  static Vector low_pairs(Vector a, Vector b) { return _mm256_shuffle_ps(a, b, 0x44); }
  static Vector high_pairs(Vector a, Vector b) { return _mm256_shuffle_ps(a, b, 0xee); }
  static Vector pieces(const float* const* p, Index step, Index k) {
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p[0] + k)), _mm_loadu_ps(p[step] + k), 1);
  }
  static Vector shift_bits(Vector x) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(x), 23)); }
};

template <>
struct Simd<double> {
  using Vector = __m256d;
  static constexpr Index lanes = 4;

  static Vector load(const double* p) { return _mm256_loadu_pd(p); }
  static void store(double* p, Vector v) { _mm256_storeu_pd(p, v); }
  static Vector broadcast(double x) { return _mm256_set1_pd(x); }
  static Vector add(Vector a, Vector b) { return _mm256_add_pd(a, b); }
  static Vector sub(Vector a, Vector b) { return _mm256_sub_pd(a, b); }
  static Vector mul(Vector a, Vector b) { return _mm256_mul_pd(a, b); }
  static Vector div(Vector a, Vector b) { return _mm256_div_pd(a, b); }
  static Vector fma(Vector a, Vector b, Vector c) { return _mm256_fmadd_pd(a, b, c); }
  static Vector at_least(Vector low, Vector x) { return _mm256_max_pd(low, x); }
  static Vector at_most(Vector high, Vector x) { return _mm256_min_pd(high, x); }
  static Vector relu(Vector x) { return at_least(_mm256_setzero_pd(), x); }
  static Vector larger(Vector a, Vector b) {
    return _mm256_blendv_pd(_mm256_max_pd(a, b), a, _mm256_cmp_pd(a, a, _CMP_UNORD_Q));
  }
  static Vector low(Vector a, Vector b) { return _mm256_unpacklo_pd(a, b); }
  static Vector high(Vector a, Vector b) { return _mm256_unpackhi_pd(a, b); }
  static Vector pieces(const double* const* p, Index step, Index k) {
    return _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(p[0] + k)), _mm_loadu_pd(p[step] + k), 1);
  }
};

}  // namespace plainnet::kernels::avx2

#ifdef __clang__
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target("avx512f,avx2,fma"))), apply_to = function)
#else
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx512f,avx2,fma")
#endif

namespace plainnet::kernels::avx512 {

template <class T>
struct Simd;

template <>
struct Simd<float> {
  using Vector = __m512;
  static constexpr Index lanes = 16;

  static Vector load(const float* p) { return _mm512_loadu_ps(p); }
  static void store(float* p, Vector v) { _mm512_storeu_ps(p, v); }
  static Vector load_part(const float* p, Index count, float rest) {
    return _mm512_mask_loadu_ps(broadcast(rest), first(count), p);
  }
  static void store_part(float* p, Vector x, Index count) { _mm512_mask_storeu_ps(p, first(count), x); }
  static Vector broadcast(float x) { return _mm512_set1_ps(x); }
  static Vector add(Vector a, Vector b) { return a + b; }
  static Vector sub(Vector a, Vector b) { return a - b; }
  static Vector mul(Vector a, Vector b) { return a * b; }
  static Vector div(Vector a, Vector b) { return a / b; }
  static Vector fma(Vector a, Vector b, Vector c) { return _mm512_fmadd_ps(a, b, c); }
  // With a mask of all lanes, since GCC 12 warns of an uninitialised value in the forms without.
  static Vector at_least(Vector low, Vector x) { return _mm512_maskz_max_ps(__mmask16(-1), low, x); }
  static Vector at_most(Vector high, Vector x) { return _mm512_maskz_min_ps(__mmask16(-1), high, x); }
  static Vector relu(Vector x) { return at_least(_mm512_setzero_ps(), x); }
  static Vector larger(Vector a, Vector b) { return _mm512_mask_max_ps(a, _mm512_cmp_ps_mask(a, a, _CMP_ORD_Q), a, b); }
  static Vector low(Vector a, Vector b) { return _mm512_maskz_unpacklo_ps(__mmask16(-1), a, b); }
  static Vector high(Vector a, Vector b) { return _mm512_maskz_unpackhi_ps(__mmask16(-1), a, b); }
  static Vector low_pairs(Vector a, Vector b) { return _mm512_maskz_shuffle_ps(__mmask16(-1), a, b, 0x44); }
  static Vector high_pairs(Vector a, Vector b) { return _mm512_maskz_shuffle_ps(__mmask16(-1), a, b, 0xee); }
  static Vector pieces(const float* const* p, Index step, Index k) {
    Vector v = _mm512_castps128_ps512(_mm_loadu_ps(p[0] + k));
    v = _mm512_mask_broadcast_f32x4(v, 0x00f0, _mm_loadu_ps(p[step] + k));
    v = _mm512_mask_broadcast_f32x4(v, 0x0f00, _mm_loadu_ps(p[2 * step] + k));
    return _mm512_mask_broadcast_f32x4(v, 0xf000, _mm_loadu_ps(p[3 * step] + k));
  }
  static Vector look_up(const float* table, Vector places) {
    return _mm512_maskz_permutexvar_ps(__mmask16(-1), _mm512_castps_si512(places), load(table));
  }
  static Vector shift_bits(Vector x) {
    return _mm512_castsi512_ps(_mm512_maskz_slli_epi32(__mmask16(-1), _mm512_castps_si512(x), 23));
  }

 private:
  static __mmask16 first(Index count) { return static_cast<__mmask16>((1u << count) - 1); }
};

template <>
struct Simd<double> {
  using Vector = __m512d;
  static constexpr Index lanes = 8;

  static Vector load(const double* p) { return _mm512_loadu_pd(p); }
  static void store(double* p, Vector v) { _mm512_storeu_pd(p, v); }
  static Vector load_part(const double* p, Index count, double rest) {
    return _mm512_mask_loadu_pd(broadcast(rest), first(count), p);
  }
  static void store_part(double* p, Vector x, Index count) { _mm512_mask_storeu_pd(p, first(count), x); }
  static Vector broadcast(double x) { return _mm512_set1_pd(x); }
  static Vector add(Vector a, Vector b) { return a + b; }
  static Vector sub(Vector a, Vector b) { return a - b; }
  static Vector mul(Vector a, Vector b) { return a * b; }
  static Vector div(Vector a, Vector b) { return a / b; }
  static Vector fma(Vector a, Vector b, Vector c) { return _mm512_fmadd_pd(a, b, c); }
  // With a mask of all lanes, since GCC 12 warns of an uninitialised value in the forms without.
  static Vector at_least(Vector low, Vector x) { return _mm512_maskz_max_pd(__mmask8(-1), low, x); }
  static Vector at_most(Vector high, Vector x) { return _mm512_maskz_min_pd(__mmask8(-1), high, x); }
  static Vector relu(Vector x) { return at_least(_mm512_setzero_pd(), x); }
  static Vector larger(Vector a, Vector b) { return _mm512_mask_max_pd(a, _mm512_cmp_pd_mask(a, a, _CMP_ORD_Q), a, b); }
  static Vector low(Vector a, Vector b) { return _mm512_maskz_unpacklo_pd(__mmask8(-1), a, b); }
  static Vector high(Vector a, Vector b) { return _mm512_maskz_unpackhi_pd(__mmask8(-1), a, b); }
  static Vector pieces(const double* const* p, Index step, Index k) {
    __m512 v = _mm512_castps128_ps512(quarter(p[0] + k));
    v = _mm512_mask_broadcast_f32x4(v, 0x00f0, quarter(p[step] + k));
    v = _mm512_mask_broadcast_f32x4(v, 0x0f00, quarter(p[2 * step] + k));
    return _mm512_castps_pd(_mm512_mask_broadcast_f32x4(v, 0xf000, quarter(p[3 * step] + k)));
  }

 private:
  static __m128 quarter(const double* p) { return _mm_castpd_ps(_mm_loadu_pd(p)); }
  static __mmask8 first(Index count) { return static_cast<__mmask8>((1u << count) - 1); }
};

}  // namespace plainnet::kernels::avx512

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif  // PLAINNET_X86
