#pragma once
// Every allocation of a program, counted, and any of them made to fail: for a program that links counted_new.cpp.

#include <atomic>

namespace plainnet::test {

/// Of all forms of the global operator new, and of malloc(), calloc() and mmap() where the library calls them.
struct Allocations {
  std::atomic<long> made = 0;  // since the program began; those that failed too
  std::atomic<long> live = 0;  // not yet freed
  std::atomic<long> first_to_fail = 0;
  std::atomic<long> last_to_fail = -1;  // as numbers of `made`

  /// Makes the n-th allocation from now on fail, n ≥ 1, and with `all_after` all that follow it.
  void fail_at(long n, bool all_after) {
    first_to_fail = made + n;
    last_to_fail = all_after ? std::atomic<long>::value_type(1) << 62 : first_to_fail.load();
  }
  void fail_no_more() { last_to_fail = -1; }
};

extern Allocations allocations;

/// How many allocations function() makes.
template <class Function>
long allocations_of(Function&& function) {
  const long before = allocations.made;
  function();
  return allocations.made - before;
}

}  // namespace plainnet::test
