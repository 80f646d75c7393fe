#include <gtest/gtest.h>

#include "plainnet/layers/mlp.hpp"
#include "support/compare.hpp"
#include "support/random.hpp"

namespace plainnet {
namespace {

using test::Map;
using test::Numbers;

static_assert(Layer<Mlp<float>, float> && Layer<MlpHead<float>, float>);

template <class T>
class MlpOf : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(MlpOf, Scalars);

TYPED_TEST(MlpOf, IsTwoLinearLayersAndWhatIsBetween) {
  using T = TypeParam;
  test::Random random(1);
  const Tensor<T> in = random.map<T>({2, 3, 5, 7}, -2, 2);
  for (const bool star : {true, false}) {
    Mlp<T> mlp{Linear<T>(7, 13), Gelu<T>{}, Linear<T>(13, 5)};
    if (star) mlp.act = StarRelu<T>{};
    random.fill_network(mlp);
    Map x = test::reference_linear(test::to_reference(in), Numbers(mlp.fc1.weight), Numbers(*mlp.fc1.bias));
    x = test::reference_each(x, [&](double v) {
      if (!star) return v * 0.5 * std::erfc(-v / std::sqrt(2.0));
      const auto& act = std::get<StarRelu<T>>(mlp.act.choice());
      return static_cast<double>(act.scale[0]) * (v > 0 ? v * v : 0.0) + static_cast<double>(act.bias[0]);
    });
    x = test::reference_linear(x, Numbers(mlp.fc2.weight), Numbers(*mlp.fc2.bias));
    EXPECT_TRUE(test::near_everywhere(mlp.forward(in), x, test::rounding_error<T>(40, 2 * largest_magnitude(x))));
    EXPECT_EQ(mlp.macs(in.shape()), 30 * (7 * 13 + 13 * 5));
  }
}

TYPED_TEST(MlpOf, HeadSquaresAndNormalises) {
  using T = TypeParam;
  test::Random random(2);
  MlpHead<T> head(7, 11, 1e-5);
  random.fill_network(head);
  const Tensor<T> in = random.map<T>({3, 1, 1, 7}, -2, 2);
  Map x = test::reference_linear(test::to_reference(in), Numbers(head.fc1.weight), Numbers(*head.fc1.bias));
  x = test::reference_each(x, [](double v) { return v > 0 ? v * v : 0.0; });
  x = test::reference_affine(test::reference_normalize(x, false, 1e-5), Numbers(head.norm.weight),
                             Numbers(*head.norm.bias));
  x = test::reference_linear(x, Numbers(head.fc2.weight), Numbers(*head.fc2.bias));
  EXPECT_TRUE(test::near_everywhere(head.forward(in), x, test::rounding_error<T>(100, 2 * largest_magnitude(x))));
  EXPECT_EQ(head.macs(in.shape()), 3 * (7 * 28 + 28 * 11));
}

}  // namespace
}  // namespace plainnet
