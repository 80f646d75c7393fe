#pragma once
// What a layer is, and the one enumeration of parameters that serves loading, saving, counting and listing.

#include <concepts>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "plainnet/core/parameter.hpp"

namespace plainnet {

/// Learned by gradient descent, or a statistic gathered beside it (a batch norm's running mean and variance), which
/// published parameter counts leave out.
enum class ParameterKind { learned, statistic };

template <class>
inline constexpr bool is_parameter = false;
template <class T>
inline constexpr bool is_parameter<Parameter<T>> = true;

namespace detail {

struct IgnoreEverything {
  void operator()(auto&&...) const {}
};

}  // namespace detail

/// A layer is a small value: its parameters and sizes, copied and compared like any other value.
///
///   Shape output_shape(const Shape& in) const    the shape of its result; Error if it cannot take `in`
///   Index macs(const Shape& in) const            multiply-adds of one run on `in`
///   Tensor<T> forward(TensorView<const T> in) const
///   template <class Self, class Visitor>
///   static void visit(Self& self, Visitor&& visitor)
///       calls visitor(name, member) for each parameter and each inner layer, by its name in the published code,
///       and visitor(name, member, ParameterKind::statistic) for statistics; Self is the layer, const or not
template <class L, class T>
concept Layer = std::copyable<L> && requires(L& layer, const L& constant, const Shape& shape, TensorView<const T> in) {
  { constant.output_shape(shape) } -> std::same_as<Shape>;
  { constant.macs(shape) } -> std::same_as<Index>;
  { constant.forward(in) } -> std::same_as<Tensor<T>>;
  L::visit(layer, detail::IgnoreEverything{});
  L::visit(constant, detail::IgnoreEverything{});
};

/// Calls function(name, parameter, kind) for every parameter of a layer or network, inner layers' names joined by
/// dots: "stages.0.conv1.1.running_mean". The parameter is const if the layer is.
template <class L, class Function>
void for_each_parameter(L& layer, Function&& function, const std::string& prefix = "") {
  std::remove_const_t<L>::visit(layer,
                                [&](std::string_view name, auto& member, ParameterKind kind = ParameterKind::learned) {
                                  std::string full_name = prefix;
                                  full_name += name;
                                  if constexpr (is_parameter<std::remove_cvref_t<decltype(member)>>) {
                                    function(std::as_const(full_name), member, kind);
                                  } else {
                                    for_each_parameter(member, function, full_name + ".");
                                  }
                                });
}

}  // namespace plainnet
