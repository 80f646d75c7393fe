#pragma once
// A fixed set of threads that share one task at a time and sleep in between.

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "plainnet/core/executor.hpp"

namespace plainnet {

/// `size` threads including the caller's: ThreadPool(1) starts none. Idle threads sleep, they never spin. One caller
/// at a time; run() does not allocate. A task must not throw.
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
    {
      const std::lock_guard lock(mutex_);
      context_ = context;
      call_ = call;
      pending_ = threads_.size();
      ++generation_;
    }
    wake_.notify_all();
    call(context, 0);
    std::unique_lock lock(mutex_);
    done_.wait(lock, [this] { return pending_ == 0; });
  }

  void work(Index index) noexcept {
    std::uint64_t seen = 0;
    std::unique_lock lock(mutex_);
    for (;;) {
      wake_.wait(lock, [&] { return stopping_ || generation_ != seen; });
      if (stopping_) return;
      seen = generation_;
      const auto call = call_;
      void* const context = context_;
      lock.unlock();
      call(context, index);
      lock.lock();
      if (--pending_ == 0) done_.notify_one();
    }
  }

  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable done_;
  void (*call_)(void*, Index) = nullptr;
  void* context_ = nullptr;
  std::uint64_t generation_ = 0;
  std::size_t pending_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace plainnet
