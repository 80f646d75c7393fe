#pragma once
// The one exception that plainnet throws, and the checks that throw it.

#include <concepts>
#include <stdexcept>
#include <string>
#include <string_view>

namespace plainnet {

/// Thrown at the door: a file, a name, a shape or an image that cannot be used. The message says which, what was
/// found, what was expected and the likely cause. Never thrown inside a run of an engine.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

namespace detail {

inline void append(std::string& text, std::string_view part) { text += part; }
inline void append(std::string& text, char part) { text += part; }

template <class Number>
  requires std::integral<Number> || std::floating_point<Number>
void append(std::string& text, Number part) { text += std::to_string(part); }

}  // namespace detail

/// Strings, characters and numbers, one after the other.
template <class... Parts>
std::string concatenate(const Parts&... parts) {
  std::string text;
  (detail::append(text, parts), ...);
  return text;
}

template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  throw Error(concatenate(parts...));
}

/// Throws Error unless the condition holds; the message is only built when it does not.
template <class... Parts>
void require(bool condition, const Parts&... parts) {
  if (!condition) fail(parts...);
}

}  // namespace plainnet
