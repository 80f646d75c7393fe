#pragma once
// Mixing of tokens by a constant matrix: every channel of an image is multiplied by it.

#include <algorithm>

#include "plainnet/core/share_out.hpp"
#include "plainnet/core/tensor.hpp"
#include "plainnet/kernels/matmul.hpp"
#include "plainnet/kernels/normalization.hpp"

namespace plainnet::kernels {

/// Tokens of an image on their way into a panel of columns: scale(c) · (x(k, c) − mean) · rstd + shift(c).
template <class T>
struct TokenPanel {
  const T* in;  // first token, first column
  Index stride;
  Index depth;                // tokens
  Index columns;              // wanted, at most as many as a panel has
  const Moments<T>* moments;  // null: x as it is
  Index tokens_each;          // that share one
  const T* scale;             // null: 1
  const T* shift;             // null: 0
};

}  // namespace plainnet::kernels

#define PLAINNET_KERNEL "plainnet/kernels/token_mixing.inl"
#include "plainnet/kernels/for_each_isa.hpp"

namespace plainnet::kernels {

template <class T>
void pack_tokens(Isa isa, const TokenPanel<T>& panel, T* packed) {
  PLAINNET_DISPATCH(isa, pack_tokens<T>(panel, packed));
}

/// Elements of scratch memory that mix_tokens() needs for each thread.
template <class T>
Index token_mixing_scratch(Index tokens, Index channels, Isa isa) {
  const Index width = matmul_panel_columns<T>(isa);
  return checked_multiply((channels + width - 1) / width * width, tokens) + matmul_scratch<T>(tokens);
}

/// out(n; m, c) = act(Σ_k weight(m, k) · y(n; k, c)) + residual_scale(c) · residual(n; m, c) with `weight` (H·W, H·W)
/// and y = scale(c) · (x − mean) · rstd + shift(c), or y = x where `by` is null. by->moments is not null; scale and
/// shift may be. `scratch` has token_mixing_scratch() elements for each thread of the pool.
template <class T>
void mix_tokens(TensorView<const T> in, const T* weight, const Normalization<T>* by, const T* scale, const T* shift,
                const Epilogue<T>& epilogue, TensorView<T> out, T* scratch, Isa isa, Executor& pool) {
  const Index channels = in.shape().channels;
  const Index tokens = in.shape().height * in.shape().width;
  const Index width = matmul_panel_columns<T>(isa);
  const Index panels = (channels + width - 1) / width;
  const Index scratch_size = token_mixing_scratch<T>(tokens, channels, isa);
  const MatrixRows<T> rows(weight, tokens);
  share_out(pool, in.shape().batch * panels, 1, [&](Range part, Index thread) {
    T* const packed = scratch + thread * scratch_size;
    T* const rows_scratch = packed + panels * width * tokens;
    // Panels of one image at a time, for all of which W passes once.
    for (Index next = part.begin; next < part.end;) {
      const Index n = next / panels;
      const Index first = next % panels;
      const Index count = std::min(panels - first, part.end - next);
      for (Index panel = first; panel < first + count; ++panel) {
        const Index column = panel * width;
        pack_tokens<T>(isa,
                       {.in = in.data() + n * tokens * channels + column,
                        .stride = channels,
                        .depth = tokens,
                        .columns = std::min(width, channels - column),
                        .moments = by ? by->moments + n * tokens / by->pixels_each : nullptr,
                        .tokens_each = by ? by->pixels_each : 1,
                        .scale = scale ? scale + column : nullptr,
                        .shift = shift ? shift + column : nullptr},
                       packed + (panel - first) * width * tokens);
      }
      const Index column = first * width;
      const Index columns = std::min(count * width, channels - column);
      const PackedView<T> view{.isa = isa, .depth = tokens, .columns = columns, .panels = packed, .bias = nullptr};
      multiply_part<T>(rows, {0, tokens}, view, {0, count}, epilogue.from(n * tokens, column),
                       out.data() + n * tokens * channels + column, channels, rows_scratch);
      next += count;
    }
  });
}

}  // namespace plainnet::kernels
