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

static_assert(Layer<Gelu<float>, float> && Layer<Silu<float>, float>);
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

// Values of x·Φ(x) to 17 digits, from the power series of Φ in rational numbers.
TYPED_TEST(ActivationOf, GeluIsTheExactForm) {
  using T = TypeParam;
  const std::vector<std::pair<double, double>> values = {{-3, -0.0040496940948902835}, {-1, -0.15865525393145705},
                                                         {-0.5, -0.15426876936299344}, {0.25, 0.14967658142073093},
                                                         {1, 0.84134474606854293},     {3, 2.9959503059051098}};
  for (const auto& [x, expected] : values) {
    // Φ is a sum with 1 that loses bits where it is small.
    const double tolerance = 4 * test::rounding_error<T>(1, std::abs(x));
    EXPECT_NEAR(Gelu<T>{}(static_cast<T>(x)), expected, tolerance) << x;
  }
  EXPECT_EQ(Gelu<T>{}(T{0}), T{0});
  EXPECT_EQ(Gelu<T>{}(this->infinity), this->infinity);
  EXPECT_TRUE(std::isnan(this->of_nan(Gelu<T>{})));
}

// Values of x / (1 + e^-x) to 17 digits, from the power series of e^x in rational numbers.
TYPED_TEST(ActivationOf, SiluIsTheInputTimesItsSigmoid) {
  using T = TypeParam;
  const std::vector<std::pair<double, double>> values = {{-20, -4.1223072363804073e-08}, {-3, -0.14227761953270035},
                                                         {-1, -0.2689414213699951},      {-0.5, -0.18877033439907273},
                                                         {0.25, 0.14054412522144952},    {1, 0.7310585786300049},
                                                         {3, 2.8577223804672998}};
  for (const auto& [x, expected] : values) {
    // e^-x, a sum, a quotient.
    EXPECT_NEAR(Silu<T>{}(static_cast<T>(x)), expected, test::rounding_error<T>(4, std::abs(expected))) << x;
  }
  EXPECT_EQ(Silu<T>{}(T{0}), T{0});
  EXPECT_EQ(Silu<T>{}(this->infinity), this->infinity);
  EXPECT_EQ(Silu<T>{}(this->largest), this->largest);
  EXPECT_EQ(Silu<T>{}(-this->largest), T{0});
  EXPECT_TRUE(std::isnan(Silu<T>{}(-this->infinity)));  // as in PyTorch
  EXPECT_TRUE(std::isnan(this->of_nan(Silu<T>{})));
}

TYPED_TEST(ActivationOf, SquaredReluSquaresAboveZero) {
  using T = TypeParam;
  const T inf = this->infinity;
  EXPECT_EQ(this->results(SquaredRelu<T>{}), (std::vector<T>{0, 0, 0, 0, 0, 0, T{6.25}, inf, inf}));
  EXPECT_TRUE(std::isnan(this->of_nan(SquaredRelu<T>{})));
}

TYPED_TEST(ActivationOf, StarReluScalesAndShiftsTheSquare) {
  using T = TypeParam;
  StarRelu<T> layer;
  layer.scale[0] = T{-0.5};
  layer.bias[0] = T{0.75};
  EXPECT_EQ(layer(T{-2}), T{0.75});
  EXPECT_EQ(layer(T{3}), T{-3.75});
  EXPECT_TRUE(std::isnan(this->of_nan(layer)));
  std::vector<std::string> names;
  for_each_parameter(layer, [&](const std::string& name, auto& parameter, ParameterKind) {
    EXPECT_EQ(parameter.extents(), Extents{1});
    names.push_back(name);
  });
  EXPECT_EQ(names, (std::vector<std::string>{"scale", "bias"}));
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
