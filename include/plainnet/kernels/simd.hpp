#pragma once
// Vectors: Simd<T> in one namespace for each instruction set, all with the same few operations.
//
//   Simd<T>::Vector, Simd<T>::lanes
//   load, store         unaligned
//   broadcast(x)        x in every lane
//   add, mul            lane by lane
//   fma(a, b, c)        a · b + c; rounded once where the machine has it
//   relu(x)             max(x, 0); NaN stays NaN
//   larger(a, b)        the larger; NaN if either is

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
  const Index bytes = isa == Isa::avx512 ? 64 : isa == Isa::avx2 ? 32 : 16;
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
  static Vector mul(Vector a, Vector b) { return a * b; }
  static Vector fma(Vector a, Vector b, Vector c) { return a * b + c; }
  static Vector relu(Vector x) { return x < Vector{} ? Vector{} : x; }
  static Vector larger(Vector a, Vector b) { return ((a > b) | (a != a)) ? a : b; }
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
  static Vector mul(Vector a, Vector b) { return _mm256_mul_ps(a, b); }
  static Vector fma(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }
  // maxps returns its second operand if one is NaN.
  static Vector relu(Vector x) { return _mm256_max_ps(_mm256_setzero_ps(), x); }
  static Vector larger(Vector a, Vector b) {
    return _mm256_blendv_ps(_mm256_max_ps(a, b), a, _mm256_cmp_ps(a, a, _CMP_UNORD_Q));
  }
};

template <>
struct Simd<double> {
  using Vector = __m256d;
  static constexpr Index lanes = 4;

  static Vector load(const double* p) { return _mm256_loadu_pd(p); }
  static void store(double* p, Vector v) { _mm256_storeu_pd(p, v); }
  static Vector broadcast(double x) { return _mm256_set1_pd(x); }
  static Vector add(Vector a, Vector b) { return _mm256_add_pd(a, b); }
  static Vector mul(Vector a, Vector b) { return _mm256_mul_pd(a, b); }
  static Vector fma(Vector a, Vector b, Vector c) { return _mm256_fmadd_pd(a, b, c); }
  static Vector relu(Vector x) { return _mm256_max_pd(_mm256_setzero_pd(), x); }
  static Vector larger(Vector a, Vector b) {
    return _mm256_blendv_pd(_mm256_max_pd(a, b), a, _mm256_cmp_pd(a, a, _CMP_UNORD_Q));
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
  static Vector broadcast(float x) { return _mm512_set1_ps(x); }
  static Vector add(Vector a, Vector b) { return a + b; }
  static Vector mul(Vector a, Vector b) { return a * b; }
  static Vector fma(Vector a, Vector b, Vector c) { return _mm512_fmadd_ps(a, b, c); }
  static Vector relu(Vector x) {
    return _mm512_mask_mov_ps(x, _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_LT_OQ), _mm512_setzero_ps());
  }
  static Vector larger(Vector a, Vector b) {
    return _mm512_mask_mov_ps(a, _mm512_cmp_ps_mask(a, b, _CMP_NGT_UQ) & _mm512_cmp_ps_mask(a, a, _CMP_ORD_Q), b);
  }
};

template <>
struct Simd<double> {
  using Vector = __m512d;
  static constexpr Index lanes = 8;

  static Vector load(const double* p) { return _mm512_loadu_pd(p); }
  static void store(double* p, Vector v) { _mm512_storeu_pd(p, v); }
  static Vector broadcast(double x) { return _mm512_set1_pd(x); }
  static Vector add(Vector a, Vector b) { return a + b; }
  static Vector mul(Vector a, Vector b) { return a * b; }
  static Vector fma(Vector a, Vector b, Vector c) { return _mm512_fmadd_pd(a, b, c); }
  static Vector relu(Vector x) {
    return _mm512_mask_mov_pd(x, _mm512_cmp_pd_mask(x, _mm512_setzero_pd(), _CMP_LT_OQ), _mm512_setzero_pd());
  }
  static Vector larger(Vector a, Vector b) {
    return _mm512_mask_mov_pd(a, _mm512_cmp_pd_mask(a, b, _CMP_NGT_UQ) & _mm512_cmp_pd_mask(a, a, _CMP_ORD_Q), b);
  }
};

}  // namespace plainnet::kernels::avx512

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif  // PLAINNET_X86
