#pragma once
// Reading and writing of safetensors files.
//
//   [0, 8)         N, the length of the header, as an unsigned little-endian number
//   [8, 8 + N)     one JSON object, padded with spaces:
//                  {"NAME": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, …, "__metadata__": {"k": "v"}}
//   [8 + N, end)   the tensors, row-major, little-endian, without holes; the offsets count from here
//
// Nothing in a file is trusted: every rule of the format is checked before the first tensor is handed out, and what is
// handed out lies inside the file.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "plainnet/core/error.hpp"
#include "plainnet/core/shape.hpp"
#include "plainnet/io/atomic_file.hpp"
#include "plainnet/io/mapped_file.hpp"
#include "plainnet/io/number_format.hpp"
#include "plainnet/io/state_dict.hpp"

namespace plainnet {

/// What a file may ask for. Nesting needs no number: the format has three levels, a fourth is refused as it opens.
struct SafetensorsLimits {
  std::uint64_t header_bytes = std::uint64_t{16} << 20;  ///< never above 100 000 000, the format's own limit
  std::size_t tensors = 100'000;
  std::size_t metadata = 100'000;                       ///< number of entries
  std::size_t name_bytes = 512;                         ///< of a tensor
  std::size_t rank = Extents::max_rank;                 ///< never above Extents::max_rank
  std::uint64_t total_bytes = std::uint64_t{64} << 30;  ///< of all tensors together
};

namespace detail {

/// What the header says of one tensor.
struct SafetensorsEntry {
  std::string name;
  NumberFormat format = NumberFormat::f32;
  Extents extents;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

/// Takes the header's JSON event by event (nlohmann's SAX interface: no document is built, a duplicate key is seen)
/// and refuses what the format does not have. Checks each entry by itself; check_layout() checks them together.
class SafetensorsHeader {
 public:
  std::vector<SafetensorsEntry> entries;
  std::map<std::string, std::string> metadata;

  SafetensorsHeader(std::string_view text, std::string_view source, const SafetensorsLimits& limits)
      : text_(text), source_(source), limits_(limits) {}

  void parse() { nlohmann::json::sax_parse(text_.data(), text_.data() + text_.size(), this); }

  // The events. They return true, go on; a refusal is an Error.

  bool start_object(std::size_t) {
    if (level_ == Level::file) {
      level_ = Level::tensors;
    } else if (level_ == Level::tensors) {
      level_ = name_ == metadata_key ? Level::metadata : Level::entry;
      fields_seen_ = {};
    } else {
      refuse("an object");
    }
    return true;
  }

  bool key(std::string& key) {
    if (level_ == Level::tensors) {
      start_tensor(key);
    } else if (level_ == Level::metadata) {
      check_text(key, "metadata key");
      if (metadata.contains(key)) refuse_entry("the key \"", printable(key), "\" occurs twice");
      if (metadata.size() == limits_.metadata) refuse_entry("more than ", limits_.metadata, " entries");
    } else {
      const auto field = std::find(fields.begin(), fields.end(), key);
      if (field == fields.end()) {
        refuse_entry("unknown key \"", printable(key), "\"; expected dtype, shape and data_offsets");
      }
      bool& seen = fields_seen_[static_cast<std::size_t>(field - fields.begin())];
      if (seen) refuse_entry("the key \"", key, "\" occurs twice");
      seen = true;
    }
    key_ = std::move(key);
    return true;
  }

  bool end_object() {
    if (level_ == Level::entry) {
      for (std::size_t i = 0; i < fields.size(); ++i) {
        if (!fields_seen_[i]) refuse_entry("has no ", fields[i]);
      }
      check_size(entries.back());
    }
    level_ = level_ == Level::tensors ? Level::file : Level::tensors;
    return true;
  }

  bool start_array(std::size_t) {
    if (level_ != Level::entry || key_ == "dtype") refuse("an array");
    level_ = key_ == "shape" ? Level::shape : Level::offsets;
    offsets_seen_ = 0;
    return true;
  }

  bool end_array() {
    if (level_ == Level::offsets && offsets_seen_ != 2) {
      refuse_entry("data_offsets holds ", offsets_seen_, " numbers; expected two");
    }
    level_ = Level::entry;
    return true;
  }

  bool number_unsigned(std::uint64_t number) {
    if (level_ == Level::shape) {
      Extents& extents = entries.back().extents;
      const std::size_t rank = std::min(limits_.rank, Extents::max_rank);
      if (extents.rank() == rank) refuse_entry("more than ", rank, " dimensions");
      if (number > static_cast<std::uint64_t>(std::numeric_limits<Index>::max())) {
        refuse_entry("a dimension of ", number, " overflows");
      }
      extents.push_back(static_cast<Index>(number));
    } else if (level_ == Level::offsets) {
      if (offsets_seen_ == 2) refuse_entry("data_offsets holds more than two numbers");
      (offsets_seen_ == 0 ? entries.back().begin : entries.back().end) = number;
      ++offsets_seen_;
    } else {
      refuse("a number");
    }
    return true;
  }

  bool string(std::string& text) {
    if (level_ == Level::metadata) {
      check_text(text, "metadata value");
      metadata.emplace(std::move(key_), std::move(text));
    } else if (level_ == Level::entry && key_ == "dtype") {
      const auto format = find_number_format(text);
      if (!format) refuse_entry("unknown dtype \"", printable(text), "\"; is the file newer than this reader?");
      entries.back().format = *format;
    } else {
      refuse("a string");
    }
    return true;
  }

  bool null() { refuse("null"); }
  bool boolean(bool) { refuse("a truth value"); }
  bool binary(nlohmann::json::binary_t&) { refuse("binary data"); }
  bool number_integer(std::int64_t) { refuse("a negative number"); }
  bool number_float(double, const std::string& digits) { refuse(printable(digits, 40)); }

  /// `position` counts what was read of the header, including the byte that was wrong.
  bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception&) {
    const std::size_t at = std::min(text_.size(), std::max<std::size_t>(position, 1) - 1);
    const std::size_t from = at - std::min<std::size_t>(at, 20);
    fail(source_, ": byte ", 8 + at, ": the header is not valid JSON in UTF-8 near \"",
         printable(text_.substr(from, 40)), "\"; damaged file?");
  }

 private:
  enum class Level { file, tensors, metadata, entry, shape, offsets };

  static constexpr std::string_view metadata_key = "__metadata__";
  static constexpr std::array<std::string_view, 3> fields = {"dtype", "shape", "data_offsets"};

  void start_tensor(const std::string& name) {
    check_text(name, "tensor name");
    name_ = name;
    if (!names_.insert(name).second) refuse_entry("occurs twice");
    if (name == metadata_key) return;
    if (name.size() > limits_.name_bytes) {
      refuse_entry("a name of ", name.size(), " bytes; at most ", limits_.name_bytes, " are accepted");
    }
    if (entries.size() == limits_.tensors) fail(source_, ": more than ", limits_.tensors, " tensors");
    entries.emplace_back().name = name;
  }

  /// Control characters, also those from 128 to 159, would steer a terminal or end a C string early. The parser has
  /// already refused what is not UTF-8.
  void check_text(std::string_view text, std::string_view what) const {
    for (std::size_t i = 0; i < text.size(); ++i) {
      const auto byte = static_cast<unsigned char>(text[i]);
      const bool is_above_127 = byte == 0xC2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xA0;
      if (byte < 0x20 || byte == 0x7F || is_above_127) {
        fail(source_, ": control character in the ", what, " \"", printable(text), "\"");
      }
    }
  }

  void check_size(const SafetensorsEntry& entry) const {
    const std::string offsets = concatenate("data_offsets [", entry.begin, ", ", entry.end, "]");
    const std::string tensor = concatenate(name_of(entry.format), " ", to_string(entry.extents));
    if (entry.begin > entry.end) refuse_entry(offsets, " run backwards");
    const auto needed = stored_bytes(entry.format, entry.extents);
    if (!needed) refuse_entry(tensor, " overflows 64 bits or leaves its last byte unfinished");
    if (*needed != entry.end - entry.begin) {
      refuse_entry(tensor, " needs ", *needed, " bytes, but ", offsets, " hold ", entry.end - entry.begin);
    }
  }

  /// A value of a kind that has no place here.
  [[noreturn]] void refuse(std::string_view found) const {
    switch (level_) {
      case Level::file: fail(source_, ": the header is ", found, "; expected one object");
      case Level::tensors: refuse_entry("found ", found, "; expected an object");
      case Level::metadata: refuse_entry("found ", found, " for \"", printable(key_), "\"; expected a string");
      case Level::entry:
        refuse_entry("found ", found, " for ", key_, "; expected ", key_ == "dtype" ? "a string" : "an array");
      default: refuse_entry("found ", found, " in ", key_, "; expected integers from 0 to 2^64 - 1");
    }
  }

  template <class... Parts>
  [[noreturn]] void refuse_entry(const Parts&... parts) const {
    fail(source_, name_ == metadata_key ? ": \"" : ": tensor \"", printable(name_), "\": ", parts...);
  }

  std::string_view text_;
  std::string_view source_;
  const SafetensorsLimits& limits_;

  Level level_ = Level::file;
  std::string name_;  // the key among the tensors
  std::string key_;   // the innermost key
  std::set<std::string> names_;
  std::array<bool, 3> fields_seen_{};
  std::size_t offsets_seen_ = 0;
};

/// The tensors fill the data from its first byte to its last, without holes or overlaps: a file has no room for
/// anything else.
inline void check_layout(const std::vector<SafetensorsEntry>& entries, std::uint64_t data_bytes,
                         std::string_view source) {
  std::vector<const SafetensorsEntry*> sorted;
  for (const SafetensorsEntry& entry : entries) sorted.push_back(&entry);
  std::sort(sorted.begin(), sorted.end(), [](const SafetensorsEntry* a, const SafetensorsEntry* b) {
    return std::pair(a->begin, a->end) < std::pair(b->begin, b->end);
  });
  const auto name = [](const SafetensorsEntry* entry) { return "\"" + printable(entry->name) + "\""; };

  const auto cut = std::find_if(sorted.begin(), sorted.end(), [&](auto entry) { return entry->end > data_bytes; });
  if (cut != sorted.end()) {
    const auto longest = std::max_element(sorted.begin(), sorted.end(), [](auto a, auto b) { return a->end < b->end; });
    fail(source, ": tensor ", name(*cut), " ends outside the file: the tensors need ", (*longest)->end,
         " bytes after the header, found ", data_bytes, "; truncated download?");
  }
  const SafetensorsEntry* previous = nullptr;
  std::uint64_t position = 0;
  for (const SafetensorsEntry* entry : sorted) {
    if (entry->begin > position) {
      fail(source, ": no tensor covers the ", entry->begin - position, " bytes before tensor ", name(entry),
           "; expected no holes");
    }
    if (entry->begin < position) fail(source, ": tensors ", name(previous), " and ", name(entry), " overlap");
    position = entry->end;
    previous = entry;
  }
  if (position != data_bytes) {
    fail(source, ": ", data_bytes - position, " bytes follow the last tensor; expected the file to end there");
  }
}

/// Reads and checks a header that `data_bytes` bytes of tensors follow. `text` is what lies between the length and
/// the tensors.
inline SafetensorsHeader read_header(std::string_view text, std::uint64_t data_bytes, std::string_view source,
                                     const SafetensorsLimits& limits) {
  // The parser takes a zero byte for the end of its input.
  const std::size_t zero = text.find('\0');
  if (zero != text.npos) fail(source, ": byte ", 8 + zero, ": zero byte in the header; damaged file?");
  const std::size_t padding = text.find_last_not_of(' ') + 1;
  if (padding == 0 || text[padding - 1] != '}') {
    fail(source, ": byte ", 8 + std::max<std::size_t>(padding, 1) - 1,
         ": the header does not end with '}' and spaces; damaged file?");
  }
  SafetensorsHeader header(text.substr(0, padding), source, limits);
  header.parse();
  check_layout(header.entries, data_bytes, source);
  return header;
}

/// What a file that is no safetensors file may be.
inline std::string_view guess_from_start(std::string_view start) {
  if (start.empty()) return "the file is empty";
  if (start.starts_with("PK\x03\x04")) return "a zip archive; a PyTorch checkpoint?";
  if (start.starts_with("\x80")) return "a Python pickle; a PyTorch checkpoint in the old form?";
  if (start.starts_with("version https://git-lfs")) return "a Git LFS pointer, not the file itself; git lfs pull?";
  if (start.starts_with("<")) return "a web page; a failed download?";
  return "not a safetensors file, or truncated?";
}

}  // namespace detail

/// Reads a safetensors file that lies in memory. The tensors refer to `bytes`; `owner` is kept for as long as one of
/// them lives. `source` names the file in messages. Error if any rule of the format or any limit is broken.
inline StateDict parse_safetensors(std::span<const std::byte> bytes, const std::string& source = "memory",
                                   const SafetensorsLimits& limits = {}, std::shared_ptr<const void> owner = nullptr) {
  constexpr std::uint64_t format_limit = 100'000'000;
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const std::string_view guess = detail::guess_from_start(text);
  require(text.size() >= 8, source, ": ", text.size(), " bytes; a safetensors file has at least 8: ", guess);

  const auto header_bytes = detail::load<std::uint64_t>(bytes.data());
  const std::uint64_t header_limit = std::min(limits.header_bytes, format_limit);
  require(header_bytes <= header_limit, source, ": a header of ", header_bytes, " bytes; at most ", header_limit,
          " are accepted: ", guess);
  require(header_bytes <= text.size() - 8, source, ": a header of ", header_bytes, " bytes in a file of ", text.size(),
          ": ", guess);
  require(header_bytes > 0 && text[8] == '{', source, ": byte 8: the header does not begin with '{': ", guess);
  const std::span<const std::byte> data = bytes.subspan(8 + static_cast<std::size_t>(header_bytes));
  require(data.size() <= limits.total_bytes, source, ": ", data.size(), " bytes of tensors; at most ",
          limits.total_bytes, " are accepted");

  detail::SafetensorsHeader header =
      detail::read_header(text.substr(8, static_cast<std::size_t>(header_bytes)), data.size(), source, limits);
  StateDict result;
  result.source = source;
  result.metadata = std::move(header.metadata);
  for (detail::SafetensorsEntry& entry : header.entries) {
    const auto begin = static_cast<std::size_t>(entry.begin);
    const auto size = static_cast<std::size_t>(entry.end - entry.begin);
    result.add(std::move(entry.name), {entry.format, entry.extents, data.subspan(begin, size), owner});
  }
  return result;
}

/// Opens a safetensors file: reads its header, maps the tensors. The mapping lives as long as one of them.
inline StateDict open_safetensors(const std::filesystem::path& path, const SafetensorsLimits& limits = {}) {
  const MappedFile file(path);
  return parse_safetensors(file.bytes(), path.string(), limits, file.owner());
}

/// Writes the tensors and the metadata, and only ever a file that open_safetensors() accepts with its default limits.
/// An existing file is replaced at the end, or, on an Error, not at all.
inline void write_safetensors(const std::filesystem::path& path, const StateDict& tensors) {
  const std::string target = path.string();
  std::vector<const StateDict::Entry*> by_width;  // the widest numbers first, so that all lie aligned in the file
  for (const StateDict::Entry& entry : tensors) by_width.push_back(&entry);
  std::stable_sort(by_width.begin(), by_width.end(), [](auto a, auto b) {
    return info(a->tensor.format).bits > info(b->tensor.format).bits;
  });
  std::map<const StateDict::Entry*, std::uint64_t> begins;
  std::uint64_t data_bytes = 0;
  for (const StateDict::Entry* entry : by_width) {
    begins[entry] = data_bytes;
    data_bytes += entry->tensor.bytes.size();
  }

  // Control characters, which JSON would have escaped otherwise, are refused below.
  const auto quoted = [](std::string_view text) {
    std::string result = "\"";
    for (const char c : text) {
      if (c == '"' || c == '\\') result += '\\';
      result += c;
    }
    return result + '"';
  };
  std::string header;
  const auto item = [&](std::string_view key) { header += (header.empty() ? "{" : ",") + quoted(key) + ":"; };
  if (!tensors.metadata.empty()) {
    item("__metadata__");
    char separator = '{';
    for (const auto& [key, value] : tensors.metadata) {
      header += separator + quoted(key) + ":" + quoted(value);
      separator = ',';
    }
    header += '}';
  }
  for (const StateDict::Entry& entry : tensors) {
    const StoredTensor& tensor = entry.tensor;
    std::string shape;
    for (Index extent : tensor.extents) shape += (shape.empty() ? "" : ",") + std::to_string(extent);
    const std::uint64_t begin = begins[&entry];
    require(entry.name != "__metadata__", target, ": a tensor cannot be called __metadata__");
    item(entry.name);
    header += concatenate("{\"dtype\":\"", name_of(tensor.format), "\",\"shape\":[", shape, "],\"data_offsets\":[", begin,
                          ",", begin + tensor.bytes.size(), "]}");
  }
  if (header.empty()) header = "{";
  header += '}';
  header.resize((header.size() + 7) / 8 * 8, ' ');

  const SafetensorsLimits limits;
  require(header.size() <= limits.header_bytes, target, ": a header of ", header.size(), " bytes; at most ",
          limits.header_bytes, " are accepted");
  require(data_bytes <= limits.total_bytes, target, ": ", data_bytes, " bytes of tensors; at most ",
          limits.total_bytes, " are accepted");
  detail::read_header(header, data_bytes, target, limits);

  const std::uint64_t header_bytes = header.size();
  AtomicFile file(path);
  file.write(std::as_bytes(std::span(&header_bytes, 1)));
  file.write(header);
  for (const StateDict::Entry* entry : by_width) file.write(entry->tensor.bytes);
  file.commit();
}

}  // namespace plainnet
