#pragma once
// Memory on cache-line boundaries.

#include <cstddef>
#include <new>
#include <utility>
#include <vector>

// Where large blocks come straight from the system. Not under the address sanitizer, which watches the heap.
#if defined(__linux__) && !defined(__SANITIZE_ADDRESS__)
#define PLAINNET_MAPS_LARGE_BLOCKS 1
#endif
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#undef PLAINNET_MAPS_LARGE_BLOCKS
#endif
#endif
#if defined(PLAINNET_MAPS_LARGE_BLOCKS)
#include <sys/mman.h>
#endif

namespace plainnet {

/// One cache line, and the widest vector register.
inline constexpr std::size_t alignment = 64;

namespace detail {

/// From so many bytes on, two large pages of the common systems, a block is a mapping of its own.
inline constexpr std::size_t large_block = std::size_t{4} << 20;

#if defined(PLAINNET_MAPS_LARGE_BLOCKS)
/// Zeros. A page costs nothing before somebody uses it, and Linux is asked to make it a large one then (a network of
/// 400 MB is entered in the page tables in hundreds of pieces instead of a hundred thousand).
///
/// A mapping, since the heap keeps what is freed, where large blocks often do not fit, and what it uses again has small
/// pages and must be cleared: dm_nfnet_f6 at 64 pixels needed 1.34 times the memory of its weights, now 1.06;
/// caformer_b36, folded, is prepared in 71 ms for 122 but loaded in 108 for 90.
inline void* map_block(std::size_t bytes) {
  void* const place = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (place == MAP_FAILED) throw std::bad_alloc();
  ::madvise(place, bytes, MADV_HUGEPAGE);  // where it is refused, the memory is as good
  return place;
}
inline void unmap_block(void* place, std::size_t bytes) { ::munmap(place, bytes); }
inline bool is_mapped(std::size_t bytes) { return bytes >= large_block; }
#else
inline void* map_block(std::size_t) { throw std::bad_alloc(); }
inline void unmap_block(void*, std::size_t) {}
inline bool is_mapped(std::size_t) { return false; }
#endif

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
  static bool is_zeroed(std::size_t count) { return detail::is_mapped(count * sizeof(T)); }

  T* allocate(std::size_t count) {
    if (count > std::size_t(-1) / sizeof(T)) throw std::bad_array_new_length();
    const std::size_t bytes = count * sizeof(T);
    if (bytes > std::size_t(-1) / 2) throw std::bad_alloc();  // what no system grants, and a sanitizer would end for
    void* const place =
        detail::is_mapped(bytes) ? detail::map_block(bytes) : ::operator new (bytes, std::align_val_t{alignment});
    return static_cast<T*>(place);
  }
  void deallocate(T* data, std::size_t count) {
    const std::size_t bytes = count * sizeof(T);
    if (detail::is_mapped(bytes)) {
      detail::unmap_block(data, bytes);
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
