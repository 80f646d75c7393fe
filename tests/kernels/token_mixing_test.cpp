#include <vector>

#include <gtest/gtest.h>

#include "plainnet/core/thread_pool.hpp"
#include "plainnet/kernels/token_mixing.hpp"
#include "support/compare.hpp"
#include "support/isas.hpp"
#include "support/random.hpp"

namespace plainnet::kernels {
namespace {

template <class T>
class TokenMixingOf : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(TokenMixingOf, Scalars);

/// An operand of each kind that mix_tokens() takes.
template <class T>
struct Mixing {
  Shape shape;
  Tensor<T> in;
  Tensor<T> residual;
  std::vector<T> weight, scale, shift, residual_scale;
  std::vector<Moments<T>> images, pixels;

  Mixing(const Shape& shape_, test::Random& random)
      : shape(shape_), in(random.map<T>(shape_)), residual(random.map<T>(shape_)) {
    const Index tokens = shape.height * shape.width;
    weight.resize(static_cast<std::size_t>(tokens * tokens));
    for (auto* values : {&scale, &shift, &residual_scale}) values->resize(static_cast<std::size_t>(shape.channels));
    for (auto* values : {&weight, &scale, &shift, &residual_scale})
      random.fill(values->data(), values->data() + values->size(), -1, 1);
    const auto moments = [&] {
      return Moments<T>{static_cast<T>(random.uniform(-1, 1)), static_cast<T>(random.uniform(0.5, 2))};
    };
    for (Index n = 0; n < shape.batch; ++n) images.push_back(moments());
    for (Index p = 0; p < shape.pixels(); ++p) pixels.push_back(moments());
  }

  Tensor<T> run(const Normalization<T>* by, bool affine, const Epilogue<T>& epilogue, Isa isa, Index threads) const {
    ThreadPool pool(threads);
    Tensor<T> out(shape);
    AlignedVector<T> scratch(
        static_cast<std::size_t>(threads * token_mixing_scratch<T>(shape.height * shape.width, shape.channels, isa)));
    mix_tokens<T>(in, weight.data(), by, affine ? scale.data() : nullptr, affine ? shift.data() : nullptr, epilogue,
                  out.view(), scratch.data(), isa, pool);
    return out;
  }
};

TYPED_TEST(TokenMixingOf, EveryChannelIsMultipliedByTheMatrix) {
  using T = TypeParam;
  test::Random random(1);
  for (const Shape& shape : {Shape{.batch = 1, .height = 1, .width = 1, .channels = 5},
                             Shape{.batch = 3, .height = 7, .width = 5, .channels = 37},
                             Shape{.batch = 3, .height = 3, .width = 5, .channels = 64},
                             Shape{.batch = 2, .height = 17, .width = 17, .channels = 100}}) {
    const Mixing<T> mixing(shape, random);
    const Index tokens = shape.height * shape.width;
    const auto by_images = Normalization<T>::of_images(mixing.images.data(), shape);
    const auto by_pixels = Normalization<T>::of_pixels(mixing.pixels.data());
    for (const Normalization<T>* by : {static_cast<const Normalization<T>*>(nullptr), &by_images, &by_pixels}) {
      for (const bool affine : {false, true}) {
        if (affine && !by) continue;
        const Epilogue<T> epilogue = affine ? Epilogue<T>{.residual = mixing.residual.data(),
                                                          .residual_stride = shape.channels,
                                                          .residual_scale = mixing.residual_scale.data()}
                                            : Epilogue<T>{};
        const auto y = [&](Index p, Index c) {
          double x = static_cast<double>(mixing.in.data()[p * shape.channels + c]);
          if (!by) return x;
          const Moments<T>& m = by->moments[p / by->pixels_each];
          x = (x - static_cast<double>(m.mean)) * static_cast<double>(m.rstd);
          const auto i = static_cast<std::size_t>(c);
          return affine ? x * static_cast<double>(mixing.scale[i]) + static_cast<double>(mixing.shift[i]) : x;
        };
        const test::Map expected = test::make_map(
            shape.batch, shape.channels, shape.height, shape.width, [&](Index n, Index c, Index row, Index column) {
              const Index m = row * shape.width + column;
              double sum = 0;
              for (Index k = 0; k < tokens; ++k)
                sum +=
                    static_cast<double>(mixing.weight[static_cast<std::size_t>(m * tokens + k)]) * y(n * tokens + k, c);
              if (affine)
                sum += static_cast<double>(mixing.residual_scale[static_cast<std::size_t>(c)]) *
                       static_cast<double>(mixing.residual(n, row, column, c));
              return sum;
            });
        // |y| is at most (1 + 1) · 2 + 1.
        const double tolerance = test::rounding_error<T>(tokens + 8, 5.0 * static_cast<double>(tokens + 1));
        for (Isa isa : test::supported_isas()) {
          SCOPED_TRACE(concatenate(to_string(isa), ": ", to_string(shape),
                                   by ? by == &by_images ? ", images" : ", pixels" : "",
                                   affine ? ", scaled, residual" : ""));
          const Tensor<T> out = mixing.run(by, affine, epilogue, isa, 1);
          ASSERT_TRUE(test::near_everywhere(out, expected, tolerance));
          for (Index threads : {2, 3, 5})
            ASSERT_TRUE(test::same_bits(mixing.run(by, affine, epilogue, isa, threads), out)) << threads << " threads";
        }
      }
    }
  }
}

TYPED_TEST(TokenMixingOf, GivesAnImageOfABatchTheBitsItHasAlone) {
  using T = TypeParam;
  test::Random random(2);
  const Mixing<T> all({.batch = 3, .height = 4, .width = 5, .channels = 35}, random);
  for (Isa isa : test::supported_isas()) {
    const auto by = Normalization<T>::of_images(all.images.data(), all.shape);
    const Tensor<T> out = all.run(&by, true, {}, isa, 2);
    for (Index n = 0; n < 3; ++n) {
      Mixing<T> one = all;
      one.shape.batch = 1;
      one.in = Tensor<T>(one.shape);
      std::copy_n(all.in.view().pixel(n, 0, 0), one.shape.elements(), one.in.data());
      const auto alone = Normalization<T>::of_images(all.images.data() + n, one.shape);
      ASSERT_TRUE(test::same_bits<T>(TensorView<const T>(out.view().pixel(n, 0, 0), one.shape),
                                     one.run(&alone, true, {}, isa, 2).view()))
          << to_string(isa) << ", image " << n;
    }
  }
}

}  // namespace
}  // namespace plainnet::kernels
