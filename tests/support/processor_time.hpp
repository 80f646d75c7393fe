#pragma once
// How long a piece of a test keeps a processor: what other programs on the machine do does not lengthen it.

#include <ctime>

namespace plainnet::test {

/// The seconds that all threads of this program together take while action() runs.
template <class Action>
double processor_seconds(Action&& action) {
  const std::clock_t begin = std::clock();
  action();
  return static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
}

}  // namespace plainnet::test
