#include <algorithm>
#include <atomic>
#include <numeric>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "plainnet/core/share_out.hpp"
#include "plainnet/core/thread_pool.hpp"
#include "support/executors.hpp"

namespace plainnet {
namespace {

/// The first number taken, of `count` in all; −1 if none was.
testing::AssertionResult is(Range taken, Index first, Index count = 1) {
  if (taken.size() == count && (count == 0 || taken.begin == first)) return testing::AssertionSuccess();
  return testing::AssertionFailure() << taken.begin << " to " << taken.end;
}
testing::AssertionResult is_nothing(Range taken) { return is(taken, 0, 0); }

TEST(TakenFromBothEnds, GivesEachNumberOnce) {
  TakenFromBothEnds numbers;
  EXPECT_TRUE(is_nothing(numbers.take_first(1, false)));
  EXPECT_TRUE(is_nothing(numbers.take_last()));
  for (int again = 0; again < 2; ++again) {
    numbers.offer({0, 5});
    EXPECT_TRUE(is(numbers.take_last(), 4));
    EXPECT_TRUE(is(numbers.take_first(1, false), 0));
    EXPECT_TRUE(is(numbers.take_first(1, true), 1));
    EXPECT_TRUE(is(numbers.take_last(), 3));
    EXPECT_TRUE(is(numbers.take_last(), 2));
    EXPECT_TRUE(is_nothing(numbers.take_last()));
    EXPECT_TRUE(is_nothing(numbers.take_first(1, true)));
  }
  const Index most = (Index{1} << 32) - 1;
  numbers.offer({most - 2, most});
  EXPECT_TRUE(is(numbers.take_last(), most - 1));
  EXPECT_TRUE(is(numbers.take_first(most, false), most - 2));
  EXPECT_TRUE(is_nothing(numbers.take_first(most, false)));
  numbers.offer({7, 7});
  EXPECT_TRUE(is_nothing(numbers.take_first(3, true)));
  EXPECT_TRUE(is_nothing(numbers.take_last()));
}

TEST(TakenFromBothEnds, GivesSeveralOfTheFirst) {
  TakenFromBothEnds numbers;
  numbers.offer({2, 13});
  EXPECT_TRUE(is(numbers.take_first(4, false), 2, 4));
  EXPECT_TRUE(is(numbers.take_first(4, false), 6, 4));
  EXPECT_TRUE(is(numbers.take_first(4, false), 10, 3));
  numbers.offer({0, 11});
  EXPECT_TRUE(is(numbers.take_first(4, true), 0, 4));  // of 11
  EXPECT_TRUE(is(numbers.take_first(4, true), 4, 4));  // of 7
  EXPECT_TRUE(is(numbers.take_first(4, true), 8, 2));  // of 3
  EXPECT_TRUE(is(numbers.take_first(4, true), 10, 1));
  EXPECT_TRUE(is_nothing(numbers.take_first(4, true)));
}

TEST(TakenFromBothEnds, GivesEachNumberOnceAmongThreads) {
  constexpr Index count = 20'000;
  TakenFromBothEnds numbers;
  std::vector<std::atomic<int>> taken(count);
  ThreadPool pool(4);
  for (int again = 0; again < 10; ++again) {
    numbers.offer({0, count});
    pool.run([&](Index thread) {
      for (Range some; (some = thread == 0 ? numbers.take_first(3, true) : numbers.take_last()).size() > 0;) {
        for (Index i = some.begin; i < some.end; ++i) ++taken[static_cast<std::size_t>(i)];
      }
    });
  }
  EXPECT_TRUE(std::all_of(taken.begin(), taken.end(), [](int times) { return times == 10; }));
}

/// How often each number was in a part, and how many parts there were.
struct Parts {
  std::vector<std::atomic<int>> of_number;
  std::atomic<int> count = 0;

  Parts(Executor& pool, Index numbers, Index pieces) : of_number(static_cast<std::size_t>(numbers)) {
    share_out(pool, numbers, pieces, [&](Range part, Index thread) {
      EXPECT_TRUE(part.size() > 0 && part.begin >= 0 && part.end <= numbers && thread >= 0 && thread < pool.size());
      for (Index i = part.begin; i < part.end; ++i) ++of_number[static_cast<std::size_t>(i)];
      ++count;
    });
  }

  bool are_a_whole() const {
    return std::all_of(of_number.begin(), of_number.end(), [](int times) { return times == 1; });
  }
};

TEST(ShareOut, GivesEachNumberToOnePart) {
  for (Index threads : {1, 2, 3, 7}) {
    ThreadPool pool(threads);
    for (Index numbers : {0, 1, 2, 5, 13, 14, 100, 1001}) {
      for (Index pieces : {1, 2, 8}) {
        const Parts parts(pool, numbers, pieces);
        EXPECT_TRUE(parts.are_a_whole()) << numbers << " among " << threads << ", " << pieces << " pieces";
        EXPECT_EQ(parts.count, threads == 1 ? std::min<Index>(1, numbers) : std::min(numbers, threads * pieces));
      }
    }
  }
}

TEST(ShareOut, WorksInWhateverOrderThreadsCome) {
  std::vector<Index> forward(100);
  std::iota(forward.begin(), forward.end(), 0);
  const std::vector<Index> backward(forward.rbegin(), forward.rend());
  for (Index size : {2, 3, 64, 65, 100}) {  // with more than most_shares, some have none of their own
    for (const auto& whole : {forward, backward}) {
      std::vector<Index> order;
      std::copy_if(whole.begin(), whole.end(), std::back_inserter(order), [&](Index i) { return i < size; });
      test::InOrder executor(size, order);
      EXPECT_TRUE(Parts(executor, 1000, 3).are_a_whole()) << size;
    }
    for (Index only : {Index{0}, size / 2, size - 1}) {  // the others never come
      test::InOrder executor(size, {only});
      EXPECT_TRUE(Parts(executor, 1000, 3).are_a_whole()) << size << ", thread " << only;
    }
  }
}

TEST(ShareOut, GivesAThreadItsOwnShareInOrder) {
  test::InOrder executor(2, {1, 0});
  std::vector<Index> begins;
  share_out(executor, 80, 4, [&](Range part, Index) { begins.push_back(part.begin); });
  EXPECT_EQ(begins, (std::vector<Index>{40, 50, 60, 70, 30, 20, 10, 0}));
}

// The first thread's first part waits until all others are done, which takes another thread to do the rest of its
// share.
TEST(ShareOut, WhoIsDoneHelpsTheOthers) {
  ThreadPool pool(2);
  for (int again = 0; again < 20; ++again) {
    std::atomic<int> done = 0;
    share_out(pool, 16, 8, [&](Range part, Index) {
      if (part.begin == 0) {
        const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
        while (done < 15 && std::chrono::steady_clock::now() < end) std::this_thread::yield();
        EXPECT_EQ(done, 15);
      }
      ++done;
    });
  }
}

}  // namespace
}  // namespace plainnet
