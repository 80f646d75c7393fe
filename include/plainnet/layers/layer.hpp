#pragma once
// What a layer is, and the one enumeration of parameters that serves loading, saving, counting and listing.

#include <concepts>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "plainnet/core/parameter.hpp"

namespace plainnet {

/// Learned by gradient descent, or a statistic gathered beside it (a batch norm's running mean and variance), which
/// published parameter counts leave out.
enum class ParameterKind { learned, statistic };

namespace detail {

struct IgnoreEverything {
  void operator()(auto&&...) const {}
};

}  // namespace detail

/// A layer is a small value: its parameters and sizes, copied and compared like any other value.
///
///   using Scalar = T                             the type of its numbers
///   Shape output_shape(const Shape& in) const    the shape of its result; Error if it cannot take `in`
///   Count macs(const Shape& in) const            multiply-adds of one run on `in`
///   Tensor<T> forward(TensorView<const T> in) const
///   template <class Self, class Visitor>
///   static void visit(Self& self, Visitor&& visitor)
///       calls visitor(name, member) for each parameter and each inner layer, by its name in the published code,
///       and visitor(name, member, ParameterKind::statistic) for statistics; Self is the layer, const or not
template <class L, class T>
concept Layer = std::copyable<L> && requires(L& layer, const L& constant, const Shape& shape, TensorView<const T> in) {
  requires std::same_as<typename L::Scalar, T>;
  { constant.output_shape(shape) } -> std::same_as<Shape>;
  { constant.macs(shape) } -> std::convertible_to<Count>;
  { constant.forward(in) } -> std::same_as<Tensor<T>>;
  L::visit(layer, detail::IgnoreEverything{});
  L::visit(constant, detail::IgnoreEverything{});
};

namespace detail {

/// Visits a layer and all that is in it, and keeps the name of where it is. The function it calls has lost its type:
/// a network's `visit` is compiled once, not once for each question that is asked about the parameters.
template <class T>
class ParameterWalk {
 public:
  using Call = void (*)(void* function, const std::string& name, Parameter<T>& parameter, ParameterKind kind);

  ParameterWalk(const std::string& prefix, void* function, Call call)
      : name_(prefix), function_(function), call_(call) {}

  void operator()(std::string_view name, Parameter<T>& parameter, ParameterKind kind = ParameterKind::learned) {
    const std::size_t length = name_.size();
    name_ += name;
    call_(function_, name_, parameter, kind);
    name_.resize(length);
  }

  template <class L>
  void operator()(std::string_view name, L& inner) {
    const std::size_t length = name_.size();
    name_ += name;
    name_ += '.';
    L::visit(inner, *this);
    name_.resize(length);
  }

 private:
  std::string name_;
  void* function_;
  Call call_;
};

}  // namespace detail

/// Calls function(name, parameter, kind) for every parameter of a layer or network, inner layers' names joined by
/// dots: "stages.0.conv1.1.running_mean". The parameter is const if the layer is.
template <class L, class Function>
void for_each_parameter(L& layer, Function&& function, const std::string& prefix = "") {
  using Mutable = std::remove_const_t<L>;
  static_assert(
      requires { typename Mutable::Scalar; },
      "A layer or network says what its numbers are: `using Scalar = float;` (see the concept Layer).");
  using T = typename Mutable::Scalar;
  using Given = std::conditional_t<std::is_const_v<L>, const Parameter<T>, Parameter<T>>;
  using Called = std::remove_reference_t<Function>;
  const auto call = [](void* called, const std::string& name, Parameter<T>& parameter, ParameterKind kind) {
    (*static_cast<Called*>(called))(name, static_cast<Given&>(parameter), kind);
  };
  // What is const comes out const again: it is only walked as the other is, so that there is one walk to compile.
  void* const erased = const_cast<std::remove_const_t<Called>*>(std::addressof(function));
  Mutable::visit(const_cast<Mutable&>(layer), detail::ParameterWalk<T>(prefix, erased, call));
}

}  // namespace plainnet
