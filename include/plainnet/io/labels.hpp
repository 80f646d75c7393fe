#pragma once
// The names of a network's classes, from a text file: one a line, in the order of the classes.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "plainnet/core/error.hpp"
#include "plainnet/io/mapped_file.hpp"

namespace plainnet {

/// What a label file may ask for.
struct LabelLimits {
  std::size_t max_bytes = std::size_t{16} << 20;  ///< of the file
  std::size_t max_labels = 1'000'000;
  std::size_t max_label_bytes = 1000;
};

namespace detail {

/// Bytes of the UTF-8 character that `text` begins with; 0 if it begins with none. Refused: a stray continuation byte,
/// longer forms than needed, halves of surrogate pairs, what lies beyond Unicode.
inline std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const unsigned first = byte(0);
  if (first < 0x80) return text.empty() ? 0 : 1;
  const std::size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  const unsigned second = byte(1);
  const bool is_wrong = (first == 0xE0 && second < 0xA0) || (first == 0xED && second >= 0xA0) ||
                        (first == 0xF0 && second < 0x90) || (first == 0xF4 && second >= 0x90);
  return is_wrong ? 0 : length;
}

inline bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

}  // namespace detail

/// Labels in a text that lies in memory; `source` is what errors call it. Lines end with `\n` or `\r\n`, the last may
/// also end with the text; a byte order mark is skipped. Error for an empty line or file, text that is not UTF-8, a
/// zero byte, and whatever exceeds a limit.
inline std::vector<std::string> parse_labels(std::string_view text, std::string_view source,
                                             const LabelLimits& limits = {}) {
  require(text.size() <= limits.max_bytes, source, ": has ", text.size(), " bytes; at most ", limits.max_bytes,
          " are read (LabelLimits::max_bytes)");
  constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
  if (text.starts_with(byte_order_mark)) text.remove_prefix(byte_order_mark.size());
  require(!text.empty(), source, ": is empty; expected labels, one a line");

  std::vector<std::string> labels;
  while (!text.empty()) {
    const std::size_t number = labels.size() + 1;
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    require(number <= limits.max_labels, source, ": has more than ", limits.max_labels,
            " lines (LabelLimits::max_labels)");
    require(!line.empty(), source, ": line ", number, " is empty; expected a label on every line");
    require(line.size() <= limits.max_label_bytes, source, ": line ", number, " has ", line.size(),
            " bytes; expected labels of at most ", limits.max_label_bytes, " (LabelLimits::max_label_bytes)");
    require(line.find('\0') == line.npos, source, ": line ", number, " holds a zero byte; is it a text file?");
    require(detail::is_utf8(line), source, ": line ", number, " is not UTF-8; is it in another encoding?");
    labels.emplace_back(line);
  }
  return labels;
}

/// The labels in a file, see parse_labels. Error also if there is no such file.
inline std::vector<std::string> load_labels(const std::filesystem::path& path, const LabelLimits& limits = {}) {
  const std::string name = path.string();
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  require(error || size <= limits.max_bytes, name, ": has ", size, " bytes; at most ", limits.max_bytes,
          " are read (LabelLimits::max_bytes)");
  const MappedFile file = read_whole_file(path);
  return parse_labels({reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()}, name, limits);
}

}  // namespace plainnet
