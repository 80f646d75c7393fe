#include <array>
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "plainnet/layers/pooling.hpp"
#include "support/compare.hpp"
#include "support/pooling_rows.hpp"
#include "support/random.hpp"

namespace plainnet {
namespace {

template <class T>
class PoolingOf : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(PoolingOf, Scalars);

static_assert(Layer<MaxPool2d<float>, float> && Layer<AvgPool2d<float>, float>);
static_assert(Layer<AdaptiveMaxPool2d<float>, float> && Layer<GlobalAvgPool2d<float>, float>);

TYPED_TEST(PoolingOf, MaxPool2dTakesTheLargestOfEachWindow) {
  using T = TypeParam;
  test::Random random(1);
  for (const test::PoolingRow& row : test::pooling_rows()) {
    SCOPED_TRACE(to_string(row));
    const MaxPool2d<T> pool(row.window);
    const Tensor<T> in = random.map<T>(row.in, -2, -1);  // below zero, so that padding would win if it could
    ASSERT_TRUE(
        test::near_everywhere(pool.forward(in), test::reference_max_pool(test::to_reference(in), row.window), 0));
    ASSERT_EQ(pool.output_shape(row.in), pool.forward(in).shape());
  }
}

TYPED_TEST(PoolingOf, AvgPool2dDividesByWhatCounts) {
  using T = TypeParam;
  test::Random random(2);
  for (const test::PoolingRow& row : test::pooling_rows()) {
    for (bool count_include_pad : {false, true}) {
      SCOPED_TRACE(to_string(row) + (count_include_pad ? ", padding counts" : ""));
      const AvgPool2d<T> pool(row.window, count_include_pad);
      const Tensor<T> in = random.map<T>(row.in, 1, 2);
      const test::Map expected = test::reference_avg_pool(test::to_reference(in), row.window, count_include_pad);
      const Index terms = row.window.kernel.height * row.window.kernel.width;
      ASSERT_TRUE(test::near_everywhere(pool.forward(in), expected, test::rounding_error<T>(terms + 1, 2.0)));
      ASSERT_EQ(pool.output_shape(row.in), pool.forward(in).shape());
    }
  }
}

TYPED_TEST(PoolingOf, SamePaddingIsThatOfTheMap) {
  using T = TypeParam;
  test::Random random(5);
  for (const Index kernel : {1, 2, 3}) {
    for (const Index stride : {1, 2, 3}) {
      for (const auto& [height, width] : {std::pair<Index, Index>{6, 8}, {7, 9}, {1, 4}}) {
        SCOPED_TRACE(concatenate("kernel ", kernel, ", stride ", stride, ", ", height, "x", width));
        const Window window{.kernel = kernel, .stride = stride, .same = true};
        const Window padded = test::reference_same(window, height, width);
        const Tensor<T> in = random.map<T>({.batch = 2, .height = height, .width = width, .channels = 3}, -2, -1);
        const test::Map map = test::to_reference(in);
        ASSERT_TRUE(test::near_everywhere(MaxPool2d<T>(window).forward(in), test::reference_max_pool(map, padded), 0));
        for (const bool count_include_pad : {false, true}) {
          const AvgPool2d<T> pool(window, count_include_pad);
          ASSERT_TRUE(test::near_everywhere(pool.forward(in), test::reference_avg_pool(map, padded, count_include_pad),
                                            test::rounding_error<T>(kernel * kernel + 1, 2.0)))
              << count_include_pad;
          ASSERT_EQ(pool.output_shape(in.shape()), pool.forward(in).shape());
        }
      }
    }
  }
}

TYPED_TEST(PoolingOf, AvgPool2dOfAConstantIsTheConstantWhereNoPaddingCounts) {
  using T = TypeParam;
  Tensor<T> in({.batch = 1, .height = 5, .width = 6, .channels = 1});
  std::fill_n(in.data(), 30, T{3});
  const Window window{.kernel = 3, .stride = 2, .padding = 1, .rounding = Rounding::ceil};
  const Tensor<T> out = AvgPool2d<T>(window, false).forward(in);
  for (Index i = 0; i < out.shape().elements(); ++i) EXPECT_EQ(out.data()[i], T{3}) << i;
  EXPECT_EQ(AvgPool2d<T>(window).forward(in)(0, 0, 0, 0), T{3} * 4 / 9);
}

TYPED_TEST(PoolingOf, AdaptiveMaxPool2dTakesTheLargestOfEachCell) {
  using T = TypeParam;
  test::Random random(3);
  const std::array<std::array<Index, 4>, 9> rows = {{{7, 7, 3, 3},
                                                     {8, 6, 4, 2},  // divides
                                                     {5, 9, 4, 7},
                                                     {2, 3, 5, 7},  // more cells than inputs
                                                     {1, 1, 4, 3},
                                                     {5, 5, 5, 5},
                                                     {11, 13, 1, 1},
                                                     {57, 57, 38, 38},  // as VanillaNet-13-1.5x†
                                                     {38, 38, 19, 19}}};
  for (const auto& [height, width, out_height, out_width] : rows) {
    SCOPED_TRACE(concatenate(height, "x", width, " to ", out_height, "x", out_width));
    const Tensor<T> in = random.map<T>({.batch = 2, .height = height, .width = width, .channels = 3}, -2, -1);
    const AdaptiveMaxPool2d<T> pool({out_height, out_width});
    const test::Map expected = test::reference_adaptive_max_pool(test::to_reference(in), out_height, out_width);
    ASSERT_TRUE(test::near_everywhere(pool.forward(in), expected, 0));
    ASSERT_EQ(pool.output_shape(in.shape()), pool.forward(in).shape());
  }
}

TYPED_TEST(PoolingOf, GlobalAvgPool2dIsTheMeanOfEachImage) {
  using T = TypeParam;
  test::Random random(4);
  for (Index side : {1, 2, 7, 31}) {
    const Tensor<T> in = random.map<T>({.batch = 3, .height = side, .width = side + 1, .channels = 5}, -3, 4);
    const Tensor<T> out = GlobalAvgPool2d<T>{}.forward(in);
    const double tolerance = test::rounding_error<T>(side * (side + 1) + 1, 4.0);
    EXPECT_TRUE(test::near_everywhere(out, test::reference_global_mean(test::to_reference(in)), tolerance)) << side;
    EXPECT_EQ(out.shape(), GlobalAvgPool2d<T>{}.output_shape(in.shape()));
  }
}

TYPED_TEST(PoolingOf, NaNWinsOverEveryNumberWhereverItStands) {
  using T = TypeParam;
  const Shape shape{.batch = 1, .height = 2, .width = 2, .channels = 2};
  for (Index place = 0; place < 4; ++place) {
    Tensor<T> in(shape);
    std::fill_n(in.data(), 8, std::numeric_limits<T>::infinity());
    in.data()[2 * place] = std::numeric_limits<T>::quiet_NaN();
    for (const Tensor<T>& out : {MaxPool2d<T>(Window{.kernel = 2}).forward(in), AdaptiveMaxPool2d<T>(1).forward(in),
                                 GlobalAvgPool2d<T>{}.forward(in)}) {
      EXPECT_TRUE(std::isnan(out(0, 0, 0, 0))) << place;
      EXPECT_EQ(out(0, 0, 0, 1), std::numeric_limits<T>::infinity()) << place;
    }
  }
}

TYPED_TEST(PoolingOf, MaxPool2dKnowsMinusInfinity) {
  using T = TypeParam;
  Tensor<T> in({.batch = 1, .height = 2, .width = 2, .channels = 1});
  std::fill_n(in.data(), 4, -std::numeric_limits<T>::infinity());
  EXPECT_EQ(MaxPool2d<T>(Window{.kernel = 2}).forward(in)(0, 0, 0, 0), -std::numeric_limits<T>::infinity());
}

TEST(AdaptiveRange, IsThatOfPyTorch) {
  // ⌊i · 10 / 4⌋ … ⌈(i + 1) · 10 / 4⌉
  const std::array<std::array<Index, 2>, 4> expected = {{{0, 3}, {2, 5}, {5, 8}, {7, 10}}};
  for (std::size_t i = 0; i < 4; ++i) {
    const Range range = adaptive_range(static_cast<Index>(i), 10, 4);
    EXPECT_EQ(range.begin, expected[i][0]) << i;
    EXPECT_EQ(range.end, expected[i][1]) << i;
  }
}

TEST(Pooling, HasNoParametersAndCountsNoMultiplyAdds) {
  const Shape in{.batch = 1, .height = 4, .width = 4, .channels = 4};
  const auto check = [&](const auto& layer) {
    EXPECT_EQ(layer.macs(in), 0);
    for_each_parameter(layer, [](const std::string& name, auto&, ParameterKind) { ADD_FAILURE() << name; });
  };
  check(MaxPool2d<float>(Window{.kernel = 2}));
  check(AvgPool2d<float>(Window{.kernel = 2}));
  check(AdaptiveMaxPool2d<float>(2));
  check(GlobalAvgPool2d<float>{});
}

TEST(Pooling, RefusesMapsTooSmall) {
  const Shape small{.batch = 1, .height = 2, .width = 1, .channels = 4};
  EXPECT_NE(test::error_of([&] { MaxPool2d<float>(Window{.kernel = 2}).output_shape(small); }).find("2x1 is too small"),
            std::string::npos);
  EXPECT_THROW(AvgPool2d<float>(Window{.kernel = 3}).forward(Tensor<float>(small)), Error);
  const Shape empty{.batch = 1, .height = 0, .width = 1, .channels = 4};
  EXPECT_THROW(GlobalAvgPool2d<float>{}.output_shape(empty), Error);
  EXPECT_THROW(AdaptiveMaxPool2d<float>(2).output_shape(empty), Error);
  EXPECT_THROW(AdaptiveMaxPool2d<float>(0), Error);
  EXPECT_THROW((AdaptiveMaxPool2d<float>({3, -1})), Error);
}

}  // namespace
}  // namespace plainnet
