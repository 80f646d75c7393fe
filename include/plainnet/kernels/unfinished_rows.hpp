#pragma once
// Rows of a product by inner products that are finished when the next product wants them: they pass L2 or L3 once
// instead of twice.

#include "plainnet/kernels/matmul.hpp"

namespace plainnet::kernels {

/// Sums of a product that lie as Epilogue::is_unfinished says, and what they become.
template <class T>
struct UnfinishedSums {
  const T* sums;  // of the first row
  Index panel_stride;
  const PackedView<T>& b;       // of whole panels
  const Epilogue<T>& epilogue;  // without residual and pooling

  UnfinishedSums from(Index row) const {
    return {sums + row * matmul_panel_columns<T>(b.isa), panel_stride, b, epilogue};
  }
};

}  // namespace plainnet::kernels

#define PLAINNET_KERNEL "plainnet/kernels/unfinished_rows.inl"
#include "plainnet/kernels/for_each_isa.hpp"

namespace plainnet::kernels {

/// Rows of `unfinished`. Where they are copied for inner products, they are finished in the place of the copies, and
/// summed on their way there, before they are scaled: an MLP's hidden row of 256 elements takes 102 cycles so, one of
/// 1280 590, which took 117 and 800 when it was finished first (Zen 5).
template <class T>
struct UnfinishedRows final : RowSource<T> {
  UnfinishedSums<T> unfinished;

  explicit UnfinishedRows(const UnfinishedSums<T>& unfinished_) : unfinished(unfinished_) {}

  void locate(Isa, Index first, Index count, T* copies, const T** list) const override {
    const UnfinishedSums<T> some = unfinished.from(first);
    const Index stride = copied_row_stride<T>(some.b.columns);
    for (Index i = 0; i < count; ++i) list[i] = copies + i * stride;
    PLAINNET_DISPATCH(some.b.isa, finish_rows<T>(some, count, copies, stride));
  }
  void copy(Isa, Index first, Index count, Index, const RowCopies<T>& to, T*) const override {
    const UnfinishedSums<T> some = unfinished.from(first);
    PLAINNET_DISPATCH(some.b.isa, copy_unfinished_rows<T>(some, count, to));
  }
};

}  // namespace plainnet::kernels
