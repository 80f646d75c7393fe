#pragma once
// Layers one after the other, and a choice of one of several kinds of layer.

#include <tuple>
#include <variant>

#include "plainnet/layers/layer.hpp"

namespace plainnet {

namespace detail {

template <class...>
struct FirstScalar {
  using type = void;  // no layer: whoever runs it is told so
};
template <class First, class... Others>
  requires requires { typename First::Scalar; }
struct FirstScalar<First, Others...> {
  using type = typename First::Scalar;
};
template <class... Layers>
using ScalarOfFirst = typename FirstScalar<Layers...>::type;

}  // namespace detail

/// Runs its layers in order; they are named "0", "1", … as PyTorch's nn.Sequential names them.
template <class... Layers>
class Sequential {
  static_assert(sizeof...(Layers) > 0, "A Sequential needs at least one layer.");

 public:
  using Scalar = detail::ScalarOfFirst<Layers...>;

  explicit Sequential(Layers... layers) : layers_(std::move(layers)...) {}

  template <std::size_t i>
  auto& get() {
    return std::get<i>(layers_);
  }
  template <std::size_t i>
  const auto& get() const {
    return std::get<i>(layers_);
  }

  Shape output_shape(Shape shape) const {
    std::apply([&](const auto&... layer) { ((shape = layer.output_shape(shape)), ...); }, layers_);
    return shape;
  }

  Count macs(Shape shape) const {
    Count total = 0;
    std::apply([&](const auto&... layer) { ((total += layer.macs(shape), shape = layer.output_shape(shape)), ...); },
               layers_);
    return total;
  }

  template <class T>
  Tensor<T> forward(TensorView<const T> in) const {
    return forward_from<0>(in);
  }
  template <class T>
  Tensor<T> forward(const Tensor<T>& in) const {
    return forward_from<0>(in.view());
  }

  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visit_each(self, visitor, std::index_sequence_for<Layers...>{});
  }

 private:
  template <std::size_t i, class T>
  Tensor<T> forward_from(TensorView<const T> in) const {
    static_assert(Layer<std::tuple_element_t<i, std::tuple<Layers...>>, T>,
                  "Each part of a Sequential must be a Layer of the tensor's number type: it needs output_shape, macs, "
                  "forward and visit (see plainnet/layers/layer.hpp).");
    Tensor<T> out = get<i>().forward(in);
    if constexpr (i + 1 < sizeof...(Layers)) {
      return forward_from<i + 1, T>(out.view());
    } else {
      return out;
    }
  }

  template <class Self, class Visitor, std::size_t... i>
  static void visit_each(Self& self, Visitor& visitor, std::index_sequence<i...>) {
    (visitor(std::to_string(i), self.template get<i>()), ...);
  }

  std::tuple<Layers...> layers_;
};

/// One of several kinds of layer, chosen by a variant's row; it takes the place and the name of its choice.
template <class... Layers>
class OneOf {
 public:
  using Scalar = detail::ScalarOfFirst<Layers...>;

  template <class Choice>
    requires(std::same_as<std::remove_cvref_t<Choice>, Layers> || ...)
  // NOLINTNEXTLINE(bugprone-forwarding-reference-overload): what is required excludes a OneOf
  OneOf(Choice&& choice) : choice_(std::forward<Choice>(choice)) {}

  const std::variant<Layers...>& choice() const { return choice_; }

  Shape output_shape(const Shape& in) const {
    return std::visit([&](const auto& layer) { return layer.output_shape(in); }, choice_);
  }
  Count macs(const Shape& in) const {
    return std::visit([&](const auto& layer) -> Count { return layer.macs(in); }, choice_);
  }
  template <class T>
  Tensor<T> forward(TensorView<const T> in) const {
    return std::visit([&](const auto& layer) { return layer.forward(in); }, choice_);
  }
  template <class T>
  Tensor<T> forward(const Tensor<T>& in) const {
    return forward(in.view());
  }

  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    std::visit(
        [&](auto& layer) { std::remove_const_t<std::remove_reference_t<decltype(layer)>>::visit(layer, visitor); },
        self.choice_);
  }

 private:
  std::variant<Layers...> choice_;
};

}  // namespace plainnet
