#pragma once
// Reads a JSON text of known structure from front to back, piece by piece.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include "plainnet/core/error.hpp"

namespace plainnet::detail {

/// Text from a file, fit for a message: long text cut, everything but printable ASCII written as \xNN. So a message
/// neither steers a terminal nor breaks a JSON writer.
inline std::string printable(std::string_view text, std::size_t most = 120) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string result;
  for (const char c : text.substr(0, most)) {
    if (c >= ' ' && c <= '~') {
      result += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      result += {'\\', 'x', digits[byte / 16], digits[byte % 16]};
    }
  }
  return text.size() > most ? result + "..." : result;
}

/// The caller asks for what the format has at this place; anything else is an Error with the byte offset. Strict JSON
/// in strict UTF-8, except that strings may not hold control characters, escaped or not, and numbers are unsigned
/// integers. Whatever the text nests, this does not recurse.
///
/// Not a general JSON library, since every program that reads weights would pay for it: with nlohmann's SAX parser a
/// program that only opens a file took twice as long to compile and twice the size, messages had no offsets for wrong
/// values, and a zero byte passed for the end of the text.
class JsonCursor {
 public:
  /// `where` begins every message; offsets in messages count from `first_offset`. Both texts must outlive the cursor.
  JsonCursor(std::string_view text, std::string_view where, std::size_t first_offset = 0)
      : text_(text), where_(where), first_offset_(first_offset) {}

  /// The name of what the messages speak of, which must outlive this; empty for nothing.
  void set_subject(std::string_view name) { subject_ = name; }

  /// Skips white space, then takes `punctuation` if it comes next.
  bool accept(char punctuation) {
    skip_space();
    if (position_ == text_.size() || text_[position_] != punctuation) return false;
    ++position_;
    return true;
  }

  void expect(char punctuation) {
    if (!accept(punctuation)) refuse_next(std::string{'\'', punctuation, '\''});
  }

  /// A string, unescaped.
  std::string string() {
    skip_space();
    if (position_ == text_.size() || text_[position_] != '"') refuse_next("a string");
    const std::size_t begin = position_++;
    std::string result;
    for (;;) {
      const std::size_t at = position_;
      while (position_ < text_.size() && is_plain(text_[position_])) ++position_;
      result += text_.substr(at, position_ - at);
      if (position_ == text_.size()) refuse_at(begin, "a string does not end");
      const std::size_t special = position_;
      const char c = text_[position_++];
      if (c == '"') return result;
      const std::uint32_t code = c == '\\' ? escaped(special) : character(special);
      // Also those from 128 to 159 steer terminals; a zero would end a C string early.
      if (code < 0x20 || (code >= 0x7F && code < 0xA0)) refuse_at(special, "control character in a string");
      append_utf8(result, code);
    }
  }

  /// A number from 0 to 2^64 − 1 without sign, fraction or exponent.
  std::uint64_t integer() {
    skip_space();
    const std::size_t begin = position_;
    std::uint64_t result = 0;
    bool fits = true;
    for (; position_ < text_.size() && is_digit(text_[position_]); ++position_) {
      const auto digit = static_cast<std::uint64_t>(text_[position_] - '0');
      fits = fits && result <= (std::numeric_limits<std::uint64_t>::max() - digit) / 10;
      result = result * 10 + digit;
    }
    const bool has_leading_zero = position_ - begin > 1 && text_[begin] == '0';
    const bool goes_on = position_ < text_.size() && std::string_view(".eE").find(text_[position_]) != text_.npos;
    if (position_ == begin || has_leading_zero || goes_on || !fits) {
      position_ = begin;
      refuse_next("an integer from 0 to 2^64 - 1");
    }
    return result;
  }

  /// Nothing but spaces may be left.
  void expect_end() {
    position_ = std::min(text_.find_first_not_of(' ', position_), text_.size());
    if (position_ < text_.size()) refuse_next("nothing but spaces");
  }

  /// An Error about what was just read.
  template <class... Parts>
  [[noreturn]] void refuse(const Parts&... parts) const {
    refuse_at(position_, concatenate(parts...));
  }

 private:
  static bool is_digit(char c) { return c >= '0' && c <= '9'; }
  static bool is_plain(char c) { return c >= ' ' && c <= '~' && c != '"' && c != '\\'; }

  void skip_space() { position_ = std::min(text_.find_first_not_of(" \t\r\n", position_), text_.size()); }

  /// The character whose first byte lies at `begin`, just taken; takes the others.
  std::uint32_t character(std::size_t begin) {
    const auto first = static_cast<unsigned char>(text_[begin]);
    if (first < 0x80) return first;
    const int more = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : 1;
    std::uint32_t code = first & (0x3Fu >> more);
    for (int i = 0; i < more; ++i, ++position_) {
      const auto byte = static_cast<unsigned char>(position_ < text_.size() ? text_[position_] : '\0');
      if ((byte & 0xC0) != 0x80) refuse_at(begin, "not UTF-8");
      code = code << 6 | (byte & 0x3Fu);
    }
    // Refused: a stray continuation byte, longer forms than needed, halves of surrogate pairs, what is not Unicode.
    constexpr std::uint32_t smallest[] = {0, 0x80, 0x800, 0x10000};
    const bool is_surrogate = code >= 0xD800 && code < 0xE000;
    if (first < 0xC0 || first > 0xF4 || code < smallest[more] || code > 0x10FFFF || is_surrogate) {
      refuse_at(begin, "not UTF-8");
    }
    return code;
  }

  /// The character that an escape sequence means, whose backslash at `begin` was just taken.
  std::uint32_t escaped(std::size_t begin) {
    const char c = position_ < text_.size() ? text_[position_++] : '\0';
    if (c == '"' || c == '\\' || c == '/') return static_cast<std::uint32_t>(c);
    if (std::string_view("bfnrt").find(c) != std::string_view::npos) return 0;  // a control character, whichever
    if (c != 'u') refuse_at(begin, "unknown escape sequence in a string");
    std::uint32_t code = four_hex_digits(begin);
    if (code >= 0xD800 && code < 0xE000) {
      const bool has_second = text_.substr(position_, 2) == "\\u";
      position_ += has_second ? 2 : 0;
      const std::uint32_t second = has_second ? four_hex_digits(begin) : 0;
      if (code >= 0xDC00 || second < 0xDC00 || second >= 0xE000) refuse_at(begin, "half of a surrogate pair");
      code = 0x10000 + ((code - 0xD800) << 10) + (second - 0xDC00);
    }
    return code;
  }

  std::uint32_t four_hex_digits(std::size_t begin) {
    std::uint32_t result = 0;
    for (int i = 0; i < 4; ++i, ++position_) {
      const char c = position_ < text_.size() ? text_[position_] : '\0';
      const char lower = static_cast<char>(c | 0x20);
      if (!is_digit(c) && !(lower >= 'a' && lower <= 'f')) refuse_at(begin, "\\u needs four hexadecimal digits");
      result = result * 16 + static_cast<std::uint32_t>(is_digit(c) ? c - '0' : lower - 'a' + 10);
    }
    return result;
  }

  static void append_utf8(std::string& text, std::uint32_t code) {
    const auto append = [&](std::uint32_t byte) { text += static_cast<char>(static_cast<unsigned char>(byte)); };
    if (code < 0x80) return append(code);
    if (code >= 0x10000) {
      append(0xF0 | code >> 18);
      append(0x80 | (code >> 12 & 0x3F));
    } else if (code >= 0x800) {
      append(0xE0 | code >> 12);
    }
    append(code >= 0x800 ? 0x80 | (code >> 6 & 0x3F) : 0xC0 | code >> 6);
    append(0x80 | (code & 0x3F));
  }

  [[noreturn]] void refuse_next(std::string_view expected) const {
    if (position_ == text_.size()) refuse("expected ", expected, ", found the end");
    refuse("expected ", expected, ", found \"", printable(text_.substr(position_), 20), "\"");
  }

  [[noreturn]] void refuse_at(std::size_t position, std::string_view why) const {
    const std::string subject = subject_.empty() ? "" : "\"" + printable(subject_) + "\", ";
    fail(where_, ": ", subject, "byte ", first_offset_ + position, ": ", why);
  }

  std::string_view text_;
  std::string_view where_;
  std::size_t first_offset_;
  std::size_t position_ = 0;
  std::string_view subject_;
};

}  // namespace plainnet::detail
