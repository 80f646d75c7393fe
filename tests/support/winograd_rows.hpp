#pragma once
// Convolutions for the tests of Winograd's algorithm, and how they are packed and run.

#include <algorithm>
#include <string>
#include <vector>

#include "plainnet/core/thread_pool.hpp"
#include "plainnet/kernels/winograd.hpp"
#include "support/random.hpp"

namespace plainnet::kernels {

struct WinogradRow {
  Shape in;
  Index out_channels;
  Padding padding = 1;
  Index groups = 1;
  bool bias = true;

  Window window(Index stride = 1) const { return {.kernel = 3, .stride = stride, .padding = padding}; }
};

inline std::string to_string(const WinogradRow& row) {
  const Padding& p = row.padding;
  return concatenate(plainnet::to_string(row.in), " to ", row.out_channels, ", padding ", p.top, " ", p.bottom, " ",
                     p.left, " ", p.right, ", groups ", row.groups, row.bias ? ", bias" : "");
}

inline constexpr ConvolutionMethod winograd_methods[] = {
    ConvolutionMethod::winograd_2x2, ConvolutionMethod::winograd_4x4, ConvolutionMethod::winograd_4x4_of_taps,
    ConvolutionMethod::winograd_2x2_stride_2};

inline Index stride_of(ConvolutionMethod method) { return method == ConvolutionMethod::winograd_2x2_stride_2 ? 2 : 1; }

inline Index tile_of(ConvolutionMethod method) {
  return method == ConvolutionMethod::winograd_2x2 || stride_of(method) == 2 ? 2 : 4;
}

inline std::string to_string(ConvolutionMethod method) {
  const char* const weights = method == ConvolutionMethod::winograd_4x4_of_taps ? ", of taps" : "";
  return concatenate("tile ", tile_of(method), ", stride ", stride_of(method), weights);
}

inline std::vector<WinogradRow> winograd_rows() {
  std::vector<WinogradRow> rows = {
      {{.batch = 1, .height = 1, .width = 1, .channels = 1}, 1},
      {{.batch = 1, .height = 8, .width = 8, .channels = 16}, 32},
      {{.batch = 1, .height = 8, .width = 8, .channels = 16}, 32, 1, 1, false},
      {{.batch = 1, .height = 3, .width = 3, .channels = 5}, 3, 0},  // one output
      {{.batch = 1, .height = 5, .width = 4, .channels = 33}, 17, Padding(0, 1, 0, 1)},
      {{.batch = 3, .height = 7, .width = 9, .channels = 6 * 9}, 6 * 5, 1, 6},
      {{.batch = 1, .height = 2, .width = 3, .channels = 4}, 6, Padding(3, 2, 4, 5)},  // tiles of nothing but padding
      {{.batch = 1, .height = 11, .width = 6, .channels = 2 * 130}, 2 * 20, 1, 2},     // several portions of terms
      {{.batch = 2, .height = 37, .width = 25, .channels = 12}, 9, 1, 3},              // several portions of tiles
      // What Isa::zen4 and zen5 compute by inner products: a whole portion; 64 and 33 terms in tiles of a few portions;
      // 64, 64 and 2 terms in groups, tiles of nothing but padding.
      {{.batch = 1, .height = 8, .width = 7, .channels = 64}, 128},
      {{.batch = 2, .height = 17, .width = 15, .channels = 97}, 64, Padding(0, 1, 1, 2)},
      {{.batch = 1, .height = 5, .width = 4, .channels = 2 * 130}, 2 * 96, Padding(3, 2, 4, 5), 2, false},
      {{.batch = 1, .height = 3, .width = 5, .channels = 1234}, 64},  // a tile has more channels than sums
  };
  test::Random random(42);
  while (rows.size() < 44) {
    const Index groups = random.integer(1, 3);
    const WinogradRow row{
        .in = {.batch = random.integer(1, 2),
               .height = random.integer(1, 13),
               .width = random.integer(1, 13),
               .channels = groups * random.integer(1, 40)},
        .out_channels = groups * random.integer(1, 40),
        .padding = {random.integer(0, 3), random.integer(0, 3), random.integer(0, 3), random.integer(0, 3)},
        .groups = groups,
        .bias = random.coin()};
    const Padding& p = row.padding;
    if (row.in.height + p.top + p.bottom >= 3 && row.in.width + p.left + p.right >= 3) rows.push_back(row);
  }
  return rows;
}

/// Random weights of a row.
template <class T>
struct WinogradWeights {
  Parameter<T> weight;
  Parameter<T> bias;

  WinogradWeights(const WinogradRow& row, test::Random& random)
      : weight({row.out_channels, row.in.channels / row.groups, 3, 3}), bias({row.out_channels}) {
    random.fill(weight);
    random.fill(bias);
  }

  PackedWinograd<T> pack(const WinogradRow& row, ConvolutionMethod method, Isa isa,
                         Executor& pool = callers_thread()) const {
    return pack_winograd(weight.data(), row.bias ? bias.data() : nullptr, row.in.channels, row.out_channels,
                         row.window(stride_of(method)), row.groups, method, isa, pool);
  }
};

template <class T>
Tensor<T> run_winograd(const Tensor<T>& in, const PackedWinograd<T>& packed, const Epilogue<T>& epilogue,
                       ThreadPool& pool) {
  Tensor<T> out(output_shape(in.shape(), packed.window, packed.out_channels));
  AlignedVector<T> scratch(static_cast<std::size_t>(packed.scratch() * pool.size()));
  convolve<T>(in, packed, epilogue, out.view(), scratch.data(), pool);
  return out;
}

}  // namespace plainnet::kernels
