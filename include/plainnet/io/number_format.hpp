#pragma once
// The number formats of stored tensors, and their conversion from and to C++ numbers.

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>

#include "plainnet/core/bit_cast.hpp"
#include "plainnet/core/error.hpp"
#include "plainnet/core/shape.hpp"

namespace plainnet {

static_assert(std::endian::native == std::endian::little,
              "plainnet reads checkpoints on little-endian machines only: their bytes are used as they are.");

// clang-format off
/// Every dtype that a safetensors file may name. All can be listed and copied; decode() reads those up to u64.
enum class NumberFormat : std::uint8_t {
  f64, f32, f16, bf16,
  boolean, i8, i16, i32, i64, u8, u16, u32, u64,
  c64, f8_e5m2, f8_e4m3, f8_e8m0, f8_e4m3fnuz, f8_e5m2fnuz, f6_e2m3, f6_e3m2, f4
};
// clang-format on

/// A format, the name that safetensors gives it and the bits of a number.
struct NumberFormatInfo {
  NumberFormat format;
  std::string_view name;  // as safetensors spells it
  Index bits;
};

inline constexpr std::array number_formats{
    NumberFormatInfo{NumberFormat::f64, "F64", 64},
    NumberFormatInfo{NumberFormat::f32, "F32", 32},
    NumberFormatInfo{NumberFormat::f16, "F16", 16},
    NumberFormatInfo{NumberFormat::bf16, "BF16", 16},
    NumberFormatInfo{NumberFormat::boolean, "BOOL", 8},
    NumberFormatInfo{NumberFormat::i8, "I8", 8},
    NumberFormatInfo{NumberFormat::i16, "I16", 16},
    NumberFormatInfo{NumberFormat::i32, "I32", 32},
    NumberFormatInfo{NumberFormat::i64, "I64", 64},
    NumberFormatInfo{NumberFormat::u8, "U8", 8},
    NumberFormatInfo{NumberFormat::u16, "U16", 16},
    NumberFormatInfo{NumberFormat::u32, "U32", 32},
    NumberFormatInfo{NumberFormat::u64, "U64", 64},
    NumberFormatInfo{NumberFormat::c64, "C64", 64},
    NumberFormatInfo{NumberFormat::f8_e5m2, "F8_E5M2", 8},
    NumberFormatInfo{NumberFormat::f8_e4m3, "F8_E4M3", 8},
    NumberFormatInfo{NumberFormat::f8_e8m0, "F8_E8M0", 8},
    NumberFormatInfo{NumberFormat::f8_e4m3fnuz, "F8_E4M3FNUZ", 8},
    NumberFormatInfo{NumberFormat::f8_e5m2fnuz, "F8_E5M2FNUZ", 8},
    NumberFormatInfo{NumberFormat::f6_e2m3, "F6_E2M3", 6},
    NumberFormatInfo{NumberFormat::f6_e3m2, "F6_E3M2", 6},
    NumberFormatInfo{NumberFormat::f4, "F4", 4},
};

static_assert(
    [] {
      for (std::size_t i = 0; i < number_formats.size(); ++i) {
        if (number_formats[i].format != static_cast<NumberFormat>(i)) return false;
      }
      return true;
    }(),
    "The rows of number_formats stand in the order of the enumeration.");

/// The row of a format in number_formats.
constexpr const NumberFormatInfo& info(NumberFormat format) { return number_formats[static_cast<std::size_t>(format)]; }

/// As safetensors writes it.
constexpr std::string_view name_of(NumberFormat format) { return info(format).name; }

/// The format of that name, if there is one.
constexpr std::optional<NumberFormat> find_number_format(std::string_view name) {
  for (const NumberFormatInfo& row : number_formats) {
    if (row.name == name) return row.format;
  }
  return std::nullopt;
}

/// F64, F32, F16 and BF16: what weights may be stored in.
constexpr bool is_floating(NumberFormat format) { return format <= NumberFormat::bf16; }

/// BOOL and the signed and unsigned integers.
constexpr bool is_integer(NumberFormat format) {
  return format >= NumberFormat::boolean && format <= NumberFormat::u64;
}

/// The format that stores a C++ number as it is.
template <class T>
inline constexpr NumberFormat format_of = [] {
  static_assert(std::is_same_v<T, double> || std::is_same_v<T, float> || std::is_same_v<T, std::uint8_t> ||
                    std::is_same_v<T, std::int64_t>,
                "Tensors are read as and written from double, float, uint8_t or int64_t.");
  if constexpr (std::is_same_v<T, double>) return NumberFormat::f64;
  if constexpr (std::is_same_v<T, float>) return NumberFormat::f32;
  if constexpr (std::is_same_v<T, std::uint8_t>) return NumberFormat::u8;
  return NumberFormat::i64;
}();

/// Size of a tensor in bytes; nothing if it overflows 64 bits or if the last byte would not be full.
inline std::optional<std::uint64_t> stored_bytes(NumberFormat format, const Extents& extents) {
  std::uint64_t bits = static_cast<std::uint64_t>(info(format).bits);
  for (Index extent : extents) {
    const auto factor = static_cast<std::uint64_t>(extent);
    if (factor != 0 && bits > std::numeric_limits<std::uint64_t>::max() / factor) return std::nullopt;
    bits *= factor;
  }
  if (bits % 8 != 0) return std::nullopt;
  return bits / 8;
}

/// IEEE binary16 (5 exponent, 10 fraction bits) as a float, exactly; the bits of a NaN are kept.
inline float float_from_half(std::uint16_t half) {
  const std::uint32_t sign = (half & 0x8000u) << 16;
  const std::uint32_t magnitude = half & 0x7FFFu;
  std::uint32_t bits = magnitude << 13;  // 23 − 10 more fraction bits
  if (magnitude >= 0x7C00u) {
    bits += (255u - 31u) << 23;  // infinity, NaN
  } else if (magnitude >= 0x0400u) {
    bits += (127u - 15u) << 23;
  } else {
    // Subnormal, normal as a float; computed without subnormal floats, which a program may have switched off.
    bits = detail::bit_cast<std::uint32_t>(static_cast<float>(magnitude) * 0x1p-24f);
  }
  return detail::bit_cast<float>(sign | bits);
}

/// bfloat16, the upper half of a float.
inline float float_from_bfloat16(std::uint16_t bits) {
  return detail::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

namespace detail {

/// The bits of the nearest 16-bit number, ties to even; what is too large becomes infinity. Rounds once, also from
/// double, where a detour over float would round twice.
template <int exponent_bits>
std::uint16_t round_to_16_bits(double value) {
  constexpr int fraction_bits = 15 - exponent_bits;
  constexpr int bias = (1 << (exponent_bits - 1)) - 1;
  constexpr std::uint32_t infinity = ((1u << exponent_bits) - 1) << fraction_bits;

  const auto bits = detail::bit_cast<std::uint64_t>(value);
  const auto sign = static_cast<std::uint32_t>(bits >> 63) << 15;
  const std::uint64_t magnitude = bits & ~(std::uint64_t{1} << 63);
  std::uint64_t fraction = magnitude & ((std::uint64_t{1} << 52) - 1);
  const int exponent = static_cast<int>(magnitude >> 52) - 1023 + bias;  // as the result stores it
  int dropped = 52 - fraction_bits;

  std::uint32_t result = infinity;
  if (magnitude > std::uint64_t{0x7FF} << 52) {
    const auto payload = static_cast<std::uint32_t>(fraction >> dropped);
    result = infinity | (1u << (fraction_bits - 1)) | payload;  // a quiet NaN
  } else if (exponent <= 0 && dropped + 1 - exponent > 53) {
    result = 0;  // below half of the smallest subnormal
  } else if (exponent < (1 << exponent_bits) - 1) {
    if (exponent <= 0) {  // subnormal: the leading one becomes visible
      fraction |= std::uint64_t{1} << 52;
      dropped += 1 - exponent;
    }
    const auto kept = static_cast<std::uint32_t>(fraction >> dropped);
    const std::uint64_t rest = fraction & ((std::uint64_t{1} << dropped) - 1);
    const std::uint64_t half = std::uint64_t{1} << (dropped - 1);
    result = (static_cast<std::uint32_t>(exponent > 0 ? exponent : 0) << fraction_bits) | kept;
    if (rest > half || (rest == half && result % 2 == 1)) ++result;  // may carry into the exponent, up to infinity
  }
  return static_cast<std::uint16_t>(sign | result);
}

template <class Number>
Number read_unaligned(const std::byte* bytes) {
  Number number;
  std::memcpy(&number, bytes, sizeof(Number));
  return number;
}

template <class Stored, class T, class Convert>
void decode_each(std::span<const std::byte> bytes, std::span<T> out, Convert convert) {
  const std::byte* place = bytes.data();
  for (std::size_t i = 0; i < out.size(); ++i, place += sizeof(Stored)) out[i] = convert(read_unaligned<Stored>(place));
}

template <class Stored, class T, class Convert>
void encode_each(std::span<const T> values, std::span<std::byte> out, Convert convert) {
  std::byte* place = out.data();
  for (std::size_t i = 0; i < values.size(); ++i, place += sizeof(Stored)) {
    const Stored stored = convert(values[i]);
    std::memcpy(place, &stored, sizeof(Stored));
  }
}

inline void require_size(NumberFormat format, std::size_t bytes, std::size_t numbers) {
  const auto width = static_cast<std::size_t>(info(format).bits / 8);
  require(bytes % width == 0 && bytes / width == numbers, bytes, " bytes do not hold ", numbers, " numbers of ",
          name_of(format));
}

}  // namespace detail

/// Whether decode() reads this format as T: floating formats and integers as float and double (rounded to the nearest
/// number, beyond the largest float to infinity), integers as int64_t, U8 and BOOL as uint8_t.
template <class T>
constexpr bool can_decode(NumberFormat format) {
  constexpr NumberFormat target = format_of<T>;
  if (target == NumberFormat::u8) return format == NumberFormat::u8 || format == NumberFormat::boolean;
  return is_integer(format) || (is_floating(target) && is_floating(format));
}

/// Stored numbers, little-endian on any address, as T. Error if the sizes disagree, if T cannot take the format (see
/// can_decode), or for a U64 beyond int64_t.
template <class T>
void decode(NumberFormat format, std::span<const std::byte> bytes, std::span<T> out) {
  require(can_decode<T>(format), "numbers of the format ", name_of(format), " cannot be read as ",
          name_of(format_of<T>));
  detail::require_size(format, bytes.size(), out.size());
  if (out.empty()) return;
  if (format == format_of<T>) {
    std::memcpy(out.data(), bytes.data(), out.size_bytes());
    return;
  }
  const auto cast = [](auto number) { return static_cast<T>(number); };
  if constexpr (std::is_floating_point_v<T>) {
    switch (format) {
      case NumberFormat::f64: return detail::decode_each<double>(bytes, out, cast);
      case NumberFormat::f32: return detail::decode_each<float>(bytes, out, cast);
      case NumberFormat::f16: return detail::decode_each<std::uint16_t>(bytes, out, float_from_half);
      case NumberFormat::bf16: return detail::decode_each<std::uint16_t>(bytes, out, float_from_bfloat16);
      default: break;
    }
  }
  if constexpr (std::is_same_v<T, std::int64_t>) {
    if (format == NumberFormat::u64) {
      return detail::decode_each<std::uint64_t>(bytes, out, [](std::uint64_t number) {
        require(number <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()), "the U64 ", number,
                " does not fit into a signed 64-bit integer");
        return static_cast<std::int64_t>(number);
      });
    }
  }
  switch (format) {
    case NumberFormat::boolean:
      return detail::decode_each<std::uint8_t>(bytes, out, [](std::uint8_t b) { return static_cast<T>(b != 0); });
    case NumberFormat::i8: return detail::decode_each<std::int8_t>(bytes, out, cast);
    case NumberFormat::i16: return detail::decode_each<std::int16_t>(bytes, out, cast);
    case NumberFormat::i32: return detail::decode_each<std::int32_t>(bytes, out, cast);
    case NumberFormat::i64: return detail::decode_each<std::int64_t>(bytes, out, cast);
    case NumberFormat::u8: return detail::decode_each<std::uint8_t>(bytes, out, cast);
    case NumberFormat::u16: return detail::decode_each<std::uint16_t>(bytes, out, cast);
    case NumberFormat::u32: return detail::decode_each<std::uint32_t>(bytes, out, cast);
    case NumberFormat::u64: return detail::decode_each<std::uint64_t>(bytes, out, cast);
    default: break;
  }
}

/// The inverse: float and double into any floating format, rounded to nearest, ties to even; uint8_t into U8, int64_t
/// into I64. Error for anything else, or if the sizes disagree.
template <class T>
void encode(NumberFormat format, std::span<const T> values, std::span<std::byte> out) {
  require(format == format_of<T> || (is_floating(format) && is_floating(format_of<T>)), name_of(format_of<T>),
          " numbers cannot be written as ", name_of(format));
  detail::require_size(format, out.size(), values.size());
  if (values.empty()) return;
  if (format == format_of<T>) {
    std::memcpy(out.data(), values.data(), out.size());
    return;
  }
  if constexpr (std::is_floating_point_v<T>) {
    switch (format) {
      case NumberFormat::f64:
        return detail::encode_each<double>(values, out, [](T v) { return static_cast<double>(v); });
      case NumberFormat::f32: return detail::encode_each<float>(values, out, [](T v) { return static_cast<float>(v); });
      case NumberFormat::f16: return detail::encode_each<std::uint16_t>(values, out, detail::round_to_16_bits<5>);
      case NumberFormat::bf16: return detail::encode_each<std::uint16_t>(values, out, detail::round_to_16_bits<8>);
      default: break;
    }
  }
}

}  // namespace plainnet
