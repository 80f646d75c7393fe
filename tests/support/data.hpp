#pragma once
// Where the tests' data lies.

#include <filesystem>
#include <string_view>

namespace plainnet::test {

/// A file or folder below tests/data.
inline std::filesystem::path data(std::string_view relative) {
  return std::filesystem::path(PLAINNET_TEST_DATA) / relative;
}

}  // namespace plainnet::test
