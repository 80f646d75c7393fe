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
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plainnet/core/error.hpp"
#include "plainnet/core/order.hpp"
#include "plainnet/core/shape.hpp"
#include "plainnet/io/atomic_file.hpp"
#include "plainnet/io/file_kind.hpp"
#include "plainnet/io/mapped_file.hpp"
#include "plainnet/io/number_format.hpp"
#include "plainnet/io/safetensors_header.hpp"
#include "plainnet/io/state_dict.hpp"

namespace plainnet {

namespace detail {

/// Where the header lies. Error if the file has none.
inline std::string_view find_header(std::string_view file, std::string_view source, const SafetensorsLimits& limits) {
  const auto check = [&](bool condition, const auto&... parts) {
    if (condition) return;
    // A length can look like anything; with a '{' behind it, it is one.
    const bool has_header = file.size() > 8 && file[8] == '{';
    const std::string_view guess = has_header ? "" : guess_kind(std::as_bytes(std::span(file.data(), file.size())));
    if (!guess.empty()) fail(source, ": not a safetensors file but ", guess);
    fail(source, ": ", parts..., "; not a safetensors file, or truncated?");
  };
  constexpr std::uint64_t format_limit = 100'000'000;
  const std::uint64_t most = std::min(limits.header_bytes, format_limit);
  check(file.size() >= 8, file.size(), " bytes; expected at least 8");
  const auto size = read_unaligned<std::uint64_t>(reinterpret_cast<const std::byte*>(file.data()));
  check(size <= most, "a header of ", size, " bytes; at most ", most, " are accepted");
  check(size <= file.size() - 8, "a header of ", size, " bytes in a file of ", file.size());
  check(size > 0 && file[8] == '{', "byte 8: the header does not begin with '{'");
  return file.substr(8, static_cast<std::size_t>(size));
}

}  // namespace detail

/// Reads a safetensors file that lies in memory. The tensors refer to `bytes`; `owner` is kept for as long as one of
/// them lives. `source` names the file in messages. Error if any rule of the format or any limit is broken.
inline StateDict parse_safetensors(std::span<const std::byte> bytes, const std::string& source = "memory",
                                   const SafetensorsLimits& limits = {},
                                   const std::shared_ptr<const void>& owner = nullptr) {
  const std::string_view file(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const std::string_view text = detail::find_header(file, source, limits);
  const std::span<const std::byte> data = bytes.subspan(8 + text.size());
  require(data.size() <= limits.total_bytes, source, ": ", data.size(), " bytes of tensors; at most ",
          limits.total_bytes, " are accepted");

  detail::SafetensorsHeader header = detail::read_header(text, data.size(), source, limits);
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

namespace detail {

/// For text without control characters, which read_header() refuses.
inline std::string json_string(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    result += c;
  }
  return result + '"';
}

/// The header's JSON, padded so that the tensors begin at a multiple of 8; `begins` has an offset for each tensor.
inline std::string write_header(const StateDict& tensors, const std::vector<std::uint64_t>& begins) {
  std::string header;
  const auto separate = [&] { header += header.empty() ? '{' : ','; };
  if (!tensors.metadata.empty()) {
    std::string members;
    for (const auto& [key, value] : tensors.metadata) {
      members += (members.empty() ? "" : ",") + json_string(key) + ":" + json_string(value);
    }
    separate();
    header += json_string(metadata_key) + ":{" + members + "}";
  }
  auto begin = begins.begin();
  for (const auto& [name, tensor] : tensors) {
    std::string shape;
    for (Index extent : tensor.extents) shape += (shape.empty() ? "" : ",") + std::to_string(extent);
    separate();
    header += concatenate(json_string(name), ":{\"dtype\":\"", name_of(tensor.format), "\",\"shape\":[", shape,
                          "],\"data_offsets\":[", *begin, ",", *begin + tensor.bytes.size(), "]}");
    ++begin;
  }
  header += header.empty() ? "{}" : "}";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  return header;
}

/// What goes into a file: the length of the header, the header, the bytes of these tensors one after the other.
struct SafetensorsLayout {
  std::string header;
  std::vector<const StoredTensor*> order;
};

/// Error, which begins with `target`, for what no reader would accept.
inline SafetensorsLayout lay_out(const StateDict& tensors, const std::string& target) {
  // The widest numbers first, so that every tensor lies aligned in the file.
  std::vector<const StoredTensor*> all;
  std::vector<Index> negative_bits;
  for (const auto& [name, tensor] : tensors) {
    require(name != metadata_key, target, ": a tensor cannot be called ", name);
    all.push_back(&tensor);
    negative_bits.push_back(-Index{info(tensor.format).bits});
  }
  SafetensorsLayout layout;
  std::uint64_t data_bytes = 0;
  std::vector<std::uint64_t> begins(all.size());
  for (const std::size_t i : ascending(negative_bits)) {
    begins[i] = data_bytes;
    data_bytes += all[i]->bytes.size();
    layout.order.push_back(all[i]);
  }

  const SafetensorsLimits limits;
  layout.header = write_header(tensors, begins);
  require(layout.header.size() <= limits.header_bytes && data_bytes <= limits.total_bytes, target, ": a header of ",
          layout.header.size(), " and tensors of ", data_bytes, " bytes; at most ", limits.header_bytes, " and ",
          limits.total_bytes, " are accepted");
  read_header(layout.header, data_bytes, target, limits);
  return layout;
}

}  // namespace detail

/// Writes the tensors and the metadata. An existing file is replaced when all is written; after an Error it is as it
/// was. Error also for what no reader would accept: a name or metadata with control characters or not in UTF-8, a
/// tensor called __metadata__, more than the default SafetensorsLimits.
inline void write_safetensors(const std::filesystem::path& path, const StateDict& tensors) {
  const detail::SafetensorsLayout layout = detail::lay_out(tensors, path.string());
  const std::uint64_t header_bytes = layout.header.size();
  AtomicFile file(path);
  file.write(std::as_bytes(std::span(&header_bytes, 1)));
  file.write(layout.header);
  for (const StoredTensor* tensor : layout.order) file.write(tensor->bytes);
  file.commit();
}

}  // namespace plainnet
