#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <Eigen/Core>
#include <gtest/gtest.h>

#include "io/error_message.hpp"
#include "plainnet/io/number_format.hpp"

namespace plainnet::test {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

/// The textbook value of a 16-bit number; NaN is left to the caller.
double value_of(std::uint16_t bits, int exponent_bits) {
  const int fraction_bits = 15 - exponent_bits;
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = (bits >> fraction_bits) & ((1 << exponent_bits) - 1);
  const int fraction = bits & ((1 << fraction_bits) - 1);
  const double sign = bits >> 15 ? -1 : 1;
  if (exponent == (1 << exponent_bits) - 1) return sign * infinity;
  const double significand = exponent == 0 ? fraction : fraction + (1 << fraction_bits);
  return sign * std::ldexp(significand, std::max(exponent, 1) - bias - fraction_bits);
}

bool is_nan(std::uint16_t bits, int exponent_bits) {
  const int fraction_bits = 15 - exponent_bits;
  return (bits & 0x7FFF) > (((1 << exponent_bits) - 1) << fraction_bits);
}

struct Narrow {
  NumberFormat format;
  int exponent_bits;
};
constexpr Narrow narrow_formats[] = {{NumberFormat::f16, 5}, {NumberFormat::bf16, 8}};

template <class T>
std::vector<T> decoded(NumberFormat format, const void* data, std::size_t count) {
  const auto size = count * static_cast<std::size_t>(info(format).bits / 8);
  // One byte off, so that nothing can rely on alignment.
  std::vector<std::byte> bytes(size + 1);
  std::copy_n(static_cast<const std::byte*>(data), size, bytes.begin() + 1);
  std::vector<T> result(count);
  decode(format, std::span<const std::byte>(bytes).subspan(1), std::span(result));
  return result;
}

template <class Stored, class T>
std::vector<Stored> encoded(NumberFormat format, const std::vector<T>& values) {
  std::vector<Stored> result(values.size());
  encode(format, std::span<const T>(values), std::as_writable_bytes(std::span(result)));
  return result;
}

std::vector<std::uint16_t> all_16_bit_patterns() {
  std::vector<std::uint16_t> result(65536);
  for (std::size_t i = 0; i < result.size(); ++i) result[i] = static_cast<std::uint16_t>(i);
  return result;
}

TEST(NumberFormat, NamesLeadBackToTheFormat) {
  for (const NumberFormatInfo& row : number_formats) {
    EXPECT_EQ(find_number_format(row.name), row.format);
    EXPECT_EQ(name_of(row.format), row.name);
  }
  EXPECT_EQ(number_formats.size(), 22u);
  EXPECT_FALSE(find_number_format("f32"));
  EXPECT_FALSE(find_number_format(""));
}

TEST(NumberFormat, All65536PatternsOfBoth16BitFormatsAreExact) {
  const std::vector<std::uint16_t> patterns = all_16_bit_patterns();
  for (const auto& [format, exponent_bits] : narrow_formats) {
    const auto floats = decoded<float>(format, patterns.data(), patterns.size());
    const auto doubles = decoded<double>(format, patterns.data(), patterns.size());
    for (const std::uint16_t bits : patterns) {
      if (is_nan(bits, exponent_bits)) {
        ASSERT_TRUE(std::isnan(floats[bits]) && std::isnan(doubles[bits])) << name_of(format) << " " << bits;
        continue;
      }
      ASSERT_EQ(floats[bits], value_of(bits, exponent_bits)) << name_of(format) << " " << bits;
      ASSERT_EQ(doubles[bits], value_of(bits, exponent_bits)) << name_of(format) << " " << bits;
      ASSERT_EQ(std::signbit(floats[bits]), bits >> 15 == 1) << name_of(format) << " " << bits;
    }
  }
}

TEST(NumberFormat, All65536PatternsSurviveTheWayBack) {
  const std::vector<std::uint16_t> patterns = all_16_bit_patterns();
  for (const auto& [format, exponent_bits] : narrow_formats) {
    const auto back = encoded<std::uint16_t>(format, decoded<float>(format, patterns.data(), patterns.size()));
    for (const std::uint16_t bits : patterns) {
      if (is_nan(bits, exponent_bits)) {
        ASSERT_TRUE(is_nan(back[bits], exponent_bits)) << name_of(format) << " " << bits;
      } else {
        ASSERT_EQ(back[bits], bits) << name_of(format);
      }
    }
  }
}

TEST(NumberFormat, RoundsToTheNearestAndTiesToEven) {
  for (const auto& [format, exponent_bits] : narrow_formats) {
    const auto largest = static_cast<std::uint16_t>((((1 << exponent_bits) - 1) << (15 - exponent_bits)) - 1);
    const double half_step = (value_of(largest, exponent_bits) - value_of(largest - 1, exponent_bits)) / 2;
    for (std::uint16_t low = 0; low <= largest; ++low) {
      const auto high = static_cast<std::uint16_t>(low + 1);
      const double middle = low == largest ? value_of(low, exponent_bits) + half_step
                                           : (value_of(low, exponent_bits) + value_of(high, exponent_bits)) / 2;
      const std::vector<double> values = {std::nextafter(middle, 0.0), middle, std::nextafter(middle, 1e308), -middle};
      const auto even = static_cast<std::uint16_t>(low % 2 == 0 ? low : high);
      const std::vector<std::uint16_t> expected = {low, even, high, static_cast<std::uint16_t>(even | 0x8000)};
      ASSERT_EQ(encoded<std::uint16_t>(format, values), expected) << name_of(format) << " " << low;
    }
  }
}

TEST(NumberFormat, RoundsRandomFloatsAsEigenDoes) {
  std::mt19937 random(1);
  for (int i = 0; i < 1'000'000; ++i) {
    const float value = std::bit_cast<float>(static_cast<std::uint32_t>(random()));
    const auto half = detail::round_to_16_bits<5>(value);
    const auto bfloat = detail::round_to_16_bits<8>(value);
    if (std::isnan(value)) {
      ASSERT_TRUE(is_nan(half, 5) && is_nan(bfloat, 8));
      continue;
    }
    ASSERT_EQ(half, Eigen::half_impl::float_to_half_rtne(value).x) << value;
    ASSERT_EQ(bfloat, Eigen::bfloat16_impl::float_to_bfloat16_rtne<false>(value).value) << value;
  }
}

TEST(NumberFormat, FloatsAndDoublesPassUnchanged) {
  const float f[] = {0.0f, -0.0f, 1.5f, std::numeric_limits<float>::denorm_min(), infinity, -infinity};
  EXPECT_EQ(decoded<float>(NumberFormat::f32, f, 6), std::vector<float>(f, f + 6));
  EXPECT_EQ(decoded<double>(NumberFormat::f32, f, 6), std::vector<double>(f, f + 6));
  const double d[] = {1.0 / 3, std::numeric_limits<double>::denorm_min(), -1e308};
  EXPECT_EQ(decoded<double>(NumberFormat::f64, d, 3), std::vector<double>(d, d + 3));
  const std::vector<float> narrowed = {1.0f / 3, 0.0f, -infinity};
  EXPECT_EQ(decoded<float>(NumberFormat::f64, d, 3), narrowed);

  const auto nan_bits = std::uint32_t{0xFFA12345};  // a signalling NaN with a payload
  const auto nan = decoded<float>(NumberFormat::f32, &nan_bits, 1);
  EXPECT_TRUE(std::isnan(nan[0]));
}

TEST(NumberFormat, IntegersKeepTheirSignAndRange) {
  const std::int8_t i8[] = {-128, 127};
  EXPECT_EQ(decoded<std::int64_t>(NumberFormat::i8, i8, 2), (std::vector<std::int64_t>{-128, 127}));
  const std::uint8_t u8[] = {0, 255};
  EXPECT_EQ(decoded<std::int64_t>(NumberFormat::u8, u8, 2), (std::vector<std::int64_t>{0, 255}));
  EXPECT_EQ(decoded<std::uint8_t>(NumberFormat::u8, u8, 2), (std::vector<std::uint8_t>{0, 255}));
  EXPECT_EQ(decoded<std::uint8_t>(NumberFormat::boolean, u8, 2), (std::vector<std::uint8_t>{0, 1}));
  EXPECT_EQ(decoded<float>(NumberFormat::u8, u8, 2), (std::vector<float>{0, 255}));
  const std::int16_t i16[] = {-32768, 32767};
  EXPECT_EQ(decoded<std::int64_t>(NumberFormat::i16, i16, 2), (std::vector<std::int64_t>{-32768, 32767}));
  const std::uint16_t u16[] = {65535};
  EXPECT_EQ(decoded<double>(NumberFormat::u16, u16, 1), std::vector<double>{65535});
  const std::int32_t i32[] = {std::numeric_limits<std::int32_t>::min()};
  EXPECT_EQ(decoded<double>(NumberFormat::i32, i32, 1), std::vector<double>{-2147483648.0});
  const std::uint32_t u32[] = {4294967295u};
  EXPECT_EQ(decoded<std::int64_t>(NumberFormat::u32, u32, 1), std::vector<std::int64_t>{4294967295});
  const std::int64_t i64[] = {std::numeric_limits<std::int64_t>::min(), 42};
  EXPECT_EQ(decoded<std::int64_t>(NumberFormat::i64, i64, 2), std::vector<std::int64_t>(i64, i64 + 2));
  const std::uint64_t u64[] = {std::uint64_t{1} << 63};
  EXPECT_EQ(decoded<double>(NumberFormat::u64, u64, 1), std::vector<double>{0x1p63});
}

TEST(NumberFormat, AU64BeyondInt64IsRefused) {
  const std::uint64_t values[] = {std::uint64_t{1} << 63};
  EXPECT_THROW(decoded<std::int64_t>(NumberFormat::u64, values, 1), Error);
  const std::uint64_t largest[] = {(std::uint64_t{1} << 63) - 1};
  EXPECT_EQ(decoded<std::int64_t>(NumberFormat::u64, largest, 1)[0], std::numeric_limits<std::int64_t>::max());
}

TEST(NumberFormat, WhatCannotBeReadIsNamed) {
  const std::byte bytes[16] = {};
  for (const NumberFormatInfo& row : number_formats) {
    const bool is_exotic = row.format >= NumberFormat::c64;
    EXPECT_EQ(can_decode<float>(row.format), !is_exotic) << row.name;
    EXPECT_EQ(can_decode<double>(row.format), !is_exotic) << row.name;
    EXPECT_EQ(can_decode<std::int64_t>(row.format), !is_exotic && !is_floating(row.format)) << row.name;
    if (is_exotic) {
      const std::string message = error_of([&] { decoded<float>(row.format, bytes, 1); });
      EXPECT_NE(message.find(row.name), message.npos) << message;
    } else {
      EXPECT_EQ(decoded<double>(row.format, bytes, 2), std::vector<double>(2)) << row.name;
    }
  }
  EXPECT_THROW(decoded<std::uint8_t>(NumberFormat::i8, bytes, 1), Error);
  EXPECT_THROW(decoded<std::uint8_t>(NumberFormat::f32, bytes, 1), Error);
}

TEST(NumberFormat, SizesThatDisagreeAreRefused) {
  std::vector<float> out(3);
  const std::vector<std::byte> bytes(16);
  EXPECT_THROW(decode(NumberFormat::f32, std::span<const std::byte>(bytes), std::span(out)), Error);
  EXPECT_THROW(decode(NumberFormat::f32, std::span<const std::byte>(bytes).first(13), std::span(out)), Error);
  std::vector<std::byte> target(8);
  EXPECT_THROW(encode(NumberFormat::f16, std::span<const float>(out), std::span(target)), Error);
}

TEST(NumberFormat, NothingIsReadAsNothing) {
  EXPECT_TRUE(decoded<float>(NumberFormat::f32, nullptr, 0).empty());
  EXPECT_NO_THROW(decode(NumberFormat::bf16, std::span<const std::byte>(), std::span<double>()));
  EXPECT_NO_THROW(encode(NumberFormat::bf16, std::span<const double>(), std::span<std::byte>()));
}

TEST(NumberFormat, EncodesIntoEveryFloatingFormatAndRefusesTheRest) {
  const std::vector<double> values = {1.0 / 3, -2.5};
  EXPECT_EQ(encoded<double>(NumberFormat::f64, values), values);
  EXPECT_EQ(encoded<float>(NumberFormat::f32, values), (std::vector<float>{1.0f / 3, -2.5f}));
  EXPECT_EQ(encoded<double>(NumberFormat::f64, std::vector<float>{0.1f}), std::vector<double>{0.1f});
  EXPECT_EQ(encoded<std::uint8_t>(NumberFormat::u8, std::vector<std::uint8_t>{7}), std::vector<std::uint8_t>{7});
  EXPECT_THROW(encoded<std::int64_t>(NumberFormat::i64, values), Error);
  EXPECT_THROW(encoded<float>(NumberFormat::f32, std::vector<std::uint8_t>{7}), Error);
}

TEST(NumberFormat, StoredBytesSeesOverflowAndUnfinishedBytes) {
  EXPECT_EQ(stored_bytes(NumberFormat::f32, {2, 3}), 24u);
  EXPECT_EQ(stored_bytes(NumberFormat::f64, {}), 8u);
  EXPECT_EQ(stored_bytes(NumberFormat::f64, {5, 0, 7}), 0u);
  EXPECT_EQ(stored_bytes(NumberFormat::f4, {6}), 3u);
  EXPECT_FALSE(stored_bytes(NumberFormat::f4, {3}));
  EXPECT_EQ(stored_bytes(NumberFormat::f6_e2m3, {4}), 3u);
  EXPECT_FALSE(stored_bytes(NumberFormat::f6_e2m3, {5}));
  EXPECT_FALSE(stored_bytes(NumberFormat::u8, {Index{1} << 31, Index{1} << 31}));  // 2^65 bits
  EXPECT_EQ(stored_bytes(NumberFormat::u8, {Index{1} << 30, Index{1} << 30}), std::uint64_t{1} << 60);
}

}  // namespace
}  // namespace plainnet::test
