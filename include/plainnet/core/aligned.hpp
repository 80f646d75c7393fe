#pragma once
// Memory on cache-line boundaries.

#include <cstddef>
#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace plainnet {

/// One cache line, and the widest vector register.
inline constexpr std::size_t alignment = 64;

/// Allocates on 64-byte boundaries; `resize(n)` leaves new elements uninitialised, since every large buffer here is
/// written in full before it is read and clearing it first would cost a pass through memory.
template <class T>
struct AlignedAllocator {
  using value_type = T;

  AlignedAllocator() = default;
  template <class U>
  AlignedAllocator(const AlignedAllocator<U>&) {}

  T* allocate(std::size_t count) {
    if (count > std::size_t(-1) / sizeof(T)) throw std::bad_array_new_length();
    return static_cast<T*>(::operator new (count * sizeof(T), std::align_val_t{alignment}));
  }
  void deallocate(T* data, std::size_t) { ::operator delete (data, std::align_val_t{alignment}); }

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

template <class T>
using AlignedVector = std::vector<T, AlignedAllocator<T>>;

}  // namespace plainnet
