#pragma once
// Moves parameters between networks and state dicts, by name.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "plainnet/core/bit_cast.hpp"
#include "plainnet/core/error.hpp"
#include "plainnet/core/parameter.hpp"
#include "plainnet/core/shape.hpp"
#include "plainnet/io/load_check.hpp"
#include "plainnet/io/mapped_file.hpp"
#include "plainnet/io/number_format.hpp"
#include "plainnet/io/state_dict.hpp"
#include "plainnet/layers/layer.hpp"

namespace plainnet {

/// How load() goes about it.
struct LoadOptions {
  bool reject_non_finite = false;  ///< an Error, instead of a line in the report, for a NaN or an infinity

  /// Numbers that the file holds as the network does are not copied: the parameters share its memory. For a network
  /// that is folded or packed at once, since who then changes the file in place, changes the network.
  bool share = false;
};

/// What load() found.
struct LoadReport {
  Index parameters = 0;                 ///< how many were loaded
  std::vector<NumberFormat> formats;    ///< that they were stored in, in the order met
  std::vector<std::string> non_finite;  ///< names of those that hold a NaN or an infinity, which deserve a warning
};

/// Names and extents of all parameters, in the order of the network.
template <class Network>
std::vector<NamedExtents> list_parameters(const Network& network) {
  std::vector<NamedExtents> result;
  for_each_parameter(network, [&](const std::string& name, const auto& parameter, ParameterKind) {
    result.push_back({name, parameter.extents()});
  });
  return result;
}

namespace detail {

/// Looks at the bits: comparisons with NaN are among what -ffast-math removes. Those of a number that is none, or
/// infinite, reach the sign when 1 is added to the exponent. 128 bytes at a time, which compilers make vectors of.
template <class T>
bool all_finite(std::span<const T> values) {
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  constexpr int mantissa = sizeof(T) == 4 ? 23 : 52;
  constexpr Bits sign = Bits{1} << (8 * sizeof(T) - 1);
  constexpr std::size_t lanes = 128 / sizeof(T);
  const auto carried = [](T value) {
    return static_cast<Bits>((bit_cast<Bits>(value) & static_cast<Bits>(~sign)) + (Bits{1} << mantissa));
  };
  Bits seen[lanes] = {};
  std::size_t i = 0;
  for (; i + lanes <= values.size(); i += lanes) {
    for (std::size_t j = 0; j < lanes; ++j) seen[j] |= carried(values[i + j]);
  }
  for (; i < values.size(); ++i) seen[0] |= carried(values[i]);
  Bits any = 0;
  for (const Bits bits : seen) any |= bits;
  return (any & sign) == 0;
}

/// Converts a tensor into `out`, or, if that is empty, only to look at it. Returns whether all numbers are finite.
template <class T>
bool read_and_check(const StoredTensor& tensor, std::span<T> out = {}) {
  constexpr std::size_t piece = 4096;  // in the cache while it is looked at
  std::array<T, piece> scratch;
  const auto width = static_cast<std::size_t>(info(tensor.format).bits / 8);
  const std::size_t count = tensor.bytes.size() / width;
  bool is_finite = true;
  for (std::size_t begin = 0; begin < count; begin += piece) {
    const std::size_t size = std::min(piece, count - begin);
    const std::span<T> part = out.empty() ? std::span(scratch).first(size) : out.subspan(begin, size);
    decode(tensor.format, tensor.bytes.subspan(begin * width, size * width), part);
    is_finite = all_finite(std::span<const T>(part)) && is_finite;
  }
  return is_finite;
}

/// The tensor's own numbers, if they are of this type and keep their memory; else null. Whoever lets go of them gives
/// the pages of a mapped file back.
template <class T>
std::shared_ptr<const T> shared_numbers(const StoredTensor& tensor) {
  const std::byte* const data = tensor.bytes.data();
  if (tensor.format != format_of<T> || !tensor.owner || reinterpret_cast<std::uintptr_t>(data) % alignof(T) != 0) {
    return nullptr;
  }
  return std::shared_ptr<const T>(reinterpret_cast<const T*>(data),
                                  [kept = tensor](const T*) { forget_pages(kept.bytes, kept.owner); });
}

/// Fills a parameter. Returns whether all numbers are finite.
template <class T>
bool load_parameter(const StoredTensor& tensor, bool may_share, Parameter<T>& parameter) {
  bool is_finite = false;
  if (std::shared_ptr<const T> shared = may_share ? shared_numbers<T>(tensor) : nullptr) {
    parameter = Parameter<T>(parameter.extents(), std::move(shared));
    is_finite = all_finite(std::span<const T>(std::as_const(parameter).begin(), std::as_const(parameter).end()));
  } else {
    is_finite = read_and_check(tensor, std::span<T>(parameter.begin(), parameter.end()));
  }
  forget_pages(tensor.bytes, tensor.owner);  // until they are needed again
  return is_finite;
}

}  // namespace detail

/// Fills every parameter of the network from the tensor of its name, converted to the network's scalar type. Strict:
/// every parameter must be there, with its extents (a linear layer's may be those of a 1×1 convolution, and the other
/// way round) and in a floating format, and no tensor may be left over, except
/// those called num_batches_tracked. All that does not fit stands in one Error (its first line a summary with the
/// likely cause); the network is then as it was.
template <class Network>
LoadReport load(Network& network, const StateDict& tensors, const LoadOptions& options = {}) {
  detail::require_fit(tensors, list_parameters(network));
  LoadReport report;
  const auto note = [&](const std::string& name, bool is_finite) {
    if (!is_finite) report.non_finite.push_back(name);
  };
  if (options.reject_non_finite) {
    for_each_parameter(network, [&]<class T>(const std::string& name, Parameter<T>&, ParameterKind) {
      const StoredTensor& tensor = tensors.at(name);
      note(name, detail::read_and_check<T>(tensor));
      detail::forget_pages(tensor.bytes, tensor.owner);
    });
    if (!report.non_finite.empty()) {
      fail(tensors.source, ": NaN or infinity in ", report.non_finite.size(), " tensors, first in ",
           report.non_finite.front());
    }
  }
  for_each_parameter(network, [&]<class T>(const std::string& name, Parameter<T>& parameter, ParameterKind) {
    const StoredTensor& tensor = tensors.at(name);
    note(name, detail::load_parameter(tensor, options.share, parameter));
    if (std::find(report.formats.begin(), report.formats.end(), tensor.format) == report.formats.end()) {
      report.formats.push_back(tensor.format);
    }
    ++report.parameters;
  });
  return report;
}

/// All parameters, copied: F32 for float, F64 for double.
template <class Network>
StateDict to_state_dict(const Network& network) {
  StateDict result;
  for_each_parameter(network, [&](const std::string& name, const auto& parameter, ParameterKind) {
    result.add(name, store(parameter));
  });
  return result;
}

/// All parameters without a copy, for writing a large network: valid while the network lives and keeps its parameters.
template <class Network>
StateDict view_state_dict(const Network& network) {
  StateDict result;
  for_each_parameter(network, [&](const std::string& name, const auto& parameter, ParameterKind) {
    result.add(name, view_of(parameter));
  });
  return result;
}
template <class Network>
StateDict view_state_dict(const Network&&) = delete;

/// Gives `to` the numbers of `from`, a network of the same names and extents, for instance in another scalar type.
template <class From, class To>
void copy_parameters(const From& from, To& to) {
  load(to, view_state_dict(from));
}

}  // namespace plainnet
