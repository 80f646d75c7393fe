#pragma once
// Two linear layers with an activation between them, on every row: the hidden rows never leave the caches.
//
// Where both are by inner products, the activation waits until the second layer copies its rows.

#include <algorithm>

#include "plainnet/core/share_out.hpp"
#include "plainnet/kernels/shared_matmul.hpp"
#include "plainnet/kernels/unfinished_rows.hpp"

namespace plainnet::kernels {

/// What the layers of an MLP are, and how many rows pass through them.
template <class T>
struct MlpSizes {
  Index rows;
  Index inputs;
  Index hidden;
  Index outputs;

  /// From hidden row to hidden row, where they are finished. Unfinished they take no more.
  Index hidden_stride() const { return copied_row_stride<T>(hidden); }

  /// Rows that pass both layers at a time: their hidden values stay in L2.
  Index rows_at_once() const {
    constexpr Index bytes = 1 << 17;
    return std::clamp<Index>(bytes / (hidden * static_cast<Index>(sizeof(T))), 3 * matmul_most_rows, 336);
  }

  /// Whether threads take portions of rows through both layers, or all go through the first and then the second. The
  /// weights pass once for each portion, so they must be small; and a hidden map that L2 holds gains nothing.
  bool is_fused(Index threads) const {
    constexpr Index most_weights = (1 << 20) / static_cast<Index>(sizeof(T));
    constexpr Index least_map = (1 << 20) / static_cast<Index>(sizeof(T));
    return hidden * (inputs + outputs) <= most_weights && rows * hidden >= least_map &&
           rows >= 4 * threads * rows_at_once();
  }

  /// Elements of scratch memory for all threads together.
  Index scratch(Index threads) const {
    const Index hidden_rows = is_fused(threads) ? checked_multiply(threads, rows_at_once()) : rows;
    const Index product = std::max(matmul_scratch<T>(inputs), matmul_scratch<T>(hidden));
    return checked_add(checked_multiply(hidden_rows, hidden_stride()), checked_multiply(threads, product));
  }
};

/// The first layer of an MLP, and whether its activation waits for the second.
template <class T>
struct HiddenLayer {
  const PackedView<T>& weights;
  Activation activation;
  bool is_unfinished;

  Epilogue<T> epilogue() const {
    return is_unfinished ? Epilogue<T>{.is_unfinished = true} : Epilogue<T>{.activation = activation};
  }

  /// From row to row of `rows`, or from panel to panel.
  Index stride(const MlpSizes<T>& sizes, Index rows) const {
    return is_unfinished ? rows * matmul_panel_columns<T>(weights.isa) : sizes.hidden_stride();
  }

  /// Calls `use` with the hidden rows at `data`.
  template <class Use>
  void read(const T* data, Index stride, const Use& use) const {
    if (!is_unfinished) return use(MatrixRows<T>(data, stride));
    const Epilogue<T> finish{.activation = activation};
    use(UnfinishedRows<T>({data, stride, weights, finish}));
  }
};

/// out (sizes.rows, outputs) = second(act(first(rows) + bias)) + bias + scale · residual. `scratch` has as many
/// elements as `sizes` says. The result depends neither on the number of threads nor on whether the layers are fused.
/// `out` may be where the rows come from.
template <class T>
void mlp(const RowSource<T>& rows, const MlpSizes<T>& sizes, const PackedView<T>& first, Activation activation,
         const PackedView<T>& second, const Epilogue<T>& epilogue, T* out, Index out_stride, T* scratch,
         Executor& pool) {
  const Index row_count = sizes.rows;
  const bool is_fused = sizes.is_fused(pool.size());
  const bool are_inner_products =
      first.method() == MatmulMethod::inner_products && second.method() == MatmulMethod::inner_products;
  // Not where each thread would finish all rows.
  const bool waits = are_inner_products && (is_fused || multiplies_by_rows<T>(row_count, 1, second, pool.size()));
  const HiddenLayer<T> layer{first, activation, waits};
  const Epilogue<T> between = layer.epilogue();
  if (!is_fused) {
    const Index stride = layer.stride(sizes, row_count);
    T* const rest = scratch + row_count * sizes.hidden_stride();
    multiply<T>(rows, row_count, first, between, scratch, stride, rest, pool);
    return layer.read(scratch, stride, [&](const RowSource<T>& hidden) {
      multiply<T>(hidden, row_count, second, epilogue, out, out_stride, rest, pool);
    });
  }
  const Index at_once = sizes.rows_at_once();
  const Index stride = layer.stride(sizes, at_once);
  const Index scratch_size = sizes.scratch(pool.size()) / pool.size();
  const Index pieces = (row_count + pool.size() * at_once - 1) / (pool.size() * at_once);
  share_out(pool, row_count, pieces, [&](Range part, Index thread) {
    T* const hidden = scratch + thread * scratch_size;
    T* const rest = hidden + at_once * sizes.hidden_stride();
    for (Index begin = part.begin; begin < part.end; begin += at_once) {
      const Range portion{0, std::min(at_once, part.end - begin)};
      multiply_part<T>(RowsFrom<T>(rows, begin), portion, first, {0, first.panel_count()}, between, hidden, stride,
                       rest);
      layer.read(hidden, stride, [&](const RowSource<T>& hidden_rows) {
        multiply_part<T>(hidden_rows, portion, second, {0, second.panel_count()}, epilogue.from(begin, 0),
                         out + begin * out_stride, out_stride, rest);
      });
    }
  });
}

}  // namespace plainnet::kernels
