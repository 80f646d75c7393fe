#pragma once
// Progress of long work on the last line of a terminal; nothing at all in a pipe or a file.

#include <chrono>
#include <cstdio>
#include <string>
#include <utility>

#if __has_include(<unistd.h>)
#include <unistd.h>
#endif

#include "output.hpp"

namespace plainnet::program {

inline bool is_terminal(std::FILE* stream) {
#if __has_include(<unistd.h>)
  return isatty(fileno(stream)) != 0;
#else
  return (void(stream), false);
#endif
}

class ProgressBar {
 public:
  /// `unit` says what is counted: "pictures".
  ProgressBar(Index total, std::string unit) : total_(total), unit_(std::move(unit)) { draw(); }
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;
  ~ProgressBar() { clear(); }

  void advance() {
    ++done_;
    if (done_ == total_ || Clock::now() - drawn_ > std::chrono::milliseconds(100)) draw();
  }

  /// Makes room for other output; the bar comes back with the next advance().
  void clear() {
    if (width_ > 0) std::fprintf(stderr, "\r%*s\r", static_cast<int>(width_), "");
    width_ = 0;
    drawn_ = {};
  }

 private:
  using Clock = std::chrono::steady_clock;

  void draw() {
    if (!visible_) return;
    constexpr Index cells = 30;
    const Index full = total_ > 0 ? done_ * cells / total_ : cells;
    const std::string bar =
        std::string(static_cast<std::size_t>(full), '#') + std::string(static_cast<std::size_t>(cells - full), '.');
    const std::string line = concatenate('[', bar, "] ", done_, " of ", total_, ' ', unit_);
    std::fprintf(stderr, "\r%s", line.c_str());
    width_ = line.size();
    drawn_ = Clock::now();
  }

  bool visible_ = is_terminal(stderr);
  Index total_;
  Index done_ = 0;
  std::string unit_;
  std::size_t width_ = 0;  // of what stands on the line now
  Clock::time_point drawn_ = {};
};

}  // namespace plainnet::program
