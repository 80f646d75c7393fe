#pragma once
// Memory on cache-line boundaries.

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>  // madvise
#endif

namespace plainnet {

/// One cache line, and the widest vector register.
inline constexpr std::size_t alignment = 64;

namespace detail {

/// A large page of the common systems.
inline constexpr std::size_t large_page = std::size_t{2} << 20;

/// Zeros on the boundary of a large page. They come from calloc, which does not touch what is fresh from the system: a
/// page costs nothing before somebody uses it, and Linux is asked to make it a large one then (a network of 400 MB is
/// entered in the page tables in hundreds of pieces instead of a hundred thousand).
inline void* allocate_large(std::size_t bytes) {
  void* const begin = bytes > std::size_t(-1) / 2 - 2 * large_page ? nullptr : std::calloc(bytes + 2 * large_page, 1);
  if (!begin) throw std::bad_alloc();
  void* place = static_cast<void**>(begin) + 1;
  std::size_t space = bytes + 2 * large_page - sizeof(void*);
  std::align(large_page, bytes, place, space);
  static_cast<void**>(place)[-1] = begin;
#if defined(__linux__)
  // Whole pages only. Where the advice is refused, the memory is as good.
  ::madvise(place, bytes / large_page * large_page, MADV_HUGEPAGE);
#endif
  return place;
}

inline void free_large(void* place) { std::free(static_cast<void**>(place)[-1]); }

}  // namespace detail

/// Allocates on 64-byte boundaries; `resize(n)` leaves new elements uninitialised, since every large buffer here is
/// written in full before it is read and clearing it first would cost a pass through memory.
template <class T>
struct AlignedAllocator {
  using value_type = T;

  AlignedAllocator() = default;
  template <class U>
  AlignedAllocator(const AlignedAllocator<U>&) {}

  /// Whether so many elements are all zero when they are allocated.
  static bool is_zeroed(std::size_t count) { return count >= 2 * detail::large_page / sizeof(T); }

  T* allocate(std::size_t count) {
    if (count > std::size_t(-1) / sizeof(T)) throw std::bad_array_new_length();
    const std::size_t bytes = count * sizeof(T);
    void* const place =
        is_zeroed(count) ? detail::allocate_large(bytes) : ::operator new (bytes, std::align_val_t{alignment});
    return static_cast<T*>(place);
  }
  void deallocate(T* data, std::size_t count) {
    if (is_zeroed(count)) {
      detail::free_large(data);
    } else {
      ::operator delete (data, std::align_val_t{alignment});
    }
  }

  template <class U>
  void construct(U* place) {
    ::new (static_cast<void*>(place)) U;
  }
  template <class U, class... Arguments>
  void construct(U* place, Arguments&&... arguments) {
    ::new (static_cast<void*>(place)) U(std::forward<Arguments>(arguments)...);
  }

  bool operator==(const AlignedAllocator&) const { return true; }
};

/// Its elements begin at a multiple of `alignment` bytes.
template <class T>
using AlignedVector = std::vector<T, AlignedAllocator<T>>;

}  // namespace plainnet
