#pragma once
// Zip archives, pickles and PyTorch checkpoints made by hand, right or wrong.

#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plainnet/io/torch_checkpoint.hpp"

namespace plainnet::test {

template <class Number>
std::string bytes_of(Number number) {
  std::string bytes(sizeof(Number), '\0');
  std::memcpy(bytes.data(), &number, sizeof(Number));
  return bytes;
}

inline std::string u16(std::uint64_t number) { return bytes_of(static_cast<std::uint16_t>(number)); }
inline std::string u32(std::uint64_t number) { return bytes_of(static_cast<std::uint32_t>(number)); }
inline std::string u64(std::uint64_t number) { return bytes_of(number); }

/// CRC-32, bit by bit.
inline std::uint32_t slow_crc(std::string_view text) {
  std::uint32_t sum = 0xFFFFFFFF;
  for (const char c : text) {
    sum ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) sum = sum & 1 ? sum >> 1 ^ 0xEDB88320 : sum >> 1;
  }
  return ~sum;
}

struct ZipEntry {
  std::string name;
  std::string data;
  // What is claimed of it.
  std::uint16_t method = 0;
  std::uint16_t flags = 0;
  std::int64_t more_bytes = 0;  // beyond those that it has
  std::string gap = {};         // bytes after it
  std::string extra = {};       // of the local header
};

struct ZipShape {
  bool has_descriptors = true;  // as PyTorch writes
  bool has_checksums = true;
  bool is_wide = false;  // every number that can be stands in a 64-bit field
  std::string comment = {};
};

inline std::string zip_of(const std::vector<ZipEntry>& entries, const ZipShape& shape = {}) {
  std::string file, directory;
  constexpr std::uint32_t all_ones = 0xFFFFFFFF;
  for (const ZipEntry& entry : entries) {
    const std::size_t begin = file.size();
    const std::size_t size = entry.data.size() + static_cast<std::size_t>(entry.more_bytes);
    const std::uint32_t checksum = shape.has_checksums ? slow_crc(entry.data) : 0;
    const std::string head = u16(entry.flags | (shape.has_descriptors ? 8u : 0u)) + u16(entry.method) + u32(0);
    const bool local_wide = shape.is_wide && !shape.has_descriptors;
    const std::string local_extra = (local_wide ? u16(1) + u16(16) + u64(size) + u64(size) : "") + entry.extra;
    const std::size_t local_size = local_wide ? all_ones : shape.has_descriptors ? 0 : size;
    file += "PK\x03\x04" + u16(0) + head + u32(shape.has_descriptors ? 0 : checksum) + u32(local_size) +
            u32(local_size) + u16(entry.name.size()) + u16(local_extra.size()) + entry.name + local_extra + entry.data;
    if (shape.has_descriptors) {
      const auto number = [&](std::size_t n) { return shape.is_wide ? u64(n) : u32(n); };
      file += "PK\x07\x08" + u32(checksum) + number(size) + number(size);
    }
    file += entry.gap;
    const std::string extra = shape.is_wide ? u16(1) + u16(24) + u64(size) + u64(size) + u64(begin) : "";
    directory += "PK\x01\x02" + u32(0) + head + u32(checksum) + u32(shape.is_wide ? all_ones : size) +
                 u32(shape.is_wide ? all_ones : size) + u16(entry.name.size()) + u16(extra.size()) + u16(0) + u16(0) +
                 u16(0) + u32(0) + u32(shape.is_wide ? all_ones : begin) + entry.name + extra;
  }
  const std::size_t begin = file.size();
  file += directory;
  if (shape.is_wide) {
    const std::size_t end = file.size();
    file += "PK\x06\x06" + u64(44) + u32(0) + u32(0) + u32(0) + u64(entries.size()) + u64(entries.size()) +
            u64(directory.size()) + u64(begin);
    file += "PK\x06\x07" + u32(0) + u64(end) + u32(1);
  }
  const auto number = [&](std::size_t n) { return u32(shape.is_wide ? all_ones : n); };
  const std::string count = u16(shape.is_wide ? 0xFFFF : entries.size());
  return file + "PK\x05\x06" + u32(0) + count + count + number(directory.size()) + number(begin) +
         u16(shape.comment.size()) + shape.comment;
}

// Pieces of a pickle. Each leaves one value on the stack.

inline std::string text(std::string_view value) { return "X" + u32(value.size()) + std::string(value); }
inline std::string integer(std::int64_t value) {
  if (value >= 0 && value < 256) return "K" + bytes_of(static_cast<std::uint8_t>(value));
  return "\x8A\x08" + bytes_of(value);
}
inline std::string global(std::string_view module, std::string_view name) {
  return "c" + std::string(module) + "\n" + std::string(name) + "\n";
}
inline std::string tuple(const std::vector<std::string>& values) {
  std::string bytes = "(";
  for (const std::string& value : values) bytes += value;
  return bytes + "t";
}
inline std::string integers(const std::vector<std::int64_t>& values) {
  std::vector<std::string> texts;
  for (const std::int64_t value : values) texts.push_back(integer(value));
  return tuple(texts);
}
inline std::string call(const std::string& callee, const std::vector<std::string>& arguments) {
  return callee + tuple(arguments) + "R";
}
using Items = std::vector<std::pair<std::string, std::string>>;
inline std::string dictionary(const Items& items, const std::string& empty = "}") {
  std::string bytes = empty + "(";
  for (const auto& [key, value] : items) bytes += text(key) + value;
  return bytes + "u";
}
inline std::string ordered(const Items& items) {
  return dictionary(items, global("collections", "OrderedDict") + ")R");
}

inline std::string storage(std::string_view key, std::int64_t count, std::string_view type = "FloatStorage") {
  return tuple({text("storage"), global("torch", type), text(key), text("cpu"), integer(count)}) + "Q";
}
inline std::string tensor(const std::string& storage, std::int64_t offset, const std::vector<std::int64_t>& size,
                          const std::vector<std::int64_t>& stride) {
  return call(global("torch._utils", "_rebuild_tensor_v2"),
              {storage, integer(offset), integers(size), integers(stride), "\x89", ordered({})});
}

inline std::string pickle_of(const std::string& value) { return "\x80\x02" + value + "."; }

/// Storages by key.
using Storages = std::vector<std::pair<std::string, std::string>>;

inline std::string archive_of(const std::string& value, const Storages& storages = {}, const ZipShape& shape = {}) {
  std::vector<ZipEntry> entries = {{"test/data.pkl", pickle_of(value)}};
  for (const auto& [key, bytes] : storages) entries.push_back({"test/data/" + key, bytes});
  entries.push_back({"test/version", "3\n"});
  return zip_of(entries, shape);
}

/// The old form; all storages of numbers of `width` bytes.
inline std::string stream_of(const std::string& value, const Storages& storages = {}, std::size_t width = 4) {
  const std::string magic = "\x8A\x0A\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
  std::string file = pickle_of(magic) + pickle_of("M" + u16(1001)) +
                     pickle_of(dictionary({{"protocol_version", "M" + u16(1001)}, {"little_endian", "\x88"}})) +
                     pickle_of(value);
  std::string keys = "](";
  for (const auto& [key, bytes] : storages) keys += text(key);
  file += pickle_of(keys + "e");
  for (const auto& [key, bytes] : storages) file += u64(bytes.size() / width) + bytes;
  return file;
}

inline std::string floats(const std::vector<float>& values) {
  std::string bytes;
  for (const float value : values) bytes += bytes_of(value);
  return bytes;
}

/// A copy that ends where its memory ends and begins at an odd address, so that a sanitizer sees every read outside.
inline std::pair<std::span<const std::byte>, std::shared_ptr<const void>> exact_copy(std::string_view file) {
  const std::shared_ptr<char[]> copy(new char[file.size() + 1]);
  if (!file.empty()) std::memcpy(copy.get() + 1, file.data(), file.size());
  return {std::as_bytes(std::span<const char>(copy.get() + 1, file.size())), copy};
}

inline StateDict parse_torch(std::string_view file, const TorchOptions& options = {}) {
  const auto [bytes, owner] = exact_copy(file);
  return parse_torch_checkpoint(bytes, "test", options, owner);
}

}  // namespace plainnet::test
