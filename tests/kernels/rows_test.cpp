#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include <gtest/gtest.h>

#include "plainnet/kernels/convolution.hpp"
#include "plainnet/kernels/mlp.hpp"
#include "plainnet/kernels/normalization.hpp"
#include "plainnet/kernels/normalized_rows.hpp"
#include "plainnet/kernels/scaled_product.hpp"
#include "plainnet/kernels/unfinished_rows.hpp"
#include "support/compare.hpp"
#include "support/isas.hpp"
#include "support/random.hpp"

namespace plainnet::kernels {
namespace {

TEST(Rows, CopiesAreAnOddNumberOfCacheLinesApart) {
  for (Index depth : {1, 15, 16, 17, 32, 33, 147, 256, 1000, 1024, 4096}) {
    const Index stride = copied_row_stride<float>(depth);
    EXPECT_GE(stride, depth);
    EXPECT_LE(stride, depth + 31);
    EXPECT_EQ(stride % 32, 16) << depth;
    EXPECT_EQ(copied_row_stride<double>(depth) % 16, 8) << depth;
  }
  EXPECT_THROW(copied_row_stride<float>(std::numeric_limits<Index>::max()), Error);
}

/// Whether `rows` locates elements (row, k) as they are expected, whichever rows it is asked for, and writes to no
/// memory but theirs.
template <class T>
void expect_rows(const RowSource<T>& rows, Index row_count, Index depth,
                 const std::function<T(Index row, Index k)>& expected) {
  const Index stride = copied_row_stride<T>(depth);
  for (Isa isa : test::supported_isas()) {
    for (Index first : {Index{0}, Index{1}, row_count / 2, row_count - 1}) {
      for (Index count : {Index{1}, Index{3}, row_count - first}) {
        if (first + count > row_count) continue;
        AlignedVector<T> copies(static_cast<std::size_t>(count * stride), T{77});
        std::vector<const T*> list(static_cast<std::size_t>(count) + 1, copies.data());
        rows.locate(isa, first, count, copies.data(), list.data());
        EXPECT_EQ(list.back(), copies.data());
        for (Index i = 0; i < count; ++i) {
          const T* const row = list[static_cast<std::size_t>(i)];
          const T* const copy = copies.data() + i * stride;
          for (Index k = 0; k < depth; ++k) {
            ASSERT_EQ(row[k], expected(first + i, k))
                << to_string(isa) << ": row " << first + i << ", term " << k << ", of " << count << " from " << first;
          }
          for (Index k = depth; k < stride; ++k) ASSERT_EQ(copy[k], T{77}) << "behind row " << i;
          ASSERT_TRUE(row == copy || copy[0] == T{77}) << "a row is copied and not used";
        }
      }
    }
  }
}

/// Whether `rows` copies for inner products what it locates, whichever rows it is asked for: times a power of two by
/// which the root mean square is in [1, 2), or where its square would be too large or too small the largest element in
/// [2, 4), with the sum of products that belongs to it; and writes to no other memory.
template <class T>
void expect_copies(const RowSource<T>& rows, Index row_count, Index depth) {
  constexpr Index terms = inner_product_terms, gap = 16;
  const double limit = std::ldexp(1, std::numeric_limits<T>::max_exponent * 3 / 4);
  const Index portions = inner_product_portions(depth), stride = copied_row_stride<T>(depth);
  for (Isa isa : test::supported_isas()) {
    for (Index first : {Index{0}, row_count / 2, row_count - 1}) {
      for (Index count : {Index{1}, Index{3}, Index{5}, std::min(most_rows_copied, row_count - first)}) {
        if (first + count > row_count) continue;
        AlignedVector<T> located(static_cast<std::size_t>(count * stride)), beside(located.size());
        std::vector<const T*> list(static_cast<std::size_t>(count));
        rows.locate(isa, first, count, located.data(), list.data());
        const Index step = count * terms + gap;
        AlignedVector<T> copies(static_cast<std::size_t>(portions * step), T{77}), ends(copies.size(), T{77});
        rows.copy(isa, first, count, depth, {copies.data(), step, terms, ends.data(), 3}, beside.data());
        for (Index r = 0; r < count; ++r) {
          SCOPED_TRACE(testing::Message()
                       << to_string(isa) << ": row " << first + r << " of " << count << ", depth " << depth);
          const T* const row = list[static_cast<std::size_t>(r)];
          const T inverse = ends[static_cast<std::size_t>(3 * r + 1)];
          double squares = 0, largest = 0, row_squares = 0, pairs = 0, size = 0;
          for (Index p = 0; p < portions; ++p) {
            const T* const copy = copies.data() + p * step + r * terms;
            const Index some = std::min(terms, depth - p * terms);
            for (Index k = 0; k < some; ++k) {
              ASSERT_EQ(copy[k] * inverse, row[p * terms + k]) << "term " << k << " of portion " << p;
              squares += static_cast<double>(copy[k]) * static_cast<double>(copy[k]);
              largest = std::max(largest, std::abs(static_cast<double>(copy[k])));
              row_squares += std::pow(static_cast<double>(row[p * terms + k]), 2);
            }
            for (Index k = 0; k < some / 3; ++k) {
              const double product = static_cast<double>(copy[k]) * static_cast<double>(copy[some / 3 + k]);
              pairs += inner_product_sign(p, portions) * product;
              size += std::abs(product);
            }
          }
          pairs *= -inner_product_sign(0, portions);
          ASSERT_NEAR(static_cast<double>(ends[static_cast<std::size_t>(3 * r)]), pairs,
                      test::rounding_error<T>(16, size));
          if (inverse == T{0}) {
            ASSERT_EQ(squares, 0);
          } else if (const double mean = row_squares / static_cast<double>(depth); mean > limit || mean < 1 / limit) {
            ASSERT_GE(largest, 2);
            ASSERT_LT(largest, 4);
          } else {
            ASSERT_GT(squares / static_cast<double>(depth), 1 - 1e-5);
            ASSERT_LT(squares / static_cast<double>(depth), 4 + 1e-5);
          }
          ASSERT_EQ(ends[static_cast<std::size_t>(3 * r + 2)], T{77});
        }
        for (Index p = 0; p < portions; ++p) {
          for (Index k = count * terms; k < step; ++k) ASSERT_EQ(copies[static_cast<std::size_t>(p * step + k)], T{77});
        }
      }
    }
  }
}

template <class T>
class RowsOf : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(RowsOf, Scalars);

TYPED_TEST(RowsOf, MatricesAreReadWhereTheyLie) {
  using T = TypeParam;
  test::Random random(1);
  const Tensor<T> in = random.map<T>({2, 6, 7, 5});
  const Index pixels = in.shape().pixels();
  const MatrixRows<T> matrix(in.data() + 1, 5);
  expect_rows<T>(matrix, pixels, 3, [&](Index row, Index k) { return in.data()[row * 5 + 1 + k]; });
  expect_rows<T>(RowsFrom<T>(matrix, 7), pixels - 7, 3,
                 [&](Index row, Index k) { return in.data()[(7 + row) * 5 + 1 + k]; });
}

TYPED_TEST(RowsOf, NormalizedAreOfTheirImageOrOfThemselves) {
  using T = TypeParam;
  test::Random random(2);
  const Tensor<T> in = random.map<T>({2, 3, 4, 19});
  std::vector<Moments<T>> moments;
  for (Index n = 0; n < 24; ++n) moments.push_back({static_cast<T>(random.uniform(-1, 1)), static_cast<T>(n + 2)});
  for (Index each : {12, 1}) {
    const Normalization<T> by{moments.data(), each, 0};
    expect_rows<T>(NormalizedRows<T>(in.data(), 19, 18, by), 24, 18, [&](Index row, Index k) {
      const Moments<T>& of_row = moments[static_cast<std::size_t>(row / each)];
      return (in.data()[row * 19 + k] - of_row.mean) * of_row.rstd;
    });
  }
}

// Depths of less than a vector, of one portion, of many; of so many terms that few rows are summed together.
TYPED_TEST(RowsOf, CopiesForInnerProductsAreOfWhatIsLocated) {
  using T = TypeParam;
  test::Random random(6);
  for (Index depth : {1, 2, 3, 7, 16, 37, 64, 65, 130, 320, 513, 700}) {
    Tensor<T> in = random.map<T>({2, 3, 5, depth + 1}, -1, 3);
    for (Index c = 0; c <= depth; ++c) {
      in(0, 1, 2, c) *= static_cast<T>(1e6);
      in(1, 0, 3, c) *= static_cast<T>(1e-6);
      in(1, 2, 4, c) = T{0};
    }
    std::vector<Moments<T>> images = {{static_cast<T>(0.5), static_cast<T>(3)}, {static_cast<T>(-2), T(0.01)}};
    const Normalization<T> by_image{images.data(), 15, 0};
    const MatrixRows<T> plain(in.data(), depth + 1);
    const NormalizedRows<T> of_images(in.data(), depth + 1, depth, by_image);
    const NormalizedRows<T> of_pixels(in.data(), depth + 1, depth, Normalization<T>::of_pixels(static_cast<T>(1e-6)));
    expect_copies<T>(plain, 30, depth);
    expect_copies<T>(of_images, 30, depth);
    expect_copies<T>(of_pixels, 30, depth);
    expect_copies<T>(RowsFrom<T>(of_images, 11), 19, depth);
    for (Index c = 0; c <= depth; ++c) {
      in(0, 2, 1, c) *= std::sqrt(std::numeric_limits<T>::max()) * T{64};
      in(1, 0, 2, c) *= std::sqrt(std::numeric_limits<T>::min()) / T{64};
    }
    expect_copies<T>(plain, 30, depth);
  }
}

// Of the square of numbers like these nothing would be left.
TYPED_TEST(RowsOf, NormalizedAreCopiedWhateverTheirSize) {
  using T = TypeParam;
  test::Random random(7);
  const T large = std::numeric_limits<T>::max() / 1024, small = 1 / large;
  Tensor<T> in = random.map<T>({1, 2, 3, 70}, -1, 1);
  for (Index i = 0; i < in.shape().elements(); ++i) in.data()[i] *= large;
  const Moments<T> image{large / 4, small};
  expect_copies<T>(NormalizedRows<T>(in.data(), 70, 70, {&image, 6, 0}), 6, 70);
}

// Of less than a portion, of one, of some and a part; so many that rows leave L1. Some are of nothing, or of numbers
// the square of which is too large or too small.
TYPED_TEST(RowsOf, UnfinishedAreTheProductAndCopiedSo) {
  using T = TypeParam;
  constexpr Index rows = 29, depth = 5;
  test::Random random(8);
  for (Isa isa : test::supported_isas()) {
    const Index panel = matmul_panel_columns<T>(isa);
    for (Index columns : {panel, Index{64}, Index{96}, Index{128}, Index{160}, Index{1280}}) {
      std::vector<T> in(rows * depth), weights(static_cast<std::size_t>(columns * depth));
      std::vector<T> bias(static_cast<std::size_t>(columns));
      random.fill(in.data(), in.data() + rows * depth, -1, 1);
      random.fill(weights.data(), weights.data() + columns * depth, -1, 1);
      const auto scale_row = [&](Index row, T factor) {
        for (Index k = 0; k < depth; ++k) in[static_cast<std::size_t>(row * depth + k)] *= factor;
      };
      scale_row(3, 0), scale_row(4, static_cast<T>(1e6)), scale_row(13, static_cast<T>(1e-6));
      scale_row(7, std::sqrt(std::numeric_limits<T>::max()) * T{64}),
          scale_row(20, std::sqrt(std::numeric_limits<T>::min()));
      for (Activation activation : {Activation::none, Activation::relu, Activation::leaky_relu, Activation::gelu,
                                    Activation::sigmoid, Activation::silu, Activation::squared_relu}) {
        if (activation == Activation::squared_relu) scale_row(7, T{1} / std::sqrt(std::numeric_limits<T>::max()));
        // Without one, rows of nothing stay so.
        const bool has_bias = activation != Activation::none && activation != Activation::relu;
        if (has_bias) random.fill(bias.data(), bias.data() + columns, -1, 1);
        const PackedMatrix<T> packed =
            pack_matrix<T, T>({weights.data(), depth, columns, 1, depth}, has_bias ? bias.data() : nullptr, isa,
                              callers_thread(), MatmulMethod::inner_products);
        const PackedView<T> b = packed;
        const Epilogue<T> epilogue{.activation = activation, .slope = static_cast<T>(0.1)};
        const MatrixRows<T> left(in.data(), depth);
        AlignedVector<T> scratch(static_cast<std::size_t>(matmul_scratch<T>(depth)));
        AlignedVector<T> sums(static_cast<std::size_t>(rows * columns)), product(sums.size());
        const Range all{0, b.panel_count()};
        multiply_part<T>(left, {0, rows}, b, all, epilogue, product.data(), columns, scratch.data());
        multiply_part<T>(left, {0, rows}, b, all, {.is_unfinished = true}, sums.data(), rows * panel, scratch.data());
        const UnfinishedRows<T> unfinished({sums.data(), rows * panel, b, epilogue});
        SCOPED_TRACE(testing::Message() << to_string(isa) << ": activation " << static_cast<int>(activation));
        expect_rows<T>(unfinished, rows, columns,
                       [&](Index row, Index k) { return product[static_cast<std::size_t>(row * columns + k)]; });
        expect_copies<T>(unfinished, rows, columns);
      }
    }
  }
}

TYPED_TEST(RowsOf, TilesGoThroughTheirPixelsFirst) {
  using T = TypeParam;
  test::Random random(3);
  const Tensor<T> in = random.map<T>({2, 6, 9, 5});
  const Extent2D tile{2, 3};
  expect_rows<T>(TiledPixels<T>(in, tile, 1), 2 * 6 * 9, 3, [&](Index row, Index k) {
    const Index place = row / 6, ky = row % 6 / 3, kx = row % 3;  // of 3 × 3 tiles an image
    return *(in.view().pixel(place / 9, place / 3 % 3 * 2 + ky, place % 3 * 3 + kx) + 1 + k);
  });
}

// Of all channels, a row of a window is one run of memory; of some, or with gaps between pixels, it is not.
TYPED_TEST(RowsOf, WindowsHaveZerosOutsideTheMap) {
  using T = TypeParam;
  test::Random random(4);
  const Tensor<T> in = random.map<T>({2, 6, 7, 5});
  const std::vector<Window> windows = {
      {.kernel = 3, .stride = 2, .padding = 1},
      {.kernel = {2, 4}, .stride = {1, 3}, .padding = {2, 3, 1, 4}},
      {.kernel = 3, .stride = 1, .dilation = 2, .padding = 2},
      {.kernel = {5, 2}, .stride = 1, .dilation = {1, 2}, .padding = 3},
      {.kernel = {1, 3}, .stride = 1, .padding = {0, 9, 0, 9}},  // some see nothing of the map
  };
  for (const Window& window : windows) {
    const Shape out = output_shape(in.shape(), window, 1);
    for (Index first_channel : {0, 1}) {
      const Index channels = first_channel == 0 ? 5 : 3;
      const WindowRows<T> rows(in, window, out, first_channel, channels);
      const Index depth = window.kernel.height * window.kernel.width * channels;
      expect_rows<T>(rows, out.pixels(), depth, [&](Index row, Index k) {
        const Index tap = k / channels;
        const Index y = row / out.width % out.height * window.stride.height - window.padding.top +
                        tap / window.kernel.width * window.dilation.height;
        const Index x = row % out.width * window.stride.width - window.padding.left +
                        tap % window.kernel.width * window.dilation.width;
        const bool in_map = y >= 0 && y < 6 && x >= 0 && x < 7;
        return in_map ? *(in.view().pixel(row / (out.width * out.height), y, x) + first_channel + k % channels) : T{0};
      });
    }
  }
}

TYPED_TEST(RowsOf, NarrowerNumbersAreWidened) {
  using T = TypeParam;
  test::Random random(5);
  std::vector<T> numbers(7 * 33);
  random.fill(numbers.data(), numbers.data() + numbers.size(), -1, 1);
  expect_rows<double>(detail::RowsAsDouble<T>(numbers.data(), 33), 7, 33, [&](Index row, Index k) {
    return static_cast<double>(numbers[static_cast<std::size_t>(row * 33 + k)]);
  });
}

}  // namespace
}  // namespace plainnet::kernels
