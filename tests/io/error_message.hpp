#pragma once
// The message of an Error, for tests of what it says.

#include <string>

#include "plainnet/core/error.hpp"

namespace plainnet::test {

/// What the Error says that `action` throws; empty if it throws none. Any other exception passes, and fails the test.
template <class Action>
std::string error_of(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

}  // namespace plainnet::test
