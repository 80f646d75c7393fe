#pragma once
// Real numbers as text, whatever the user's locale is, also where the header charconv has none of them (libc++ before
// 20).

#include <charconv>
#include <iomanip>
#include <limits>
#include <locale>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>
#include <version>

namespace plainnet::detail {

/// By streams, whose locale is set to the classic one. They would take spaces, "+1" and "0x1", which charconv
/// refuses.
inline std::optional<double> parse_real_by_stream(std::string_view text) {
  if (text.empty() || text.front() == '+' || text.find_first_not_of("0123456789.eE+-") != text.npos) {
    return std::nullopt;
  }
  std::istringstream stream{std::string(text)};
  stream.imbue(std::locale::classic());
  double number = 0;
  stream >> number;
  return !stream.fail() && stream.peek() == std::istringstream::traits_type::eof() ? std::optional(number)
                                                                                   : std::nullopt;
}

inline std::string write_real_by_stream(double number) {
  for (int digits = 1;; ++digits) {
    std::ostringstream stream;
    stream.imbue(std::locale::classic());
    stream << std::setprecision(digits) << number;
    if (digits == std::numeric_limits<double>::max_digits10 || parse_real_by_stream(stream.str()) == number) {
      return stream.str();
    }
  }
}

/// The number that all of `text` is, in decimal; nothing if it is none, or is beyond the range of a double.
inline std::optional<double> parse_real(std::string_view text) {
#if defined(__cpp_lib_to_chars)
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(number) : std::nullopt;
#else
  return parse_real_by_stream(text);
#endif
}

/// The fewest digits that tell this number from all others.
inline std::string write_real(double number) {
#if defined(__cpp_lib_to_chars)
  char text[32];
  const auto [end, error] = std::to_chars(text, text + sizeof text, number);
  return std::string(text, end);
#else
  return write_real_by_stream(number);
#endif
}

}  // namespace plainnet::detail
