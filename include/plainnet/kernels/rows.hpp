#pragma once
// The left-hand side of a matrix product: rows from anywhere, packed for the registers.

#include "plainnet/core/range.hpp"
#include "plainnet/kernels/dispatch.hpp"
#include "plainnet/kernels/simd.hpp"
#include "plainnet/kernels/vector_math.hpp"

namespace plainnet::kernels {

/// Most rows of a register block of any instruction set.
inline constexpr Index matmul_most_rows = 14;

/// Some rows on their way into a block: element k of row r is (data[r][k] − mean[r]) · rstd[r].
template <class T>
struct RowGroup {
  static constexpr Index most = 16;

  const T* data[most];
  T mean[most];
  T rstd[most];
  bool is_normalized = false;  // whether mean and rstd are set and used
};

/// The left-hand side of a product, wherever its rows come from.
template <class T>
class RowSource {
 public:
  /// Writes `count` rows, first, first + step, …, as packed[k · height + r], and zeros for the rows up to `height`,
  /// which is at most matmul_most_rows.
  virtual void pack(Isa isa, Index first, Index step, Index count, Index height, T* packed) const = 0;

 protected:
  ~RowSource() = default;
};

}  // namespace plainnet::kernels

#define PLAINNET_KERNEL "plainnet/kernels/rows.inl"
#include "plainnet/kernels/for_each_isa.hpp"

namespace plainnet::kernels {

/// packed[k · height + r] = element k of row r, 0 ≤ k < depth, and zeros for count ≤ r < height.
template <class T>
void pack_rows(Isa isa, const RowGroup<T>& rows, Index depth, Index count, Index height, T* packed) {
  PLAINNET_DISPATCH(isa, pack_rows<T>(rows, depth, count, height, packed));
}

/// The same without zeros: what lies behind the rows stays as it is.
template <class T>
void place_rows(Isa isa, const RowGroup<T>& rows, Index depth, Index count, Index height, T* packed) {
  PLAINNET_DISPATCH(isa, place_rows<T>(rows, depth, count, height, packed));
}

/// Rows of a matrix in memory, row r at data + r · stride.
template <class T>
struct MatrixRows final : RowSource<T> {
  const T* data;
  Index stride;
  Index depth;

  MatrixRows(const T* data_, Index stride_, Index depth_) : data(data_), stride(stride_), depth(depth_) {}

  void pack(Isa isa, Index first, Index step, Index count, Index height, T* packed) const override {
    RowGroup<T> rows;
    for (Index r = 0; r < count; ++r) rows.data[r] = data + (first + r * step) * stride;
    pack_rows(isa, rows, depth, count, height, packed);
  }
};

}  // namespace plainnet::kernels
