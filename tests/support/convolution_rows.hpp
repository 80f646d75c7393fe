#pragma once
// Sizes of convolutions that are awkward in one way or another, for the readable layer and the kernel alike.

#include <string>
#include <vector>

#include "plainnet/core/window.hpp"
#include "support/random.hpp"

namespace plainnet::test {

struct ConvolutionRow {
  Shape in;
  Index out_channels;
  Window window;
  Index groups = 1;
  bool bias = true;
};

inline std::string to_string(const ConvolutionRow& row) {
  const Window& w = row.window;
  const Padding& p = w.padding;
  return concatenate(to_string(row.in), " to ", row.out_channels, ", kernel ", w.kernel.height, "x", w.kernel.width,
                     ", stride ", w.stride.height, "x", w.stride.width, ", dilation ", w.dilation.height, "x",
                     w.dilation.width, ", padding ", p.top, " ", p.bottom, " ", p.left, " ", p.right, ", groups ",
                     row.groups, row.bias ? ", bias" : "");
}

inline std::vector<ConvolutionRow> convolution_rows() {
  std::vector<ConvolutionRow> rows = {
      {{.batch = 1, .height = 1, .width = 1, .channels = 1}, 1, Window{}},
      {{.batch = 2, .height = 5, .width = 7, .channels = 13}, 11, Window{}},  // pointwise
      {{.batch = 2, .height = 5, .width = 7, .channels = 13}, 11, Window{}, 1, false},
      {{.batch = 1, .height = 5, .width = 7, .channels = 12}, 18, Window{}, 3},  // pointwise, grouped
      {{.batch = 1, .height = 5, .width = 7, .channels = 6}, 5, Window{.stride = 2}},
      {{.batch = 2, .height = 12, .width = 16, .channels = 3},
       8,
       Window{.kernel = 4, .stride = 4}},  // VanillaNet's stem
      {{.batch = 1, .height = 13, .width = 17, .channels = 3}, 8, Window{.kernel = 4, .stride = 3, .padding = 1}},
      {{.batch = 2, .height = 6, .width = 5, .channels = 9}, 9, Window{.kernel = 3, .padding = 1}, 9},   // depthwise
      {{.batch = 1, .height = 6, .width = 5, .channels = 5}, 15, Window{.kernel = 3, .padding = 1}, 5},  // three each
      {{.batch = 1, .height = 3, .width = 2, .channels = 4}, 6, Window{.kernel = 5, .padding = 2}},      // kernel > map
      {{.batch = 1, .height = 7, .width = 9, .channels = 2},
       3,
       Window{.kernel = {2, 3}, .stride = {2, 1}, .dilation = {3, 2}, .padding = {0, 2, 3, 1}}},
      {{.batch = 1, .height = 8, .width = 8, .channels = 3},
       4,
       Window{.kernel = 3, .stride = 2, .padding = {0, 1, 0, 1}}},
      {{.batch = 1, .height = 4, .width = 4, .channels = 2}, 2, Window{.kernel = 2, .padding = 5}},  // all padding
      {{.batch = 1, .height = 4, .width = 4, .channels = 2}, 2, Window{.kernel = {1, 3}, .padding = {0, 0, 1, 1}}},
      {{.batch = 1, .height = 6, .width = 6, .channels = 2},
       3,
       Window{.kernel = 3, .stride = 2, .rounding = Rounding::ceil}},
  };
  Random random(42);
  while (rows.size() < 150) {
    const Index groups = random.integer(1, 3);
    const bool has_many_channels = rows.size() >= 100;
    ConvolutionRow row{
        .in = {.batch = random.integer(1, 2),
               .height = random.integer(1, 11),
               .width = random.integer(1, 11),
               .channels = groups * (has_many_channels ? random.integer(8, 40) : random.integer(1, 7))},
        .out_channels = groups * random.integer(1, has_many_channels ? 40 : 9),
        .window = {.kernel = {random.integer(1, 5), random.integer(1, 5)},
                   .stride = {random.integer(1, 3), random.integer(1, 3)},
                   .dilation = {random.integer(1, 3), random.integer(1, 3)},
                   .padding = {random.integer(0, 3), random.integer(0, 3), random.integer(0, 3), random.integer(0, 3)}},
        .groups = groups,
        .bias = random.coin()};
    const Window& w = row.window;
    const bool fits = row.in.height + w.padding.top + w.padding.bottom > w.dilation.height * (w.kernel.height - 1) &&
                      row.in.width + w.padding.left + w.padding.right > w.dilation.width * (w.kernel.width - 1);
    if (fits) rows.push_back(row);
  }
  return rows;
}

}  // namespace plainnet::test
