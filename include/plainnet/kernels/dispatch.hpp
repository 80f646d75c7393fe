#pragma once
// Calls a kernel's version for an instruction set that is known at run time.

#include "plainnet/kernels/isa.hpp"

/// PLAINNET_DISPATCH(isa, kernel<T>(arguments)) returns namespace_of_the_isa::kernel<T>(arguments). A macro because
/// a namespace cannot be a template argument.
#if PLAINNET_X86
#define PLAINNET_DISPATCH(isa, ...)                   \
  switch (isa) {                                      \
    case Isa::zen5:                                   \
    case Isa::zen4:                                   \
    case Isa::avx512: return avx512::__VA_ARGS__;     \
    case Isa::avx2: return avx2::__VA_ARGS__;         \
    case Isa::baseline: return baseline::__VA_ARGS__; \
  }                                                   \
  return baseline::__VA_ARGS__
#else
#define PLAINNET_DISPATCH(isa, ...) return (void(isa), baseline::__VA_ARGS__)
#endif
