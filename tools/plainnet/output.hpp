#pragma once
// What the program writes: data to standard output, messages to standard error.

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <new>
#include <string>
#include <string_view>
#include <system_error>

#include <nlohmann/json.hpp>

#include "plainnet/core/error.hpp"
#include "plainnet/core/shape.hpp"
#include "plainnet/io/atomic_file.hpp"

namespace plainnet::program {

/// Keeps its members in the order in which they are added.
using Json = nlohmann::ordered_json;

/// Writes data at once, so that whoever reads a pipe sees it. Error if it cannot be written (disk full, reader gone).
inline void print(std::string_view text) {
  errno = 0;
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
    fail("standard output: cannot be written: ", std::generic_category().message(errno));
  }
}

/// One object, one line. Bytes that are not UTF-8, as file names may hold, become U+FFFD.
inline void print_json(const Json& object) {
  print(object.dump(-1, ' ', false, Json::error_handler_t::replace) + '\n');
}

/// Text from outside (a path, a label), fit for a line of a terminal: without control characters.
inline std::string on_one_line(std::string_view text) {
  std::string line(text);
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < ' ' || c == '\x7F') c = '?';
  }
  return line;
}

/// What went wrong, in one line; the lists in a loader's message follow its summary, separated by semicolons.
inline std::string explain(const std::exception& error) {
  if (dynamic_cast<const std::bad_alloc*>(&error)) return "not enough memory";
  std::string message = error.what();
  for (std::size_t at; (at = message.find("\n  ")) != message.npos;) message.replace(at, 3, "; ");
  return on_one_line(message);
}

/// Does `work`; puts what its Error is about, for instance a file, before the message.
template <class Work>
auto about(std::string_view subject, Work&& work) {
  try {
    return work();
  } catch (const Error& error) {
    fail(subject, ": ", error.what());
  }
}

/// What is wrong with a file, its name in front.
inline std::string about_file(const std::filesystem::path& file, std::string_view problem) {
  const std::string name = file.string();
  return on_one_line(problem.starts_with(name) ? problem : concatenate(name, ": ", problem));
}
inline std::string about_file(const std::filesystem::path& file, const std::exception& error) {
  return about_file(file, explain(error));
}

/// Error, before long work, if a result could not be written to `path` after it.
inline void require_writable(const std::filesystem::path& path) {
  std::error_code ignored;
  const std::filesystem::file_status status = std::filesystem::status(path, ignored);
  if (!std::filesystem::exists(status) || !std::filesystem::is_other(status)) AtomicFile attempt(path);
}

/// "plainnet: …" on standard error.
inline void complain(std::string_view message) {
  const std::string line = concatenate("plainnet: ", message, '\n');
  std::fwrite(line.data(), 1, line.size(), stderr);
}

inline std::string fixed(double number, int decimals) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", decimals, number);
  return text;
}

inline std::string scientific(double number) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1e", number);
  return text;
}

/// 15523304 → "15,523,304"
inline std::string grouped(Index number) {
  std::string text = std::to_string(number);
  for (Index at = static_cast<Index>(text.size()) - 3; at > 0; at -= 3) text.insert(static_cast<std::size_t>(at), ",");
  return text;
}

/// The double that is printed with the fewest digits that tell this float from all others; printed as it is, a float of
/// 0.1 would become 0.10000000149011612.
inline double for_json(float number) {
  char text[32];
  const char* const end = std::to_chars(text, text + sizeof text, number).ptr;
  double result = 0;
  std::from_chars(text, end, result);
  return result;
}

}  // namespace plainnet::program
