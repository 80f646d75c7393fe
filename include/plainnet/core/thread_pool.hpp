#pragma once
// A fixed set of threads that share one task at a time and sleep when there is none.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "plainnet/core/executor.hpp"
#include "plainnet/core/pause.hpp"

namespace plainnet {

namespace detail {

/// Where threads wait for a condition that others make true. They stay awake for a moment, since to wake a thread takes
/// as long as a small layer (50 µs in a virtual machine: with threads that sleep at once, poolformer_s12 on two threads
/// had 49 % of peak, with these 57), and then sleep. They do not yield: a thread that runs in the background, at
/// whatever priority, would then have the processor for milliseconds.
class WaitingPlace {
 public:
  /// Returns when `is_ready()` holds, which reads atomic variables, sequentially consistent.
  template <class IsReady>
  void wait(IsReady is_ready) noexcept {
    if (waits_awake(is_ready)) return;
    std::unique_lock lock(mutex_);
    ++sleeping_;
    wake_.wait(lock, is_ready);
    --sleeping_;
  }

  /// After the condition was made true. Whoever sleeps, or is about to, has counted itself before it looked at the
  /// condition for the last time: either it is seen here, or it saw the condition.
  void wake_all() noexcept {
    if (sleeping_ == 0) return;
    { const std::lock_guard lock(mutex_); }
    wake_.notify_all();
  }

 private:
  static constexpr std::chrono::microseconds awake{50};

  template <class IsReady>
  static bool waits_awake(IsReady is_ready) noexcept {
    const auto start = std::chrono::steady_clock::now();
    do {
      for (int i = 0; i < 64; ++i) {
        if (is_ready()) return true;
        pause();
      }
    } while (std::chrono::steady_clock::now() - start < awake);
    return false;
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<int> sleeping_ = 0;
};

}  // namespace detail

/// `size` threads including the caller's: ThreadPool(1) starts none. Threads without a task sleep, after 50 µs at most.
/// One caller at a time; run() does not allocate. A task must not throw.
class ThreadPool final : public Executor {
 public:
  explicit ThreadPool(Index size = 1) {
    require(size >= 1, "a thread pool needs at least one thread, not ", size);
    try {
      for (Index i = 1; i < size; ++i) threads_.emplace_back([this, i] { work(i); });
    } catch (...) {
      stop();
      throw;
    }
  }
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  ~ThreadPool() override { stop(); }

  Index size() const noexcept override { return static_cast<Index>(threads_.size()) + 1; }

 private:
  void call_all(void (*call)(void*, Index), void* context) noexcept override {
    if (threads_.empty()) return call(context, 0);
    context_ = context;
    call_ = call;
    pending_ = threads_.size();
    start_next_task();
    call(context, 0);
    caller_.wait([this] { return pending_ == 0; });
  }

  void work(Index index) noexcept {
    for (std::uint32_t seen = 0;; ++seen) {
      workers_.wait([&] { return task_ != seen; });
      if (stopping_) return;
      call_(context_, index);
      if (--pending_ == 0) caller_.wake_all();
    }
  }

  void stop() {
    stopping_ = true;
    start_next_task();
    for (std::thread& thread : threads_) thread.join();
  }

  void start_next_task() noexcept {
    ++task_;
    workers_.wake_all();
  }

  detail::WaitingPlace workers_, caller_;
  std::atomic<std::uint32_t> task_ = 0;  // counts tasks; what it publishes is in the three below
  void (*call_)(void*, Index) = nullptr;
  void* context_ = nullptr;
  std::atomic<bool> stopping_ = false;
  std::atomic<std::size_t> pending_ = 0;
  std::vector<std::thread> threads_;
};

}  // namespace plainnet
