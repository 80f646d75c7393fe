#pragma once
// What all families fold with: options, the list of what was merged, parameters as vectors of double.

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "plainnet/core/thread_pool.hpp"
#include "plainnet/fold/fold_algebra.hpp"

namespace plainnet {

/// How to fold, not what: the result does not depend on it.
struct FoldOptions {
  Index threads = 1;
};

/// A rule and how often it was used.
struct Merge {
  std::string rule;
  Index count = 0;
};

/// What folding works with, and what it has merged so far.
struct FoldContext {
  ThreadPool& pool;
  std::vector<Merge> merges = {};
  AlignedVector<double> workspace = {};  // of compose()

  void count(std::string_view rule, Index times = 1) {
    const auto place = std::find_if(merges.begin(), merges.end(), [&](const Merge& m) { return m.rule == rule; });
    if (place != merges.end()) {
      place->count += times;
    } else {
      merges.push_back({std::string(rule), times});
    }
  }
};

/// A folded network and what was merged to make it.
template <class Network>
struct Folding {
  Network network;
  std::vector<Merge> merges;
};

namespace detail {

template <class T>
Vector to_vector(const Parameter<T>& parameter) {
  return Vector(parameter.begin(), parameter.end());
}

/// Of a convolution or a linear layer; zeros where it has none.
template <class L>
Vector bias_of(const L& layer) {
  return layer.bias ? to_vector(*layer.bias) : Vector(static_cast<std::size_t>(layer.out_channels()));
}

inline ChannelAffine no_change(Index channels) { return ChannelAffine::identity(static_cast<std::size_t>(channels)); }

}  // namespace detail
}  // namespace plainnet
