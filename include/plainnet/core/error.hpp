#pragma once
// The one exception that plainnet throws, and the checks that throw it.

#include <concepts>
#include <initializer_list>
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

/// A piece of a message. Its kind is told here, once, and not in every combination of kinds that is joined.
class Part {
 public:
  Part(std::string_view text) : text_(text) {}
  Part(const std::string& text) : text_(text) {}
  Part(const char* text) : text_(text) {}
  Part(char character) : kind_(Kind::character), character_(character) {}
  template <std::signed_integral Number>
  Part(Number number) : kind_(Kind::integer), integer_(number) {}
  template <std::unsigned_integral Number>
  Part(Number number) : kind_(Kind::natural), natural_(number) {}
  template <std::floating_point Number>
  Part(Number number) : kind_(Kind::real), real_(static_cast<double>(number)) {}
  /// What has a to_string(): called only when the message is needed.
  template <class Value>
    requires requires(const Value& value) { to_string(value); }
  Part(const Value& value)
      : kind_(Kind::value), value_{&value, [](std::string& text, const void* given) {
                                     text += to_string(*static_cast<const Value*>(given));
                                   }} {}

  void append_to(std::string& text) const {
    switch (kind_) {
      case Kind::text: text += text_; break;
      case Kind::character: text += character_; break;
      case Kind::integer: text += std::to_string(integer_); break;
      case Kind::natural: text += std::to_string(natural_); break;
      case Kind::real: text += std::to_string(real_); break;
      case Kind::value: value_.append(text, value_.address); break;
    }
  }

 private:
  enum class Kind { text, character, integer, natural, real, value };
  struct Value {
    const void* address;
    void (*append)(std::string& text, const void* value);
  };

  Kind kind_ = Kind::text;
  union {
    std::string_view text_;
    char character_;
    long long integer_;
    unsigned long long natural_;
    double real_;
    Value value_;
  };
};

inline std::string join(std::initializer_list<Part> parts) {
  std::string text;
  for (const Part& part : parts) part.append_to(text);
  return text;
}

[[noreturn]] inline void throw_error(std::initializer_list<Part> parts) { throw Error(join(parts)); }

}  // namespace detail

/// Strings, characters, numbers and whatever has a to_string(), one after the other.
template <class... Parts>
std::string concatenate(const Parts&... parts) {
  return detail::join({detail::Part(parts)...});
}

/// Throws Error. Not inlined: what leads here shall cost the code around it no more than a call.
template <class... Parts>
[[noreturn, gnu::noinline]] void fail(const Parts&... parts) {
  detail::throw_error({detail::Part(parts)...});
}

/// Throws Error unless the condition holds; the message is only built when it does not.
template <class... Parts>
void require(bool condition, const Parts&... parts) {
  if (!condition) fail(parts...);
}

}  // namespace plainnet
