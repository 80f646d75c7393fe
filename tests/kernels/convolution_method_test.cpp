#include <gtest/gtest.h>

#include "plainnet/kernels/convolution_method.hpp"

namespace plainnet::kernels {
namespace {

constexpr Window same{.kernel = 3, .padding = 1};

ConvolutionMethod method_of(const Window& window, Index height, Index width, Index group_in, Index group_out,
                            MatmulMethod direct_products = MatmulMethod::definition) {
  return convolution_method(window, height, width, group_in, group_out, direct_products);
}

TEST(ConvolutionMethodOf, TakesLargeTilesForLargeMaps) {
  EXPECT_EQ(method_of(same, 64, 64, 128, 128), ConvolutionMethod::winograd_4x4);
  EXPECT_EQ(method_of(same, 32, 32, 128, 128), ConvolutionMethod::winograd_4x4);
  EXPECT_EQ(method_of(same, 20, 22, 128, 128), ConvolutionMethod::winograd_4x4);
  EXPECT_EQ(method_of(same, 22, 19, 128, 128), ConvolutionMethod::winograd_4x4_of_taps);
  EXPECT_EQ(method_of(same, 15, 15, 128, 128), ConvolutionMethod::winograd_4x4_of_taps);
  EXPECT_EQ(method_of(same, 14, 14, 128, 128), ConvolutionMethod::winograd_2x2);
  EXPECT_EQ(method_of(same, 8, 8, 128, 128), ConvolutionMethod::winograd_2x2);
  EXPECT_EQ(method_of(same, 64, 14, 128, 128), ConvolutionMethod::winograd_2x2);
  EXPECT_EQ(method_of(same, 4, 4, 128, 128), ConvolutionMethod::direct);
}

TEST(ConvolutionMethodOf, TakesTilesOfStride2ForStride2) {
  for (const Padding& padding : {Padding(1), Padding(0, 1, 0, 1), Padding(0)}) {
    const Window window{.kernel = 3, .stride = 2, .padding = padding};
    EXPECT_EQ(method_of(window, 64, 64, 128, 128), ConvolutionMethod::winograd_2x2_stride_2);
    EXPECT_EQ(method_of(window, 9, 7, 128, 128), ConvolutionMethod::winograd_2x2_stride_2);
    EXPECT_EQ(method_of(window, 9, 6, 128, 128), ConvolutionMethod::direct);
    constexpr auto inner_products = MatmulMethod::inner_products;
    EXPECT_EQ(method_of(window, 9, 8, 128, 128, inner_products), ConvolutionMethod::winograd_2x2_stride_2);
    EXPECT_EQ(method_of(window, 9, 7, 128, 128, inner_products), ConvolutionMethod::direct);
    EXPECT_EQ(method_of(window, 64, 64, 3, 64), ConvolutionMethod::direct);
  }
  EXPECT_EQ(method_of({.kernel = 3, .stride = 2, .same = true}, 8, 8, 16, 16),
            ConvolutionMethod::winograd_2x2_stride_2);
}

TEST(ConvolutionMethodOf, LeavesWhatWinogradCannotOrShouldNotDo) {
  const Window windows[] = {{.kernel = 1},
                            {.kernel = 5, .padding = 2},
                            {.kernel = {3, 1}, .padding = 1},
                            {.kernel = 3, .stride = 2, .dilation = 2, .padding = 2},
                            {.kernel = 3, .stride = 3, .padding = 1},
                            {.kernel = 3, .stride = {1, 2}, .padding = 1},
                            {.kernel = 3, .dilation = 2, .padding = 2}};
  for (const Window& window : windows) {
    EXPECT_EQ(method_of(window, 64, 64, 128, 128), ConvolutionMethod::direct);
  }
  EXPECT_EQ(method_of(same, 128, 128, 3, 16), ConvolutionMethod::direct);
  EXPECT_EQ(method_of(same, 128, 128, 16, 3), ConvolutionMethod::direct);
}

}  // namespace
}  // namespace plainnet::kernels
