#include <algorithm>
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "plainnet/core/thread_pool.hpp"
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

TYPED_TEST(PoolOf, MeanIsThatOfTheGivenRanges) {
  using T = TypeParam;
  test::Random random(3);
  ThreadPool one(1), two(2), three(3);
  for (const Index channels : {1, 2, 3, 5, 7, 8, 13, 16, 17, 31, 32, 33, 63, 64, 65, 100, 129}) {
    const Tensor<T> in = random.map<T>({.batch = 2, .height = 7, .width = 9, .channels = channels}, 1, 3);
    // Rows 2 y … 2 y + 1, columns 3 x … 3 x + 3, of those that there are: the last see fewer.
    const auto rows = [](Index y) { return Range{2 * y, std::min<Index>(7, 2 * y + 2)}; };
    const auto columns = [](Index x) { return Range{3 * x, std::min<Index>(9, 3 * x + 4)}; };
    const test::Map map = test::to_reference(in);
    const test::Map expected = test::make_map(2, channels, 4, 3, [&](Index n, Index c, Index y, Index x) {
      double sum = 0.0, count = 0.0;
      for (Index in_y = 2 * y; in_y < 2 * y + 2; ++in_y) {
        for (Index in_x = 3 * x; in_x < 3 * x + 4; ++in_x) {
          if (!map.has(in_y, in_x)) continue;
          sum += map.at(n, c, in_y, in_x);
          count += 1.0;
        }
      }
      return sum / count;
    });
    for (const Isa isa : test::supported_isas()) {
      Tensor<T> first({.batch = 2, .height = 4, .width = 3, .channels = channels});
      mean_pool<T>(in, rows, columns, first.view(), isa, one);
      ASSERT_TRUE(test::near_everywhere(first, expected, test::rounding_error<T>(2 * 4 + 2, 3.0)))
          << to_string(isa) << ", " << channels << " channels";
      for (ThreadPool* pool : {&two, &three}) {
        Tensor<T> out(first.shape());
        mean_pool<T>(in, rows, columns, out.view(), isa, *pool);
        ASSERT_TRUE(test::same_bits(out, first)) << to_string(isa) << ", " << pool->size() << " threads";
      }
    }
  }
}

// Threads share out images and units of 64 channels.
TYPED_TEST(PoolOf, MeanOfManyChannelsIsTheSameForAnyNumberOfThreads) {
  using T = TypeParam;
  test::Random random(4);
  ThreadPool one(1), two(2), three(3), five(5);
  for (const Index channels : {36, 63, 64, 65, 127, 128, 129, 200, 257}) {
    for (const Index batch : {1, 3}) {
      const Tensor<T> in = random.map<T>({.batch = batch, .height = 3, .width = 5, .channels = channels}, -1, 3);
      const test::Map expected = test::reference_global_mean(test::to_reference(in));
      for (const Isa isa : test::supported_isas()) {
        Tensor<T> first({.batch = batch, .channels = channels});
        global_mean<T>(in, first.view(), isa, one);
        ASSERT_TRUE(test::near_everywhere(first, expected, test::rounding_error<T>(15 + 2, 3.0)))
            << to_string(isa) << ", " << channels << " channels";
        for (ThreadPool* pool : {&two, &three, &five}) {
          Tensor<T> out(first.shape());
          global_mean<T>(in, out.view(), isa, *pool);
          ASSERT_TRUE(test::same_bits(out, first))
              << to_string(isa) << ", " << channels << " channels, " << pool->size() << " threads";
        }
      }
    }
  }
}

// A running sum of all pixels is off by more than that, and from 2^24 on could not even count.
TEST(GlobalMean, OfALargeMapDoesNotGatherTheErrorsOfAllItsPixels) {
  const Index height = 200, width = 300, channels = 17;
  test::Random random(5);
  const Tensor<float> in =
      random.map<float>({.batch = 1, .height = height, .width = width, .channels = channels}, 1, 3);
  ThreadPool pool(1);
  for (const Isa isa : test::supported_isas()) {
    Tensor<float> out({.channels = channels});
    global_mean<float>(in, out.view(), isa, pool);
    // A row's sum rounds as often as it has pixels, the sum of rows as often as there are rows; what is rounded up and
    // down adds up as the root of their number.
    const double roundings = std::sqrt(static_cast<double>(width)) + std::sqrt(static_cast<double>(height));
    const double tolerance = test::rounding_error<float>(1, 3.0) * roundings;
    EXPECT_TRUE(test::near_everywhere(out, test::reference_global_mean(test::to_reference(in)), tolerance))
        << to_string(isa);
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
        Tensor<T> mean_of_range({.channels = channels});
        max_pool<T>(in, everything, everything, largest.view(), isa, pool);
        global_mean<T>(in, mean.view(), isa, pool);
        mean_pool<T>(in, everything, everything, mean_of_range.view(), isa, pool);
        ASSERT_TRUE(test::near_everywhere(mean_of_range, mean, 0)) << to_string(isa);
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
