#pragma once
// Reads little-endian numbers and pieces of a file in memory from front to back, never past its end.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "plainnet/core/error.hpp"
#include "plainnet/io/number_format.hpp"

namespace plainnet::detail {

inline std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Every Error begins with `source` and the byte offset, counted from `first_offset`.
class ByteCursor {
 public:
  /// `source` must outlive the cursor.
  ByteCursor(std::span<const std::byte> bytes, std::string_view source, std::uint64_t first_offset = 0)
      : bytes_(bytes), source_(source), first_offset_(first_offset) {}

  std::string_view source() const { return source_; }
  std::uint64_t offset() const { return first_offset_ + position_; }
  std::size_t position() const { return position_; }
  std::size_t left() const { return bytes_.size() - position_; }

  /// The next `count` bytes; `what` names them in the Error if they are not there.
  std::span<const std::byte> take(std::uint64_t count, std::string_view what) {
    if (count > left()) {
      refuse(what, " needs ", count, " bytes, ", left(), " are left; truncated download, or damaged file?");
    }
    position_ += static_cast<std::size_t>(count);
    return bytes_.subspan(position_ - static_cast<std::size_t>(count), static_cast<std::size_t>(count));
  }

  template <class Number>
  Number number(std::string_view what) {
    return read_unaligned<Number>(take(sizeof(Number), what).data());
  }

  /// The text up to the next line feed, which is taken too. Not longer than a name, so that a file without line feeds
  /// is not read to its end.
  std::string_view line(std::string_view what) {
    constexpr std::size_t most = 512;
    const std::size_t size = as_text(bytes_.subspan(position_)).substr(0, most).find('\n');
    if (size == std::string_view::npos) refuse(what, " does not end within ", most, " bytes");
    return as_text(take(size + 1, what)).substr(0, size);
  }

  /// An Error about what comes next.
  template <class... Parts>
  [[noreturn]] void refuse(const Parts&... parts) const {
    fail(source_, ": byte ", offset(), ": ", parts...);
  }

 private:
  std::span<const std::byte> bytes_;
  std::string_view source_;
  std::uint64_t first_offset_;
  std::size_t position_ = 0;
};

}  // namespace plainnet::detail
