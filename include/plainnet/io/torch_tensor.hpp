#pragma once
// What the pickle of a PyTorch checkpoint says of a tensor: a storage and how the tensor lies in it.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "plainnet/core/aligned.hpp"
#include "plainnet/core/error.hpp"
#include "plainnet/core/shape.hpp"
#include "plainnet/io/json_cursor.hpp"
#include "plainnet/io/number_format.hpp"
#include "plainnet/io/pickle_tree.hpp"

namespace plainnet::detail {

struct TorchFormat {
  std::string_view global;
  NumberFormat format;
};

inline constexpr std::array torch_storages{
    TorchFormat{"torch.FloatStorage", NumberFormat::f32},
    TorchFormat{"torch.HalfStorage", NumberFormat::f16},
    TorchFormat{"torch.BFloat16Storage", NumberFormat::bf16},
    TorchFormat{"torch.DoubleStorage", NumberFormat::f64},
    TorchFormat{"torch.LongStorage", NumberFormat::i64},
    TorchFormat{"torch.IntStorage", NumberFormat::i32},
    TorchFormat{"torch.ShortStorage", NumberFormat::i16},
    TorchFormat{"torch.CharStorage", NumberFormat::i8},
    TorchFormat{"torch.ByteStorage", NumberFormat::u8},
    TorchFormat{"torch.BoolStorage", NumberFormat::boolean},
    TorchFormat{"torch.ComplexFloatStorage", NumberFormat::c64},
    TorchFormat{"torch.storage.UntypedStorage", NumberFormat::u8},
    TorchFormat{"torch.storage.TypedStorage", NumberFormat::u8},
};

/// What _rebuild_tensor_v3 names, for formats that have no storage of their own.
inline constexpr std::array torch_dtypes{
    TorchFormat{"torch.float32", NumberFormat::f32},
    TorchFormat{"torch.float64", NumberFormat::f64},
    TorchFormat{"torch.float16", NumberFormat::f16},
    TorchFormat{"torch.bfloat16", NumberFormat::bf16},
    TorchFormat{"torch.bool", NumberFormat::boolean},
    TorchFormat{"torch.uint8", NumberFormat::u8},
    TorchFormat{"torch.int8", NumberFormat::i8},
    TorchFormat{"torch.int16", NumberFormat::i16},
    TorchFormat{"torch.int32", NumberFormat::i32},
    TorchFormat{"torch.int64", NumberFormat::i64},
    TorchFormat{"torch.uint16", NumberFormat::u16},
    TorchFormat{"torch.uint32", NumberFormat::u32},
    TorchFormat{"torch.uint64", NumberFormat::u64},
    TorchFormat{"torch.complex64", NumberFormat::c64},
    TorchFormat{"torch.float8_e5m2", NumberFormat::f8_e5m2},
    TorchFormat{"torch.float8_e4m3fn", NumberFormat::f8_e4m3},
};

/// The calls in a pickle that mean something to plainnet.
inline constexpr std::string_view torch_rebuild = "torch._utils._rebuild_tensor";
inline constexpr std::string_view torch_rebuild_v2 = "torch._utils._rebuild_tensor_v2";
inline constexpr std::string_view torch_rebuild_v3 = "torch._utils._rebuild_tensor_v3";
inline constexpr std::string_view torch_rebuild_parameter = "torch._utils._rebuild_parameter";
inline constexpr std::string_view torch_size = "torch.Size";
inline constexpr std::string_view torch_device = "torch.device";
inline constexpr std::array torch_calls{torch_rebuild,           torch_rebuild_v2, torch_rebuild_v3,
                                        torch_rebuild_parameter, torch_size,       torch_device};

inline std::optional<NumberFormat> find_torch_format(std::span<const TorchFormat> rows, std::string_view global) {
  for (const TorchFormat& row : rows) {
    if (row.global == global) return row.format;
  }
  return {};
}

/// A run of numbers in the file, which tensors lie in.
struct TorchStorage {
  std::string_view key;
  NumberFormat format = NumberFormat::f32;
  std::uint64_t count = 0;       // numbers in the storage
  std::uint64_t view_begin = 0;  // a view of the storage, in the old form only: tensors count from here …
  std::uint64_t view_count = 0;  // … and may use so many

  std::uint64_t width() const { return static_cast<std::uint64_t>(info(format).bits / 8); }
  std::uint64_t bytes() const { return count * width(); }  // TorchReader checks that this fits
};

/// A tensor in its storage: element (i, j, …) is number offset + i · strides[0] + j · strides[1] + … of `format`.
struct TorchTensor {
  TorchStorage storage;
  NumberFormat format = NumberFormat::f32;
  std::uint64_t offset = 0;
  Extents extents;
  std::array<std::uint64_t, Extents::max_rank> strides{};

  std::uint64_t width() const { return static_cast<std::uint64_t>(info(format).bits / 8); }
  std::uint64_t bytes() const { return static_cast<std::uint64_t>(extents.elements()) * width(); }

  /// Whether the numbers lie in the storage as they will be handed out: row-major, without holes.
  bool is_contiguous() const {
    std::uint64_t expected = 1;
    for (std::size_t i = extents.rank(); i > 0; --i) {
      const auto extent = static_cast<std::uint64_t>(extents[i - 1]);
      if (extent != 1 && strides[i - 1] != expected) return extents.elements() == 0;
      expected *= extent;
    }
    return true;
  }
};

/// Reads tensors out of a pickle. Errors name the file, the byte offset and the tensor.
class TorchReader {
 public:
  TorchReader(const PickleTree& tree, std::string_view source) : tree_(tree), source_(source) {}

  /// Whether the value is one that tensor() reads; it may yet be wrong.
  bool is_tensor(PickleId id) const {
    return tree_.kind(id) == PickleKind::call && tree_.text(tree_.item(id, 0)).starts_with("torch._utils\n");
  }

  TorchTensor tensor(PickleId id, std::string_view name) {
    name_ = name;
    std::string function = tree_.global_name(id);
    std::vector<PickleId> arguments = arguments_of(id);
    while (function == torch_rebuild_parameter) {
      id = argument(id, arguments, 0);
      if (!is_tensor(id)) refuse(id, "a parameter of ", describe(tree_.kind(id)));
      function = tree_.global_name(id);
      arguments = arguments_of(id);
    }
    TorchTensor result;
    result.storage = storage(argument(id, arguments, 0), id);
    result.format = result.storage.format;
    result.offset = natural(argument(id, arguments, 1), "storage offset");
    if (function == torch_rebuild_v3) result.format = dtype(argument(id, arguments, 6));
    const std::vector<PickleId> extents = tuple(argument(id, arguments, 2), "size");
    const std::vector<PickleId> strides = tuple(argument(id, arguments, 3), "stride");
    if (extents.size() != strides.size()) refuse(id, extents.size(), " extents and ", strides.size(), " strides");
    if (extents.size() > Extents::max_rank) refuse(id, "more than ", Extents::max_rank, " dimensions");
    for (std::size_t i = 0; i < extents.size(); ++i) {
      result.extents.push_back(static_cast<Index>(natural(extents[i], "extent")));
      result.strides[i] = natural(strides[i], "stride");
    }
    check_inside(result, id);
    return result;
  }

  /// The storage behind a reference, or nothing if it is another kind of reference or of a storage not known here.
  std::optional<TorchStorage> find_storage(PickleId reference) {
    if (tree_.kind(reference) != PickleKind::persistent) return {};
    const PickleId description = tree_.item(reference, 0);
    const std::size_t count = tree_.item_count(description);  // first, for many references may share a large tuple
    if (count < 5 || count > 6 || !tree_.is_text(tree_.item(description, 0), "storage")) return {};
    const std::vector<PickleId> parts = tree_.items(description);
    if (tree_.kind(parts[1]) != PickleKind::global) return {};
    const std::optional<NumberFormat> format = find_torch_format(torch_storages, tree_.global_name(parts[1]));
    if (!format) return {};
    if (tree_.kind(parts[2]) != PickleKind::text) refuse(parts[2], "the key of a storage is no text");
    TorchStorage storage{tree_.text(parts[2]), *format, natural(parts[4], "storage size"), 0, 0};
    if (storage.count > most / storage.width()) refuse(parts[4], "a storage of ", storage.count, " numbers overflows");
    storage.view_count = storage.count;
    if (parts.size() == 6 && tree_.kind(parts[5]) != PickleKind::none) {
      const std::vector<PickleId> view = tuple(parts[5], "view of a storage");
      if (view.size() != 3) refuse(parts[5], "a view of a storage has ", view.size(), " parts, not 3");
      storage.view_begin = natural(view[1], "offset of a view");
      storage.view_count = natural(view[2], "size of a view");
      if (storage.view_begin > storage.count || storage.view_count > storage.count - storage.view_begin) {
        refuse(parts[5], "a view of ", storage.view_count, " numbers from ", storage.view_begin, " in a storage of ",
               storage.count);
      }
    }
    return storage;
  }

 private:
  static constexpr std::uint64_t most = std::uint64_t{1} << 62;

  template <class... Parts>
  [[noreturn]] void refuse(PickleId id, const Parts&... parts) const {
    const std::string subject = name_.empty() ? std::string() : "tensor \"" + printable(name_) + "\": ";
    fail(source_, ": byte ", tree_.offset(id), ": ", subject, parts...);
  }

  /// Not more than any function of PyTorch takes, for many names may share one call.
  std::vector<PickleId> arguments_of(PickleId call) const {
    constexpr std::size_t most_arguments = 16;
    const PickleId arguments = tree_.item(call, 1);
    if (tree_.item_count(arguments) > most_arguments) {
      refuse(call, tree_.global_name(call), " with ", tree_.item_count(arguments), " arguments, too many");
    }
    return tree_.items(arguments);
  }

  PickleId argument(PickleId call, const std::vector<PickleId>& arguments, std::size_t i) const {
    if (i >= arguments.size()) {
      refuse(call, tree_.global_name(call), " with ", arguments.size(), " arguments, too few");
    }
    return arguments[i];
  }

  std::uint64_t natural(PickleId id, std::string_view what) const {
    if (tree_.kind(id) != PickleKind::integer || tree_.integer(id) < 0) {
      refuse(id, "the ", what, " is ",
             tree_.kind(id) == PickleKind::integer ? std::to_string(tree_.integer(id))
                                                   : std::string(describe(tree_.kind(id))),
             ", not a natural number");
    }
    return static_cast<std::uint64_t>(tree_.integer(id));
  }

  std::vector<PickleId> tuple(PickleId id, std::string_view what) const {
    if (tree_.kind(id) == PickleKind::call && tree_.global_name(id) == torch_size) {
      id = argument(id, arguments_of(id), 0);
    }
    if (tree_.kind(id) != PickleKind::tuple)
      refuse(id, "the ", what, " is ", describe(tree_.kind(id)), ", not a tuple");
    return tree_.items(id);
  }

  NumberFormat dtype(PickleId id) const {
    const std::string name = tree_.global_name(id);
    std::optional<NumberFormat> format;
    if (tree_.kind(id) == PickleKind::global) format = find_torch_format(torch_dtypes, name);
    if (!format) refuse(id, "the number format ", name.empty() ? "of it" : printable(name), " is not known");
    return *format;
  }

  TorchStorage storage(PickleId id, PickleId tensor) {
    const std::optional<TorchStorage> found = find_storage(id);
    if (found) return *found;
    if (tree_.kind(id) != PickleKind::persistent) refuse(tensor, "its storage is ", describe(tree_.kind(id)));
    const std::string type = tree_.global_name(id);
    refuse(id, "its storage is not one that plainnet reads", type.empty() ? "" : ": " + printable(type));
  }

  /// offset + Σ (extent − 1) · stride lies in the storage, unless there are no elements.
  void check_inside(const TorchTensor& tensor, PickleId id) const {
    if (!stored_bytes(tensor.format, tensor.extents)) refuse(id, "its size ", tensor.extents, " overflows");
    const std::uint64_t bytes = tensor.storage.view_count * tensor.storage.width();
    const std::uint64_t numbers = bytes / tensor.width();
    for (const Index extent : tensor.extents) {
      if (extent == 0) return;
    }
    std::uint64_t last = tensor.offset;
    bool fits = last < numbers;
    for (std::size_t i = 0; i < tensor.extents.rank() && fits; ++i) {
      const auto steps = static_cast<std::uint64_t>(tensor.extents[i] - 1);
      const std::uint64_t room = numbers - 1 - last;
      fits = steps == 0 || tensor.strides[i] <= room / steps;
      if (fits) last += steps * tensor.strides[i];
    }
    if (!fits) {
      std::string strides;
      for (std::size_t i = 0; i < tensor.extents.rank(); ++i) {
        strides += (i > 0 ? ", " : "") + std::to_string(tensor.strides[i]);
      }
      refuse(id, tensor.extents, " with strides (", strides, ") from number ", tensor.offset,
             " reaches outside its storage of ", numbers, " numbers");
    }
  }

  const PickleTree& tree_;
  std::string_view source_;
  std::string_view name_;
};

/// Copies the elements of a tensor in row-major order to `out`. `storage` is where the tensor's offset counts from.
inline void gather(const TorchTensor& tensor, std::span<const std::byte> storage, std::span<std::byte> out) {
  if (out.empty()) return;
  const auto width = static_cast<std::size_t>(tensor.width());
  const std::size_t rank = tensor.extents.rank();
  const std::size_t row = rank > 0 ? static_cast<std::size_t>(tensor.extents[rank - 1]) : 1;
  const std::size_t step = rank > 0 ? static_cast<std::size_t>(tensor.strides[rank - 1]) * width : width;
  std::array<Index, Extents::max_rank> at{};
  std::uint64_t number = tensor.offset;
  for (std::size_t done = 0; done < out.size();) {
    const std::byte* from = storage.data() + number * width;
    std::byte* to = out.data() + done;
    if (width == 4) {  // the usual one, which a copy of variable size would make several times slower
      for (std::size_t i = 0; i < row; ++i) std::memcpy(to + 4 * i, from + step * i, 4);
    } else {
      for (std::size_t i = 0; i < row; ++i) std::memcpy(to + width * i, from + step * i, width);
    }
    done += row * width;
    for (std::size_t i = rank > 0 ? rank - 1 : 0; i > 0; --i) {
      number += tensor.strides[i - 1];
      if (++at[i - 1] < tensor.extents[i - 1]) break;
      number -= tensor.strides[i - 1] * static_cast<std::uint64_t>(tensor.extents[i - 1]);
      at[i - 1] = 0;
    }
  }
}

}  // namespace plainnet::detail
