#pragma once
// The instruction sets that kernels are compiled for, and which of them this machine has.

#include <array>
#include <cstdlib>
#include <string_view>

#include "plainnet/core/error.hpp"

#if (defined(__x86_64__) || defined(__i386__)) && defined(__GNUC__)
#define PLAINNET_X86 1
#else
#define PLAINNET_X86 0
#endif

namespace plainnet {

/// From the least to the most capable. `baseline` is whatever the user compiles for, in 16-byte vectors; `zen4` is
/// AVX-512 on cores that add vectors by units of their own beside those that multiply, as AMD's do: products are
/// computed with fewer multiplications and more additions (inner_product.hpp).
enum class Isa { baseline, avx2, avx512, zen4 };

inline constexpr std::array all_isas = {Isa::baseline, Isa::avx2, Isa::avx512, Isa::zen4};

inline std::string_view to_string(Isa isa) {
  switch (isa) {
    case Isa::avx2: return "avx2";
    case Isa::avx512: return "avx512";
    case Isa::zen4: return "zen4";
    default: return "baseline";
  }
}

/// Whether this machine, its operating system included, can run the kernels of an instruction set.
inline bool is_supported(Isa isa) {
#if PLAINNET_X86
  if (isa == Isa::avx2) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (isa >= Isa::avx512) return is_supported(Isa::avx2) && __builtin_cpu_supports("avx512f");
#endif
  return isa == Isa::baseline;
}

namespace detail {

/// Whether vectors are added by units of their own, so that additions take no time of multiplications. Intel's cores
/// add and multiply AVX-512's vectors by the same.
inline bool has_adders_beside_multipliers() {
#if PLAINNET_X86
  return __builtin_cpu_is("amd");
#else
  return false;
#endif
}

}  // namespace detail

/// What is fastest on this machine.
inline Isa best_isa() {
  static const Isa best = !is_supported(Isa::avx2)                  ? Isa::baseline
                          : !is_supported(Isa::avx512)              ? Isa::avx2
                          : detail::has_adders_beside_multipliers() ? Isa::zen4
                                                                    : Isa::avx512;
  return best;
}

/// By its name; Error if there is none of that name or this machine has not got it.
inline Isa isa_named(std::string_view name) {
  for (Isa isa : all_isas) {
    if (to_string(isa) != name) continue;
    require(is_supported(isa), "this machine has no ", name, "; its best is ", to_string(best_isa()));
    return isa;
  }
  fail("unknown instruction set '", name, "': baseline, avx2, avx512 and zen4 are known");
}

/// What is used where a program does not say otherwise: the set that the environment variable PLAINNET_ISA names, for
/// tests and comparisons, else the best. Error if this machine has not got it.
inline Isa chosen_isa() {
  const char* const name = std::getenv("PLAINNET_ISA");
  return name && *name ? isa_named(name) : best_isa();
}

}  // namespace plainnet
