#pragma once
// Transposition of a matrix in memory.

#include "plainnet/kernels/dispatch.hpp"
#include "plainnet/kernels/simd.hpp"
#include "plainnet/kernels/vector_math.hpp"

#define PLAINNET_KERNEL "plainnet/kernels/transpose.inl"
#include "plainnet/kernels/for_each_isa.hpp"

namespace plainnet::kernels {

/// out[c · out_stride + r] = data[r · stride + c] for r < rows, c < columns; nothing else is read or written.
template <class T>
void transpose(Isa isa, const T* data, Index stride, Index rows, Index columns, T* out, Index out_stride) {
  PLAINNET_DISPATCH(isa, transpose<T>(data, stride, rows, columns, out, out_stride));
}

}  // namespace plainnet::kernels
