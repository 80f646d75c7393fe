#pragma once
// The two containers of PyTorch checkpoints: both hold a pickle and the storages that it refers to.
//
// Since 1.6, a zip archive:  ROOT/data.pkl, the pickle; ROOT/data/KEY for each storage; ROOT/version; ROOT/byteorder
// Before, a stream:          five pickles (a magic number, the version 1001, facts about the machine, the object, the
//                            list of the storages' keys), then for each key in that order its size in numbers (64
//                            bits) and the numbers
//
// All numbers are little-endian. A storage that nobody asks for is not read.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "plainnet/core/error.hpp"
#include "plainnet/io/byte_cursor.hpp"
#include "plainnet/io/json_cursor.hpp"
#include "plainnet/io/pickle.hpp"
#include "plainnet/io/torch_tensor.hpp"
#include "plainnet/io/zip_archive.hpp"

namespace plainnet::detail {

/// A container, opened: its pickle, and its storages on demand.
class TorchFile {
 public:
  virtual ~TorchFile() = default;

  const PickleTree& tree() const { return tree_; }

  /// The bytes of a storage, or of the view that a reference gives of it. Error if the file's storage is not as large
  /// as the reference says.
  std::span<const std::byte> storage(const TorchStorage& storage) const {
    const std::span<const std::byte> bytes = find(storage);
    return bytes.subspan(static_cast<std::size_t>(storage.view_begin * storage.width()),
                         static_cast<std::size_t>(storage.view_count * storage.width()));
  }

 protected:
  virtual std::span<const std::byte> find(const TorchStorage& storage) const = 0;

  PickleTree tree_;
};

/// The zip archive.
class TorchArchive : public TorchFile {
 public:
  TorchArchive(std::span<const std::byte> file, const std::string& source, const ZipLimits& zip,
               const PickleLimits& pickle)
      : source_(source), archive_(file, source, zip) {
    find_root();
    check_version();
    const ZipArchive::Entry* const order = archive_.find(root_ + "byteorder");
    if (order && as_text(archive_.open_checked(*order)) != "little") {
      fail(source_, ": byte ", order->header,
           ": written on a big-endian machine; plainnet reads little-endian numbers");
    }
    const ZipArchive::Entry* const entry = archive_.find(root_ + "data.pkl");
    if (!entry) fail(source_, ": a zip archive without ", printable(root_), "data.pkl; not written by torch.save?");
    if (archive_.find(root_ + "constants.pkl")) {
      fail(source_, ": a TorchScript archive, not a checkpoint; save the module's state_dict() with torch.save");
    }
    if (entry->size > pickle.bytes) {
      fail(source_, ": byte ", entry->header, ": a pickle of ", entry->size, " bytes; at most ", pickle.bytes,
           " are accepted");
    }
    const std::span<const std::byte> bytes = archive_.open_checked(*entry);
    ByteCursor cursor(bytes, source_, static_cast<std::uint64_t>(bytes.data() - file.data()));
    tree_ = parse_pickle(cursor, torch_calls, pickle);
    if (cursor.left() > 0) cursor.refuse(cursor.left(), " bytes after the end of the pickle");
  }

 private:
  /// The folder that all entries lie in, with its slash.
  void find_root() {
    if (archive_.entries().empty()) fail(source_, ": an empty zip archive");
    const std::string_view first = archive_.entries().front().name;
    root_ = first.substr(0, first.find('/') + 1);  // empty without a slash
    for (const ZipArchive::Entry& entry : archive_.entries()) {
      if (root_.empty() || !entry.name.starts_with(root_)) {
        fail(source_, ": byte ", entry.header, ": entry \"", printable(entry.name),
             "\" is not in the one folder that a PyTorch checkpoint has; another kind of zip archive?");
      }
    }
  }

  void check_version() const {
    const ZipArchive::Entry* entry = archive_.find(root_ + "version");
    if (!entry) entry = archive_.find(root_ + ".data/version");
    if (!entry) return;
    const std::string_view text = as_text(archive_.open_checked(*entry));
    const std::string_view number = text.substr(0, text.find_last_not_of("\r\n ") + 1);
    constexpr std::array<std::string_view, 10> known = {"1", "2", "3", "4", "5", "6", "7", "8", "9", "10"};
    if (std::find(known.begin(), known.end(), number) == known.end()) {
      fail(source_, ": byte ", entry->header, ": version \"", printable(number, 20),
           "\" of PyTorch's file format; 1 to 10 are known");
    }
  }

  std::span<const std::byte> find(const TorchStorage& storage) const override {
    const std::string name = root_ + "data/" + std::string(storage.key);
    const ZipArchive::Entry* const entry = archive_.find(name);
    if (!entry) fail(source_, ": has no storage \"", printable(name), "\"; truncated or damaged file?");
    if (entry->size != storage.bytes()) {
      fail(source_, ": byte ", entry->header, ": storage \"", printable(name), "\" is of ", entry->size,
           " bytes; the pickle says ", storage.count, " numbers of ", name_of(storage.format), ", ", storage.bytes(),
           " bytes");
    }
    const auto [place, is_new] = opened_.try_emplace(entry);
    if (is_new) place->second = archive_.open(*entry);
    return place->second;
  }

  std::string source_;
  ZipArchive archive_;
  std::string root_;
  // Many tensors may share a storage whose header takes long to read.
  mutable std::map<const ZipArchive::Entry*, std::span<const std::byte>> opened_;
};

/// The stream.
class TorchStream : public TorchFile {
 public:
  TorchStream(std::span<const std::byte> file, const std::string& source, std::size_t storages,
              const PickleLimits& limits)
      : source_(source), file_(file) {
    ByteCursor cursor(file, source_);
    check_head(cursor, limits);
    tree_ = parse_pickle(cursor, torch_calls, limits);
    const PickleTree keys = parse_pickle(cursor, {}, limits);
    if (keys.kind(keys.root()) != PickleKind::list) fail(source_, ": byte ", cursor.offset(), ": no list of storages");
    if (keys.item_count(keys.root()) > storages) {
      fail(source_, ": byte ", keys.offset(keys.root()), ": ", keys.item_count(keys.root()), " storages; at most ",
           storages, " are accepted");
    }
    place_storages(keys, cursor.offset());
  }

 private:
  struct Place {
    std::uint64_t offset = 0;  // of the size before the numbers; 0 where unknown
    std::optional<TorchStorage> storage;
  };

  void check_head(ByteCursor& cursor, const PickleLimits& limits) const {
    constexpr std::string_view magic = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";  // 0x1950a86a20f9469cfc6c
    const PickleTree first = parse_pickle(cursor, {}, limits);
    if (first.kind(first.root()) != PickleKind::long_integer || first.text(first.root()) != magic) {
      fail(source_, ": byte 0: a Python pickle, but without the magic number of a PyTorch checkpoint");
    }
    const std::uint64_t at = cursor.offset();
    const PickleTree version = parse_pickle(cursor, {}, limits);
    if (version.kind(version.root()) != PickleKind::integer || version.integer(version.root()) != 1001) {
      fail(source_, ": byte ", at, ": not the version 1001 of PyTorch's old file format");
    }
    const PickleTree machine = parse_pickle(cursor, {}, limits);
    const std::vector<PickleId> facts = machine.items(machine.root());
    for (std::size_t i = 0; i + 1 < facts.size(); i += 2) {
      const PickleId value = facts[i + 1];
      if (!machine.is_text(facts[i], "little_endian")) continue;
      if (machine.kind(value) == PickleKind::boolean && machine.integer(value) == 1) return;
    }
    fail(source_, ": byte ", at, ": not written on a little-endian machine");
  }

  /// Where each storage lies follows from the sizes that the references give; the sizes in the stream are checked when
  /// a storage is opened.
  void place_storages(const PickleTree& keys, std::uint64_t offset) {
    const std::vector<PickleId> order = keys.items(keys.root());
    for (const PickleId id : order) {
      if (keys.kind(id) != PickleKind::text)
        fail(source_, ": byte ", keys.offset(id), ": the key of a storage is no text");
      if (!places_.try_emplace(keys.text(id)).second) {
        fail(source_, ": byte ", keys.offset(id), ": two storages are called \"", printable(keys.text(id)), "\"");
      }
    }
    TorchReader reader(tree_, source_);
    for (PickleId id = 0; id < tree_.size(); ++id) {
      const std::optional<TorchStorage> storage = reader.find_storage(id);
      if (!storage) continue;
      const auto place = places_.find(storage->key);
      if (place == places_.end()) continue;
      std::optional<TorchStorage>& known = place->second.storage;
      if (known && (known->count != storage->count || known->format != storage->format)) {
        fail(source_, ": byte ", tree_.offset(id), ": two sizes or formats of storage \"", printable(storage->key),
             "\"");
      }
      known = storage;
    }
    for (const PickleId id : order) {
      Place& place = places_.find(keys.text(id))->second;
      if (!place.storage) return;  // of a kind not known here: nor where the ones behind it lie
      place.offset = offset;
      if (file_.size() - offset < 8 || place.storage->bytes() > file_.size() - offset - 8) {
        fail(source_, ": byte ", offset, ": storage \"", printable(place.storage->key), "\" of ",
             place.storage->bytes(), " bytes ends outside the file of ", file_.size(), "; truncated download?");
      }
      offset += 8 + place.storage->bytes();
    }
    if (offset != file_.size()) {
      fail(source_, ": byte ", offset, ": ", file_.size() - offset, " bytes follow the last storage");
    }
  }

  std::span<const std::byte> find(const TorchStorage& storage) const override {
    const auto place = places_.find(storage.key);
    if (place == places_.end()) fail(source_, ": has no storage \"", printable(storage.key), "\"");
    const std::uint64_t offset = place->second.offset;
    if (offset == 0) {
      fail(source_, ": storage \"", printable(storage.key), "\" lies behind one of a kind that plainnet does not know");
    }
    const auto count = read_unaligned<std::uint64_t>(file_.data() + offset);
    if (count != storage.count) {
      fail(source_, ": byte ", offset, ": storage \"", printable(storage.key), "\" is of ", count,
           " numbers; the pickle says ", storage.count);
    }
    return file_.subspan(static_cast<std::size_t>(offset + 8), static_cast<std::size_t>(storage.bytes()));
  }

  std::string source_;
  std::span<const std::byte> file_;
  std::map<std::string_view, Place, std::less<>> places_;
};

}  // namespace plainnet::detail
