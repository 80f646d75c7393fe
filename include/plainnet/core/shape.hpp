#pragma once
// Sizes: the shape of a feature map, and the extents of a parameter as its checkpoint lists them.

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>

#include "plainnet/core/error.hpp"

namespace plainnet {

/// Signed, so that differences and loops that count down are what they seem.
using Index = std::ptrdiff_t;

/// Of multiply-adds, of which a run takes billions, also where an Index has 32 bits. Else it is an Index.
using Count = std::conditional_t<(sizeof(Index) >= sizeof(std::int64_t)), Index, std::int64_t>;

namespace detail {

[[noreturn]] inline void refuse_sizes(Count a, std::string_view operation, Count b) {
  fail(a < 0 || b < 0 ? "negative size: " : "size overflow: ", a, operation, b);
}

}  // namespace detail

/// a · b for sizes, an Error instead of an overflow.
inline Index checked_multiply(Index a, Index b) {
  Index product = 0;
  if (a < 0 || b < 0 || __builtin_mul_overflow(a, b, &product)) detail::refuse_sizes(a, " times ", b);
  return product;
}

/// a · b for counts, an Error instead of an overflow.
inline Count multiply_counts(Count a, Count b) {
  Count product = 0;
  if (a < 0 || b < 0 || __builtin_mul_overflow(a, b, &product)) detail::refuse_sizes(a, " times ", b);
  return product;
}

/// a + b for counts, an Error instead of an overflow.
inline Count add_counts(Count a, Count b) {
  Count sum = 0;
  if (a < 0 || b < 0 || __builtin_add_overflow(a, b, &sum)) detail::refuse_sizes(a, " plus ", b);
  return sum;
}

/// a + b for sizes, an Error instead of an overflow.
inline Index checked_add(Index a, Index b) {
  Index sum = 0;
  if (a < 0 || b < 0 || __builtin_add_overflow(a, b, &sum)) detail::refuse_sizes(a, " plus ", b);
  return sum;
}

/// Shape of a feature map, channels last: element (n, y, x, c) lies at ((n·height + y)·width + x)·channels + c.
struct Shape {
  Index batch = 1;
  Index height = 1;
  Index width = 1;
  Index channels = 1;

  /// Number of (n, y, x) positions: the rows of the map seen as a matrix.
  Index pixels() const { return checked_multiply(checked_multiply(batch, height), width); }
  Index elements() const { return checked_multiply(pixels(), channels); }

  bool operator==(const Shape&) const = default;
};

/// For instance "(N 1, H 224, W 224, C 3)".
inline std::string to_string(const Shape& shape) {
  return concatenate("(N ", shape.batch, ", H ", shape.height, ", W ", shape.width, ", C ", shape.channels, ")");
}

/// Extents of a parameter in the order of its checkpoint, for instance (O, I, kh, kw); rank 0 is one number.
class Extents {
 public:
  static constexpr std::size_t max_rank = 8;

  Extents() = default;
  Extents(std::initializer_list<Index> extents) {
    for (Index extent : extents) push_back(extent);
  }

  void push_back(Index extent) {
    require(rank_ < max_rank, "more than ", max_rank, " dimensions");
    require(extent >= 0, "negative dimension ", extent);
    extents_[rank_++] = extent;
  }

  std::size_t rank() const { return rank_; }
  Index operator[](std::size_t i) const { return extents_[i]; }
  const Index* begin() const { return extents_.data(); }
  const Index* end() const { return extents_.data() + rank_; }

  /// Product of all extents; 1 for rank 0.
  Index elements() const {
    Index product = 1;
    for (Index extent : *this) product = checked_multiply(product, extent);
    return product;
  }

  bool operator==(const Extents&) const = default;

 private:
  std::array<Index, max_rank> extents_{};
  std::size_t rank_ = 0;
};

/// Whether both are the same but for extents of 1 at the end, as (O, I) and (O, I, 1, 1) are: the same numbers in the
/// same order.
inline bool same_but_for_trailing_ones(const Extents& a, const Extents& b) {
  for (std::size_t i = 0; i < Extents::max_rank; ++i) {
    if ((i < a.rank() ? a[i] : 1) != (i < b.rank() ? b[i] : 1)) return false;
  }
  return true;
}

/// For instance "(64, 3, 4, 4)".
inline std::string to_string(const Extents& extents) {
  std::string text = "(";
  for (std::size_t i = 0; i < extents.rank(); ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(extents[i]);
  }
  return text + ")";
}

}  // namespace plainnet
