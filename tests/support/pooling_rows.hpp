#pragma once
// Sizes of pooling windows that are awkward in one way or another; every window sees at least one pixel.

#include <string>
#include <vector>

#include "plainnet/core/window.hpp"
#include "support/random.hpp"
#include "support/reference_layers.hpp"

namespace plainnet::test {

struct PoolingRow {
  Shape in;
  Window window;
};

inline std::string to_string(const PoolingRow& row) {
  const Window& w = row.window;
  const Padding& p = w.padding;
  return concatenate(to_string(row.in), ", kernel ", w.kernel.height, "x", w.kernel.width, ", stride ", w.stride.height,
                     "x", w.stride.width, ", dilation ", w.dilation.height, "x", w.dilation.width, ", padding ", p.top,
                     " ", p.bottom, " ", p.left, " ", p.right, w.rounding == Rounding::ceil ? ", ceil" : "");
}

namespace detail {

inline bool every_position_sees_a_pixel(const Axis& axis, Index extent) {
  for (Index position = 0; position < axis.positions(extent); ++position) {
    bool sees = false;
    for (Index k = 0; k < axis.kernel; ++k) sees = sees || (axis.at(position, k) >= 0 && axis.at(position, k) < extent);
    if (!sees) return false;
  }
  return axis.positions(extent) > 0;
}

}  // namespace detail

inline std::vector<PoolingRow> pooling_rows() {
  constexpr Rounding ceil = Rounding::ceil;
  std::vector<PoolingRow> rows = {
      {{.batch = 1, .height = 1, .width = 1, .channels = 1}, Window{}},
      {{.batch = 2, .height = 7, .width = 9, .channels = 5}, Window{.kernel = 2, .stride = 2}},  // a row is left over
      {{.batch = 2, .height = 7, .width = 9, .channels = 5}, Window{.kernel = 2, .stride = 2, .rounding = ceil}},
      {{.batch = 1, .height = 8, .width = 8, .channels = 3}, Window{.kernel = 3, .stride = 2, .padding = 1}},
      {{.batch = 1, .height = 8, .width = 8, .channels = 3},
       Window{.kernel = 3, .stride = 2, .padding = 1, .rounding = ceil}},
      {{.batch = 1, .height = 8, .width = 8, .channels = 3}, Window{.kernel = 3, .padding = 1}},  // PoolFormer's mixer
      {{.batch = 1, .height = 8, .width = 7, .channels = 3}, Window{.kernel = 2, .stride = 2, .padding = {0, 1, 1, 0}}},
      {{.batch = 1, .height = 1, .width = 1, .channels = 3}, Window{.kernel = 2, .stride = 2, .rounding = ceil}},
      {{.batch = 1, .height = 2, .width = 5, .channels = 4}, Window{.kernel = 3, .stride = 2, .rounding = ceil}},
      {{.batch = 1, .height = 9, .width = 9, .channels = 2},
       Window{.kernel = 3, .stride = 2, .dilation = 2, .padding = 1}},
      {{.batch = 1, .height = 3, .width = 40, .channels = 2}, Window{.kernel = {3, 1}, .stride = {1, 7}}},
  };
  Random random(43);
  while (rows.size() < 100) {
    PoolingRow row{
        .in = {.batch = random.integer(1, 2),
               .height = random.integer(1, 11),
               .width = random.integer(1, 11),
               .channels = random.integer(1, 20)},
        .window = {.kernel = {random.integer(1, 5), random.integer(1, 5)},
                   .stride = {random.integer(1, 4), random.integer(1, 4)},
                   .dilation = random.integer(1, 3) == 3 ? 2 : 1,
                   .padding = {random.integer(0, 3), random.integer(0, 3), random.integer(0, 3), random.integer(0, 3)},
                   .rounding = random.coin() ? ceil : Rounding::floor}};
    if (detail::every_position_sees_a_pixel(vertical(row.window), row.in.height) &&
        detail::every_position_sees_a_pixel(horizontal(row.window), row.in.width)) {
      rows.push_back(row);
    }
  }
  return rows;
}

}  // namespace plainnet::test
