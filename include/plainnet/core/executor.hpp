#pragma once
// Who runs the parts of a task that threads share.

#include <memory>
#include <type_traits>

#include "plainnet/core/range.hpp"

namespace plainnet {

/// Runs tasks of a fixed number of parts. ThreadPool is the one that plainnet brings; a program with threads of its own
/// derives another and gives it to Engine::workspace().
class Executor {
 public:
  virtual ~Executor() = default;

  /// Parts of each task, at least one, always the same.
  virtual Index size() const noexcept = 0;

  /// Calls task(i) for every i in 0 … size() − 1 and returns when all are done. Neither throws nor allocates.
  template <class Task>
  void run(Task&& task) noexcept {
    using Called = std::remove_reference_t<Task>;
    call_all([](void* context, Index i) { (*static_cast<Called*>(context))(i); },
             const_cast<void*>(static_cast<const void*>(std::addressof(task))));
  }

 private:
  /// Calls call(context, i) for every i in 0 … size() − 1, in any order, on any threads, at once or one after the
  /// other, and returns when all are done. It must not throw. One run calls it again and again, for microseconds to
  /// milliseconds each. A part that has begun goes on by itself: others may wait for it, but never for one that has
  /// not.
  virtual void call_all(void (*call)(void* context, Index i), void* context) noexcept = 0;
};

/// The caller's thread alone.
class CallersThread final : public Executor {
 public:
  Index size() const noexcept override { return 1; }

 private:
  void call_all(void (*call)(void* context, Index i), void* context) noexcept override { call(context, 0); }
};

/// One for all, since it has no state.
inline Executor& callers_thread() noexcept {
  static CallersThread executor;
  return executor;
}

}  // namespace plainnet
