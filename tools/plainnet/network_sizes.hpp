#pragma once
// Parameters and multiply-adds of a variant, told without its weights.

#include "plainnet/io/load.hpp"
#include "plainnet/networks/recognize.hpp"

namespace plainnet {

/// Stands in for a number: a network of it knows its sizes and holds no weights. Listing all variants takes a
/// millisecond with it, some ten seconds with zeroed floats.
struct Unstored {
  constexpr explicit Unstored(int) {}
};

template <>
class Parameter<Unstored> {
 public:
  Parameter() = default;
  explicit Parameter(const Extents& extents) : extents_(extents) {}

  const Extents& extents() const { return extents_; }
  Index size() const { return extents_.elements(); }

  Unstored* begin() { return nullptr; }
  Unstored* end() { return nullptr; }

 private:
  Extents extents_{0};
};

namespace program {

struct NetworkSizes {
  Index parameters;
  Count macs;
};

template <class Network>
NetworkSizes sizes_of(const Network& network, const Shape& input) {
  return std::visit([&](const auto& any) { return NetworkSizes{count_parameters(any), any.macs(input)}; }, network);
}

/// Error unless the tensors are just what the network has that they were recognised as.
inline void require_fit(const StateDict& tensors, const Recognized& found, double slope) {
  const auto check = [&](const auto& any) {
    std::visit([&](const auto& network) { detail::require_fit(tensors, list_parameters(network)); }, any);
  };
  found.form == Form::folded ? check(make_folded<Unstored>(found.config, slope))
                             : check(make_trained<Unstored>(found.config));
}

inline NetworkSizes folded_sizes(const NetworkConfig& config, const Shape& input, double slope = 1.0) {
  return sizes_of(make_folded<Unstored>(config, slope), input);
}

inline NetworkSizes trained_sizes(const NetworkConfig& config, const Shape& input) {
  return sizes_of(make_trained<Unstored>(config), input);
}

}  // namespace program
}  // namespace plainnet
