#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>

#include <gtest/gtest.h>

#include "plainnet/core/bit_cast.hpp"
#include "plainnet/io/real_text.hpp"

namespace plainnet::test {
namespace {

TEST(RealText, StreamsReadWhatCharconvReads) {
  for (const char* text : {"0", "-0", "1", "0.5", "-0.25", ".5", "5.", "1e3", "1E-3", "1e+3", "0.1", "4.9e-324",
                           "1.7976931348623157e308", "123456789012345678901234567890"}) {
    ASSERT_TRUE(detail::parse_real(text).has_value()) << text;
    EXPECT_EQ(detail::parse_real_by_stream(text), detail::parse_real(text)) << text;
  }
}

TEST(RealText, RefusesWhatIsNotANumber) {
  for (const char* text : {"", " ", " 1", "1 ", "+1", "-", ".", "e5", "1e", "1e+", "0x1", "1,5", "1.5.5", "1-1", "one",
                           "1e999", "-1e999"}) {
    EXPECT_EQ(detail::parse_real(text), std::nullopt) << text;
    EXPECT_EQ(detail::parse_real_by_stream(text), std::nullopt) << text;
  }
  EXPECT_EQ(detail::parse_real(std::string("1\0", 2)), std::nullopt);
  EXPECT_EQ(detail::parse_real_by_stream(std::string("1\0", 2)), std::nullopt);
}

TEST(RealText, WritesTheFewestDigits) {
  EXPECT_EQ(detail::write_real(0.1), "0.1");
  EXPECT_EQ(detail::write_real_by_stream(0.1), "0.1");
  EXPECT_EQ(detail::write_real_by_stream(0.30000000000000004), "0.30000000000000004");
}

TEST(RealText, ReadsBackWhatItWrote) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 2000; ++i) {
    const auto number = detail::bit_cast<double>(std::uint64_t{random()});
    if (!std::isfinite(number)) continue;
    EXPECT_EQ(detail::parse_real(detail::write_real(number)), number);
    EXPECT_EQ(detail::parse_real_by_stream(detail::write_real_by_stream(number)), number);
  }
}

}  // namespace
}  // namespace plainnet::test
