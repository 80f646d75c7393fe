// Linked with --wrap=malloc,--wrap=calloc,--wrap=free,--wrap=mmap,--wrap=munmap: what this program's own files call is
// counted, what the C and C++ libraries do inside is not. Of mappings those count that are no file's.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>
#include <sys/mman.h>

#include "alloc/counted_new.hpp"

extern "C" {
void* __real_malloc(std::size_t size);
void* __real_calloc(std::size_t count, std::size_t size);
void __real_free(void* memory);
void* __real_mmap(void* address, std::size_t size, int protection, int flags, int file, off_t offset);
int __real_munmap(void* address, std::size_t size);
}

namespace plainnet::test {

Allocations allocations;

namespace {

/// function() unless this allocation shall fail, then null.
template <class Function>
void* count(Function&& function) noexcept {
  const long number = ++allocations.made;
  if (allocations.first_to_fail <= number && number <= allocations.last_to_fail) return nullptr;
  void* const memory = function();
  if (memory) ++allocations.live;
  return memory;
}

void release(void* memory) noexcept {
  if (memory) --allocations.live;
  __real_free(memory);
}

void* allocate(std::size_t size, std::size_t alignment) noexcept {
  if (size == 0) size = 1;
  return count([&] {
    return alignment <= alignof(std::max_align_t)
               ? __real_malloc(size)
               : std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  });
}

void* allocate_or_throw(std::size_t size, std::size_t alignment) {
  void* const memory = allocate(size, alignment);
  if (!memory) throw std::bad_alloc();
  return memory;
}

/// Mappings that were counted.
std::array<std::atomic<void*>, 1024> mappings;

bool exchange(void* old, void* now) {
  for (std::atomic<void*>& mapping : mappings) {
    void* expected = old;
    if (mapping.compare_exchange_strong(expected, now)) return true;
  }
  return false;
}

std::size_t to_size(std::align_val_t alignment) { return static_cast<std::size_t>(alignment); }

}  // namespace
}  // namespace plainnet::test

using plainnet::test::allocate;
using plainnet::test::allocate_or_throw;
using plainnet::test::release;
using plainnet::test::to_size;

extern "C" {
void* __wrap_malloc(std::size_t size) {
  return plainnet::test::count([&] { return __real_malloc(size); });
}
void* __wrap_calloc(std::size_t number, std::size_t size) {
  return plainnet::test::count([&] { return __real_calloc(number, size); });
}
void __wrap_free(void* memory) { release(memory); }
void* __wrap_mmap(void* address, std::size_t size, int protection, int flags, int file, off_t offset) {
  using namespace plainnet::test;
  if (!(flags & MAP_ANONYMOUS)) return __real_mmap(address, size, protection, flags, file, offset);
  void* const memory = count([&]() -> void* {
    void* const mapped = __real_mmap(address, size, protection, flags, file, offset);
    return mapped != MAP_FAILED && exchange(nullptr, mapped) ? mapped : nullptr;
  });
  return memory ? memory : MAP_FAILED;
}
int __wrap_munmap(void* address, std::size_t size) {
  if (plainnet::test::exchange(address, nullptr)) --plainnet::test::allocations.live;
  return __real_munmap(address, size);
}
}

// Not inlined: GCC would see free() for what it knows as operator new's, and warn.
[[gnu::noinline]] void* operator new(std::size_t size) { return allocate_or_throw(size, 1); }
[[gnu::noinline]] void* operator new[](std::size_t size) { return allocate_or_throw(size, 1); }
[[gnu::noinline]] void* operator new(std::size_t size, std::align_val_t alignment) {
  return allocate_or_throw(size, to_size(alignment));
}
[[gnu::noinline]] void* operator new[](std::size_t size, std::align_val_t alignment) {
  return allocate_or_throw(size, to_size(alignment));
}
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return allocate(size, 1); }
[[gnu::noinline]] void* operator new[](std::size_t size, const std::nothrow_t&) noexcept { return allocate(size, 1); }
[[gnu::noinline]] void* operator new(std::size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return allocate(size, to_size(alignment));
}
[[gnu::noinline]] void* operator new[](std::size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return allocate(size, to_size(alignment));
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { release(memory); }
[[gnu::noinline]] void operator delete[](void* memory) noexcept { release(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { release(memory); }
[[gnu::noinline]] void operator delete[](void* memory, std::size_t) noexcept { release(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t) noexcept { release(memory); }
[[gnu::noinline]] void operator delete[](void* memory, std::align_val_t) noexcept { release(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { release(memory); }
[[gnu::noinline]] void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept { release(memory); }
[[gnu::noinline]] void operator delete(void* memory, const std::nothrow_t&) noexcept { release(memory); }
[[gnu::noinline]] void operator delete[](void* memory, const std::nothrow_t&) noexcept { release(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t, const std::nothrow_t&) noexcept {
  release(memory);
}
[[gnu::noinline]] void operator delete[](void* memory, std::align_val_t, const std::nothrow_t&) noexcept {
  release(memory);
}
