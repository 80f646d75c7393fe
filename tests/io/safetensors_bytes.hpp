#pragma once
// safetensors files made by hand, right or wrong.

#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "plainnet/io/safetensors.hpp"

namespace plainnet::test {

/// The bytes of a file: the length of the header, unless another is claimed, the header, the data.
inline std::string file_of(std::string_view header, std::string_view data = {}) {
  const std::uint64_t size = header.size();
  std::string file(8, '\0');
  std::memcpy(file.data(), &size, 8);
  return file.append(header).append(data);
}

/// Parses a copy that ends where its memory ends and begins at an odd address, so that a sanitizer sees every read
/// outside.
inline StateDict parse(std::string_view file, const SafetensorsLimits& limits = {}) {
  const std::shared_ptr<char[]> copy(new char[file.size() + 1]);
  if (!file.empty()) std::memcpy(copy.get() + 1, file.data(), file.size());
  return parse_safetensors(std::as_bytes(std::span<const char>(copy.get() + 1, file.size())), "test", limits, copy);
}

}  // namespace plainnet::test
