#include <vector>

#include <gtest/gtest.h>

#include "plainnet/core/layout.hpp"
#include "support/compare.hpp"
#include "support/random.hpp"

namespace plainnet {
namespace {

constexpr Shape shape{.batch = 2, .height = 3, .width = 5, .channels = 7};

TEST(FromChannelsFirst, ReadsPlaneAfterPlane) {
  std::vector<float> values(static_cast<std::size_t>(shape.elements()));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  const Tensor<float> map = from_channels_first<float>(values, shape);
  const test::Map reference = test::to_reference(map);
  for (Index i = 0; i < reference.values.size(); ++i) ASSERT_EQ(reference.values[i], static_cast<double>(i)) << i;
}

TEST(FromChannelsFirst, RefusesAnotherNumberOfValues) {
  const std::vector<float> values(static_cast<std::size_t>(shape.elements()) - 1);
  const std::string message = test::error_of([&] { from_channels_first<float>(values, shape); });
  EXPECT_NE(message.find("209"), std::string::npos) << message;
  EXPECT_NE(message.find("(N 2, H 3, W 5, C 7)"), std::string::npos) << message;
}

TEST(ToChannelsFirst, IsTheInverse) {
  test::Random random(3);
  const Tensor<double> map = random.map<double>(shape);
  const AlignedVector<double> values = to_channels_first<double>(map.view());
  ASSERT_EQ(values.size(), static_cast<std::size_t>(shape.elements()));
  EXPECT_TRUE(test::same_bits(from_channels_first<double>(values, shape), map));
  EXPECT_TRUE(to_channels_first<double>(Tensor<double>().view()).empty());
}

}  // namespace
}  // namespace plainnet
