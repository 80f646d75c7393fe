#include <cstdint>

#include <gtest/gtest.h>

#include "plainnet/core/bit_cast.hpp"

namespace plainnet::test {
namespace {

TEST(BitCast, GivesTheBitsOfFloatsAndDoubles) {
  static_assert(detail::bit_cast<std::uint32_t>(1.0f) == 0x3F800000u);
  EXPECT_EQ(detail::bit_cast<std::uint64_t>(-2.0), 0xC000000000000000u);
  EXPECT_EQ(detail::bit_cast<float>(0x40490FDBu), 3.14159274f);
}

}  // namespace
}  // namespace plainnet::test
