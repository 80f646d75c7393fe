#pragma once
// The product of matmul.hpp by several threads.

#include <array>
#include <atomic>

#include "plainnet/core/executor.hpp"
#include "plainnet/core/pause.hpp"
#include "plainnet/core/share_out.hpp"
#include "plainnet/kernels/matmul.hpp"

namespace plainnet::kernels {

/// A thread's share of a product. Whoever begins it locates portions of its rows, offers all panels for each, and
/// multiplies by several at a time; threads that are done take some of these.
template <class T>
class ProductShare {
 public:
  /// What it is a share of; before anybody begins.
  void assign(Range rows, Range panels) noexcept {
    rows_ = rows;
    panels_ = panels;
    is_last_ = rows.size() == 0 || panels.size() == 0;
  }

  Range rows() const noexcept { return rows_; }
  Range panels() const noexcept { return panels_; }

  /// Whether the caller is the one who begins it.
  bool begin() noexcept { return !is_begun_.exchange(true); }

  /// Offers all panels of the next portion. Nobody may be busy with the one before.
  void offer(Range portion, const T* const* located) noexcept {
    portion_ = portion;
    located_ = located;
    unfinished_ = panels_.size();
    left_.offer(panels_);
    if (portion.end == rows_.end) is_last_ = true;
  }

  /// Panels of the portion that is offered, none if all are taken: some for whose share it is, one for another.
  Range take_first(Index most, bool others_help) noexcept { return left_.take_first(most, others_help); }
  Range take_last() noexcept { return left_.take_last(); }

  /// The portion from which panels were taken, until these are finished.
  Range portion() const noexcept { return portion_; }
  const T* const* located() const noexcept { return located_; }
  void finish(Range panels) noexcept { unfinished_ -= panels.size(); }

  /// Whether all panels that were offered are finished.
  bool is_idle() const noexcept { return unfinished_ == 0; }

  /// Whether nothing will be offered any more.
  bool is_last() const noexcept { return is_last_; }

 private:
  Range rows_, panels_;
  Range portion_;
  const T* const* located_ = nullptr;
  std::atomic<bool> is_begun_ = false;
  std::atomic<bool> is_last_ = false;
  std::atomic<Index> unfinished_ = 0;
  TakenFromBothEnds left_;
};

/// A product and how it is shared out.
template <class T>
struct SharedProduct {
  const RowSource<T>& rows;
  const PackedView<T>& b;
  const Epilogue<T>& epilogue;
  T* out;
  Index out_stride;
  Index share_count;
  std::array<ProductShare<T>, most_shares> shares = {};

  ProductShare<T>& share(Index i) { return shares[static_cast<std::size_t>(i % share_count)]; }
};

}  // namespace plainnet::kernels

#define PLAINNET_KERNEL "plainnet/kernels/shared_matmul.inl"
#include "plainnet/kernels/for_each_isa.hpp"

namespace plainnet::kernels {

/// What one thread does: its own share, then those that nobody has begun, then what is left of the others.
template <class T>
void multiply_shares(SharedProduct<T>& product, Index thread, T* scratch) {
  PLAINNET_DISPATCH(product.b.isa, multiply_shares<T>(product, thread, scratch));
}

/// Whether threads share out the rows of a product, of which `unit` stay together, or the columns.
///
/// By rows each reads all weights, but only its own rows, which are those that it wrote itself if the layer before was
/// shared out by rows too: what another wrote has to come from that one's cache (the MLP of 14×14×320 on two threads:
/// 0.86 ms by columns, 0.72 by rows; its 3×3 convolution of stride 2: 0.44 and 0.37). Nothing is gained by it where the
/// weights are many times the rows, and lost where register blocks do not fit the shares.
template <class T>
bool multiplies_by_rows(Index row_count, Index unit, const PackedView<T>& b, Index threads) {
  constexpr Index most_weights = 16;  // for each element of the rows, read or written
  const Index rows = matmul_block_rows(b.isa);
  const auto fits = [&](Index share) { return share >= (share + rows - 1) / rows * (rows - 2); };
  const Index share = row_count / unit / threads;
  return threads == 1 ||
         (share * unit >= 2 * (matmul_most_rows - 2) && fits(share * unit) && fits((share + 1) * unit) &&
          b.depth * b.columns / (b.depth + b.columns) <= most_weights * row_count);
}

/// out (row_count / epilogue.pool, b.columns) = act(rows · b + bias) + scale · residual, row r at out + r · out_stride.
/// `scratch` has matmul_scratch<T>(b.depth) elements for each thread of the pool. A row's result depends neither on
/// their number nor on who computes what, nor on other rows.
template <class T>
void multiply(const RowSource<T>& rows, Index row_count, const PackedView<T>& b, const Epilogue<T>& epilogue, T* out,
              Index out_stride, T* scratch, Executor& pool) {
  const Index threads = pool.size();
  const Index unit = epilogue.pool;
  const Index units = (row_count + unit - 1) / unit;
  const bool by_rows = multiplies_by_rows(row_count, unit, b, threads);
  SharedProduct<T> product{.rows = rows,
                           .b = b,
                           .epilogue = epilogue,
                           .out = out,
                           .out_stride = out_stride,
                           .share_count = std::min(threads, most_shares)};
  for (Index i = 0; i < product.share_count; ++i) {
    const Range part = by_rows ? part_of(units, product.share_count, i) : Range{0, units};
    const Range panels{0, b.panel_count()};
    product.share(i).assign({part.begin * unit, std::min(part.end * unit, row_count)},
                            by_rows ? panels : part_of(panels.end, product.share_count, i));
  }
  const Index thread_scratch = matmul_scratch<T>(b.depth);
  pool.run([&](Index thread) { multiply_shares<T>(product, thread, scratch + thread * thread_scratch); });
}

}  // namespace plainnet::kernels
