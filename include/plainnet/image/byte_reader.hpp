#pragma once
// Reading numbers from a file in memory without ever reading past its end.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "plainnet/core/error.hpp"

namespace plainnet::detail {

[[noreturn]] inline void fail_truncated(std::size_t size) {
  fail("the file ends too early, after ", size, " bytes; was a download or a copy cut off?");
}

/// Reads from front to back; an Error where the file ends too early.
class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> bytes, std::size_t position = 0) : bytes_(bytes) { skip(position); }

  std::size_t position() const { return position_; }
  std::size_t remaining() const { return bytes_.size() - position_; }

  std::span<const std::byte> take(std::size_t count) {
    if (count > remaining()) fail_truncated(bytes_.size());
    position_ += count;
    return bytes_.subspan(position_ - count, count);
  }
  void skip(std::size_t count) { take(count); }

  /// On behind the next byte of this value.
  void skip_past(std::byte value) {
    const auto rest = bytes_.subspan(position_);
    skip(static_cast<std::size_t>(std::find(rest.begin(), rest.end(), value) - rest.begin()) + 1);
  }

  std::uint8_t byte() { return std::to_integer<std::uint8_t>(take(1)[0]); }

  /// A number of 1 to 4 bytes, the most significant first.
  std::uint32_t big_endian(std::size_t count) {
    std::uint32_t number = 0;
    for (std::byte b : take(count)) number = number << 8 | std::to_integer<std::uint32_t>(b);
    return number;
  }

  /// A number of 1 to 4 bytes, the least significant first.
  std::uint32_t little_endian(std::size_t count) {
    const auto bytes = take(count);
    std::uint32_t number = 0;
    for (std::size_t i = count; i > 0; --i) number = number << 8 | std::to_integer<std::uint32_t>(bytes[i - 1]);
    return number;
  }

 private:
  std::span<const std::byte> bytes_;
  std::size_t position_ = 0;
};

}  // namespace plainnet::detail
