#pragma once
// The arithmetic of a run, the same on whatever thread it computes: rounding to nearest, denormal numbers as zeros, no
// traps.

#include <cstdint>

#include "plainnet/core/executor.hpp"

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace plainnet {

/// While it lives, its thread computes so; what was set before comes back afterwards, on x86 the flags of exceptions
/// too. Some processors need a hundred times as long for a number below 2^-126 as for others, so that a picture of such
/// numbers could hold up a program, and what they are worth is below the rounding error of any logit. And without it a
/// result depended on what the caller, or whoever started a thread, had set (fesetround(), -ffast-math).
class RunArithmetic {
 public:
  RunArithmetic() noexcept : before_(settings()) { set(of_a_run); }
  RunArithmetic(const RunArithmetic&) = delete;
  RunArithmetic& operator=(const RunArithmetic&) = delete;
  ~RunArithmetic() { set(before_); }

#if defined(__SSE2__)
  /// Whether the machine can be told to; elsewhere nothing is set.
  static constexpr bool is_settable = true;

 private:
  // MXCSR: all exceptions masked (0x1F80), results flushed to zero (0x8000), operands taken for zero (0x0040).
  static constexpr std::uint32_t of_a_run = 0x1F80 | 0x8000 | 0x0040;
  static std::uint32_t settings() noexcept { return _mm_getcsr(); }
  static void set(std::uint32_t value) noexcept { _mm_setcsr(value); }
  std::uint32_t before_;
#elif defined(__aarch64__)
  static constexpr bool is_settable = true;

 private:
  static constexpr std::uint64_t of_a_run = std::uint64_t{1} << 24;  // FPCR: flush to zero, nothing else
  static std::uint64_t settings() noexcept {
    std::uint64_t value;
    asm volatile("mrs %0, fpcr" : "=r"(value));
    return value;
  }
  static void set(std::uint64_t value) noexcept { asm volatile("msr fpcr, %0" : : "r"(value)); }
  std::uint64_t before_;
#else
  static constexpr bool is_settable = false;

 private:
  static constexpr int of_a_run = 0;
  static int settings() noexcept { return 0; }
  static void set(int) noexcept {}
  int before_;
#endif
};

/// Another executor whose tasks compute so.
class RunExecutor final : public Executor {
 public:
  explicit RunExecutor(Executor& executor) : executor_(executor) {}
  Index size() const noexcept override { return executor_.size(); }

 private:
  void call_all(void (*call)(void*, Index), void* context) noexcept override {
    executor_.run([&](Index i) {
      const RunArithmetic arithmetic;
      call(context, i);
    });
  }

  Executor& executor_;
};

}  // namespace plainnet
