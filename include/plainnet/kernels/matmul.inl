// Body of matmul.hpp, compiled once for every instruction set (for_each_isa.hpp).

/// Register block: `rows` pixels by `vectors` vectors of output channels. 14 × 2 uses 28 of AVX-512's 32 registers as
/// accumulators, 6 × 2 uses 12 of the 16 of AVX2 and SSE2.
template <class T>
struct MatmulBlock {
  static constexpr Index vectors = 2;
  static constexpr Index columns = vectors * Simd<T>::lanes;
  static constexpr Index rows = Simd<T>::lanes * sizeof(T) == 64 ? 14 : 6;
};

/// What a block of rows × columns becomes: out(r, c) = act(Σ_k a(k, r) · b(k, c) + bias(c)).
template <class T>
struct BlockResult {
  const T* bias;
  const LeakySlope<T>* slope;
  T* out;
  Index stride;
};

/// Summed in portions of so many terms, and the portions then: a running sum over 4096 terms would carry four times the
/// rounding error (measured on vanillanet_5's logits), and 256 keeps the additions to memory below 1 % of the work.
inline constexpr Index terms_in_portion = 256;

/// k in ascending order for every element, in portions that do not depend on the block, so that a result never depends
/// on how a map is cut into blocks.
template <class T, Index rows>
inline void multiply_block(Index depth, const T* a, const T* b, const BlockResult<T>& result) {
  using S = Simd<T>;
  using V = typename S::Vector;
  constexpr Index vectors = MatmulBlock<T>::vectors;
  V total[rows][vectors], portion[rows][vectors];  // in memory; only `sum` is in registers, so only its loops unroll
  for (Index r = 0; r < rows; ++r) {
    for (Index v = 0; v < vectors; ++v) total[r][v] = S::load(result.bias + v * S::lanes);
  }
  for (Index begin = 0; begin < depth; begin += terms_in_portion) {
    const Index end = begin + terms_in_portion < depth ? begin + terms_in_portion : depth;
    V sum[rows][vectors];
#pragma GCC unroll 16
    for (Index r = 0; r < rows; ++r) {
#pragma GCC unroll 2
      for (Index v = 0; v < vectors; ++v) sum[r][v] = S::broadcast(T{0});
    }
    for (Index k = begin; k < end; ++k) {
      V column[vectors];
#pragma GCC unroll 2
      for (Index v = 0; v < vectors; ++v) {
        column[v] = S::load(b + v * S::lanes);
        __builtin_prefetch(b + v * S::lanes + 8 * MatmulBlock<T>::columns);
      }
#pragma GCC unroll 16
      for (Index r = 0; r < rows; ++r) {
        const V pixel = S::broadcast(a[r]);
#pragma GCC unroll 2
        for (Index v = 0; v < vectors; ++v) sum[r][v] = S::fma(pixel, column[v], sum[r][v]);
      }
      a += rows;
      b += MatmulBlock<T>::columns;
    }
#pragma GCC unroll 16
    for (Index r = 0; r < rows; ++r) {
#pragma GCC unroll 2
      for (Index v = 0; v < vectors; ++v) portion[r][v] = sum[r][v];
    }
    for (Index r = 0; r < rows; ++r) {
      for (Index v = 0; v < vectors; ++v) total[r][v] = S::add(total[r][v], portion[r][v]);
    }
  }
  for (Index r = 0; r < rows; ++r) {
    for (Index v = 0; v < vectors; ++v) {
      V x = total[r][v];
      if (result.slope) {
        // x < 0 ? slope · x : x, without a comparison: relu(x) − slope · relu(−x), of which one term is zero.
        const V negative = S::relu(S::mul(x, S::broadcast(T{-1})));
        x = S::fma(S::broadcast(-result.slope->value), negative, S::relu(x));
      }
      S::store(result.out + r * result.stride + v * S::lanes, x);
    }
  }
}

/// The smallest of the heights of blocks, all, half or one, that holds `count` rows.
template <class T>
inline Index block_height(Index count) {
  constexpr Index rows = MatmulBlock<T>::rows;
  return count > rows / 2 ? rows : count > 1 ? rows / 2 : 1;
}

template <class T>
inline void multiply_block_of(Index height, Index depth, const T* a, const T* b, const BlockResult<T>& result) {
  constexpr Index rows = MatmulBlock<T>::rows;
  if (height == rows) {
    multiply_block<T, rows>(depth, a, b, result);
  } else if (height == rows / 2) {
    multiply_block<T, rows / 2>(depth, a, b, result);
  } else {
    multiply_block<T, 1>(depth, a, b, result);
  }
}

/// A block that reaches over the last row or column: computed whole beside the result, of which a part is copied.
template <class T>
inline void multiply_partial_block(Index height, Index depth, const T* a, const T* b, const BlockResult<T>& result,
                                   Index valid_rows, Index valid_columns) {
  constexpr Index columns = MatmulBlock<T>::columns;
  alignas(64) T whole[MatmulBlock<T>::rows * columns];
  multiply_block_of<T>(height, depth, a, b, {result.bias, result.slope, whole, columns});
  for (Index r = 0; r < valid_rows; ++r) {
    for (Index c = 0; c < valid_columns; ++c) result.out[r * result.stride + c] = whole[r * columns + c];
  }
}

template <class T>
inline void multiply(const RowSource<T>& rows, Range row_range, const PackedMatrix<T>& b, Range panels,
                     const LeakySlope<T>* slope, T* out, Index out_stride, T* scratch) {
  constexpr Index columns = MatmulBlock<T>::columns;
  const Index depth = b.depth;
  const Index rows_in_cache = matmul_rows_in_cache<T>(depth);
  for (Index first = row_range.begin; first < row_range.end; first += rows_in_cache) {
    const Index count = first + rows_in_cache < row_range.end ? rows_in_cache : row_range.end - first;
    T* packed = scratch;
    for (Index r = 0; r < count; r += MatmulBlock<T>::rows) {
      const Index height = block_height<T>(count - r);
      rows.pack(first + r, height < count - r ? height : count - r, height, packed);
      packed += height * depth;
    }
    for (Index panel = panels.begin; panel < panels.end; ++panel) {
      const T* columns_of_b = b.panels.data() + panel * depth * columns;
      const Index first_column = panel * columns;
      const Index valid_columns = b.columns - first_column < columns ? b.columns - first_column : columns;
      const T* a = scratch;
      for (Index r = 0; r < count; r += MatmulBlock<T>::rows) {
        const Index height = block_height<T>(count - r);
        const Index valid_rows = height < count - r ? height : count - r;
        const BlockResult<T> result{b.bias.data() + first_column, slope, out + (first + r) * out_stride + first_column,
                                    out_stride};
        if (valid_rows == height && valid_columns == columns) {
          multiply_block_of<T>(height, depth, a, columns_of_b, result);
        } else {
          multiply_partial_block<T>(height, depth, a, columns_of_b, result, valid_rows, valid_columns);
        }
        a += height * depth;
      }
    }
  }
}
