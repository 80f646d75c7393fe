#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "plainnet/core/thread_pool.hpp"
#include "plainnet/kernels/matmul.hpp"
#include "plainnet/kernels/normalization.hpp"
#include "plainnet/kernels/normalized_rows.hpp"
#include "support/compare.hpp"
#include "support/isas.hpp"
#include "support/random.hpp"

namespace plainnet::kernels {
namespace {

struct Exact {
  double mean;
  double rstd;
};

template <class T>
Exact exact_moments(const T* x, Index count, double eps) {
  long double mean = 0;
  for (Index i = 0; i < count; ++i) mean += x[i];
  mean /= static_cast<long double>(count);
  long double variance = 0;
  for (Index i = 0; i < count; ++i) variance += (x[i] - mean) * (x[i] - mean);
  return {static_cast<double>(mean),
          static_cast<double>(1 / std::sqrt(variance / static_cast<long double>(count) + eps))};
}

template <class T>
std::vector<Moments<T>> run_image_moments(const Tensor<T>& in, T eps, Isa isa, ThreadPool& pool) {
  std::vector<Moments<T>> moments(static_cast<std::size_t>(in.shape().batch));
  AlignedVector<T> scratch(static_cast<std::size_t>(image_moments_scratch<T>(in.shape())));
  image_moments<T>(in, eps, moments.data(), scratch.data(), isa, pool);
  return moments;
}

template <class T>
bool same(const std::vector<Moments<T>>& a, const std::vector<Moments<T>>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const Moments<T>& p, const Moments<T>& q) { return p.mean == q.mean && p.rstd == q.rstd; });
}

template <class T>
class NormalizationOf : public testing::Test {
 protected:
  static constexpr double epsilon = std::numeric_limits<T>::epsilon();
};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(NormalizationOf, Scalars);

const Shape odd_shapes[] = {{.batch = 1, .height = 1, .width = 1, .channels = 1},
                            {.batch = 3, .height = 3, .width = 5, .channels = 7},
                            {.batch = 3, .height = 9, .width = 7, .channels = 33},
                            {.batch = 2, .height = 16, .width = 16, .channels = 16},
                            {.batch = 3, .height = 19, .width = 13, .channels = 67}};

// Means of up to ten thousand deviations: in squares of the elements themselves a float would have no digit left.
TYPED_TEST(NormalizationOf, MomentsAreExactHoweverFarTheMeanIs) {
  using T = TypeParam;
  test::Random random(1);
  ThreadPool one(1);
  ThreadPool two(2);
  ThreadPool three(3);
  for (const Shape& shape : odd_shapes) {
    for (double offset : {0.0, 3.0, -1e4}) {
      const Tensor<T> in = random.map<T>(shape, offset - 1, offset + 1);
      for (Isa isa : test::supported_isas()) {
        SCOPED_TRACE(concatenate(to_string(isa), ": ", to_string(shape), ", mean ", offset));
        const T eps = static_cast<T>(1e-5);
        const std::vector<Moments<T>> found = run_image_moments(in, eps, isa, one);
        ASSERT_TRUE(same(found, run_image_moments(in, eps, isa, two)));
        ASSERT_TRUE(same(found, run_image_moments(in, eps, isa, three)));
        const Index elements = shape.height * shape.width * shape.channels;
        for (Index n = 0; n < shape.batch; ++n) {
          const Exact exact = exact_moments(in.data() + n * elements, elements, static_cast<double>(eps));
          const Moments<T>& m = found[static_cast<std::size_t>(n)];
          // One rounding of the mean of each chunk, one of the whole.
          ASSERT_NEAR(static_cast<double>(m.mean), exact.mean, this->epsilon * (std::abs(exact.mean) + 1));
          // Squares are summed in chunks of 4096, in at least 8 lanes: 512 terms, whose errors mostly cancel.
          ASSERT_NEAR(static_cast<double>(m.rstd), exact.rstd, 16 * this->epsilon * exact.rstd);
        }
        std::vector<Moments<T>> pixels(static_cast<std::size_t>(shape.pixels()));
        std::vector<Moments<T>> by_three = pixels;
        pixel_moments<T>(in, eps, pixels.data(), isa, one);
        pixel_moments<T>(in, eps, by_three.data(), isa, three);
        ASSERT_TRUE(same(pixels, by_three));
        for (Index p = 0; p < shape.pixels(); ++p) {
          const Exact exact = exact_moments(in.data() + p * shape.channels, shape.channels, static_cast<double>(eps));
          const Moments<T>& m = pixels[static_cast<std::size_t>(p)];
          ASSERT_NEAR(static_cast<double>(m.mean), exact.mean, this->epsilon * (std::abs(exact.mean) + 1)) << p;
          ASSERT_NEAR(static_cast<double>(m.rstd), exact.rstd, 16 * this->epsilon * exact.rstd) << p;
        }
      }
    }
  }
}

TYPED_TEST(NormalizationOf, AnImageHasTheSameMomentsWhereverItStands) {
  using T = TypeParam;
  test::Random random(2);
  const Tensor<T> in = random.map<T>({.batch = 3, .height = 11, .width = 13, .channels = 35});
  for (Isa isa : test::supported_isas()) {
    ThreadPool pool(2);
    const std::vector<Moments<T>> all = run_image_moments(in, T{1}, isa, pool);
    for (Index n = 0; n < 3; ++n) {
      Tensor<T> image({.batch = 1, .height = 11, .width = 13, .channels = 35});
      std::copy_n(in.view().pixel(n, 0, 0), image.shape().elements(), image.data());
      const std::vector<Moments<T>> alone = run_image_moments(image, T{1}, isa, pool);
      EXPECT_EQ(alone[0].mean, all[static_cast<std::size_t>(n)].mean) << to_string(isa);
      EXPECT_EQ(alone[0].rstd, all[static_cast<std::size_t>(n)].rstd) << to_string(isa);
    }
  }
}

TYPED_TEST(NormalizationOf, AConstantMapHasOnlyEps) {
  using T = TypeParam;
  ThreadPool pool(1);
  Tensor<T> in({.batch = 1, .height = 17, .width = 19, .channels = 21});
  std::fill_n(in.data(), in.shape().elements(), static_cast<T>(0.1));
  for (Isa isa : test::supported_isas()) {
    const Moments<T> m = run_image_moments(in, T{4}, isa, pool)[0];
    // In double too the merging of chunks rounds.
    EXPECT_NEAR(static_cast<double>(m.mean), 0.1, 2 * this->epsilon * 0.1) << to_string(isa);
    EXPECT_EQ(m.rstd, T{0.5}) << to_string(isa);
  }
}

TYPED_TEST(NormalizationOf, MapIsTheSumOfItsTerms) {
  using T = TypeParam;
  test::Random random(3);
  ThreadPool one(1);
  ThreadPool three(3);
  for (const Shape& shape : odd_shapes) {
    const Tensor<T> in = random.map<T>(shape, -1, 3);
    const std::size_t channels = static_cast<std::size_t>(shape.channels);
    AlignedVector<T> scale(channels), shift(channels), input_scale(channels);
    for (auto* values : {&scale, &shift, &input_scale})
      random.fill(values->data(), values->data() + values->size(), -1, 1);
    const T eps = static_cast<T>(0.01);
    const Index image = shape.height * shape.width;
    for (Isa isa : test::supported_isas()) {
      const std::vector<Moments<T>> images = run_image_moments(in, eps, isa, one);
      std::vector<Moments<T>> pixels(static_cast<std::size_t>(shape.pixels()));
      pixel_moments<T>(in, eps, pixels.data(), isa, one);
      for (int kind = 0; kind < 3; ++kind) {
        const auto by = kind == 0   ? Normalization<T>::of_images(images.data(), shape)
                        : kind == 1 ? Normalization<T>::of_pixels(pixels.data())
                                    : Normalization<T>::of_pixels(eps);
        for (int terms = 0; terms < 16; ++terms) {
          SCOPED_TRACE(concatenate(to_string(isa), ": ", to_string(shape), ", statistics ", kind, ", terms ", terms));
          const NormalizedSum<T> sum{.scale = terms & 1 ? scale.data() : nullptr,
                                     .shift = terms & 2 ? shift.data() : nullptr,
                                     .adds_input = (terms & 4) != 0,
                                     .input_scale = terms & 8 ? input_scale.data() : nullptr};
          Tensor<T> out(shape);
          normalize<T>(in, by, sum, out.view(), isa, one);
          Tensor<T> by_three = in;
          normalize<T>(by_three, by, sum, by_three.view(), isa, three);  // in place
          ASSERT_TRUE(test::same_bits(by_three, out));
          Exact m{};
          for (Index p = 0; p < shape.pixels(); ++p) {
            if (kind > 0 || p % image == 0)
              m = kind == 0
                      ? exact_moments(in.data() + p * shape.channels, image * shape.channels, static_cast<double>(eps))
                      : exact_moments(in.data() + p * shape.channels, shape.channels, static_cast<double>(eps));
            for (Index c = 0; c < shape.channels; ++c) {
              const auto i = static_cast<std::size_t>(c);
              const double x = static_cast<double>(in.data()[p * shape.channels + c]);
              double expected = (x - m.mean) * m.rstd * (sum.scale ? static_cast<double>(scale[i]) : 1.0);
              expected += sum.shift ? static_cast<double>(shift[i]) : 0.0;
              if (sum.adds_input) expected += x * (sum.input_scale ? static_cast<double>(input_scale[i]) : 1.0);
              // At most (x − mean) · rstd = 4 · 10, of which the moments have 16 ε, and terms of 3 and 1.
              ASSERT_NEAR(static_cast<double>(out.data()[p * shape.channels + c]), expected,
                          test::rounding_error<T>(24, 44.0))
                  << "pixel " << p << ", channel " << c;
            }
          }
        }
      }
    }
  }
}

TYPED_TEST(NormalizationOf, RowsOfAProductAreTheNormalizedMap) {
  using T = TypeParam;
  test::Random random(4);
  for (const Shape& shape : odd_shapes) {
    const Tensor<T> in = random.map<T>(shape, -1, 3);
    const T eps = static_cast<T>(0.01);
    for (Isa isa : test::supported_isas()) {
      ThreadPool pool(1);
      const std::vector<Moments<T>> images = run_image_moments(in, eps, isa, pool);
      std::vector<Moments<T>> pixels(static_cast<std::size_t>(shape.pixels()));
      pixel_moments<T>(in, eps, pixels.data(), isa, pool);
      for (const auto& by : {Normalization<T>::of_images(images.data(), shape),
                             Normalization<T>::of_pixels(pixels.data()), Normalization<T>::of_pixels(eps)}) {
        Tensor<T> normalized(shape);
        normalize<T>(in, by, {}, normalized.view(), isa, pool);
        const NormalizedRows<T> rows(in.data(), shape.channels, shape.channels, by);
        const Index stride = copied_row_stride<T>(shape.channels);
        for (Index at_once : {1, 3, 14, 100}) {
          for (Index first = 0; first < shape.pixels(); first += at_once) {
            const Index count = std::min(at_once, shape.pixels() - first);
            AlignedVector<T> copies(static_cast<std::size_t>(count * stride));
            std::vector<const T*> list(static_cast<std::size_t>(count));
            rows.locate(isa, first, count, copies.data(), list.data());
            for (Index r = 0; r < count; ++r) {
              for (Index k = 0; k < shape.channels; ++k) {
                ASSERT_EQ(list[static_cast<std::size_t>(r)][k], normalized.data()[(first + r) * shape.channels + k])
                    << to_string(isa) << ": row " << first + r << " of " << count << ", " << k;
              }
            }
          }
        }
      }
    }
  }
}

TYPED_TEST(NormalizationOf, PositionsAreAddedToEveryImage) {
  using T = TypeParam;
  test::Random random(5);
  for (const Shape& shape : odd_shapes) {
    const Tensor<T> in = random.map<T>(shape);
    Shape one_image = shape;
    one_image.batch = 1;
    const Tensor<T> position = random.map<T>(one_image);
    for (Isa isa : test::supported_isas()) {
      for (Index threads : {1, 2, 3}) {
        ThreadPool pool(threads);
        Tensor<T> out(shape);
        add_position<T>(in, position.data(), out.view(), isa, pool);
        for (Index i = 0; i < shape.elements(); ++i) {
          ASSERT_EQ(out.data()[i], in.data()[i] + position.data()[i % one_image.elements()]) << to_string(isa);
        }
      }
    }
  }
}

TYPED_TEST(NormalizationOf, NaNSpoilsItsOwnImageOnly) {
  using T = TypeParam;
  Tensor<T> in({.batch = 3, .height = 2, .width = 3, .channels = 5});
  in(1, 1, 2, 4) = std::numeric_limits<T>::quiet_NaN();
  ThreadPool pool(1);
  for (Isa isa : test::supported_isas()) {
    const std::vector<Moments<T>> moments = run_image_moments(in, T{1}, isa, pool);
    for (std::size_t n = 0; n < 3; ++n) EXPECT_EQ(std::isnan(moments[n].rstd), n == 1) << to_string(isa);
  }
}

}  // namespace
}  // namespace plainnet::kernels
