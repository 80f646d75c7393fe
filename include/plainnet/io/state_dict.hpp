#pragma once
// Named tensors as a checkpoint stores them, whatever container they came in.

#include <algorithm>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plainnet/core/aligned.hpp"
#include "plainnet/core/error.hpp"
#include "plainnet/core/parameter.hpp"
#include "plainnet/core/shape.hpp"
#include "plainnet/io/json_cursor.hpp"
#include "plainnet/io/number_format.hpp"

namespace plainnet {

/// A tensor in a file or in memory, not yet converted: row-major, contiguous, little-endian, on any address.
struct StoredTensor {
  NumberFormat format = NumberFormat::f32;
  Extents extents{0};
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> owner;  // keeps `bytes` valid; none: whoever made the tensor does

  /// Converts all numbers; `out` has as many. Errors as decode().
  template <class T>
  void read(std::span<T> out) const {
    decode(format, bytes, out);
  }

  /// All numbers, row-major.
  template <class T>
  AlignedVector<T> values() const {
    AlignedVector<T> numbers(static_cast<std::size_t>(extents.elements()));
    read(std::span<T>(numbers));
    return numbers;
  }
};

/// A stored copy of numbers.
template <class T>
StoredTensor store(const Extents& extents, std::span<const T> values, NumberFormat format = format_of<T>) {
  require(extents.elements() == static_cast<Index>(values.size()), values.size(), " values for a tensor of ", extents);
  const auto bytes =
      std::make_shared<AlignedVector<std::byte>>(values.size() * static_cast<std::size_t>(info(format).bits / 8));
  encode(format, values, std::span(*bytes));
  return {format, extents, *bytes, bytes};
}

/// The same for a parameter.
template <class T>
StoredTensor store(const Parameter<T>& parameter, NumberFormat format = format_of<T>) {
  return store(parameter.extents(), std::span<const T>(parameter.begin(), parameter.end()), format);
}

/// No copy: valid while the parameter lives and keeps its size.
template <class T>
StoredTensor view_of(const Parameter<T>& parameter) {
  return {format_of<T>, parameter.extents(), std::as_bytes(std::span(parameter.begin(), parameter.end())), nullptr};
}
template <class T>
StoredTensor view_of(const Parameter<T>&&) = delete;

/// The tensors of a checkpoint by name, in its order. Cheap to copy: the copies share the numbers.
class StateDict {
 public:
  /// A tensor and its name.
  struct Entry {
    std::string name;
    StoredTensor tensor;
  };

  std::string source = "memory";  ///< names the checkpoint in messages: its path
  std::string entry;              ///< of a training run: the key that holds these tensors; empty: they are at the top
  std::map<std::string, std::string> metadata;

  /// Error if the name is taken, or if the bytes are not as many as the extents and the format need.
  void add(std::string name, StoredTensor tensor) {
    const auto needed = stored_bytes(tensor.format, tensor.extents);
    if (!needed || *needed != tensor.bytes.size()) {
      fail(source, ": tensor \"", detail::printable(name), "\": ", tensor.bytes.size(), " bytes for ",
           name_of(tensor.format), " ", tensor.extents);
    }
    const auto [place, is_new] = positions_.try_emplace(name, entries_.size());
    if (!is_new) fail(source, ": two tensors are called \"", detail::printable(name), "\"");
    entries_.push_back({std::move(name), std::move(tensor)});
  }

  /// The tensor of that name, or null.
  const StoredTensor* find(std::string_view name) const {
    const std::optional<std::size_t> place = position(name);
    return place ? &entries_[*place].tensor : nullptr;
  }

  /// Where that tensor stands in the order, if there is one.
  std::optional<std::size_t> position(std::string_view name) const {
    const auto place = positions_.find(name);
    return place == positions_.end() ? std::nullopt : std::optional(place->second);
  }

  /// The tensor of that name; Error if there is none.
  const StoredTensor& at(std::string_view name) const {
    const StoredTensor* tensor = find(name);
    if (!tensor) {
      fail(source, ": has no tensor \"", detail::printable(name), "\"",
           entries_.empty() ? "" : "; its first is \"" + detail::printable(entries_.front().name) + "\"");
    }
    return *tensor;
  }

  Index size() const { return static_cast<Index>(entries_.size()); }
  const Entry& operator[](std::size_t position) const { return entries_[position]; }
  auto begin() const { return entries_.begin(); }
  auto end() const { return entries_.end(); }

 private:
  std::vector<Entry> entries_;
  std::map<std::string, std::size_t, std::less<>> positions_;
};

}  // namespace plainnet
