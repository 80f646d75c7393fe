#pragma once
// Layers' parameters as operations want them.

#include <optional>
#include <type_traits>

#include "plainnet/kernels/matmul.hpp"
#include "plainnet/layers/linear.hpp"

namespace plainnet::detail {

template <class T>
AlignedVector<T> numbers_of(const Parameter<T>& parameter) {
  return AlignedVector<T>(parameter.begin(), parameter.end());
}
/// Empty where there is none.
template <class T>
AlignedVector<T> numbers_of(const std::optional<Parameter<T>>& parameter) {
  return parameter ? numbers_of(*parameter) : AlignedVector<T>();
}

template <class T>
kernels::PackedMatrix<T> pack_linear(const Linear<T>& linear, Isa isa, Executor& pool = callers_thread(),
                                     kernels::MatmulMethod method = kernels::MatmulMethod::definition) {
  const kernels::StridedMatrix<T> weight{linear.weight.data(), linear.in_channels(), linear.out_channels(), 1,
                                         linear.in_channels()};
  return kernels::pack_matrix<T, T>(weight, linear.bias ? linear.bias->data() : nullptr, isa, pool, method);
}

/// Frees the parameters of a layer that is packed, unless it is const: a large network does not fit in memory twice.
template <class L>
void give_up(L& layer) {
  if constexpr (!std::is_const_v<L>) {
    for_each_parameter(layer, [](const std::string&, auto& parameter, ParameterKind) { parameter = {}; });
  }
}

}  // namespace plainnet::detail
