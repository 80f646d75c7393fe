#pragma once
// What a thread does that waits awake.

namespace plainnet {

/// Leaves the processor's resources to its other threads for some tens of cycles.
inline void pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace plainnet
