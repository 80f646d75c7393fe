#include <limits>

#include <gtest/gtest.h>

#include "plainnet/layers/series_activation.hpp"
#include "support/compare.hpp"
#include "support/random.hpp"

namespace plainnet {
namespace {

using test::Numbers;

template <class T>
class SeriesActivationOf : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(SeriesActivationOf, Scalars);

static_assert(Layer<SeriesActivation<float>, float> && Layer<FoldedSeriesActivation<float>, float>);

const std::vector<Shape>& shapes() {
  static const std::vector<Shape> rows = {
      {.batch = 2, .height = 11, .width = 13, .channels = 5},
      {.batch = 1, .height = 1, .width = 1, .channels = 3},  // smaller than every kernel but 1×1
      {.batch = 2, .height = 2, .width = 9, .channels = 1},
      {.batch = 1, .height = 9, .width = 3, .channels = 7},
      {.batch = 1, .height = 4, .width = 4, .channels = 17},
  };
  return rows;
}

TYPED_TEST(SeriesActivationOf, SumsWeightedShiftedRelusThenNormalises) {
  using T = TypeParam;
  test::Random random(1);
  for (Index n = 0; n <= 4; ++n) {
    for (const Shape& shape : shapes()) {
      SCOPED_TRACE(concatenate("n ", n, ", ", to_string(shape)));
      SeriesActivation<T> act(shape.channels, n, 1e-6);
      random.fill_network(act);
      const Tensor<T> in = random.map<T>(shape);
      const test::Map map = test::to_reference(in);
      const test::Map sum = test::reference_series(map, Numbers(act.weight), Numbers(), n);
      const test::Map expected =
          test::reference_batch_norm(sum, Numbers(act.bn.weight), Numbers(act.bn.bias), Numbers(act.bn.running_mean),
                                     Numbers(act.bn.running_var), 1e-6);
      const test::Map sizes = test::reference_series(map, Numbers(act.weight).magnitudes(), Numbers(), n);
      // The largest sum, shifted by a mean up to 0.5 and scaled by up to 1.5 / √0.5.
      const double size = (test::largest_magnitude(sizes) + 0.5) * 1.5 / std::sqrt(0.5) + 0.5;
      const double tolerance = test::rounding_error<T>((2 * n + 1) * (2 * n + 1) + 6, size);
      ASSERT_TRUE(test::near_everywhere(act.forward(in), expected, tolerance));
    }
  }
}

TYPED_TEST(SeriesActivationOf, FoldedAddsABiasInstead) {
  using T = TypeParam;
  test::Random random(2);
  for (Index n = 0; n <= 4; ++n) {
    for (const Shape& shape : shapes()) {
      SCOPED_TRACE(concatenate("n ", n, ", ", to_string(shape)));
      FoldedSeriesActivation<T> act(shape.channels, n);
      random.fill_network(act);
      const Tensor<T> in = random.map<T>(shape);
      const test::Map map = test::to_reference(in);
      const test::Map expected = test::reference_series(map, Numbers(act.weight), Numbers(act.bias), n);
      const test::Map sizes =
          test::reference_series(map, Numbers(act.weight).magnitudes(), Numbers(act.bias).magnitudes(), n);
      const double tolerance = test::rounding_error<T>((2 * n + 1) * (2 * n + 1) + 1, test::largest_magnitude(sizes));
      ASSERT_TRUE(test::near_everywhere(act.forward(in), expected, tolerance));
    }
  }
}

TYPED_TEST(SeriesActivationOf, SpreadsNaNToItsNeighbourhood) {
  using T = TypeParam;
  test::Random random(3);
  FoldedSeriesActivation<T> act(2, 1);
  random.fill_network(act);
  Tensor<T> in = random.map<T>({.batch = 1, .height = 5, .width = 5, .channels = 2});
  in(0, 2, 1, 1) = std::numeric_limits<T>::quiet_NaN();
  const Tensor<T> out = act.forward(in);
  for (Index y = 0; y < 5; ++y) {
    for (Index x = 0; x < 5; ++x) {
      EXPECT_FALSE(std::isnan(out(0, y, x, 0))) << y << ", " << x;
      EXPECT_EQ(std::isnan(out(0, y, x, 1)), y >= 1 && y <= 3 && x <= 2) << y << ", " << x;
    }
  }
}

TEST(SeriesActivation, KnowsItsSizes) {
  const SeriesActivation<float> act(5, 3, 1e-6);
  const FoldedSeriesActivation<float> folded(5, 3);
  EXPECT_EQ(act.weight.extents(), (Extents{5, 1, 7, 7}));
  EXPECT_EQ(folded.weight.extents(), (Extents{5, 1, 7, 7}));
  EXPECT_EQ(folded.reach(), 3);
  EXPECT_EQ(folded.channels(), 5);
  const Shape in{.batch = 2, .height = 3, .width = 4, .channels = 5};
  EXPECT_EQ(act.output_shape(in), in);
  EXPECT_EQ(folded.output_shape(in), in);
  EXPECT_EQ(act.macs(in), 24 * 5 * 49);
  EXPECT_EQ(folded.macs(in), 24 * 5 * 49);
}

TEST(SeriesActivation, NamesItsParameters) {
  const auto names = [](const auto& layer) {
    std::string all;
    for_each_parameter(layer, [&](const std::string& name, const auto&, ParameterKind) { all += name + " "; });
    return all;
  };
  EXPECT_EQ(names(SeriesActivation<float>(5, 3, 1e-6)), "weight bn.weight bn.bias bn.running_mean bn.running_var ");
  EXPECT_EQ(names(FoldedSeriesActivation<float>(5, 3)), "weight bias ");
}

TEST(SeriesActivation, RefusesWhatItCannotTake) {
  const FoldedSeriesActivation<float> folded(5, 1);
  EXPECT_EQ(test::error_of([&] { folded.output_shape({.channels = 4}); }),
            "a series activation of 5 channels was given 4");
  EXPECT_EQ(test::error_of([&] { folded.forward(Tensor<float>({.channels = 17})); }),
            "a series activation of 5 channels was given 17");
  const SeriesActivation<float> trained(5, 1, 1e-6);
  EXPECT_THROW(trained.output_shape({.channels = 4}), Error);
  EXPECT_THROW(trained.forward(Tensor<float>({.channels = 17})), Error);
  EXPECT_THROW((FoldedSeriesActivation<float>(5, -1)), Error);
  FoldedSeriesActivation<float> even(5, 1);
  even.weight = Parameter<float>({5, 1, 4, 4});
  EXPECT_NE(test::error_of([&] { even.reach(); }).find("found (5, 1, 4, 4)"), std::string::npos);
  even.weight = Parameter<float>({5, 1, 3, 5});
  EXPECT_THROW(even.reach(), Error);
  even.weight = Parameter<float>({5, 2, 3, 3});
  EXPECT_THROW(even.reach(), Error);
  even.weight = Parameter<float>({5, 3, 3});
  EXPECT_THROW(even.reach(), Error);
}

}  // namespace
}  // namespace plainnet
