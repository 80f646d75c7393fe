#include <memory>
#include <type_traits>

#include <gtest/gtest.h>

#include "plainnet/layers/layer.hpp"

namespace plainnet {
namespace {

/// A layer as a user might write one.
struct Scale {
  using Scalar = float;

  Parameter<float> weight{Extents{2}};
  Parameter<float> counter{Extents{}};

  Shape output_shape(const Shape& in) const { return in; }
  Count macs(const Shape& in) const { return in.elements(); }
  Tensor<float> forward(TensorView<const float> in) const { return Tensor<float>(in.shape()); }

  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("weight", self.weight);
    visitor("counter", self.counter, ParameterKind::statistic);
  }
};

struct Pair {
  using Scalar = float;

  Scale first;
  Scale second;

  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("first", self.first);
    visitor("inner.second", self.second);
  }
};

struct WithoutVisit {
  using Scalar = float;

  Shape output_shape(const Shape& in) const { return in; }
  Count macs(const Shape&) const { return 0; }
  Tensor<float> forward(TensorView<const float> in) const { return Tensor<float>(in.shape()); }
};

struct NotCopyable : Scale {
  std::unique_ptr<int> member;
};

static_assert(Layer<Scale, float>);
static_assert(!Layer<Scale, double>, "A layer is one for its own scalar type.");
static_assert(!Layer<Pair, float>, "forward is missing.");
static_assert(!Layer<WithoutVisit, float>);
static_assert(!Layer<NotCopyable, float>, "A layer is a value.");
static_assert(!Layer<int, float>);

TEST(ForEachParameter, JoinsNamesByDotsInOrder) {
  Pair pair;
  std::vector<std::string> names;
  std::vector<ParameterKind> kinds;
  for_each_parameter(pair, [&](const std::string& name, Parameter<float>& parameter, ParameterKind kind) {
    names.push_back(name);
    kinds.push_back(kind);
    parameter[0] = 1.0f;
  });
  EXPECT_EQ(names,
            (std::vector<std::string>{"first.weight", "first.counter", "inner.second.weight", "inner.second.counter"}));
  const auto learned = ParameterKind::learned;
  const auto statistic = ParameterKind::statistic;
  EXPECT_EQ(kinds, (std::vector<ParameterKind>{learned, statistic, learned, statistic}));
  EXPECT_EQ(pair.second.counter[0], 1.0f);
}

TEST(ForEachParameter, GivesConstParametersOfAConstLayer) {
  const Pair pair;
  for_each_parameter(pair, [](const std::string&, auto& parameter, ParameterKind) {
    static_assert(std::is_same_v<decltype(parameter), const Parameter<float>&>);
  });
}

TEST(ForEachParameter, PutsAPrefixBeforeEveryName) {
  Scale scale;
  std::string all;
  for_each_parameter(
      scale, [&](const std::string& name, auto&, ParameterKind) { all += name + " "; }, "net.");
  EXPECT_EQ(all, "net.weight net.counter ");
}

}  // namespace
}  // namespace plainnet
