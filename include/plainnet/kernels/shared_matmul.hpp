#pragma once
// The product of matmul.hpp by several threads.

#include <array>
#include <atomic>

#include "plainnet/core/executor.hpp"
#include "plainnet/core/pause.hpp"
#include "plainnet/core/share_out.hpp"
#include "plainnet/kernels/matmul.hpp"
#include "plainnet/kernels/strassen.hpp"

namespace plainnet::kernels {

enum class MatmulMethod { direct, strassen };

/// The faster one for images of `image_rows` rows each. It depends on the size of an image and not on how many there
/// are, nor on the instruction set, and a row's partner is of its own image: so an image has its bits in every batch.
///
/// Times faster by Strassen's, one thread with AVX-512, shared machines, weights from memory (AVX2 of Zen 5 1.03
/// to 1.07, SSE2 1.09 to 1.14):
///
///   rows, depth, columns   Zen 5, before (*)          rows, depth, columns   Zen 4
///   196, 2048, 4096        1.11 to 1.12               196, 1024, 256         1.10
///   196, 2048, 2048        1.09 to 1.11               196, 640, 320          1.08 to 1.10
///   784, 1024, 2048        1.07 to 1.10               64, 1536, 768          1.09 to 1.10
///   196, 1024, 1024        1.05 to 1.09               49, 4096, 4096         1.08
///   196, 2048, 512         1.02 to 1.10               49, 512, 2048          1.07 to 1.08
///   3136, 512, 1024        1.00 to 1.05               49, 2048, 512          1.07 to 1.09
///   784, 512, 512          0.97 to 1.03               784, 512, 256          1.07
///   256, 1536, 768         0.95 to 1.05               196, 1280, 320         1.05 to 1.09
///   256, 768, 1536         1.09 to 1.10               784, 512, 128          1.03
///   784, 512, 128          0.94                       36, 512, 2048          0.95
///
/// Not chosen with fewer than 512 columns: with 256 or 320 on Zen 4 poolformer_s12 and convformer_s18 take 0.98 to 0.99
/// of the time on one thread and 1.00 on two; but in minutes when all programs on two threads were slower on that
/// shared machine (it seems, when the two had no L3 in common), MetaFormers had 73 to 77 % of the peak; with 512, in
/// such minutes of another day, 82 to 84.
/// (*): with portions of more rows, and sums of weights that were stored before the other half was loaded.
template <class T>
MatmulMethod matmul_method(Index image_rows, Index depth, Index columns) {
  const bool is_faster = image_rows >= 49 && columns >= 512;
  return is_faster && strassen_fits<T>(depth, columns) ? MatmulMethod::strassen : MatmulMethod::direct;
}

/// A thread's share of a product. Whoever begins it locates portions of its rows, offers all panels for each, or pairs
/// of them by Strassen's method, and multiplies by several at a time; threads that are done take some of these.
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
  MatmulMethod method;
  T* out;
  Index out_stride;
  Index panels_at_once;  // by whose share they are
  Index share_count;
  std::array<ProductShare<T>, most_shares> shares = {};

  ProductShare<T>& share(Index i) { return shares[static_cast<std::size_t>(i % share_count)]; }
};

}  // namespace plainnet::kernels

#define PLAINNET_KERNEL "plainnet/kernels/strassen.inl"
#include "plainnet/kernels/for_each_isa.hpp"
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
bool multiplies_by_rows(Index row_count, Index unit, const PackedView<T>& b, Index threads,
                        MatmulMethod method = MatmulMethod::direct) {
  constexpr Index most_weights = 16;  // for each element of the rows, read or written
  const Index halves = method == MatmulMethod::strassen ? 2 : 1;
  const Index rows = matmul_block_rows(b.isa);
  const auto fits = [&](Index share) { return share >= (share + rows - 1) / rows * (rows - 2); };
  const Index share = row_count / unit / threads;
  const bool is_shareable = share * unit >= 2 * (matmul_most_rows - 2) * halves;
  return threads == 1 || (is_shareable && fits(share * unit / halves) && fits((share + 1) * unit / halves) &&
                          b.depth * b.columns / (b.depth + b.columns) <= most_weights * row_count);
}

/// Elements of scratch memory for each thread of a product.
template <class T>
Index multiply_scratch(Index depth, MatmulMethod method = MatmulMethod::direct) {
  return method == MatmulMethod::strassen ? strassen_scratch<T>(depth) : matmul_scratch<T>(depth);
}

/// out (row_count / epilogue.pool, b.columns) = act(rows · b + bias) + scale · residual, row r at out + r · out_stride.
/// `scratch` has multiply_scratch<T>(b.depth, method) elements for each thread of the pool. The result depends neither
/// on their number nor on who computes what, nor that of an image on others: the rows are of images of `image_rows`
/// each, or all of one where that is 0.
template <class T>
void multiply(const RowSource<T>& rows, Index row_count, const PackedView<T>& b, const Epilogue<T>& epilogue, T* out,
              Index out_stride, T* scratch, Executor& pool, MatmulMethod method = MatmulMethod::direct,
              Index image_rows = 0) {
  const Index threads = pool.size();
  const bool is_halved = method == MatmulMethod::strassen;
  if (is_halved && image_rows % 2 != 0 && image_rows < row_count) {  // partners are of one image
    for (Index first = 0; first < row_count; first += image_rows) {
      const Index row = first / epilogue.pool;
      multiply<T>(RowsFrom<T>(rows, first), image_rows, b, epilogue.from(row, 0), out + row * out_stride, out_stride,
                  scratch, pool, method);
    }
    return;
  }
  const Index unit = is_halved && epilogue.pool % 2 != 0 ? 2 * epilogue.pool : epilogue.pool;
  const Index units = (row_count + unit - 1) / unit;
  const Index panels = is_halved ? b.panel_count() / 2 : b.panel_count();
  const bool by_rows = multiplies_by_rows(row_count, unit, b, threads, method);
  SharedProduct<T> product{
      .rows = rows,
      .b = b,
      .epilogue = epilogue,
      .method = method,
      .out = out,
      .out_stride = out_stride,
      .panels_at_once = is_halved ? strassen_pairs_at_once : matmul_panels_at_once<T>(b.isa, b.depth),
      .share_count = std::min(threads, most_shares)};
  for (Index i = 0; i < product.share_count; ++i) {
    const Range part = by_rows ? part_of(units, product.share_count, i) : Range{0, units};
    product.share(i).assign({part.begin * unit, std::min(part.end * unit, row_count)},
                            by_rows ? Range{0, panels} : part_of(panels, product.share_count, i));
  }
  const Index thread_scratch = multiply_scratch<T>(b.depth, method);
  pool.run([&](Index thread) { multiply_shares<T>(product, thread, scratch + thread * thread_scratch); });
}

}  // namespace plainnet::kernels
