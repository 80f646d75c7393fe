#include <gtest/gtest.h>

#include "plainnet/layers/position_embedding.hpp"
#include "support/compare.hpp"
#include "support/random.hpp"

namespace plainnet {
namespace {

using test::Map;
using test::Numbers;

static_assert(Layer<PositionEmbedding<float>, float>);

template <class T>
class PositionEmbeddingOf : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(PositionEmbeddingOf, Scalars);

TYPED_TEST(PositionEmbeddingOf, AddsTheSameToEveryImage) {
  using T = TypeParam;
  test::Random random(3);
  PositionEmbedding<T> position(5, 3, 4);
  random.fill(position.pos_embed);
  const Tensor<T> in = random.map<T>({2, 3, 4, 5});
  const Numbers numbers(position.pos_embed);
  const Map plain = test::to_reference(in);
  const Map expected = test::make_map(2, 5, 3, 4, [&](Index n, Index c, Index y, Index x) {
    return plain.at(n, c, y, x) + numbers[(c * 3 + y) * 4 + x];
  });
  EXPECT_TRUE(test::near_everywhere(position.forward(in), expected, test::rounding_error<T>(1, 2.0)));
  EXPECT_EQ(test::error_of([&] {
              position.forward(Tensor<T>({1, 4, 3, 5}));
            }),
            "a position embedding of 3x4x5 was given a map of 4x3x5: this network works at one size of image only");
}

}  // namespace
}  // namespace plainnet
