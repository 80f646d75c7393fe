#pragma once
// Whether a state dict fits a network, and what to tell the user if not.

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plainnet/core/error.hpp"
#include "plainnet/core/shape.hpp"
#include "plainnet/io/json_cursor.hpp"
#include "plainnet/io/number_format.hpp"
#include "plainnet/io/state_dict.hpp"

namespace plainnet {

/// A parameter as a network wants it.
struct NamedExtents {
  std::string name;
  Extents extents;
};

namespace detail {

/// What does not fit: pairs of what the network expects and what the file has, where there is one.
struct Mismatches {
  struct Misshapen {
    const NamedExtents* expected;
    const StoredTensor* found;
  };
  std::vector<Misshapen> misshapen;
  std::vector<Misshapen> not_floating;
  std::vector<const NamedExtents*> missing;
  std::vector<const StateDict::Entry*> unexpected;

  bool empty() const { return misshapen.empty() && not_floating.empty() && missing.empty() && unexpected.empty(); }
};

/// PyTorch's batch norms store a counter that nothing reads.
inline bool may_be_left_over(std::string_view name) { return name.ends_with("num_batches_tracked"); }

inline Mismatches find_mismatches(const StateDict& tensors, const std::vector<NamedExtents>& expected) {
  Mismatches result;
  std::vector<bool> is_expected(static_cast<std::size_t>(tensors.size()));
  for (const NamedExtents& parameter : expected) {
    const std::optional<std::size_t> position = tensors.position(parameter.name);
    if (!position) {
      result.missing.push_back(&parameter);
      continue;
    }
    is_expected[*position] = true;
    const StoredTensor& tensor = tensors[*position].tensor;
    if (!same_but_for_trailing_ones(tensor.extents, parameter.extents)) {
      result.misshapen.push_back({&parameter, &tensor});
    } else if (!is_floating(tensor.format)) {
      result.not_floating.push_back({&parameter, &tensor});
    }
  }
  for (std::size_t i = 0; i < is_expected.size(); ++i) {
    const StateDict::Entry& entry = tensors[i];
    if (!is_expected[i] && !may_be_left_over(entry.name)) result.unexpected.push_back(&entry);
  }
  return result;
}

/// The text that every name of the file has before a name of the network; empty if there is none.
inline std::string_view common_prefix(const StateDict& tensors, const std::vector<NamedExtents>& expected) {
  for (const StateDict::Entry& entry : tensors) {
    for (const NamedExtents& parameter : expected) {
      const std::string_view name = entry.name;
      if (name.size() <= parameter.name.size() || !name.ends_with("." + parameter.name)) continue;
      const std::string_view prefix = name.substr(0, name.size() - parameter.name.size());
      const bool all = std::all_of(tensors.begin(), tensors.end(),
                                   [&](const StateDict::Entry& other) { return other.name.starts_with(prefix); });
      return all ? prefix : std::string_view();
    }
  }
  return {};
}

/// If one number stands for one other in every misshapen tensor, what that says.
inline std::string explain_extents(const std::vector<Mismatches::Misshapen>& misshapen) {
  std::optional<std::pair<Index, Index>> change;
  bool is_kernel = true;
  for (const auto& [expected, found] : misshapen) {
    if (found->extents.rank() != expected->extents.rank()) return {};
    for (std::size_t i = 0; i < found->extents.rank(); ++i) {
      if (found->extents[i] == expected->extents[i]) continue;
      const std::pair pair(found->extents[i], expected->extents[i]);
      if (change && *change != pair) return {};
      change = pair;
      is_kernel = is_kernel && i >= 2;
    }
  }
  if (!change) return {};
  const auto [found, expected] = *change;
  return concatenate(
      "the file has ", found, " where the network has ", expected,
      is_kernel ? ": another kernel size (act_num)?" : ": another number of classes, or another variant?");
}

inline std::string likely_cause(const StateDict& tensors, const std::vector<NamedExtents>& expected,
                                const Mismatches& mismatches) {
  if (tensors.size() == 0) return "the file has no tensors";
  const std::string prefix(common_prefix(tensors, expected));
  if (!prefix.empty()) {
    return "every name in the file begins with \"" + printable(prefix) + "\": remove that prefix" +
           (prefix == "module." ? " (torch.nn.DataParallel adds it)" : "");
  }
  if (mismatches.missing.size() == expected.size()) return "another kind of network?";
  const std::string_view statistic = "running_mean";
  const bool in_network =
      std::any_of(expected.begin(), expected.end(), [&](const NamedExtents& p) { return p.name.ends_with(statistic); });
  const bool in_file = std::any_of(tensors.begin(), tensors.end(),
                                   [&](const StateDict::Entry& e) { return e.name.ends_with(statistic); });
  if (in_network && !in_file) return "the file holds a folded (deploy) form, without batch norms?";
  if (in_file && !in_network) return "the file holds the trained form, with batch norms; the network is folded";
  if (mismatches.missing.empty() && mismatches.unexpected.empty()) {
    if (mismatches.misshapen.empty()) return "integer or 8-bit weights are not supported";
    std::string change = explain_extents(mismatches.misshapen);
    if (!change.empty()) return change;
  }
  return "exported from another variant?";
}

/// The lists of an error message, about twenty lines in all.
inline std::string describe(const Mismatches& mismatches) {
  const int lists = !mismatches.misshapen.empty() + !mismatches.not_floating.empty() + !mismatches.missing.empty() +
                    !mismatches.unexpected.empty();
  const std::size_t most = 20 / static_cast<std::size_t>(std::max(lists, 1));
  std::string text;
  const auto list = [&](std::string_view what, const auto& items, const auto& line) {
    for (std::size_t i = 0; i < std::min(items.size(), most); ++i)
      text += concatenate("\n  ", what, ": ", line(items[i]));
    if (items.size() > most) text += concatenate("\n  ... and ", items.size() - most, " more");
  };
  list("misshapen", mismatches.misshapen, [](const Mismatches::Misshapen& m) {
    return concatenate(m.expected->name, " ", m.expected->extents, ", the file has ", m.found->extents);
  });
  list("not floating-point", mismatches.not_floating, [](const Mismatches::Misshapen& m) {
    return concatenate(m.expected->name, ", the file has ", name_of(m.found->format));
  });
  list("missing", mismatches.missing,
       [](const NamedExtents* expected) { return expected->name + " " + to_string(expected->extents); });
  list("unexpected", mismatches.unexpected,
       [](const StateDict::Entry* found) { return printable(found->name) + " " + to_string(found->tensor.extents); });
  return text;
}

/// Error, with everything that does not fit, unless the tensors are just what a strict load needs.
inline void require_fit(const StateDict& tensors, const std::vector<NamedExtents>& expected) {
  const Mismatches mismatches = find_mismatches(tensors, expected);
  if (mismatches.empty()) return;
  std::string summary;
  const auto count = [&](std::size_t number, std::string_view what) {
    if (number > 0) summary += concatenate(summary.empty() ? "" : ", ", number, " ", what);
  };
  count(mismatches.misshapen.size(), "misshapen");
  count(mismatches.not_floating.size(), "not floating-point");
  count(mismatches.missing.size(), "missing");
  count(mismatches.unexpected.size(), "unexpected");
  fail(tensors.source, ": does not fit the network, tensors ", summary, ": ",
       likely_cause(tensors, expected, mismatches), describe(mismatches));
}

}  // namespace detail
}  // namespace plainnet
