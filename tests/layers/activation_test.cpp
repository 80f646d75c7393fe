#include <array>
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "plainnet/layers/activation.hpp"
#include "support/compare.hpp"

namespace plainnet {
namespace {

template <class T>
class ActivationOf : public testing::Test {
 protected:
  static constexpr T infinity = std::numeric_limits<T>::infinity();
  static constexpr T smallest = std::numeric_limits<T>::denorm_min();
  static constexpr T largest = std::numeric_limits<T>::max();
  static constexpr std::array<T, 9> inputs = {-infinity, -largest, T{-1.5}, -smallest, 0,
                                              smallest,  T{2.5},   largest, infinity};

  template <class L>
  static std::vector<T> results(const L& layer) {
    Tensor<T> in({.batch = 1, .height = 3, .width = 1, .channels = 3});
    std::copy(inputs.begin(), inputs.end(), in.data());
    const Tensor<T> out = layer.forward(in);
    EXPECT_EQ(out.shape(), in.shape());
    return {out.data(), out.data() + 9};
  }

  template <class L>
  static T of_nan(const L& layer) {
    Tensor<T> in(Shape{});
    in(0, 0, 0, 0) = std::numeric_limits<T>::quiet_NaN();
    return layer.forward(in)(0, 0, 0, 0);
  }
};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(ActivationOf, Scalars);

static_assert(Layer<Relu<float>, float> && Layer<LeakyRelu<float>, float> && Layer<Identity<float>, float>);

TYPED_TEST(ActivationOf, ReluCutsAtZero) {
  using T = TypeParam;
  const T inf = this->infinity;
  EXPECT_EQ(this->results(Relu<T>{}), (std::vector<T>{0, 0, 0, 0, 0, this->smallest, T{2.5}, this->largest, inf}));
  EXPECT_TRUE(std::isnan(this->of_nan(Relu<T>{})));
}

TYPED_TEST(ActivationOf, LeakyReluScalesBelowZero) {
  using T = TypeParam;
  const T inf = this->infinity;
  EXPECT_EQ(this->results(LeakyRelu<T>(0.5)),
            (std::vector<T>{-inf, -this->largest / 2, T{-0.75}, -this->smallest * T{0.5}, 0, this->smallest, T{2.5},
                            this->largest, inf}));
  EXPECT_TRUE(std::isnan(this->of_nan(LeakyRelu<T>(0.5))));
  EXPECT_TRUE(std::isnan(this->of_nan(LeakyRelu<T>(0.0))));
}

TYPED_TEST(ActivationOf, LeakyReluOfSlopeOneIsTheIdentity) {
  using T = TypeParam;
  const std::vector<T> same(this->inputs.begin(), this->inputs.end());
  EXPECT_EQ(this->results(LeakyRelu<T>(1.0)), same);
  EXPECT_EQ(this->results(Identity<T>{}), same);
  EXPECT_TRUE(LeakyRelu<T>(1.0).is_identity());
  EXPECT_FALSE(LeakyRelu<T>(std::nextafter(1.0, 0.0)).is_identity());
  EXPECT_FALSE(LeakyRelu<T>(0.0).is_identity());
}

TEST(ElementwiseLayer, HasNoParametersAndKeepsAnyShape) {
  const Shape shape{.batch = 2, .height = 0, .width = 3, .channels = 4};
  EXPECT_EQ(Relu<float>{}.output_shape(shape), shape);
  EXPECT_EQ(Relu<float>{}.macs(shape), 0);
  EXPECT_EQ(Relu<float>{}.forward(Tensor<float>(shape)).shape(), shape);
  const LeakyRelu<float> layer(0.5);
  for_each_parameter(layer, [](const std::string& name, auto&, ParameterKind) { ADD_FAILURE() << name; });
}

}  // namespace
}  // namespace plainnet
