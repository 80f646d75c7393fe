#include <atomic>
#include <chrono>
#include <set>
#include <sys/resource.h>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "plainnet/core/thread_pool.hpp"

namespace plainnet {
namespace {

class ThreadPoolOfSize : public testing::TestWithParam<Index> {};

TEST_P(ThreadPoolOfSize, RunsEachIndexOnceEveryTime) {
  ThreadPool pool(GetParam());
  ASSERT_EQ(pool.size(), GetParam());
  std::vector<int> runs(static_cast<std::size_t>(pool.size()));
  for (int run = 1; run <= 200; ++run) {
    pool.run([&](Index i) { ++runs[static_cast<std::size_t>(i)]; });
    for (std::size_t i = 0; i < runs.size(); ++i) ASSERT_EQ(runs[i], run) << "index " << i;
  }
}

TEST_P(ThreadPoolOfSize, RunsEachIndexOnAThreadOfItsOwn) {
  ThreadPool pool(GetParam());
  std::vector<std::thread::id> ids(static_cast<std::size_t>(pool.size()));
  pool.run([&](Index i) { ids[static_cast<std::size_t>(i)] = std::this_thread::get_id(); });
  EXPECT_EQ(ids[0], std::this_thread::get_id());
  EXPECT_EQ(std::set<std::thread::id>(ids.begin(), ids.end()).size(), ids.size());
}

// Every index waits for all others to have begun, which only threads that run at once can do.
TEST_P(ThreadPoolOfSize, RunsAllIndicesAtOnce) {
  ThreadPool pool(GetParam());
  std::atomic<Index> begun = 0;
  pool.run([&](Index) {
    ++begun;
    while (begun < pool.size()) std::this_thread::yield();
  });
  EXPECT_EQ(begun, pool.size());
}

TEST_P(ThreadPoolOfSize, ReturnsWhenTheLastIndexIsDone) {
  ThreadPool pool(GetParam());
  for (Index slow = 0; slow < pool.size(); slow += 3) {
    std::atomic<Index> done = 0;
    pool.run([&](Index i) {
      if (i == slow) std::this_thread::sleep_for(std::chrono::milliseconds(3));
      ++done;
    });
    ASSERT_EQ(done, pool.size()) << "slow index " << slow;
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, ThreadPoolOfSize, testing::Values(1, 2, 3, 7, 33));

TEST(ThreadPool, SeesWhatItsCallerWroteBetweenRuns) {
  ThreadPool pool(4);
  int value = 0;
  std::vector<int> seen(4);
  for (value = 0; value < 1000; ++value) {
    pool.run([&](Index i) { seen[static_cast<std::size_t>(i)] = value; });
    for (int s : seen) ASSERT_EQ(s, value);
  }
}

TEST(ThreadPool, TakesAConstTask) {
  ThreadPool pool(3);
  std::atomic<Index> sum = 0;
  const auto task = [&](Index i) { sum += i; };
  pool.run(task);
  EXPECT_EQ(sum, 3);
}

TEST(ThreadPool, MayBeUsedByOneThreadAfterAnother) {
  ThreadPool pool(3);
  std::atomic<int> runs = 0;
  for (int i = 0; i < 20; ++i) std::thread([&] { pool.run([&](Index) { ++runs; }); }).join();
  EXPECT_EQ(runs, 60);
}

TEST(ThreadPool, StopsThreadsThatNeverRan) {
  for (Index size = 1; size <= 9; ++size) ThreadPool pool(size);
}

TEST(ThreadPool, RefusesLessThanOneThread) {
  EXPECT_THROW(ThreadPool(0), Error);
  EXPECT_THROW(ThreadPool(-1), Error);
}

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// One thread that spins burns as much as the clock shows, eight of them on one core too.
TEST(ThreadPool, IdleThreadsSleep) {
  ThreadPool pool(8);
  pool.run([](Index) {});
  const double before = cpu_seconds();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_LT(cpu_seconds() - before, 0.05);
}

}  // namespace
}  // namespace plainnet
