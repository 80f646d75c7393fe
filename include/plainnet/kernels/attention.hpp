#pragma once
// Multi-head self-attention between two linear layers: softmax(q · kᵀ) · v, head by head.

#include <algorithm>
#include <limits>

#include "plainnet/core/share_out.hpp"
#include "plainnet/core/tensor.hpp"
#include "plainnet/kernels/matmul.hpp"
#include "plainnet/kernels/transpose.hpp"

namespace plainnet::kernels {

/// Where queries, keys and values lie, (q k v, head) from head to head: in the channels of a map, or as sums of a
/// product by inner products (Epilogue::is_unfinished), of which a head is a panel. Sums are not finished first: what
/// they are multiplied by goes into the queries and the result, which is exact (caformer_s18, Zen 5: 0.993 of the time
/// on one thread, 0.991 on two).
template <class T>
struct AttentionInput {
  const T* data;
  Index token_stride;
  Index head_stride;
  const T* scales = nullptr;  // (q k v, head, head_dim) or null

  /// `qkv` is (N, H, W, 3 · heads · head_dim).
  static AttentionInput of_map(TensorView<const T> qkv, Index heads) {
    const Index channels = qkv.shape().channels;
    return {qkv.data(), channels, channels / (3 * heads)};
  }

  static AttentionInput of_sums(const T* sums, Index panel_stride, const PackedView<T>& weights) {
    return {sums, matmul_panel_columns<T>(weights.isa), panel_stride, weights.scales};
  }
};

/// Whether a product of these weights is read as sums.
template <class T>
bool attends_to_sums(const PackedView<T>& qkv, Index head_dim) {
  return qkv.method() == MatmulMethod::inner_products && head_dim == matmul_panel_columns<T>(qkv.isa) &&
         (!qkv.bias || std::all_of(qkv.bias, qkv.bias + qkv.columns, [](T x) { return x == T{0}; }));
}

/// Sizes of an attention, and where it reads and writes.
template <class T>
struct Attention {
  AttentionInput<T> in;
  T* out;  // (image, token, head, head_dim)
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

/// Elements of scratch memory that attend() needs for each thread: a head's values, transposed, and its factors; a
/// block of queries, its scores of all keys, and its result.
template <class T>
Index attention_scratch(Index tokens, Index head_dim, Isa isa) {
  return checked_add(checked_multiply(head_dim, copied_row_stride<T>(tokens) + 2),
                     checked_multiply(matmul_panel_columns<T>(isa), 2 * head_dim + tokens));
}

/// out (N, H, W, heads · d) from q, k and v of its tokens, q already multiplied by 1/√d. For each head, over the tokens
/// of an image: out(m) = Σ_n p(m, n) · v(n), where p(m, ·) = softmax of q(m) · k(·). `scratch` has attention_scratch()
/// elements for each thread of the pool.
template <class T>
void attend(const AttentionInput<T>& in, Index heads, TensorView<T> out, T* scratch, Isa isa, Executor& pool) {
  const Shape& shape = out.shape();
  const Attention<T> attention{.in = in,
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
