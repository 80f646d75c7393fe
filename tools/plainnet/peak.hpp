#pragma once
// What this machine can do at most: multiply-adds in registers, as many as its pipelines take.

#include <algorithm>
#include <chrono>
#include <vector>

#include "plainnet/core/thread_pool.hpp"
#include "plainnet/kernels/simd.hpp"

namespace plainnet::program {
namespace peak {

/// Sums that do not wait for each other: two fused multiply-adds a cycle with a latency of four need eight; SSE2, which
/// needs two instructions for one, some more. Twelve and two factors fit in 16 registers. Each sum begins with a number
/// of its own: of twelve equal ones a compiler computes one and copies it, which read as 1.5 times what an AVX2 machine
/// can do.
inline constexpr Index chains = 12;

template <class Vector>
void start(Vector (&sum)[chains]) {
  for (Index c = 0; c < chains; ++c) sum[c] = Vector{} + static_cast<float>(c);
}

/// The last step of each loop below: a number that depends on all sums, so that none is left out.
template <class Vector>
float reduce(const Vector (&sum)[chains], Index lanes) {
  float total = 0;
  for (const Vector& vector : sum) {
    for (Index lane = 0; lane < lanes; ++lane) total += vector[lane];
  }
  return total;
}

inline float multiply_add_baseline(Index steps) {
  using S = kernels::baseline::Simd<float>;
  S::Vector sum[chains];
  start(sum);
  for (Index i = 0; i < steps; ++i) {
#pragma GCC unroll 12
    for (Index c = 0; c < chains; ++c) sum[c] = S::fma(sum[c], S::broadcast(0.5f), S::broadcast(1.0f));
  }
  return reduce(sum, S::lanes);
}

#if PLAINNET_X86

__attribute__((target("avx2,fma"))) inline float multiply_add_avx2(Index steps) {
  __m256 sum[chains];
  start(sum);
  for (Index i = 0; i < steps; ++i) {
#pragma GCC unroll 12
    for (Index c = 0; c < chains; ++c) sum[c] = _mm256_fmadd_ps(sum[c], _mm256_set1_ps(0.5f), _mm256_set1_ps(1.0f));
  }
  return reduce(sum, 8);
}

__attribute__((target("avx512f"))) inline float multiply_add_avx512(Index steps) {
  __m512 sum[chains];
  start(sum);
  for (Index i = 0; i < steps; ++i) {
#pragma GCC unroll 12
    for (Index c = 0; c < chains; ++c) sum[c] = _mm512_fmadd_ps(sum[c], _mm512_set1_ps(0.5f), _mm512_set1_ps(1.0f));
  }
  return reduce(sum, 16);
}

#endif

struct Loop {
  float (*run)(Index steps);
  Index lanes;
};

inline Loop loop_of(Isa isa) {
#if PLAINNET_X86
  if (isa >= Isa::avx512) return {multiply_add_avx512, 16};
  if (isa == Isa::avx2) return {multiply_add_avx2, 8};
#endif
  return {multiply_add_baseline, 4};
}

}  // namespace peak

/// GFLOP/s of `threads` threads together in an instruction set, a multiply-add counted as two: the best round of some
/// ten milliseconds in a third of a second, since whatever disturbs a round makes it slower, and threads that begin on
/// the same processor are parted only after a while.
inline double measure_peak(Isa isa, Index threads) {
  using Clock = std::chrono::steady_clock;
  constexpr Index steps = 4'000'000;
  const peak::Loop loop = peak::loop_of(isa);
  ThreadPool pool(threads);
  std::vector<float> results(static_cast<std::size_t>(threads));
  double best = 0;
  const Clock::time_point end = Clock::now() + std::chrono::milliseconds(333);
  do {
    const Clock::time_point start = Clock::now();
    pool.run([&](Index thread) { results[static_cast<std::size_t>(thread)] = loop.run(steps); });
    const std::chrono::duration<double> time = Clock::now() - start;
    const auto operations = static_cast<double>(2 * peak::chains * loop.lanes * steps * threads);
    best = std::max(best, operations / time.count() / 1e9);
  } while (Clock::now() < end);
  return best;
}

}  // namespace plainnet::program
