#include <gtest/gtest.h>

#include "plainnet/layers/normalization.hpp"
#include "support/compare.hpp"
#include "support/random.hpp"

namespace plainnet {
namespace {

using test::Numbers;

template <class T>
class BatchNorm2dOf : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(BatchNorm2dOf, Scalars);

static_assert(Layer<BatchNorm2d<float>, float>);

TYPED_TEST(BatchNorm2dOf, NormalisesEachChannelByItsStatistics) {
  using T = TypeParam;
  test::Random random(1);
  for (Index channels : {1, 3, 13, 64}) {
    for (double eps : {1e-6, 1e-5, 0.25}) {
      SCOPED_TRACE(concatenate(channels, " channels, eps ", eps));
      BatchNorm2d<T> norm(channels, eps);
      random.fill_network(norm);
      const Tensor<T> in = random.map<T>({.batch = 2, .height = 3, .width = 5, .channels = channels}, -3, 3);
      const test::Map expected =
          test::reference_batch_norm(test::to_reference(in), Numbers(norm.weight), Numbers(norm.bias),
                                     Numbers(norm.running_mean), Numbers(norm.running_var), eps);
      // Six roundings, of results up to (3 + 0.5) · 1.5 / √0.5 + 0.5.
      const double tolerance = test::rounding_error<T>(6, 3.5 * 1.5 / std::sqrt(0.5) + 0.5);
      ASSERT_TRUE(test::near_everywhere(norm.forward(in), expected, tolerance));
    }
  }
}

TYPED_TEST(BatchNorm2dOf, AddsEpsToTheVariance) {
  using T = TypeParam;
  BatchNorm2d<T> norm(1, 0.25);
  norm.running_var[0] = 0;
  Tensor<T> in(Shape{});
  in(0, 0, 0, 0) = 3;
  EXPECT_EQ(norm.forward(in)(0, 0, 0, 0), T{6});
}

TEST(BatchNorm2d, StartsAsTheIdentity) {
  test::Random random(2);
  const Tensor<double> in = random.map<double>({.batch = 1, .height = 2, .width = 2, .channels = 5});
  EXPECT_TRUE(test::same_bits(BatchNorm2d<double>(5, 0.0).forward(in), in));
}

TEST(BatchNorm2d, TellsWhatIsLearnedFromStatistics) {
  BatchNorm2d<float> norm(4, 1e-6);
  std::vector<std::pair<std::string, ParameterKind>> found;
  for_each_parameter(norm, [&](const std::string& name, auto& parameter, ParameterKind kind) {
    EXPECT_EQ(parameter.extents(), (Extents{4})) << name;
    found.emplace_back(name, kind);
  });
  EXPECT_EQ(found, (std::vector<std::pair<std::string, ParameterKind>>{{"weight", ParameterKind::learned},
                                                                       {"bias", ParameterKind::learned},
                                                                       {"running_mean", ParameterKind::statistic},
                                                                       {"running_var", ParameterKind::statistic}}));
}

TEST(BatchNorm2d, KeepsTheShapeAndCountsNoMultiplyAdds) {
  const BatchNorm2d<float> norm(4, 1e-6);
  const Shape in{.batch = 2, .height = 3, .width = 5, .channels = 4};
  EXPECT_EQ(norm.output_shape(in), in);
  EXPECT_EQ(norm.macs(in), 0);
  EXPECT_EQ(test::error_of([&] { norm.output_shape({.channels = 5}); }), "a batch norm of 4 channels was given 5");
}

template <class T>
class LayerNormOf : public testing::Test {};
TYPED_TEST_SUITE(LayerNormOf, Scalars);

static_assert(Layer<LayerNorm<float>, float> && Layer<Normalize<float>, float>);

TYPED_TEST(LayerNormOf, NormalisesEachPixelOrEachMap) {
  using T = TypeParam;
  test::Random random(3);
  for (const NormOver over : {NormOver::channels, NormOver::map}) {
    for (const bool with_bias : {true, false}) {
      for (const Index channels : {1, 3, 13, 64}) {
        LayerNorm<T> norm(channels, over, 1e-3, with_bias);
        random.fill_network(norm);
        // Each image has a mean of its own, which must not reach the others.
        Tensor<T> in = random.map<T>({.batch = 3, .height = 3, .width = 5, .channels = channels}, -3, 3);
        in.matrix().bottomRows(15).array() += T{2};
        const test::Map normal = test::reference_normalize(test::to_reference(in), over == NormOver::map, 1e-3);
        const test::Map expected =
            test::reference_affine(normal, Numbers(norm.weight), norm.bias ? Numbers(*norm.bias) : Numbers());
        // A variance of eps at least: deviations of up to 6 become up to 6 / √0.001.
        const double tolerance = test::rounding_error<T>(15 * channels + 6, 1.5 * 6 / std::sqrt(1e-3));
        ASSERT_TRUE(test::near_everywhere(norm.forward(in), expected, tolerance)) << channels << " channels";
      }
    }
  }
}

TEST(LayerNorm, NamesItsParametersAndRefusesOtherChannels) {
  LayerNorm<float> norm(4, NormOver::map, 1e-5, false);
  std::vector<std::string> names;
  for_each_parameter(norm, [&](const std::string& name, auto&, ParameterKind kind) {
    names.push_back(name);
    EXPECT_EQ(kind, ParameterKind::learned);
  });
  EXPECT_EQ(names, std::vector<std::string>{"weight"});
  EXPECT_EQ(test::error_of([&] { norm.forward(Tensor<float>({.channels = 5})); }), "a norm of 4 channels was given 5");
}

}  // namespace
}  // namespace plainnet
