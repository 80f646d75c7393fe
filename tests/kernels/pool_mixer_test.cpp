#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "plainnet/core/thread_pool.hpp"
#include "plainnet/kernels/pool_mixer.hpp"
#include "support/compare.hpp"
#include "support/isas.hpp"
#include "support/random.hpp"

namespace plainnet::kernels {
namespace {

using test::Map;

template <class T>
class PoolMixerOf : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(PoolMixerOf, Scalars);

template <class T>
Tensor<T> run(const Tensor<T>& x, const Tensor<T>& y, const T* input_scale, const T* factor, const Moments<T>* images,
              Isa isa, Index threads) {
  ThreadPool pool(threads);
  Tensor<T> out(x.shape());
  pool_mix<T>(x, y, input_scale, factor, images, out.view(), isa, pool);
  return out;
}

const Shape shapes[] = {
    {.batch = 1, .height = 1, .width = 1, .channels = 3},  {.batch = 3, .height = 1, .width = 4, .channels = 17},
    {.batch = 3, .height = 5, .width = 1, .channels = 16}, {.batch = 2, .height = 2, .width = 2, .channels = 31},
    {.batch = 3, .height = 7, .width = 9, .channels = 37}, {.batch = 1, .height = 3, .width = 3, .channels = 1}};

TYPED_TEST(PoolMixerOf, IsTheFormulaWithWindowsThatCountPixelsInsideOnly) {
  using T = TypeParam;
  test::Random random(1);
  for (const Shape& shape : shapes) {
    const Tensor<T> x = random.map<T>(shape);
    const Tensor<T> other = random.map<T>(shape);
    std::vector<T> factor(static_cast<std::size_t>(shape.channels));
    std::vector<T> scale(static_cast<std::size_t>(shape.channels));
    random.fill(factor.data(), factor.data() + factor.size(), -1, 1);
    random.fill(scale.data(), scale.data() + scale.size(), -1, 1);
    std::vector<Moments<T>> images;
    for (Index n = 0; n < shape.batch; ++n) images.push_back({T{99}, static_cast<T>(random.uniform(0.5, 2))});
    const Window window{.kernel = 3, .padding = 1};
    for (const bool per_image : {true, false}) {
      const Tensor<T>& y = per_image ? x : other;
      const Moments<T>* moments = per_image ? images.data() : nullptr;
      for (const T* input_scale : {static_cast<const T*>(nullptr), static_cast<const T*>(scale.data())}) {
        const Map x_map = test::to_reference(x);
        const Map y_map = test::to_reference(y);
        const Map mean = test::reference_avg_pool(y_map, window, false);
        const Map expected = test::make_map(
            shape.batch, shape.channels, shape.height, shape.width, [&](Index n, Index c, Index row, Index column) {
              const auto i = static_cast<std::size_t>(c);
              const double rstd = moments ? static_cast<double>(moments[n].rstd) : 1.0;
              return (input_scale ? static_cast<double>(input_scale[i]) : 1.0) * x_map.at(n, c, row, column) +
                     static_cast<double>(factor[i]) * rstd * (mean.at(n, c, row, column) - y_map.at(n, c, row, column));
            });
        for (Isa isa : test::supported_isas()) {
          SCOPED_TRACE(concatenate(to_string(isa), ": ", to_string(shape), per_image ? ", images" : ", pixels"));
          const Tensor<T> out = run(x, y, input_scale, factor.data(), moments, isa, 1);
          // Nine terms of the mean, y, x; sizes up to 1 + 2 · 2.
          ASSERT_TRUE(test::near_everywhere(out, expected, test::rounding_error<T>(12, 5.0)));
          for (Index threads : {2, 3})
            ASSERT_TRUE(test::same_bits(run(x, y, input_scale, factor.data(), moments, isa, threads), out));
        }
      }
    }
  }
}

// A mean of ten thousand with deviations of one loses only what the float of the input has lost.
TYPED_TEST(PoolMixerOf, ErrorIsAFewRoundingsOfTheLargestInput) {
  using T = TypeParam;
  test::Random random(2);
  const Shape shape{.batch = 1, .height = 4, .width = 300, .channels = 3};
  const Tensor<T> x = random.map<T>(shape, 9999, 10001);
  const std::vector<T> factor(3, T{1});
  const Map map = test::to_reference(x);
  const Map mean = test::reference_avg_pool(map, Window{.kernel = 3, .padding = 1}, false);
  for (Isa isa : test::supported_isas()) {
    const std::vector<T> zero(3, T{0});
    const Tensor<T> out = run<T>(x, x, zero.data(), factor.data(), nullptr, isa, 1);
    const Map expected = test::make_map(1, 3, 4, 300, [&](Index n, Index c, Index row, Index column) {
      return mean.at(n, c, row, column) - map.at(n, c, row, column);
    });
    // Eight additions of which the sums are up to 9 · 10001, divided by 9, then the share's own rounding.
    EXPECT_TRUE(test::near_everywhere(out, expected, test::rounding_error<T>(4, 10001.0))) << to_string(isa);
  }
}

TYPED_TEST(PoolMixerOf, AnImageHasTheBitsItHasAloneAndNaNSpreadsByOne) {
  using T = TypeParam;
  test::Random random(3);
  const Shape shape{.batch = 3, .height = 5, .width = 6, .channels = 19};
  Tensor<T> x = random.map<T>(shape);
  x(1, 2, 5, 18) = std::numeric_limits<T>::quiet_NaN();
  std::vector<T> factor(19, T{0.5});
  Shape one_image = shape;
  one_image.batch = 1;
  for (Isa isa : test::supported_isas()) {
    const Tensor<T> all = run<T>(x, x, nullptr, factor.data(), nullptr, isa, 2);
    for (Index n = 0; n < 3; ++n) {
      Tensor<T> image(one_image);
      std::copy_n(x.view().pixel(n, 0, 0), one_image.elements(), image.data());
      const Tensor<T> alone = run<T>(image, image, nullptr, factor.data(), nullptr, isa, 2);
      for (Index y = 0; y < 5; ++y) {
        for (Index column = 0; column < 6; ++column) {
          for (Index c = 0; c < 19; ++c) {
            const bool sees = n == 1 && c == 18 && std::abs(y - 2) <= 1 && column >= 4;
            ASSERT_EQ(std::isnan(all(n, y, column, c)), sees) << to_string(isa);
            if (!sees) {
              ASSERT_EQ(all(n, y, column, c), alone(0, y, column, c)) << to_string(isa);
            }
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace plainnet::kernels
