#pragma once
// How threads share out a task: equal shares, and who is done helps the others.

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>

#include "plainnet/core/aligned.hpp"
#include "plainnet/core/executor.hpp"

namespace plainnet {

/// More threads than this have no share of their own and help the others.
inline constexpr Index most_shares = 64;

/// Consecutive numbers below 2^32 of which each is taken once: from the front by whose share they are, from the end by
/// others. So a thread that the system keeps waiting keeps nobody waiting for long, and else all find in their caches
/// what they wrote there.
class alignas(alignment) TakenFromBothEnds {
 public:
  /// Nothing may be left.
  void offer(Range numbers) noexcept {
    left_ = static_cast<std::uint64_t>(numbers.begin) << 32 | static_cast<std::uint64_t>(numbers.end);
  }

  /// A number, or −1 if none is left.
  Index take_first() noexcept { return take(std::uint64_t{1} << 32, 32); }
  Index take_last() noexcept {
    const Index end = take(~std::uint64_t{0}, 0);
    return end < 0 ? -1 : end - 1;
  }

 private:
  /// Both ends, of which one changes. A thread that wakes after its look at them may find the same ends of a later
  /// offer: then it takes a number of that one.
  Index take(std::uint64_t change, int shift) noexcept {
    std::uint64_t old = left_;
    do {
      if (old >> 32 >= (old & 0xFFFFFFFFu)) return -1;
    } while (!left_.compare_exchange_weak(old, old + change));
    return static_cast<Index>(old >> shift & 0xFFFFFFFFu);
  }

  std::atomic<std::uint64_t> left_ = 0;  // the first number · 2^32 + the end
};

/// Calls task(part, thread) for equal parts of 0 … count − 1, `pieces` for each thread of the pool, on whatever thread:
/// part_of(count, pool.size() · pieces, i), unless it is empty. One thread gets all at once.
template <class Task>
void share_out(Executor& pool, Index count, Index pieces, Task&& task) noexcept {
  if (pool.size() == 1) {
    return pool.run([&](Index thread) {
      if (count > 0) task(Range{0, count}, thread);
    });
  }
  const Index parts = pool.size() * pieces;
  const Index shares = std::min(pool.size(), most_shares);
  std::array<TakenFromBothEnds, most_shares> left;
  for (Index i = 0; i < shares; ++i) left[static_cast<std::size_t>(i)].offer(part_of(parts, shares, i));
  pool.run([&](Index thread) {
    const auto work = [&](Index i) {
      if (const Range part = part_of(count, parts, i); part.size() > 0) task(part, thread);
    };
    for (Index i = 0; i < shares; ++i) {
      TakenFromBothEnds& share = left[static_cast<std::size_t>((thread + i) % shares)];
      const bool is_own = i == 0 && thread < shares;
      for (Index next; (next = is_own ? share.take_first() : share.take_last()) >= 0;) work(next);
    }
  });
}

}  // namespace plainnet
