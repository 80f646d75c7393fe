// What a damaged or malicious file can do: nothing but cause an Error. Every truncation, every change of one byte and
// many insertions, each judged by a second implementation of the rules on a general JSON library.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "io/safetensors_bytes.hpp"
#include "io/temporary_folder.hpp"
#include "plainnet/io/safetensors.hpp"
#include "support/data.hpp"
#include "support/processor_time.hpp"

namespace plainnet::test {
namespace {

using Json = nlohmann::json;

/// (begin, end) of every tensor.
using Layout = std::map<std::string, std::pair<std::uint64_t, std::uint64_t>>;

bool has_control_character(const std::string& text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte < 32 || byte == 127) return true;
    if (byte == 0xC2 && static_cast<unsigned char>(text[i + 1]) < 0xA0) return true;  // U+0080 to U+009F
  }
  return false;
}

/// A JSON document without a key that occurs twice.
std::optional<Json> parse_json(const std::string& text) {
  std::vector<std::set<std::string>> keys;
  bool is_unique = true;
  const auto callback = [&](int, Json::parse_event_t event, Json& value) {
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key) is_unique &= keys.back().insert(value.get<std::string>()).second;
    return true;
  };
  Json result = Json::parse(text, callback, false);
  if (result.is_discarded() || !is_unique) return {};
  return result;
}

/// The tensors of a valid file; nothing for an invalid one. Shares no code with the library.
std::optional<Layout> judge(std::string_view file) {
  if (file.size() < 8) return {};
  std::uint64_t size = 0;
  std::memcpy(&size, file.data(), 8);
  if (size > file.size() - 8) return {};
  std::string text(file.substr(8, size));
  const std::uint64_t data_bytes = file.size() - 8 - size;
  while (text.ends_with(' ')) text.pop_back();
  // The library would take a zero byte for the end, and skip a byte order mark and white space.
  if (!text.starts_with('{') || !text.ends_with('}') || text.find('\0') != text.npos) return {};
  const std::optional<Json> header = parse_json(text);
  if (!header || !header->is_object()) return {};

  Layout layout;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges;
  for (const auto& [name, entry] : header->items()) {
    if (has_control_character(name) || !entry.is_object()) return {};
    if (name == "__metadata__") {
      for (const auto& [key, value] : entry.items()) {
        if (has_control_character(key) || !value.is_string()) return {};
        if (has_control_character(value.get<std::string>())) return {};
      }
      continue;
    }
    if (name.size() > 512 || entry.size() != 3) return {};
    for (const char* key : {"dtype", "shape", "data_offsets"}) {
      if (!entry.contains(key)) return {};
    }
    const Json& offsets = entry["data_offsets"];
    const Json& shape = entry["shape"];
    if (!entry["dtype"].is_string() || !shape.is_array() || !offsets.is_array() || offsets.size() != 2) return {};
    // clang-format off
    const std::map<std::string, unsigned> bits = {
        {"BOOL", 8},    {"F4", 4},      {"F6_E2M3", 6},     {"F6_E3M2", 6},     {"U8", 8},   {"I8", 8},
        {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8},     {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8},
        {"I16", 16},    {"U16", 16},    {"F16", 16},        {"BF16", 16},       {"I32", 32}, {"U32", 32},
        {"F32", 32},    {"C64", 64},    {"F64", 64},        {"I64", 64},        {"U64", 64}};
    // clang-format on
    const auto dtype = bits.find(entry["dtype"].get<std::string>());
    if (dtype == bits.end() || shape.size() > 8) return {};
    const auto all_unsigned = [](const Json& array) {
      return std::all_of(array.begin(), array.end(), [](const Json& n) { return n.is_number_unsigned(); });
    };
    if (!all_unsigned(shape) || !all_unsigned(offsets)) return {};
    std::uint64_t total = dtype->second;
    for (const Json& extent : shape) {
      const auto factor = extent.get<std::uint64_t>();
      if (factor >> 63 || (factor != 0 && total * factor / factor != total)) return {};
      total *= factor;
    }
    const auto begin = offsets[0].get<std::uint64_t>();
    const auto end = offsets[1].get<std::uint64_t>();
    if (begin > end || end > data_bytes || total % 8 != 0 || total / 8 != end - begin) return {};
    layout[name] = {begin, end};
    ranges.emplace_back(begin, end);
  }
  std::sort(ranges.begin(), ranges.end());
  std::uint64_t position = 0;
  for (const auto& [begin, end] : ranges) {
    if (begin != position) return {};
    position = end;
  }
  if (position != data_bytes) return {};
  return layout;
}

/// Both implementations agree on whether the file is valid, and on what it holds.
void compare(const std::string& file, int& accepted) {
  const std::optional<Layout> expected = judge(file);
  bool is_accepted = false;
  try {
    const StateDict tensors = parse(file);
    is_accepted = true;
    ASSERT_TRUE(expected) << "accepted: " << detail::printable(file, 2000);
    ASSERT_EQ(static_cast<std::size_t>(tensors.size()), expected->size());
    std::uint64_t header = 0;
    std::memcpy(&header, file.data(), 8);
    for (const auto& [name, tensor] : tensors) {
      const auto& [begin, end] = expected->at(name);
      const std::string_view data = std::string_view(file).substr(8 + header + begin, end - begin);
      ASSERT_EQ(tensor.bytes.size(), data.size());
      ASSERT_TRUE(data.empty() || std::memcmp(tensor.bytes.data(), data.data(), data.size()) == 0);
    }
    ++accepted;
  } catch (const Error& error) {
    const std::string_view message = error.what();
    ASSERT_LT(message.size(), 500u);
    ASSERT_TRUE(std::all_of(message.begin(), message.end(), [](char c) { return c >= ' ' && c <= '~'; })) << message;
  }
  ASSERT_EQ(is_accepted, expected.has_value()) << detail::printable(file, 2000);
}

std::string small_file() {
  return file_of(
      R"({"__metadata__":{"k":"v\u00e9"},"a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},)"
      R"("b":{"dtype":"U8","shape":[],"data_offsets":[8,9]},"c":{"dtype":"F16","shape":[0],"data_offsets":[9,9]}} )",
      "01234567x");
}

TEST(HostileSafetensors, EveryTruncationIsRefused) {
  const std::string file = small_file();
  int accepted = 0;
  compare(file, accepted);
  ASSERT_EQ(accepted, 1);
  for (std::size_t size = 0; size < file.size(); ++size) {
    ASSERT_NO_FATAL_FAILURE(compare(file.substr(0, size), accepted));
  }
  EXPECT_EQ(accepted, 1);
}

TEST(HostileSafetensors, EveryExtensionIsRefused) {
  int accepted = 0;
  for (int byte = 0; byte < 256; ++byte) {
    ASSERT_NO_FATAL_FAILURE(compare(small_file() + static_cast<char>(byte), accepted));
  }
  EXPECT_EQ(accepted, 0);
}

TEST(HostileSafetensors, EveryChangeOfOneByteOfTheHeaderIsRefusedOrReadRight) {
  const std::string file = small_file();
  int accepted = 0;
  for (std::size_t position = 0; position < file.size() - 9; ++position) {
    for (int byte = 0; byte < 256; ++byte) {
      std::string changed = file;
      changed[position] = static_cast<char>(byte);
      ASSERT_NO_FATAL_FAILURE(compare(changed, accepted)) << "byte " << position << " is " << byte;
    }
  }
  EXPECT_GT(accepted, 500);  // other names, other values of the metadata
}

/// With the length of the header corrected, so that the change reaches the parser.
std::string with_header(const std::string& header) { return file_of(header, "01234567x"); }

TEST(HostileSafetensors, EveryRemovalAndInsertionIsRefusedOrReadRight) {
  const std::string file = small_file();
  const std::string header = file.substr(8, file.size() - 8 - 9);
  // clang-format off
  const std::string_view insertions[] = {
      "\"", "\\", "{", "}", "[", "]", ",", ":", "0", "1", "-", ".", "e1", "\\u0000", "\\uD800", "\\uDC00\\uD800",
      "\\uD83D\\uDE00", "\\n", "\\x", "\xC3\xA9", "\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xC2\x85", "\x7F",
      "\n", " ", "null", "true", "[[[[[[[[", "{\"a\":{\"b\":{\"c\":", "18446744073709551616", "99999999999999999999999",
      "/**/", "\xEF\xBB\xBF", "NaN", "1,", ",1", "\"a\":", "\"a\":1,", "\"dtype\":\"F32\",", "\"shape\":[],", "{},"};
  // clang-format on
  int accepted = 0;
  for (std::size_t position = 0; position <= header.size(); ++position) {
    for (std::size_t count = 1; count < 9 && position + count <= header.size(); ++count) {
      std::string changed = header;
      changed.erase(position, count);
      ASSERT_NO_FATAL_FAILURE(compare(with_header(changed), accepted)) << position << " " << count;
    }
    for (const std::string_view insertion : insertions) {
      std::string changed = header;
      changed.insert(position, insertion);
      ASSERT_NO_FATAL_FAILURE(compare(with_header(changed), accepted)) << position << " " << insertion;
    }
    std::string zero = header;
    zero.insert(position, 1, '\0');
    ASSERT_NO_FATAL_FAILURE(compare(with_header(zero), accepted)) << position;
  }
  EXPECT_GT(accepted, 50);
}

TEST(HostileSafetensors, RandomSplicesAreRefusedOrReadRight) {
  const std::string file = small_file();
  const std::string header = file.substr(8, file.size() - 8 - 9);
  std::mt19937 random(1);
  const auto below = [&](std::size_t count) { return random() % count; };
  int accepted = 0;
  for (int i = 0; i < 10'000; ++i) {
    std::string changed = header;
    for (std::size_t edits = 1 + below(3); edits > 0; --edits) {
      const std::size_t from = below(header.size());
      const std::string piece = header.substr(from, 1 + below(30));
      const std::size_t to = below(changed.size());
      changed.replace(to, below(2) ? below(30) : 0, piece);
    }
    ASSERT_NO_FATAL_FAILURE(compare(with_header(changed), accepted)) << i;
  }
}

TEST(HostileSafetensors, DamagedCheckpointsAreRefusedOrReadRight) {
  const std::string file = read_text(data("checkpoints/float16.safetensors"));
  std::uint64_t header = 0;
  std::memcpy(&header, file.data(), 8);
  std::mt19937 random(1);
  int accepted = 0;
  for (int i = 0; i < 150; ++i) {
    std::string changed = file;
    changed[random() % (8 + header)] = static_cast<char>(random() % 256);
    ASSERT_NO_FATAL_FAILURE(compare(changed, accepted)) << i;
    ASSERT_NO_FATAL_FAILURE(compare(file.substr(0, random() % file.size()), accepted)) << i;
  }
}

TEST(HostileSafetensors, LargeHeadersOfNonsenseAreRefusedQuickly) {
  const std::size_t size = std::size_t{16} << 20;
  const std::string prefix = "{\"";
  for (const std::string& filling :
       {std::string(size - 2, 'a'), std::string(size - 2, ' '), std::string(size - 2, '['), std::string(size - 2, '"'),
        std::string(size - 2, '1'), std::string(size - 2, '\\')}) {
    const std::string file = file_of(prefix + filling);
    const double seconds = processor_seconds([&] { EXPECT_THROW(parse(file), Error); });
    EXPECT_LT(seconds, 5.0);  // about 0.02 without a sanitizer
  }
}

}  // namespace
}  // namespace plainnet::test
