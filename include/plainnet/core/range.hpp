#pragma once
// Half-open ranges of positions, and how work is shared out.

#include "plainnet/core/shape.hpp"

namespace plainnet {

/// begin, begin + 1, …, end − 1.
struct Range {
  Index begin = 0;
  Index end = 0;

  Index size() const { return end - begin; }
};

/// Part `index` of `parts` nearly equal parts of 0 … count − 1.
inline Range part_of(Index count, Index parts, Index index) {
  const Index base = count / parts;
  const Index extra = count % parts;
  const Index begin = index * base + (index < extra ? index : extra);
  return {begin, begin + base + (index < extra ? 1 : 0)};
}

}  // namespace plainnet
