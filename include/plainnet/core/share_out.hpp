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
  void offer(Range numbers) noexcept { left_ = both(numbers); }

  /// The first numbers, none if none is left: `most`, but where others help, at most half of what is left, or one.
  Range take_first(Index most, bool others_help) noexcept {
    return take([=](Range left) {
      const Index count = std::min(most, others_help ? (left.size() + 1) / 2 : left.size());
      return Choice{{left.begin, left.begin + count}, {left.begin + count, left.end}};
    });
  }

  /// The last number, or none.
  Range take_last() noexcept {
    return take([](Range left) { return Choice{{left.end - 1, left.end}, {left.begin, left.end - 1}}; });
  }

 private:
  struct Choice {
    Range taken;
    Range rest;
  };

  /// choose(what is left).taken, unless nothing is left. A thread that wakes after its look at it may find the same of
  /// a later offer: then it takes numbers of that one.
  template <class Choose>
  Range take(Choose&& choose) noexcept {
    for (std::uint64_t old = left_;;) {
      const Range left{static_cast<Index>(old >> 32), static_cast<Index>(old & 0xFFFFFFFFu)};
      if (left.begin >= left.end) return {0, 0};
      const Choice choice = choose(left);
      if (left_.compare_exchange_weak(old, both(choice.rest))) return choice.taken;
    }
  }

  static std::uint64_t both(Range numbers) {
    return static_cast<std::uint64_t>(numbers.begin) << 32 | static_cast<std::uint64_t>(numbers.end);
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
      for (Range next; (next = is_own ? share.take_first(1, true) : share.take_last()).size() > 0;) work(next.begin);
    }
  });
}

}  // namespace plainnet
