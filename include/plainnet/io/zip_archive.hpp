#pragma once
// The part of the zip format that PyTorch writes: entries stored as they are, with or without the 64-bit fields.
//
//   for each entry:    local header (30 bytes, name, extra fields), data, perhaps a data descriptor (16 or 24 bytes)
//   central directory: for each entry 46 bytes, name, extra fields
//   end:               perhaps the 64-bit end (56 bytes) and its locator (20 bytes), then the end (22 bytes, comment)
//
// The directory says where everything lies. It is checked as a whole at once; what an entry's own header says is
// checked when the entry is opened, so that an entry that nobody opens is not read.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plainnet/core/error.hpp"
#include "plainnet/io/byte_cursor.hpp"
#include "plainnet/io/json_cursor.hpp"

namespace plainnet {

/// What an archive may ask for.
struct ZipLimits {
  std::size_t entries = 10'000;
  std::size_t name_bytes = 512;
  std::uint64_t directory_bytes = std::uint64_t{16} << 20;  ///< of the central directory: an entry takes about 100
};

namespace detail {

/// The CRC-32 of zip: polynomial 0xEDB88320, all ones before and inverted after. Eight bytes at a time, by eight
/// tables: a pickle of the largest size that is accepted would otherwise take 30 ms.
inline std::uint32_t crc32(std::span<const std::byte> bytes) {
  using Tables = std::array<std::array<std::uint32_t, 256>, 8>;
  static const Tables tables = [] {
    Tables made{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      std::uint32_t row = i;
      for (int bit = 0; bit < 8; ++bit) row = (row >> 1) ^ (row % 2 == 1 ? 0xEDB88320u : 0u);
      made[0][i] = row;
    }
    for (std::size_t k = 1; k < 8; ++k) {
      for (std::size_t i = 0; i < 256; ++i) made[k][i] = (made[k - 1][i] >> 8) ^ made[0][made[k - 1][i] & 0xFF];
    }
    return made;
  }();
  std::uint32_t sum = ~std::uint32_t{0};
  std::size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    const std::uint64_t next = read_unaligned<std::uint64_t>(bytes.data() + i) ^ sum;
    sum = 0;
    for (std::size_t k = 0; k < 8; ++k) sum ^= tables[7 - k][(next >> (8 * k)) & 0xFF];
  }
  for (; i < bytes.size(); ++i) sum = (sum >> 8) ^ tables[0][(sum ^ std::to_integer<std::uint32_t>(bytes[i])) & 0xFF];
  return ~sum;
}

}  // namespace detail

/// An archive in memory, whose bytes must outlive it. Error, with the byte offset, for everything that the format does
/// not allow and for what PyTorch does not write: compression, encryption, several disks, names that occur twice or
/// that leave their folder, entries that overlap, bytes that belong to nothing.
class ZipArchive {
 public:
  /// A file in the archive.
  struct Entry {
    std::string_view name;
    std::uint64_t size = 0;
    std::uint32_t checksum = 0;  // 0: none
    std::uint16_t flags = 0;
    std::uint64_t header = 0;  // offset of its local header
    std::uint64_t end = 0;     // offset of what follows: the next local header or the central directory
  };

  /// `source` names the file in messages.
  ZipArchive(std::span<const std::byte> file, std::string source, const ZipLimits& limits = {})
      : file_(file), source_(std::move(source)) {
    read_directory(find_directory(), limits);
    check_layout();
    check_names();
  }

  /// In the order of their names.
  const std::vector<Entry>& entries() const { return entries_; }

  /// The entry of that name, or null.
  const Entry* find(std::string_view name) const {
    const auto place = std::lower_bound(entries_.begin(), entries_.end(), name,
                                        [](const Entry& entry, std::string_view text) { return entry.name < text; });
    return place != entries_.end() && place->name == name ? &*place : nullptr;
  }

  /// The bytes of an entry, after a check that its own header agrees with the directory. Not its checksum.
  std::span<const std::byte> open(const Entry& entry) const {
    detail::ByteCursor header = cursor(entry.header, entry.end);
    const auto disagree = [&](std::string_view what) {
      fail(source_, ": byte ", entry.header, ": entry ", quoted(entry.name), ": its ", what,
           " is not what the central directory says; damaged file?");
    };
    if (header.number<std::uint32_t>("a local header") != local_signature) disagree("local header");
    header.take(2, "a local header");  // the version needed
    const auto flags = header.number<std::uint16_t>("a local header");
    const auto method = header.number<std::uint16_t>("a local header");
    header.take(4, "a local header");  // time and date
    const auto checksum = header.number<std::uint32_t>("a local header");
    const auto packed = header.number<std::uint32_t>("a local header");
    const auto size = header.number<std::uint32_t>("a local header");
    const auto name_size = header.number<std::uint16_t>("a local header");
    const auto extra_size = header.number<std::uint16_t>("a local header");
    if (detail::as_text(header.take(name_size, "a name")) != entry.name) disagree("name");
    if (flags != entry.flags || method != 0) disagree("method");
    Sizes sizes{size, packed, 0};
    read_extra(header.take(extra_size, "the extra fields"), header.offset() - extra_size, sizes, entry.name);

    const bool has_descriptor = (flags & descriptor_flag) != 0;
    const auto agrees = [&](std::uint64_t found, std::uint64_t expected) {
      return found == expected || (has_descriptor && found == 0);
    };
    if (!agrees(sizes.size, entry.size) || !agrees(sizes.packed, entry.size)) disagree("size");
    if (!agrees(checksum, entry.checksum)) disagree("checksum");
    const std::span<const std::byte> data = header.take(entry.size, "the data of an entry");
    if (has_descriptor) check_descriptor(header, entry);
    if (header.left() > 0) header.refuse(header.left(), " bytes after entry ", quoted(entry.name), " belong to none");
    return data;
  }

  /// The same, with its checksum checked if it has one.
  std::span<const std::byte> open_checked(const Entry& entry) const {
    const std::span<const std::byte> data = open(entry);
    if (entry.checksum != 0 && detail::crc32(data) != entry.checksum) {
      fail(source_, ": byte ", entry.header, ": entry ", quoted(entry.name), ": its checksum is wrong; damaged file?");
    }
    return data;
  }

 private:
  static constexpr std::uint32_t local_signature = 0x04034B50;
  static constexpr std::uint32_t central_signature = 0x02014B50;
  static constexpr std::uint32_t descriptor_signature = 0x08074B50;
  static constexpr std::uint32_t end_signature = 0x06054B50;
  static constexpr std::uint32_t end64_signature = 0x06064B50;
  static constexpr std::uint32_t locator_signature = 0x07064B50;
  static constexpr std::uint16_t descriptor_flag = 1 << 3;
  static constexpr std::uint16_t utf8_flag = 1 << 11;
  static constexpr std::uint32_t all_ones = 0xFFFFFFFF;  // the number stands in a 64-bit field

  struct Directory {
    std::uint64_t begin = 0;
    std::uint64_t size = 0;
    std::uint64_t entries = 0;
  };

  struct Sizes {
    std::uint64_t size = 0;
    std::uint64_t packed = 0;
    std::uint64_t header = 0;
  };

  static std::string quoted(std::string_view name) { return "\"" + detail::printable(name) + "\""; }

  detail::ByteCursor cursor(std::uint64_t begin, std::uint64_t end) const {
    return {file_.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin)), source_, begin};
  }

  /// The end of the archive is 22 bytes and a comment whose length it gives.
  std::uint64_t find_end() const {
    constexpr std::size_t end_bytes = 22, most_comment = 0xFFFF;
    for (std::size_t comment = 0; comment <= most_comment && comment + end_bytes <= file_.size(); ++comment) {
      const std::byte* const place = file_.data() + (file_.size() - end_bytes - comment);
      if (detail::read_unaligned<std::uint32_t>(place) == end_signature &&
          detail::read_unaligned<std::uint16_t>(place + 20) == comment) {
        return file_.size() - end_bytes - comment;
      }
    }
    fail(source_, ": a zip archive of ", file_.size(), " bytes without an end; truncated download?");
  }

  Directory find_directory() const {
    std::uint64_t end = find_end();
    detail::ByteCursor last = cursor(end + 4, file_.size());
    const auto disk = last.number<std::uint16_t>("the end");
    const auto directory_disk = last.number<std::uint16_t>("the end");
    const auto entries_here = last.number<std::uint16_t>("the end");
    const auto entries = last.number<std::uint16_t>("the end");
    const auto size = last.number<std::uint32_t>("the end");
    const auto begin = last.number<std::uint32_t>("the end");
    if (disk != 0 || directory_disk != 0 || entries_here != entries) {
      fail(source_, ": byte ", end, ": one part of a zip archive in several");
    }
    Directory directory{begin, size, entries};
    if (const std::optional<std::uint64_t> end64 = find_end64(end)) {
      const Directory wide = read_end64(*end64);
      const bool agrees = (entries == 0xFFFF || entries == wide.entries) && (size == all_ones || size == wide.size) &&
                          (begin == all_ones || begin == wide.begin);
      if (!agrees) fail(source_, ": byte ", end, ": the two ends of the zip archive disagree; damaged file?");
      directory = wide;
      end = *end64;
    }
    if (directory.begin > end || directory.size != end - directory.begin) {
      fail(source_, ": byte ", end, ": a central directory of ", directory.size, " bytes at byte ", directory.begin,
           " does not end here; truncated or damaged file?");
    }
    return directory;
  }

  /// Where the 64-bit end lies, if a locator before the end points to one.
  std::optional<std::uint64_t> find_end64(std::uint64_t end) const {
    constexpr std::uint64_t locator_bytes = 20, end64_bytes = 56;
    if (end < locator_bytes) return {};
    detail::ByteCursor locator = cursor(end - locator_bytes, end);
    if (locator.number<std::uint32_t>("the locator") != locator_signature) return {};
    const auto disk = locator.number<std::uint32_t>("the locator");
    const auto place = locator.number<std::uint64_t>("the locator");
    const auto disks = locator.number<std::uint32_t>("the locator");
    if (disk != 0 || disks > 1) locator.refuse("one part of a zip archive in several");
    if (end < locator_bytes + end64_bytes || place != end - locator_bytes - end64_bytes) {
      locator.refuse("the 64-bit end of the zip archive is not before its locator; damaged file?");
    }
    return place;
  }

  Directory read_end64(std::uint64_t place) const {
    detail::ByteCursor end = cursor(place, place + 56);
    const auto signature = end.number<std::uint32_t>("the 64-bit end");
    const auto size = end.number<std::uint64_t>("the 64-bit end");
    if (signature != end64_signature || size != 56 - 12) end.refuse("not the 64-bit end of a zip archive");
    end.take(4, "the 64-bit end");  // versions
    const auto disk = end.number<std::uint32_t>("the 64-bit end");
    const auto directory_disk = end.number<std::uint32_t>("the 64-bit end");
    const auto entries_here = end.number<std::uint64_t>("the 64-bit end");
    Directory directory;
    directory.entries = end.number<std::uint64_t>("the 64-bit end");
    directory.size = end.number<std::uint64_t>("the 64-bit end");
    directory.begin = end.number<std::uint64_t>("the 64-bit end");
    if (disk != 0 || directory_disk != 0 || entries_here != directory.entries) {
      end.refuse("one part of a zip archive in several");
    }
    return directory;
  }

  void read_directory(const Directory& directory, const ZipLimits& limits) {
    directory_ = directory.begin;
    if (directory.entries > limits.entries) {
      fail(source_, ": byte ", directory.begin, ": ", directory.entries, " entries; at most ", limits.entries,
           " are accepted");
    }
    if (directory.size > limits.directory_bytes) {
      fail(source_, ": byte ", directory.begin, ": a central directory of ", directory.size, " bytes; at most ",
           limits.directory_bytes, " are accepted");
    }
    detail::ByteCursor list = cursor(directory.begin, directory.begin + directory.size);
    for (std::uint64_t i = 0; i < directory.entries; ++i) entries_.push_back(read_entry(list, limits));
    if (list.left() > 0) list.refuse(list.left(), " bytes after the last entry of the central directory");
  }

  Entry read_entry(detail::ByteCursor& list, const ZipLimits& limits) const {
    constexpr std::string_view what = "the central directory";
    Entry entry;
    if (list.number<std::uint32_t>(what) != central_signature) list.refuse("no entry of the central directory");
    list.take(4, what);  // versions
    entry.flags = list.number<std::uint16_t>(what);
    const auto method = list.number<std::uint16_t>(what);
    list.take(4, what);  // time and date
    entry.checksum = list.number<std::uint32_t>(what);
    Sizes sizes;
    sizes.packed = list.number<std::uint32_t>(what);
    sizes.size = list.number<std::uint32_t>(what);
    const auto name_size = list.number<std::uint16_t>(what);
    const auto extra_size = list.number<std::uint16_t>(what);
    const auto comment_size = list.number<std::uint16_t>(what);
    const auto disk = list.number<std::uint16_t>(what);
    list.take(6, what);  // attributes
    sizes.header = list.number<std::uint32_t>(what);
    if (name_size > limits.name_bytes) {
      list.refuse("a name of ", name_size, " bytes; at most ", limits.name_bytes, " are accepted");
    }
    entry.name = detail::as_text(list.take(name_size, "a name"));
    const std::uint64_t extra = list.offset();
    read_extra(list.take(extra_size, "the extra fields"), extra, sizes, entry.name);
    list.take(comment_size, "a comment");

    const std::string name = quoted(entry.name);
    if ((entry.flags & ~(descriptor_flag | utf8_flag)) != 0) list.refuse("entry ", name, " is encrypted or patched");
    if (method != 0) list.refuse("entry ", name, " is compressed (method ", method, "); torch.save stores");
    if (disk != 0) list.refuse("entry ", name, " lies on another disk");
    if (sizes.packed != sizes.size) {
      list.refuse("entry ", name, " is stored, but of ", sizes.size, " bytes in ", sizes.packed);
    }
    entry.size = sizes.size;
    entry.header = sizes.header;
    return entry;
  }

  /// Records of an identity, a length and as many bytes. The one that counts has 64-bit numbers for those of `sizes`
  /// that are all ones, in this order.
  void read_extra(std::span<const std::byte> extra, std::uint64_t offset, Sizes& sizes, std::string_view name) const {
    detail::ByteCursor records(extra, source_, offset);
    while (records.left() > 0) {
      const auto identity = records.number<std::uint16_t>("an extra field");
      const auto size = records.number<std::uint16_t>("an extra field");
      const std::uint64_t begin = records.offset();
      const std::span<const std::byte> bytes = records.take(size, "an extra field");
      if (identity != 1) continue;
      detail::ByteCursor wide(bytes, source_, begin);
      for (std::uint64_t* number : {&sizes.size, &sizes.packed, &sizes.header}) {
        if (*number == all_ones) *number = wide.number<std::uint64_t>("a 64-bit extra field");
      }
    }
    if (sizes.size == all_ones || sizes.packed == all_ones || sizes.header == all_ones) {
      records.refuse("entry ", quoted(name), " lacks its 64-bit sizes");
    }
  }

  /// No entry reaches into the next or into the central directory.
  void check_layout() {
    std::sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) { return a.header < b.header; });
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      Entry& entry = entries_[i];
      entry.end = i + 1 < entries_.size() ? std::min(entries_[i + 1].header, directory_) : directory_;
      const std::uint64_t header_bytes = 30 + entry.name.size();
      if (entry.header > directory_ || entry.end - entry.header < header_bytes ||
          entry.size > entry.end - entry.header - header_bytes) {
        fail(source_, ": byte ", entry.header, ": entry ", quoted(entry.name), " of ", entry.size, " bytes overlaps ",
             entry.end == directory_ ? "the central directory" : "the next entry");
      }
    }
    const std::uint64_t first = entries_.empty() ? directory_ : entries_.front().header;
    if (first != 0) fail(source_, ": the first ", first, " bytes belong to no entry of the zip archive");
  }

  void check_names() {
    std::sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) { return a.name < b.name; });
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      const std::string_view name = entries_[i].name;
      const bool climbs = ("/" + std::string(name) + "/").find("/../") != std::string::npos;
      if (name.empty() || name.front() == '/' || climbs || name.find('\0') != name.npos) {
        fail(source_, ": byte ", entries_[i].header, ": entry ", quoted(name), " has no proper name");
      }
      if (i > 0 && name == entries_[i - 1].name) {
        fail(source_, ": byte ", entries_[i].header, ": two entries are called ", quoted(name));
      }
    }
  }

  static void check_descriptor(detail::ByteCursor& after, const Entry& entry) {
    constexpr std::string_view what = "a data descriptor";
    const bool is_wide = after.left() == 24;
    const auto signature = after.number<std::uint32_t>(what);
    const auto checksum = after.number<std::uint32_t>(what);
    const auto number = [&] {
      return is_wide ? after.number<std::uint64_t>(what) : std::uint64_t{after.number<std::uint32_t>(what)};
    };
    const std::uint64_t packed = number();
    const std::uint64_t size = number();
    if (signature != descriptor_signature || checksum != entry.checksum || packed != entry.size || size != entry.size) {
      after.refuse("the data descriptor of entry ", quoted(entry.name),
                   " is not what the central directory says; damaged file?");
    }
  }

  std::span<const std::byte> file_;
  std::string source_;
  std::uint64_t directory_ = 0;  // offset of the central directory
  std::vector<Entry> entries_;
};

}  // namespace plainnet
