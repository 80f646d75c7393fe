#pragma once
// Multi-head self-attention between two linear layers: softmax(q · kᵀ) · v, head by head.

#include <limits>

#include "plainnet/core/share_out.hpp"
#include "plainnet/core/tensor.hpp"
#include "plainnet/kernels/matmul.hpp"
#include "plainnet/kernels/transpose.hpp"

namespace plainnet::kernels {

/// Sizes of an attention, and where it reads and writes.
template <class T>
struct Attention {
  const T* qkv;  // (image, token, 3, head, head_dim), q already scaled
  T* out;        // (image, token, head, head_dim)
  Index images;
  Index tokens;
  Index heads;
  Index head_dim;
  Index query_columns;  // queries in a block: one panel

  Index query_blocks() const { return (tokens + query_columns - 1) / query_columns; }
};

}  // namespace plainnet::kernels

#define PLAINNET_KERNEL "plainnet/kernels/attention_few.inl"
#include "plainnet/kernels/for_each_isa.hpp"
#define PLAINNET_KERNEL "plainnet/kernels/attention.inl"
#include "plainnet/kernels/for_each_isa.hpp"

namespace plainnet::kernels {

template <class T>
void attend_part(Isa isa, const Attention<T>& attention, Range blocks, T* scratch) {
  PLAINNET_DISPATCH(isa, attend<T>(attention, blocks, scratch));
}

/// Elements of scratch memory that attend() needs for each thread: a head's values, transposed; a block of queries, its
/// scores of all keys, and its result.
template <class T>
Index attention_scratch(Index tokens, Index head_dim, Isa isa) {
  return checked_add(checked_multiply(head_dim, copied_row_stride<T>(tokens)),
                     checked_multiply(matmul_panel_columns<T>(isa), 2 * head_dim + tokens));
}

/// out (N, H, W, heads · d) from qkv (N, H, W, 3 · heads · d), whose channels are in the order (q k v, head, d), q
/// already multiplied by the scale. For each head, over the tokens of an image: out(m) = Σ_n p(m, n) · v(n), where
/// p(m, ·) = softmax of q(m) · k(·). `scratch` has attention_scratch() elements for each thread of the pool.
template <class T>
void attend(TensorView<const T> qkv, Index heads, TensorView<T> out, T* scratch, Isa isa, Executor& pool) {
  const Shape& shape = out.shape();
  const Attention<T> attention{.qkv = qkv.data(),
                               .out = out.data(),
                               .images = shape.batch,
                               .tokens = shape.height * shape.width,
                               .heads = heads,
                               .head_dim = shape.channels / heads,
                               .query_columns = matmul_panel_columns<T>(isa)};
  const Index size = attention_scratch<T>(attention.tokens, attention.head_dim, isa);
  // Few pieces, since each transposes the values of its heads.
  share_out(pool, shape.batch * heads * attention.query_blocks(), 2,
            [&](Range part, Index thread) { attend_part<T>(isa, attention, part, scratch + thread * size); });
}

}  // namespace plainnet::kernels
