#pragma once
// std::bit_cast, also for the standard libraries of C++20 that lack it (libc++ before 14).

#include <bit>
#include <version>

namespace plainnet::detail {

#if defined(__cpp_lib_bit_cast)

using std::bit_cast;

#else

template <class To, class From>
constexpr To bit_cast(const From& from) noexcept {
  return __builtin_bit_cast(To, from);
}

#endif

}  // namespace plainnet::detail
