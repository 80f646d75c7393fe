#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "plainnet/kernels/pooling.hpp"
#include "support/compare.hpp"
#include "support/isas.hpp"
#include "support/random.hpp"

namespace plainnet::kernels {
namespace {

template <class T>
class PoolOf : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(PoolOf, Scalars);

TYPED_TEST(PoolOf, MaximumIsThatOfTheGivenRanges) {
  using T = TypeParam;
  test::Random random(1);
  ThreadPool one(1);
  ThreadPool three(3);
  for (Index channels = 1; channels <= 35; ++channels) {
    const Tensor<T> in = random.map<T>({.batch = 2, .height = 7, .width = 9, .channels = channels}, -2, -1);
    // Rows y … 2 y, columns 3 x … 8: of different sizes, overlapping, up to the last of the map.
    const auto rows = [](Index y) { return Range{y, 2 * y + 1}; };
    const auto columns = [](Index x) { return Range{3 * x, 9}; };
    const test::Map map = test::to_reference(in);
    const test::Map expected = test::make_map(2, channels, 4, 3, [&](Index n, Index c, Index y, Index x) {
      double largest = -3;
      for (Index in_y = y; in_y <= 2 * y; ++in_y) {
        for (Index in_x = 3 * x; in_x < 9; ++in_x) largest = std::max(largest, map.at(n, c, in_y, in_x));
      }
      return largest;
    });
    for (Isa isa : test::supported_isas()) {
      for (ThreadPool* pool : {&one, &three}) {
        Tensor<T> out({.batch = 2, .height = 4, .width = 3, .channels = channels});
        max_pool<T>(in, rows, columns, out.view(), isa, *pool);
        ASSERT_TRUE(test::near_everywhere(out, expected, 0)) << to_string(isa) << ", " << pool->size() << " threads";
      }
    }
  }
}

TYPED_TEST(PoolOf, MeanIsThatOfEachImage) {
  using T = TypeParam;
  test::Random random(2);
  ThreadPool one(1);
  ThreadPool three(3);
  for (Index channels = 1; channels <= 35; ++channels) {
    for (Index side : {1, 7}) {
      const Tensor<T> in = random.map<T>({.batch = 4, .height = side, .width = side + 1, .channels = channels}, -1, 3);
      const test::Map expected = test::reference_global_mean(test::to_reference(in));
      const double tolerance = test::rounding_error<T>(side * (side + 1) + 2, 3.0);
      for (Isa isa : test::supported_isas()) {
        for (ThreadPool* pool : {&one, &three}) {
          Tensor<T> out({.batch = 4, .channels = channels});
          global_mean<T>(in, out.view(), isa, *pool);
          ASSERT_TRUE(test::near_everywhere(out, expected, tolerance))
              << to_string(isa) << ", " << pool->size() << " threads";
        }
      }
    }
  }
}

TYPED_TEST(PoolOf, NaNWinsOverEveryNumberWhereverItStands) {
  using T = TypeParam;
  const Index channels = 19;
  ThreadPool pool(1);
  const auto everything = [](Index) { return Range{0, 2}; };
  for (Isa isa : test::supported_isas()) {
    for (Index place = 0; place < 4; ++place) {
      for (Index c : {0, 18}) {  // in a vector, and after the last whole one
        Tensor<T> in({.batch = 1, .height = 2, .width = 2, .channels = channels});
        std::fill_n(in.data(), 4 * channels, std::numeric_limits<T>::infinity());
        in.data()[place * channels + c] = std::numeric_limits<T>::quiet_NaN();
        Tensor<T> largest({.channels = channels});
        Tensor<T> mean({.channels = channels});
        max_pool<T>(in, everything, everything, largest.view(), isa, pool);
        global_mean<T>(in, mean.view(), isa, pool);
        for (Index i = 0; i < channels; ++i) {
          ASSERT_EQ(std::isnan(largest(0, 0, 0, i)), i == c)
              << to_string(isa) << ", pixel " << place << ", channel " << i;
          ASSERT_EQ(std::isnan(mean(0, 0, 0, i)), i == c) << to_string(isa) << ", pixel " << place << ", channel " << i;
        }
      }
    }
  }
}

TYPED_TEST(PoolOf, MaximumOfNothingButMinusInfinityIsThat) {
  using T = TypeParam;
  ThreadPool pool(1);
  const auto everything = [](Index) { return Range{0, 2}; };
  for (Isa isa : test::supported_isas()) {
    Tensor<T> in({.batch = 1, .height = 2, .width = 2, .channels = 17});
    std::fill_n(in.data(), 4 * 17, -std::numeric_limits<T>::infinity());
    Tensor<T> out({.channels = 17});
    max_pool<T>(in, everything, everything, out.view(), isa, pool);
    for (Index c = 0; c < 17; ++c) EXPECT_EQ(out(0, 0, 0, c), -std::numeric_limits<T>::infinity()) << to_string(isa);
  }
}

}  // namespace
}  // namespace plainnet::kernels
