#pragma once
// The header of a safetensors file: what it says of each tensor, and every check on it.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plainnet/core/error.hpp"
#include "plainnet/core/order.hpp"
#include "plainnet/core/shape.hpp"
#include "plainnet/io/json_cursor.hpp"
#include "plainnet/io/number_format.hpp"

namespace plainnet {

/// What a file may ask for. Nesting needs no number: the format has three levels, a fourth is refused as it opens.
struct SafetensorsLimits {
  std::uint64_t header_bytes = std::uint64_t{16} << 20;  ///< never above 100 000 000, the format's own limit
  std::size_t tensors = 100'000;
  std::size_t metadata_entries = 100'000;
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
  std::uint64_t begin = 0;  // its bytes, counted from the end of the header
  std::uint64_t end = 0;
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;  // in the order of the text
  std::map<std::string, std::string> metadata;
};

inline constexpr std::string_view metadata_key = "__metadata__";

/// Calls member(key) for every key of an object, with the cursor before the key's value.
template <class Member>
void for_each_member(JsonCursor& json, Member&& member) {
  json.expect('{');
  if (json.accept('}')) return;
  do {
    std::string key = json.string();
    json.expect(':');
    member(std::move(key));
  } while (json.accept(','));
  json.expect('}');
}

[[noreturn]] inline void refuse_second(const JsonCursor& json, std::string_view key) {
  json.refuse("the key \"", printable(key), "\" occurs twice");
}

/// Calls element() before every element of an array.
template <class Element>
void for_each_element(JsonCursor& json, Element&& element) {
  json.expect('[');
  if (json.accept(']')) return;
  do {
    element();
  } while (json.accept(','));
  json.expect(']');
}

/// {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
inline SafetensorsEntry read_entry(JsonCursor& json, const std::string& name, const SafetensorsLimits& limits) {
  SafetensorsEntry entry;
  entry.name = name;
  constexpr std::array<std::string_view, 3> keys = {"dtype", "shape", "data_offsets"};
  std::array<bool, keys.size()> seen{};
  const std::size_t rank = std::min(limits.rank, Extents::max_rank);
  for_each_member(json, [&](const std::string& key) {
    const auto position = static_cast<std::size_t>(std::find(keys.begin(), keys.end(), key) - keys.begin());
    if (position == keys.size()) {
      json.refuse("unknown key \"", printable(key), "\"; expected dtype, shape and data_offsets");
    }
    if (std::exchange(seen[position], true)) refuse_second(json, key);
    if (key == "dtype") {
      const std::string dtype = json.string();
      const auto format = find_number_format(dtype);
      if (!format) json.refuse("unknown dtype \"", printable(dtype), "\"; is the file newer than this reader?");
      entry.format = *format;
    } else if (key == "shape") {
      for_each_element(json, [&] {
        const std::uint64_t extent = json.integer();
        if (entry.extents.rank() == rank) json.refuse("more than ", rank, " dimensions");
        if (extent > static_cast<std::uint64_t>(std::numeric_limits<Index>::max())) {
          json.refuse("a dimension of ", extent, " overflows");
        }
        entry.extents.push_back(static_cast<Index>(extent));
      });
    } else {
      json.expect('[');
      entry.begin = json.integer();
      json.expect(',');
      entry.end = json.integer();
      json.expect(']');
    }
  });
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (!seen[i]) json.refuse("has no ", keys[i]);
  }

  if (entry.begin > entry.end) json.refuse("data_offsets run backwards, from ", entry.begin, " to ", entry.end);
  const auto needed = stored_bytes(entry.format, entry.extents);
  if (!needed || *needed != entry.end - entry.begin) {
    json.refuse(name_of(entry.format), " ", entry.extents, " needs ",
                needed ? std::to_string(*needed) : "an impossible number of", " bytes, but data_offsets from ",
                entry.begin, " to ", entry.end, " hold ", entry.end - entry.begin);
  }
  return entry;
}

/// The tensors fill the data from its first byte to its last, without holes or overlaps: a file has no room for
/// anything else.
inline void check_layout(const std::vector<SafetensorsEntry>& entries, std::uint64_t data_bytes,
                         std::string_view source) {
  const auto name = [](const SafetensorsEntry* entry) { return "\"" + printable(entry->name) + "\""; };
  std::uint64_t needed = 0;
  for (const SafetensorsEntry& entry : entries) needed = std::max(needed, entry.end);
  std::vector<Index> places;  // twice where it begins, plus one: an empty tensor comes before what begins there too
  for (const SafetensorsEntry& entry : entries) {
    if (entry.end > data_bytes) {
      fail(source, ": tensor ", name(&entry), " ends outside the file: the tensors need ", needed,
           " bytes after the header, the file has ", data_bytes, "; truncated download?");
    }
    places.push_back(static_cast<Index>(2 * entry.begin + (entry.begin == entry.end ? 0 : 1)));
  }
  const SafetensorsEntry* previous = nullptr;
  std::uint64_t position = 0;
  for (const std::size_t i : ascending(places)) {
    const SafetensorsEntry* const entry = &entries[i];
    if (entry->begin > position) {
      fail(source, ": the ", entry->begin - position, " bytes before tensor ", name(entry),
           " belong to no tensor; damaged file?");
    }
    if (entry->begin < position) fail(source, ": tensors ", name(previous), " and ", name(entry), " overlap");
    position = entry->end;
    previous = entry;
  }
  if (position < data_bytes) {
    fail(source, ": ", data_bytes - position, " bytes follow the last tensor; expected the file to end there");
  }
}

/// Reads and checks the header whose JSON is `text` (with the padding), which `data_bytes` bytes of tensors follow.
inline SafetensorsHeader read_header(std::string_view text, std::uint64_t data_bytes, std::string_view source,
                                     const SafetensorsLimits& limits) {
  SafetensorsHeader header;
  std::map<std::string, std::size_t, std::less<>> names;  // the type that state dicts use, compiled once
  JsonCursor json(text, source, 8);
  for_each_member(json, [&](const std::string& name) {
    if (!names.try_emplace(name, 0).second) refuse_second(json, name);
    json.set_subject(name);
    if (name == metadata_key) {
      for_each_member(json, [&](std::string key) {
        if (header.metadata.size() == limits.metadata_entries) {
          json.refuse("more than ", limits.metadata_entries, " entries");
        }
        const auto [place, is_new] = header.metadata.try_emplace(std::move(key), json.string());
        if (!is_new) refuse_second(json, place->first);
      });
    } else {
      if (header.entries.size() == limits.tensors) json.refuse("more than ", limits.tensors, " tensors");
      if (name.size() > limits.name_bytes) {
        json.refuse("a name of ", name.size(), " bytes; at most ", limits.name_bytes, " are accepted");
      }
      header.entries.push_back(read_entry(json, name, limits));
    }
    json.set_subject({});
  });
  json.expect_end();
  check_layout(header.entries, data_bytes, source);
  return header;
}

}  // namespace detail
}  // namespace plainnet
