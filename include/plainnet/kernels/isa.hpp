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

#if PLAINNET_X86
#include <cpuid.h>
#endif

namespace plainnet {

/// From the least to the most capable. `baseline` is whatever the user compiles for, in 16-byte vectors; `zen4` and
/// `zen5` are AVX-512 on cores that add vectors by units of their own beside those that multiply, as AMD's do: products
/// are computed with fewer multiplications and more additions (inner_product.hpp). They compute the same bits: `zen4`
/// is for units of half a vector's width, which leave time to load an operand for each of them, `zen5` for whole ones.
enum class Isa { baseline, avx2, avx512, zen4, zen5 };

inline constexpr std::array all_isas = {Isa::baseline, Isa::avx2, Isa::avx512, Isa::zen4, Isa::zen5};

inline std::string_view to_string(Isa isa) {
  switch (isa) {
    case Isa::avx2: return "avx2";
    case Isa::avx512: return "avx512";
    case Isa::zen4: return "zen4";
    case Isa::zen5: return "zen5";
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

/// Of AMD's cores with AVX-512, by what CPUID's function 1 gives in EAX. Family 25 is Zen 4 here, 26 Zen 5, whose
/// models for thin laptops (Strix Point, Krackan Point) have units of half the width, as is published; none was
/// measured. That CPUID tells the width itself is of no use: virtual machines leave it out.
constexpr Isa isa_of_amd(unsigned signature) {
  const unsigned base_family = signature >> 8 & 15, base_model = signature >> 4 & 15;
  const unsigned family = base_family < 15 ? base_family : 15 + (signature >> 20 & 255);
  const unsigned model = base_model | (signature >> 16 & 15) << 4;
  const bool is_half = model >> 4 == 2 || model >> 4 == 6;
  return family < 26 || (family == 26 && is_half) ? Isa::zen4 : Isa::zen5;
}

/// What is fastest where there is AVX-512. Intel's cores add and multiply its vectors by the same units.
inline Isa best_isa_with_avx512() {
#if PLAINNET_X86
  unsigned signature = 0, b = 0, c = 0, d = 0;
  if (__builtin_cpu_is("amd") && __get_cpuid(1, &signature, &b, &c, &d)) return isa_of_amd(signature);
#endif
  return Isa::avx512;
}

}  // namespace detail

/// What is fastest on this machine.
inline Isa best_isa() {
  static const Isa best = is_supported(Isa::avx512) ? detail::best_isa_with_avx512()
                          : is_supported(Isa::avx2) ? Isa::avx2
                                                    : Isa::baseline;
  return best;
}

/// By its name; Error if there is none of that name or this machine has not got it.
inline Isa isa_named(std::string_view name) {
  for (Isa isa : all_isas) {
    if (to_string(isa) != name) continue;
    require(is_supported(isa), "this machine has no ", name, "; its best is ", to_string(best_isa()));
    return isa;
  }
  fail("unknown instruction set '", name, "': baseline, avx2, avx512, zen4 and zen5 are known");
}

/// What is used where a program does not say otherwise: the set that the environment variable PLAINNET_ISA names, for
/// tests and comparisons, else the best. Error if this machine has not got it.
inline Isa chosen_isa() {
  const char* const name = std::getenv("PLAINNET_ISA");
  return name && *name ? isa_named(name) : best_isa();
}

}  // namespace plainnet
