#include <cstdint>
#include <type_traits>

#include <gtest/gtest.h>

#include "plainnet/core/tensor.hpp"
#include "support/compare.hpp"
#include "support/random.hpp"

namespace plainnet {
namespace {

constexpr Shape shape{.batch = 2, .height = 3, .width = 5, .channels = 7};

static_assert(!std::is_convertible_v<TensorView<const float>, TensorView<float>>,
              "A const view must not become writable.");
static_assert(std::is_convertible_v<TensorView<float>, TensorView<const float>>);
static_assert(!std::is_convertible_v<TensorView<double>, TensorView<const float>>);
static_assert(std::is_same_v<decltype(std::declval<const Tensor<float>&>().data()), const float*>);
static_assert(std::is_same_v<decltype(std::declval<const Tensor<float>&>().view()), TensorView<const float>>);
static_assert(!std::is_convertible_v<Tensor<float>, Tensor<double>>, "Only an explicit conversion may round.");

TEST(Tensor, StartsWithZeros) {
  const Tensor<float> tensor(shape);
  for (Index i = 0; i < shape.elements(); ++i) ASSERT_EQ(tensor.data()[i], 0.0f) << i;
}

TEST(Tensor, WithoutAShapeIsEmpty) {
  const Tensor<float> tensor;
  EXPECT_EQ(tensor.shape().elements(), 0);
  EXPECT_EQ(tensor.matrix().rows(), 0);
}

TEST(Tensor, KeepsTheChannelsOfAPixelTogether) {
  Tensor<float> tensor(shape);
  for (Index i = 0; i < shape.elements(); ++i) tensor.data()[i] = static_cast<float>(i);
  float next = 0;
  for (Index n = 0; n < 2; ++n) {
    for (Index y = 0; y < 3; ++y) {
      for (Index x = 0; x < 5; ++x) {
        EXPECT_EQ(tensor.view().pixel(n, y, x), &tensor(n, y, x, 0));
        for (Index c = 0; c < 7; ++c) {
          EXPECT_EQ(tensor(n, y, x, c), next);
          EXPECT_EQ(std::as_const(tensor)(n, y, x, c), next);
          EXPECT_EQ(tensor.matrix()((n * 3 + y) * 5 + x, c), next);
          next += 1;
        }
      }
    }
  }
}

TEST(Tensor, CopiesAreIndependent) {
  test::Random random(1);
  Tensor<float> original = random.map<float>(shape);
  Tensor<float> copy = original;
  EXPECT_TRUE(test::same_bits(copy, original));
  EXPECT_NE(copy.data(), original.data());
  copy(1, 2, 4, 6) += 1.0f;
  EXPECT_FALSE(test::same_bits(copy, original));
  original = copy;
  EXPECT_TRUE(test::same_bits(original, copy));
  EXPECT_NE(copy.data(), original.data());
}

TEST(Tensor, ConvertsEveryElement) {
  test::Random random(2);
  const Tensor<double> exact = random.map<double>(shape);
  const Tensor<float> rounded(exact);
  EXPECT_EQ(rounded.shape(), shape);
  for (Index i = 0; i < shape.elements(); ++i) EXPECT_EQ(rounded.data()[i], static_cast<float>(exact.data()[i])) << i;
  const Tensor<double> back(rounded);
  for (Index i = 0; i < shape.elements(); ++i) EXPECT_EQ(back.data()[i], static_cast<double>(rounded.data()[i])) << i;
}

TEST(Tensor, BeginsOnACacheLine) {
  for (Index channels = 1; channels <= 9; ++channels) {
    const Tensor<double> tensor(Shape{.channels = channels});
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(tensor.data()) % alignment, 0u);
  }
}

TEST(Tensor, RefusesAShapeThatCannotBeCounted) {
  EXPECT_THROW(Tensor<float>(Shape{.height = Index{1} << 31, .width = Index{1} << 31, .channels = 3}), Error);
  EXPECT_THROW(Tensor<float>(Shape{.batch = -1}), Error);
}

TEST(TensorView, WritesToTheTensor) {
  Tensor<float> tensor(shape);
  const TensorView<float> view = tensor.view();
  view(1, 0, 2, 3) = 4.0f;
  view.matrix()(0, 5) = 2.0f;
  EXPECT_EQ(tensor(1, 0, 2, 3), 4.0f);
  EXPECT_EQ(tensor(0, 0, 0, 5), 2.0f);
  const TensorView<const float> read_only = view;
  EXPECT_EQ(read_only.data(), tensor.data());
  EXPECT_EQ(read_only(1, 0, 2, 3), 4.0f);
  EXPECT_EQ(read_only.matrix()(0, 5), 2.0f);
}

}  // namespace
}  // namespace plainnet
