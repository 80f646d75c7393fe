// Compiles the file named by PLAINNET_KERNEL once for every instruction set: in namespace plainnet::kernels::baseline,
// ::avx2 and ::avx512, with code generation for that set switched on. So an app compiled for any x86-64 holds all
// versions, and a kernel is written once. There is no include guard on purpose.
//
// A .inl file lies inside the namespace: it includes nothing, and writes Simd<T> (simd.hpp) for vectors. Its functions
// must not be lambdas, which GCC compiles without the switch.

namespace plainnet::kernels::baseline {
#include PLAINNET_KERNEL
}

#if PLAINNET_X86

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
namespace plainnet::kernels::avx2 {
#include PLAINNET_KERNEL
}
#ifdef __clang__
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target("avx512f,avx2,fma"))), apply_to = function)
#else
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx512f,avx2,fma")
#endif
namespace plainnet::kernels::avx512 {
#include PLAINNET_KERNEL
}
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif  // PLAINNET_X86

#undef PLAINNET_KERNEL
