#pragma once
// Time and memory.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <vector>

#if __has_include(<unistd.h>)
#include <unistd.h>
#endif

namespace plainnet::program {

/// Runs from its construction.
class Stopwatch {
 public:
  double milliseconds() const {
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start_).count();
  }
  double seconds() const { return milliseconds() / 1e3; }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// The smallest number of `sorted` that at least `part` of them do not exceed.
inline double quantile(const std::vector<double>& sorted, double part) {
  const auto rank = static_cast<std::size_t>(std::ceil(part * static_cast<double>(sorted.size())));
  return sorted[std::max<std::size_t>(rank, 1) - 1];
}

/// Bytes of memory that this process has in use; 0 where the system does not tell.
inline double resident_bytes() {
#if __has_include(<unistd.h>)
  double total_pages = 0, resident_pages = 0;
  if (std::ifstream("/proc/self/statm") >> total_pages >> resident_pages) {
    return resident_pages * static_cast<double>(sysconf(_SC_PAGESIZE));
  }
#endif
  return 0;
}

}  // namespace plainnet::program
