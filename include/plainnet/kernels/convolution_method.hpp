#pragma once
// Which of the ways to compute a convolution is the fastest, by its sizes.

#include <algorithm>

#include "plainnet/core/window.hpp"
#include "plainnet/kernels/inner_product.hpp"

namespace plainnet::kernels {

enum class ConvolutionMethod {
  direct,                 // convolution.hpp
  winograd_2x2,           // winograd.hpp with tiles of 2×2 outputs, weights 16/9 of the direct ones
  winograd_4x4,           // with tiles of 4×4, weights four times the direct ones
  winograd_4x4_of_taps,   // the same, weights as large as the direct ones, transformed in every run
  winograd_2x2_stride_2,  // with tiles of 2×2 outputs of a convolution of stride 2, weights 16/9 of the direct ones
};

/// Whether a method is one for such a window.
inline bool fits(ConvolutionMethod method, const Window& window) {
  if (method == ConvolutionMethod::direct) return true;
  const Extent2D stride = method == ConvolutionMethod::winograd_2x2_stride_2 ? 2 : 1;
  return window.kernel == Extent2D{3} && window.stride == stride && window.dilation == Extent2D{1};
}

/// For a map of height × width outputs, a window, the channels in and out of a group, and how direct ones are
/// multiplied. Only a choice of speed: every method is right for every map that its window fits, so that packed weights
/// serve other sizes of image as well.
///
/// Measured on Zen 3 (AVX2, one thread, GCC 12 -O2), times faster than direct, with weights in L3 / in memory. Medians
/// of one alternating run on a machine that others used too: they move by a tenth from run to run, 4×4 at 8×8 from 1.0
/// to 1.6.
///
///   map, channels in and out, groups       2×2           4×4         chosen
///   64×64, 128                             1.7           2.6         4×4
///   56×56, 256, 4                          1.5           2.4         4×4
///   56×56, 64                              1.5           2.3         4×4
///   32×32, 256, 2                          1.6           2.4         4×4
///   28×28, 512, 8                          1.4           2.0         4×4
///   28×28, 128                             1.6           2.3         4×4
///   16×16, 768, 6                          1.6           2.0         4×4 of taps
///   14×14, 1536, 24                        1.35          1.35        2×2
///   14×14, 256                             1.6 / 1.4     1.8 / 1.5   2×2
///   8×8, 768, 6                            1.5           1.4 / 1.3   2×2
///   7×7, 512                               1.2 / 1.3     1.2 / 1.1   2×2
///   128×128, 16 to 32                      1.25          1.85        4×4
///   128×128, 32 to 64                      1.35          1.95        4×4
///
/// With two threads, which share L3 and memory, 4×4 gains 1.8 at 16×16 and 1.1 at 8×8, and 2×2 1.1 at 7×7. Below 16
/// channels the transforms would be most of the work.
///
/// Below 20×20 transformed weights of 4×4 tiles are not taken: they pass through memory for few pixels, and the stages
/// with such maps hold most weights (4×4 everywhere would add 184 MB to dm_nfnet_f0's 286). From 15×15 on, 4×4 tiles
/// are still worth a transform in every run: on Zen 5 a 16×16 layer takes 0.8 of the time of 2×2, 18×18 maps 0.98
/// to 1.01 of their networks' time, 14×14 maps 1.01 to 1.04 (nf_resnet50, nfnet_l0 at 224 pixels).
///
/// Stride 2, bench/nfnet_kernels on Zen 4, one thread, weights in L3, times faster than direct; map that is read:
///
///   map, channels in and out, groups       AVX-512       AVX2          SSE2
///   128×128, 64 to 128                     1.35          1.39          1.37
///   64×64, 256, 2                          1.26          1.19          1.32
///   32×32, 768, 6                          1.28          1.25          1.37
///   16×16, 768, 6                          1.33          1.28          1.38
///   56×56, 64 to 128                       1.32          1.38          1.38
///   28×28, 128 to 320                      1.35          1.30          1.28
///   14×14, 320 to 512                      1.09          1.03          1.06
///
/// By inner products (on Zen 4; direct ones are by the definition) 1.34 to 1.68 in place of the first column, and 2×2
/// tiles of stride 1 with 128 channels or more 2.4 to 2.7, with 7×7 maps 2.1. 16×16 maps of dm_nfnet_f0 by 2×2 in place
/// of 4×4 of taps: 1.01 of the network's time. 14×14, 320 to 512, whose last tiles reach over the map, direct but by
/// inner products, with weights from memory: 0.998 of the time of caformer_s18, 0.995 of poolformer_s12, on two threads
/// 0.983 (Zen 5).
inline ConvolutionMethod convolution_method(const Window& window, Index height, Index width, Index group_in,
                                            Index group_out, MatmulMethod direct_products) {
  using enum ConvolutionMethod;
  const Index side = std::min(height, width);
  if (std::min(group_in, group_out) < 16) return direct;
  if (fits(winograd_2x2_stride_2, window))
    return side < (direct_products == MatmulMethod::inner_products ? 8 : 7) ? direct : winograd_2x2_stride_2;
  if (!fits(winograd_2x2, window) || side < 7) return direct;
  if (side < 15) return winograd_2x2;
  return side < 20 ? winograd_4x4_of_taps : winograd_4x4;
}

}  // namespace plainnet::kernels
