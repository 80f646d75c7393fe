#pragma once
// The JPEG and PNG decoders of stb_image as a private copy, which does not meet any other copy in the program.

// Other people's code: its warnings are not the user's.
#if defined(__GNUC__)
#pragma GCC system_header
#elif defined(_MSC_VER)
#pragma warning(push, 0)
#endif

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>

// What stb_image includes comes first, for stb_image itself goes into a namespace.
#include <limits.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__) || defined(_M_X64) || defined(__i386) || defined(_M_IX86)
#include <emmintrin.h>
#endif
#if defined(_MSC_VER)
#include <intrin.h>
#endif
#if defined(STBI_NEON)
#include <arm_neon.h>
#endif

#include "plainnet/core/error.hpp"

#if defined(STB_IMAGE_IMPLEMENTATION)
#error "plainnet/io/image.hpp has a stb_image of its own: include it before you define STB_IMAGE_IMPLEMENTATION."
#endif

namespace plainnet::detail {

/// The largest piece of memory that a decoder may ask for in this thread; set for each file from its header, so that a
/// small file which unpacks to gigabytes fails instead.
inline thread_local std::size_t stb_memory_limit = 0;

/// Zeroed: in a damaged file the decoder does not write all that it reads.
inline void* stb_allocate(std::size_t bytes) {
  return bytes <= stb_memory_limit ? std::calloc(std::max<std::size_t>(bytes, 1), 1) : nullptr;
}

inline void* stb_reallocate(void* old, std::size_t old_bytes, std::size_t bytes) {
  void* grown = stb_allocate(bytes);
  if (grown == nullptr || old == nullptr) return grown;
  std::memcpy(grown, old, std::min(old_bytes, bytes));
  std::free(old);
  return grown;
}

}  // namespace plainnet::detail

// The user's own stb_image may have come before this one or may follow: nothing that is defined here stays defined.
#pragma push_macro("STBI_INCLUDE_STB_IMAGE_H")
#pragma push_macro("STBI_VERSION")
#pragma push_macro("STBIDEF")
#undef STBI_INCLUDE_STB_IMAGE_H
#undef STBI_VERSION
#undef STBIDEF

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_MAX_DIMENSIONS 65535
#define STBI_MALLOC(bytes) ::plainnet::detail::stb_allocate(bytes)
#define STBI_REALLOC_SIZED(old, old_bytes, bytes) ::plainnet::detail::stb_reallocate(old, old_bytes, bytes)
#define STBI_FREE(memory) ::std::free(memory)
// None can fail as far as is known; if one does, this leaks memory, but neither goes on nor ends the program.
#define STBI_ASSERT(condition) ::plainnet::require(condition, "stb_image contradicts itself: ", #condition)

// Static functions, a copy for each source file that includes this header: stb_image knows no other way to stay apart
// from the copy that the user's program may hold.
namespace plainnet::detail::stb {
#if __has_include(<stb/stb_image.h>)
#include <stb/stb_image.h>
#elif __has_include(<stb_image.h>)
#include <stb_image.h>
#else
#error \
    "stb_image.h is missing: install Debian's libstb-dev, or put https://github.com/nothings/stb on the include path."
#endif
}  // namespace plainnet::detail::stb

#undef STB_IMAGE_IMPLEMENTATION
#undef STB_IMAGE_STATIC
#undef STBI_ONLY_JPEG
#undef STBI_ONLY_PNG
#undef STBI_NO_BMP
#undef STBI_NO_GIF
#undef STBI_NO_HDR
#undef STBI_NO_LINEAR
#undef STBI_NO_PIC
#undef STBI_NO_PNM
#undef STBI_NO_PSD
#undef STBI_NO_STDIO
#undef STBI_NO_TGA
#undef STBI_MAX_DIMENSIONS
#undef STBI_MALLOC
#undef STBI_REALLOC_SIZED
#undef STBI_FREE
#undef STBI_ASSERT
#undef FAST_BITS
#undef stbi__err
#undef stbi__errpf
#undef stbi__errpuc
#undef STBI_INCLUDE_STB_IMAGE_H
#undef STBI_VERSION
#undef STBIDEF
#pragma pop_macro("STBIDEF")
#pragma pop_macro("STBI_VERSION")
#pragma pop_macro("STBI_INCLUDE_STB_IMAGE_H")

#if defined(_MSC_VER)
#pragma warning(pop)
#endif
