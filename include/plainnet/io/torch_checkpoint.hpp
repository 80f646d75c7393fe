#pragma once
// Reading of PyTorch checkpoints, .pth, .pt, .bin or .pth.tar, in both of PyTorch's containers.
//
// Such a file holds a Python pickle, which can name any function to be called. None is: the pickle is read as data (see
// pickle.hpp), and only what it says of tensors counts. Nothing in a file is trusted; what is handed out lies inside
// the file or is a copy of what does.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plainnet/core/aligned.hpp"
#include "plainnet/core/error.hpp"
#include "plainnet/io/json_cursor.hpp"
#include "plainnet/io/mapped_file.hpp"
#include "plainnet/io/state_dict.hpp"
#include "plainnet/io/torch_file.hpp"
#include "plainnet/io/torch_tensor.hpp"

namespace plainnet {

/// What a file may ask for.
struct TorchLimits {
  ZipLimits zip = {};
  PickleLimits pickle = {};
  std::size_t storages = 10'000;  ///< of the old form; those of an archive are entries of it, see ZipLimits
  std::size_t tensors = 30'000;   ///< about as many as PickleLimits::values has room for
  std::size_t name_bytes = 512;   ///< of a tensor
  std::uint64_t total_bytes = std::uint64_t{64} << 30;  ///< of all tensors together
  /// Tensors that do not lie row-major in the file are copied. A file can describe large ones with few bytes, by
  /// strides of 0 or by naming one storage often: how many bytes the copies may take beyond the size of the file.
  std::uint64_t expansion_bytes = std::uint64_t{64} << 20;
};

/// How a PyTorch checkpoint is read.
struct TorchOptions {
  /// Which entry holds the tensors; dots lead into dictionaries in dictionaries. Empty: the first of
  /// torch_entries that is a dictionary of tensors, else the whole file.
  std::string key = {};
  TorchLimits limits = {};
};

/// Where training runs keep the weights, the best first: averaged weights are those that accuracies are published of.
inline constexpr std::array<std::string_view, 4> torch_entries = {"state_dict_ema", "model_ema", "state_dict", "model"};

namespace detail {

/// Finds the dictionary of tensors in a pickle.
class TorchEntries {
 public:
  TorchEntries(const PickleTree& tree, const std::string& source)
      : tree_(tree), source_(source), reader_(tree, source_) {}

  /// The dictionary and its key, empty for the root. Error if there is none.
  std::pair<PickleId, std::string> choose(const std::string& key) const {
    if (!key.empty()) return {at(key), key};
    for (const std::string_view name : torch_entries) {
      const std::optional<PickleId> value = find(tree_.root(), name);
      if (value && count_tensors(*value) > 0) return {*value, std::string(name)};
    }
    if (count_tensors(tree_.root()) == 0) fail(source_, ": holds no tensors under a name", explain());
    return {tree_.root(), {}};
  }

 private:
  std::optional<PickleId> find(PickleId dictionary, std::string_view key) const {
    std::optional<PickleId> found;
    if (tree_.kind(dictionary) != PickleKind::dictionary) return found;
    const std::vector<PickleId> items = tree_.items(dictionary);
    for (std::size_t i = 0; i < items.size(); i += 2) {
      if (!tree_.is_text(items[i], key)) continue;
      if (found) fail(source_, ": byte ", tree_.offset(items[i]), ": the key \"", printable(key), "\" occurs twice");
      found = items[i + 1];
    }
    return found;
  }

  PickleId at(std::string_view key) const {
    PickleId value = tree_.root();
    std::string_view rest = key;
    for (;;) {
      const std::size_t dot = rest.find('.');
      if (const std::optional<PickleId> whole = find(value, rest)) {
        value = *whole;
        break;
      }
      const std::optional<PickleId> part = dot == rest.npos ? std::nullopt : find(value, rest.substr(0, dot));
      if (!part) fail(source_, ": has no entry \"", printable(key), "\"", explain());
      value = *part;
      rest.remove_prefix(dot + 1);
    }
    if (count_tensors(value) == 0) {
      fail(source_, ": byte ", tree_.offset(value), ": the entry \"", printable(key), "\" is ",
           describe(tree_.kind(value)), " without tensors", explain());
    }
    return value;
  }

  /// How many values of a dictionary are tensors; 0 for anything else.
  std::size_t count_tensors(PickleId dictionary) const {
    if (tree_.kind(dictionary) != PickleKind::dictionary) return 0;
    const std::vector<PickleId> items = tree_.items(dictionary);
    std::size_t count = 0;
    for (std::size_t i = 0; i < items.size(); i += 2) count += reader_.is_tensor(items[i + 1]);
    return count;
  }

  /// What the file holds instead, and which keys would do.
  std::string explain() const {
    const PickleId root = tree_.root();
    if (tree_.kind(root) == PickleKind::opaque) {
      return ", but an object: the result of " + printable(tree_.global_name(root)) +
             ", which is not called; save the state_dict() of a module, not the module";
    }
    if (tree_.kind(root) != PickleKind::dictionary) return concatenate(", but ", describe(tree_.kind(root)));
    std::string keys;
    std::size_t visits = 0;  // many keys may share one large dictionary
    const auto add = [&](const std::string& key, PickleId value) {
      if (count_tensors(value) > 0) keys += (keys.empty() ? "" : ", ") + printable(key);
      visits += 1 + tree_.item_count(value);
      return visits < 100'000 && keys.size() < 200;
    };
    for_each_entry(root, [&](std::string_view key, PickleId value) {
      const std::string outer(key);
      return add(outer, value) && for_each_entry(value, [&](std::string_view inner, PickleId part) {
               return add(outer + "." + std::string(inner), part);
             });
    });
    return keys.empty() ? "" : "; these are dictionaries of tensors: " + keys;
  }

  /// Calls entry(key, value) while it returns true; returns whether it always did.
  bool for_each_entry(PickleId dictionary, const std::function<bool(std::string_view, PickleId)>& entry) const {
    if (tree_.kind(dictionary) != PickleKind::dictionary) return true;
    const std::vector<PickleId> items = tree_.items(dictionary);
    for (std::size_t i = 0; i < items.size(); i += 2) {
      if (tree_.kind(items[i]) == PickleKind::text && !entry(tree_.text(items[i]), items[i + 1])) return false;
    }
    return true;
  }

  const PickleTree& tree_;
  const std::string& source_;
  TorchReader reader_;
};

/// A name is UTF-8 without control characters, as in a safetensors file: programs print it and write it.
inline void check_name(std::string_view name, std::string_view where) {
  std::string quoted = "\"";
  for (const char c : name) quoted += c == '"' || c == '\\' ? std::string{'\\', c} : std::string{c};
  quoted += '"';
  JsonCursor cursor(quoted, where);
  cursor.set_subject(name);
  cursor.string();
}

struct NamedTorchTensor {
  std::string name;
  TorchTensor tensor;
};

/// The tensors of a dictionary, described. Values that are plain data (numbers, texts, containers) are left out.
inline std::vector<NamedTorchTensor> list_tensors(const PickleTree& tree, PickleId dictionary,
                                                  const std::string& source, const TorchLimits& limits) {
  std::vector<NamedTorchTensor> result;
  TorchReader reader(tree, source);
  const std::vector<PickleId> items = tree.items(dictionary);
  for (std::size_t i = 0; i < items.size(); i += 2) {
    const PickleId key = items[i], value = items[i + 1];
    const std::string_view name = tree.text(key);
    if (tree.kind(value) == PickleKind::opaque) {
      fail(source, ": byte ", tree.offset(value), ": \"", printable(name), "\" is the result of ",
           printable(tree.global_name(value)), ", which is not called; expected a tensor");
    }
    if (!reader.is_tensor(value)) continue;
    const std::string where = concatenate(source, ": byte ", tree.offset(key));
    if (tree.kind(key) != PickleKind::text) fail(where, ": a tensor has ", describe(tree.kind(key)), " for a name");
    if (result.size() == limits.tensors) fail(where, ": more than ", limits.tensors, " tensors");
    if (name.size() > limits.name_bytes) {
      fail(where, ": a name of ", name.size(), " bytes; at most ", limits.name_bytes, " are accepted");
    }
    check_name(name, where);
    result.push_back({std::string(name), reader.tensor(value, name)});
  }
  return result;
}

/// Removes what torch.nn.DataParallel and torch.compile put before every name, however often.
inline void remove_prefixes(std::vector<NamedTorchTensor>& tensors) {
  constexpr std::array<std::string_view, 2> prefixes = {"module.", "_orig_mod."};
  if (tensors.empty()) return;
  std::size_t removed = 0;
  for (std::size_t i = 0; i < prefixes.size();) {
    const std::string_view prefix = prefixes[i];
    const bool all = std::all_of(tensors.begin(), tensors.end(), [&](const NamedTorchTensor& each) {
      const std::string_view rest = std::string_view(each.name).substr(removed);
      return rest.size() > prefix.size() && rest.starts_with(prefix);
    });
    if (all) removed += prefix.size();
    i = all ? 0 : i + 1;  // one may hide the other
  }
  for (NamedTorchTensor& each : tensors) each.name.erase(0, removed);
}

/// No name twice: looked at before the numbers are, which may take longer.
inline void check_names(const std::vector<NamedTorchTensor>& tensors, const std::string& source) {
  std::vector<std::string_view> names;
  names.reserve(tensors.size());
  for (const NamedTorchTensor& each : tensors) names.push_back(each.name);
  std::sort(names.begin(), names.end());
  const auto twin = std::adjacent_find(names.begin(), names.end());
  if (twin != names.end()) fail(source, ": two tensors are called \"", printable(*twin), "\"");
}

/// The sum of the sizes is checked before the first copy is made.
inline void check_total(const std::vector<NamedTorchTensor>& tensors, std::uint64_t file_bytes,
                        const std::string& source, const TorchLimits& limits) {
  std::uint64_t total = 0, copied = 0;
  const std::uint64_t most_copied = file_bytes + std::min(limits.expansion_bytes, ~file_bytes);
  for (const auto& [name, tensor] : tensors) {
    const std::uint64_t bytes = tensor.bytes();  // below 2^61, and a sum within the limit is kept
    const std::uint64_t copy = tensor.is_contiguous() ? 0 : bytes;
    if (bytes > limits.total_bytes || total > limits.total_bytes - bytes) {
      fail(source, ": tensor \"", printable(name), "\" of ", bytes, " bytes: more than ", limits.total_bytes,
           " bytes of tensors");
    }
    if (copy > most_copied || copied > most_copied - copy) {
      fail(source, ": tensor \"", printable(name), "\" ", tensor.extents, ": with its strides it takes ", copy,
           " bytes, all such tensors more than ", most_copied, ", for a file of ", file_bytes);
    }
    total += bytes;
    copied += copy;
  }
}

/// Bytes of the file where they lie as they are wanted, else a copy. `storage` is where the tensor's offset counts
/// from.
inline StoredTensor store_torch(const TorchTensor& tensor, std::span<const std::byte> storage,
                                const std::shared_ptr<const void>& owner) {
  const auto size = static_cast<std::size_t>(tensor.bytes());
  if (size == 0) return {tensor.format, tensor.extents, {}, owner};
  if (tensor.is_contiguous()) {
    const std::size_t begin = static_cast<std::size_t>(tensor.offset * tensor.width());
    return {tensor.format, tensor.extents, storage.subspan(begin, size), owner};
  }
  const auto copy = std::make_shared<AlignedVector<std::byte>>(size);
  gather(tensor, storage, *copy);
  return {tensor.format, tensor.extents, *copy, copy};
}

}  // namespace detail

/// Whether the bytes begin like one of PyTorch's containers.
inline bool looks_like_torch(std::span<const std::byte> bytes) {
  const std::string_view start = detail::as_text(bytes.first(std::min<std::size_t>(bytes.size(), 9)));
  // A safetensors file whose header has 128 bytes, or 256 more and so on, begins with the same byte as a pickle.
  const bool is_safetensors = start.size() == 9 && start.back() == '{';
  return start.starts_with("PK\x03\x04") || start.starts_with("PK\x05\x06") ||
         (start.starts_with('\x80') && !is_safetensors);
}

/// Reads a checkpoint that lies in memory. Tensors refer to `bytes` or own copies; `owner` is kept for as long as one
/// of them lives. `source` names the file in messages. The result's `entry` is the key that the tensors were found
/// under. Error, with the byte offset and the operation or the tensor, if the file breaks a rule of the format or a
/// limit, or holds no tensors under names.
inline StateDict parse_torch_checkpoint(std::span<const std::byte> bytes, const std::string& source = "memory",
                                        const TorchOptions& options = {},
                                        const std::shared_ptr<const void>& owner = nullptr) {
  const TorchLimits& limits = options.limits;
  std::unique_ptr<detail::TorchFile> file;
  if (!looks_like_torch(bytes)) fail(source, ": byte 0: neither a zip archive nor a pickle; not a PyTorch checkpoint");
  if (bytes.front() == std::byte{0x80}) {
    file = std::make_unique<detail::TorchStream>(bytes, source, limits.storages, limits.pickle);
  } else {
    file = std::make_unique<detail::TorchArchive>(bytes, source, limits.zip, limits.pickle);
  }
  const auto [dictionary, key] = detail::TorchEntries(file->tree(), source).choose(options.key);
  std::vector<detail::NamedTorchTensor> tensors = detail::list_tensors(file->tree(), dictionary, source, limits);
  detail::remove_prefixes(tensors);
  detail::check_names(tensors, source);
  detail::check_total(tensors, bytes.size(), source, limits);
  // All storages are looked for before the first number is copied.
  std::vector<std::span<const std::byte>> storages;
  storages.reserve(tensors.size());
  for (const auto& [name, tensor] : tensors) {
    storages.push_back(tensor.bytes() == 0 ? std::span<const std::byte>() : file->storage(tensor.storage));
  }
  StateDict result;
  result.source = source;
  result.entry = key;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    result.add(std::move(tensors[i].name), detail::store_torch(tensors[i].tensor, storages[i], owner));
  }
  return result;
}

/// Opens a checkpoint: maps the file, reads its pickle, and of its numbers only those that must be copied because they
/// do not lie row-major. The mapping lives as long as one of the tensors.
inline StateDict open_torch_checkpoint(const std::filesystem::path& path, const TorchOptions& options = {}) {
  const MappedFile file(path);
  return parse_torch_checkpoint(file.bytes(), path.string(), options, file.owner());
}

}  // namespace plainnet
