// Body of strassen.hpp, compiled once for every instruction set (for_each_isa.hpp; shared_matmul.hpp includes it).

/// first + sign · second, or `first` alone: the factor of weights in one of the products.
template <class T>
struct StrassenFactor {
  const T* first = nullptr;
  const T* second = nullptr;
  T sign = 0;

  explicit StrassenFactor(const T* only) : first(only) {}
  StrassenFactor(const T* const (&quarters)[4], const int (&coefficients)[4]) {
    for (int i = 0; i < 4; ++i) {
      if (coefficients[i] == 0) continue;
      if (!first && coefficients[i] == 1) {
        first = quarters[i];
      } else {
        second = quarters[i];
        sign = static_cast<T>(coefficients[i]);
      }
    }
  }
};

/// The sum of quarters that is the first factor of a product.
template <class T>
inline typename Simd<T>::Vector sum_of_quarters(const typename Simd<T>::Vector (&x)[4], const int (&coefficients)[4]) {
  using S = Simd<T>;
  typename S::Vector sum = S::broadcast(T{0});
#pragma GCC unroll 4
  for (Index i = 0; i < 4; ++i) {
    if (coefficients[i] > 0) sum = S::add(sum, x[i]);
    if (coefficients[i] < 0) sum = S::sub(sum, x[i]);
  }
  return sum;
}

/// The sums of a portion of terms of two rows, for product after product at out, out + step, …
template <class T>
inline void sum_row_quarters(const T* const (&quarters)[4], Index half, T* out, Index step) {
  using S = Simd<T>;
  using V = typename S::Vector;
  for (Index i = 0; i < half; i += S::lanes) {
    V x[4];
#pragma GCC unroll 4
    for (Index quarter = 0; quarter < 4; ++quarter) x[quarter] = S::load(quarters[quarter] + i);
#pragma GCC unroll 7
    for (Index term = 0; term < strassen_terms; ++term) {
      S::store(out + term * step + i, sum_of_quarters<T>(x, strassen_products[term].a));
    }
  }
}

/// Sums of rows as the left-hand side of a block.
template <class T>
struct RowSums {
  const T* sums;
  Ahead ahead;

  /// sum(r, c) += sums(r, k) · b(k, c) over a half. If b has a second matrix, it is added to the first or subtracted on
  /// the way, and the result kept: additions are made in the shade of the products, by adders that most processors have
  /// beside their multipliers.
  template <Index rows, bool is_sum>
  void add_products(Index half, const StrassenFactor<T>& b, T* kept,
                    typename Simd<T>::Vector (&sum)[rows][MatmulBlock<T>::vectors]) const {
    using S = Simd<T>;
    using V = typename S::Vector;
    constexpr Index vectors = MatmulBlock<T>::vectors;
    constexpr Index columns = MatmulBlock<T>::columns;
    const T* first = b.first;
    const T* second = b.second;
    const T* pixels = sums;
    const char* later = ahead.data;
    const bool is_difference = b.sign < 0;
    for (Index k = 0; k < half; ++k, ++pixels) {
      V column[vectors];
#pragma GCC unroll 2
      for (Index v = 0; v < vectors; ++v) {
        column[v] = S::load(first + v * S::lanes);
        __builtin_prefetch(first + 8 * columns + v * S::lanes);
        if constexpr (is_sum) {
          const V y = S::load(second + v * S::lanes);
          column[v] = is_difference ? S::sub(column[v], y) : S::add(column[v], y);
          __builtin_prefetch(second + 8 * columns + v * S::lanes);
        }
      }
      if constexpr (is_sum) {
        // After all loads: one that follows a store to the same place of another 4 KB waits for it (Zen 4: a block took
        // 1.12 times as long where sums were kept 64 bytes further than the weights lie, modulo 4096).
#pragma GCC unroll 2
        for (Index v = 0; v < vectors; ++v) S::store(kept + v * S::lanes, column[v]);
      }
      __builtin_prefetch(later, 0, 2);
#pragma GCC unroll 16
      for (Index r = 0; r < rows; ++r) {
        const V pixel = S::broadcast(pixels[r * strassen_sum_stride]);
#pragma GCC unroll 2
        for (Index v = 0; v < vectors; ++v) sum[r][v] = S::fma(pixel, column[v], sum[r][v]);
      }
      first += columns;
      if constexpr (is_sum) {
        second += columns;
        kept += columns;
      }
      later += ahead.step;
    }
  }
};

/// A portion of terms of two panels, and where sums of it are kept.
template <class T>
struct StrassenWeights {
  const T* quarters[4];
  T* sums;
  bool are_summed;
};

/// What a block of `rows` pairs and a portion of terms adds to the product at c, (2 · rows, two panels).
template <class T, Index rows>
inline void add_strassen_block(Index half, const T* row_sums, const StrassenWeights<T>& weights,
                               const Ahead (&ahead)[strassen_terms], T* c) {
  using S = Simd<T>;
  using V = typename S::Vector;
  constexpr Index vectors = MatmulBlock<T>::vectors;
  constexpr Index columns = MatmulBlock<T>::columns;
  for (Index term = 0; term < strassen_terms; ++term, row_sums += rows * strassen_sum_stride) {
    const StrassenFactor<T> b(weights.quarters, strassen_products[term].b);
    T* const kept = weights.sums + term * half * columns;
    const RowSums<T> left{row_sums, ahead[term]};
    V sum[rows][vectors];
#pragma GCC unroll 16
    for (Index r = 0; r < rows; ++r) {
#pragma GCC unroll 2
      for (Index v = 0; v < vectors; ++v) sum[r][v] = S::broadcast(T{0});
    }
    if (b.second && !weights.are_summed) {
      left.template add_products<rows, true>(half, b, kept, sum);
    } else {
      const StrassenFactor<T> factor{b.second ? kept : b.first};
      left.template add_products<rows, false>(half, factor, nullptr, sum);
    }
    for (Index quarter = 0; quarter < 4; ++quarter) {
      const int coefficient = strassen_products[term].c[quarter];
      if (coefficient == 0) continue;
      const V sign = S::broadcast(static_cast<T>(coefficient));
      T* out = c + quarter * columns;
#pragma GCC unroll 16
      for (Index r = 0; r < rows; ++r, out += 4 * columns) {
#pragma GCC unroll 2
        for (Index v = 0; v < vectors; ++v)
          S::store(out + v * S::lanes, S::fma(sign, sum[r][v], S::load(out + v * S::lanes)));
      }
    }
  }
}

template <class T>
inline void add_strassen_block(Index half, Index height, const T* row_sums, const StrassenWeights<T>& weights,
                               const Ahead (&ahead)[strassen_terms], T* c) {
  constexpr Index rows = MatmulBlock<T>::rows;
  if (height == rows) {
    add_strassen_block<T, rows>(half, row_sums, weights, ahead, c);
  } else if (height == rows - 1) {
    add_strassen_block<T, rows - 1>(half, row_sums, weights, ahead, c);
  } else if (height == rows - 2) {
    add_strassen_block<T, rows - 2>(half, row_sums, weights, ahead, c);
  } else if (height == rows / 2 + 1) {
    add_strassen_block<T, rows / 2 + 1>(half, row_sums, weights, ahead, c);
  } else if (height == rows / 2) {
    add_strassen_block<T, rows / 2>(half, row_sums, weights, ahead, c);
  } else {
    add_strassen_block<T, 1>(half, row_sums, weights, ahead, c);
  }
}

/// c (2 · count and what fills the last block, two panels) = bias + pairs of rows · two panels, which begin at
/// `weights`. Meanwhile those that begin at `later` are brought into L2.
template <class T>
inline void multiply_pairs(const T* const* pairs, Index count, Index depth, const T* weights, const T* later,
                           const T* bias, T* c, T* sums) {
  using S = Simd<T>;
  constexpr Index columns = MatmulBlock<T>::columns;
  constexpr Index row_bytes = columns * static_cast<Index>(sizeof(T));
  const Index half = strassen_half(depth);
  const Index quarter_size = half * columns;
  const Index panel = depth * columns;
  const Index blocks = block_count<T>(count);
  const Index step = (row_bytes + blocks - 1) / blocks;
  for (Index k = 0; k < depth; k += 2 * half) {
    const T* const now = weights + k * columns;
    const T* const next = k + 2 * half < depth ? now + 2 * quarter_size : later;
    StrassenWeights<T> portion{{now, now + panel, now + quarter_size, now + panel + quarter_size}, sums, false};
    Ahead ahead[strassen_terms];  // with each of four terms a quarter of the next portion
    for (Index term = 0; term < strassen_terms; ++term) {
      const T* const quarter = next + term % 2 * panel + term / 2 % 2 * quarter_size;
      ahead[term] = {reinterpret_cast<const char*>(quarter), term < 4 ? step : 0};
    }
    for (Index r = 0; r < count;) {
      const Index height = block_height<T>(count - r);
      T* const block = c + 2 * r * 2 * columns;
      for (Index i = 0; k == 0 && i < 2 * height * 2 * columns; i += S::lanes)
        S::store(block + i, bias ? S::load(bias + i % (2 * columns)) : S::broadcast(T{0}));
      const T* const row_sums = pairs[r] + k / (2 * half) * strassen_terms * height * strassen_sum_stride;
      add_strassen_block<T>(half, height, row_sums, portion, ahead, block);
      portion.are_summed = true;
      for (Ahead& quarter : ahead) quarter = quarter.after(half);
      r += height;
    }
  }
}

/// Sums of products, `count` rows of two panels, a block's at most, become their result.
template <class T>
inline void finish_rows(const T* sums, Index count, BlockResult<T> result) {
  using S = Simd<T>;
  using Block = MatmulBlock<T>;
  for (Index panel = 0; panel < 2; ++panel, sums += Block::columns) {
    typename S::Vector block[Block::rows * Block::vectors];
    for (Index i = 0; i < count * Block::vectors; ++i)
      block[i] = S::load(sums + i / Block::vectors * 2 * Block::columns + i % Block::vectors * S::lanes);
    finish_block<T>(block, count, result);
    result.move_right(Block::columns);
  }
}

/// How the threads of shared_matmul.hpp multiply by Strassen's algorithm; DirectMethod is the other way.
template <class T>
struct StrassenMethod {
  /// Portions alike, of whole pairs and pools but for the last.
  static Index rows_in_portion(Index count, Index depth, Index pool) {
    return portion_of<T>(count, strassen_most_rows<T>(depth), pool % 2 != 0 ? 2 * pool : pool);
  }

  static Index copies_size(Index depth) { return strassen_row_sums<T>(depth); }

  /// For each block of pairs of rows and each portion of its terms the sums of all products; list[pair] points at a
  /// pair's first.
  static void locate(const RowSource<T>& rows, Isa isa, Range portion, Index depth, T* sums, T* beside,
                     const T** list) {
    const T* row[2 * MatmulBlock<T>::rows];
    const Index pairs = (portion.size() + 1) / 2;
    const Index half = strassen_half(depth);
    for (Index first = 0, height = 0; first < pairs; first += height) {
      height = block_height<T>(pairs - first);
      const Index count = height < pairs - first ? height : pairs - first;
      const Index left = portion.size() - 2 * first;
      rows.locate(isa, portion.begin + 2 * first, left < 2 * count ? left : 2 * count, beside, row);
      if (left < 2 * count) row[left] = row[left - 1];  // its own partner
      const Index step = height * strassen_sum_stride;
      for (Index pair = 0; pair < height; ++pair) {
        const Index wanted = pair < count ? pair : count - 1;  // the last again for those that a block has too many
        list[first + pair] = sums + pair * strassen_sum_stride;
        for (Index k = 0; k < depth; k += 2 * half) {
          const T* const even = row[2 * wanted] + k;
          const T* const odd = row[2 * wanted + 1] + k;
          T* const to = sums + k / (2 * half) * strassen_terms * step + pair * strassen_sum_stride;
          sum_row_quarters<T>({even, even + half, odd, odd + half}, half, to, step);
        }
      }
      sums += depth / (2 * half) * strassen_terms * step;
    }
  }

  /// Elements from the product of a portion and a pair of panels to that of the next pair.
  static Index product_size(Index rows) {
    constexpr Index block_rows = 2 * MatmulBlock<T>::rows;
    return (rows + block_rows - 1) / block_rows * block_rows * 2 * MatmulBlock<T>::columns;
  }

  /// A portion of rows times some pairs of panels, strassen_pairs_at_once at most. Meanwhile each brings the next into
  /// L2, the last the first of `later`.
  static void multiply(const T* const* pairs, Range portion, const PackedView<T>& b, Range panels, Range later,
                       const Epilogue<T>& epilogue, T* out, Index out_stride, T* beside) {
    constexpr Index width = 2 * MatmulBlock<T>::columns;
    const Index count = (portion.size() + 1) / 2;
    const Index size = product_size(portion.size());
    T* const sums = beside + strassen_pairs_at_once * size;
    for (Index i = panels.begin; i < panels.end; ++i) {
      const T* const now = b.panels + i * width * b.depth;
      const T* const next = b.panels + (i + 1 < panels.end ? i + 1 : later.begin) * width * b.depth;
      const T* const bias = b.bias ? b.bias + i * width : nullptr;
      T* const product = beside + (i - panels.begin) * size;
      multiply_pairs<T>(pairs, count, b.depth, now, next, bias, product, sums);
    }
    BlockResult<T> result(epilogue, nullptr, out, out_stride);
    result.move_down(portion.begin / epilogue.pool);
    result.move_right(panels.begin * width);
    finish_products(beside, size, panels.size(), portion.size(), result);
  }

  /// `count` products of `rows` rows become their results, side by side: a few rows of all before the next.
  static void finish_products(const T* products, Index size, Index count, Index rows, BlockResult<T> result) {
    constexpr Index width = 2 * MatmulBlock<T>::columns;
    const Index pool = result.epilogue->pool;
    const bool is_copied = pool > 1 || result.is_plain();
    const Index step = is_copied ? pool : MatmulBlock<T>::rows;
    for (Index r = 0; r < rows; r += step, products += step * width) {
      const Index some = step < rows - r ? step : rows - r;
      for (Index i = 0; i < count; ++i, result.move_right(width)) {
        if (is_copied) {
          pool_rows<T>(products + i * size, some, width, pool, result.out, result.stride, width);
        } else {
          finish_rows<T>(products + i * size, some, result);
        }
      }
      result.move_right(-count * width);
      result.move_down(some / pool);
    }
  }
};
