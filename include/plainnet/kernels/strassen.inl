// Body of strassen.hpp, compiled once for every instruction set (for_each_isa.hpp; shared_matmul.hpp includes it).

/// first + sign · second, or `first` alone: a factor of one of the products.
template <class T>
struct StrassenFactor {
  const T* first = nullptr;
  const T* second = nullptr;
  T sign = 0;

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

/// Sums of `count` elements of rows, a multiple of lanes, for all products one after the other.
template <class T>
inline void sum_row_quarters(const T* const (&quarters)[4], Index count, T* out) {
  using S = Simd<T>;
  constexpr Index chunk = 64 * S::lanes;  // a part that stays in L1
  for (Index begin = 0; begin < count; begin += chunk) {
    const Index end = begin + chunk < count ? begin + chunk : count;
    for (Index term = 0; term < strassen_terms; ++term) {
      const StrassenFactor<T> factor(quarters, strassen[term].a);
      T* const sums = out + term * count;
      const typename S::Vector sign = S::broadcast(factor.sign);
      for (Index i = begin; i < end; i += S::lanes) {
        const typename S::Vector x = S::load(factor.first + i);
        S::store(sums + i, factor.second ? S::fma(sign, S::load(factor.second + i), x) : x);
      }
    }
  }
}

/// sum(r, c) += a(k, r) · b(k, c) over a half, rows packed as PackedRows has them, and b into `kept`. The additions are
/// made in the shade of the products, by adders that most processors have beside their multipliers.
template <class T, Index rows>
inline void add_products_of_sum(const T* a, const StrassenFactor<T>& b, T* kept, Ahead ahead,
                                typename Simd<T>::Vector (&sum)[rows][MatmulBlock<T>::vectors]) {
  using S = Simd<T>;
  using V = typename S::Vector;
  constexpr Index vectors = MatmulBlock<T>::vectors;
  constexpr Index columns = MatmulBlock<T>::columns;
  const T* first = b.first;
  const T* second = b.second;
  const bool is_difference = b.sign < 0;
  for (Index k = 0; k < strassen_half; ++k) {
    V column[vectors];
#pragma GCC unroll 2
    for (Index v = 0; v < vectors; ++v) {
      const V x = S::load(first + v * S::lanes);
      const V y = S::load(second + v * S::lanes);
      column[v] = is_difference ? S::sub(x, y) : S::add(x, y);
      S::store(kept + v * S::lanes, column[v]);
      __builtin_prefetch(first + 8 * columns + v * S::lanes);
      __builtin_prefetch(second + 8 * columns + v * S::lanes);
    }
    __builtin_prefetch(ahead.data, 0, 2);
#pragma GCC unroll 16
    for (Index r = 0; r < rows; ++r) {
      const V pixel = S::broadcast(a[r]);
#pragma GCC unroll 2
      for (Index v = 0; v < vectors; ++v) sum[r][v] = S::fma(pixel, column[v], sum[r][v]);
    }
    a += rows;
    first += columns;
    second += columns;
    kept += columns;
    ahead.data += ahead.step;
  }
}

/// A portion of terms of two panels, and where sums of it are kept.
template <class T>
struct StrassenWeights {
  const T* quarters[4];
  T* sums;
  bool are_summed;
};

/// What a block of `rows` pairs and a portion of terms adds to the product at c, (2 · rows, two panels).
template <class T, Index rows>
inline void add_strassen_block(const T* a, const StrassenWeights<T>& weights, const Ahead (&ahead)[strassen_terms],
                               T* c) {
  using S = Simd<T>;
  using V = typename S::Vector;
  constexpr Index vectors = MatmulBlock<T>::vectors;
  constexpr Index columns = MatmulBlock<T>::columns;
  for (Index term = 0; term < strassen_terms; ++term, a += strassen_half * rows) {
    const StrassenFactor<T> b(weights.quarters, strassen[term].b);
    T* const kept = weights.sums + term * strassen_half * columns;
    V sum[rows][vectors];
#pragma GCC unroll 16
    for (Index r = 0; r < rows; ++r) {
#pragma GCC unroll 2
      for (Index v = 0; v < vectors; ++v) sum[r][v] = S::broadcast(T{0});
    }
    if (b.second && !weights.are_summed) {
      add_products_of_sum<T, rows>(a, b, kept, ahead[term], sum);
    } else {
      const PackedRows<T> packed{a, strassen_half, ahead[term]};
      packed.template add_products<rows>({0, strassen_half}, b.second ? kept : b.first, sum);
    }
    for (Index quarter = 0; quarter < 4; ++quarter) {
      const int coefficient = strassen[term].c[quarter];
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
inline void add_strassen_block(Index height, const T* a, const StrassenWeights<T>& weights,
                               const Ahead (&ahead)[strassen_terms], T* c) {
  constexpr Index rows = MatmulBlock<T>::rows;
  if (height == rows) {
    add_strassen_block<T, rows>(a, weights, ahead, c);
  } else if (height == rows - 1) {
    add_strassen_block<T, rows - 1>(a, weights, ahead, c);
  } else if (height == rows - 2) {
    add_strassen_block<T, rows - 2>(a, weights, ahead, c);
  } else if (height == rows / 2) {
    add_strassen_block<T, rows / 2>(a, weights, ahead, c);
  } else {
    add_strassen_block<T, 1>(a, weights, ahead, c);
  }
}

/// c (2 · pairs and what fills the last block, two panels) = bias + packed rows · two panels, which begin at `weights`.
/// Meanwhile those that begin at `later` are brought into L2.
template <class T>
inline void multiply_pairs(const T* packed, Index pairs, Index depth, const T* weights, const T* later, const T* bias,
                           T* c, T* sums) {
  using S = Simd<T>;
  constexpr Index columns = MatmulBlock<T>::columns;
  constexpr Index row_bytes = columns * static_cast<Index>(sizeof(T));
  constexpr Index half = strassen_half * columns;
  const Index panel = depth * columns;
  const Index blocks = block_count<T>(pairs);
  const Index step = (row_bytes + blocks - 1) / blocks;
  for (Index k = 0; k < depth; k += 2 * strassen_half) {
    const T* const now = weights + k * columns;
    const T* const next = k + 2 * strassen_half < depth ? now + 2 * half : later;
    StrassenWeights<T> portion{{now, now + panel, now + half, now + panel + half}, sums, false};
    Ahead ahead[strassen_terms];  // with each of four terms a quarter of the next portion
    for (Index term = 0; term < strassen_terms; ++term) {
      const T* const quarter = next + term % 2 * panel + term / 2 % 2 * half;
      ahead[term] = {reinterpret_cast<const char*>(quarter), term < 4 ? step : 0};
    }
    for (Index r = 0; r < pairs;) {
      const Index height = block_height<T>(pairs - r);
      T* const block = c + 2 * r * 2 * columns;
      for (Index i = 0; k == 0 && i < 2 * height * 2 * columns; i += S::lanes)
        S::store(block + i, bias ? S::load(bias + i % (2 * columns)) : S::broadcast(T{0}));
      const T* const a = packed + strassen_terms * (r * (depth / 2) + height * (k / 2));
      add_strassen_block<T>(height, a, portion, ahead, block);
      portion.are_summed = true;
      for (Ahead& quarter : ahead) quarter = quarter.after(strassen_half);
      r += height;
    }
  }
}

/// Sums of products, `count` rows of two panels, become their result.
template <class T>
inline void finish_rows(const T* sums, Index count, BlockResult<T> result) {
  using S = Simd<T>;
  using Block = MatmulBlock<T>;
  for (Index panel = 0; panel < 2; ++panel, sums += Block::columns) {
    BlockResult<T> rows = result;
    for (Index r = 0; r < count; r += Block::rows) {
      const Index some = r + Block::rows < count ? Block::rows : count - r;
      typename S::Vector block[Block::rows * Block::vectors];
      for (Index i = 0; i < some * Block::vectors; ++i)
        block[i] = S::load(sums + (r + i / Block::vectors) * 2 * Block::columns + i % Block::vectors * S::lanes);
      finish_block<T>(block, some, rows);
      rows.move_down(some);
    }
    result.move_right(Block::columns);
  }
}

/// How the threads of shared_matmul.hpp multiply by Strassen's algorithm; DirectMethod is the other way.
template <class T>
struct StrassenMethod {
  /// Portions alike, of whole blocks of pairs and pools but for the last.
  static Index rows_in_portion(Index count, Index depth, Index pool) {
    Index unit = 2 * MatmulBlock<T>::rows;
    while (unit % pool != 0) unit += 2 * MatmulBlock<T>::rows;
    return portion_of<T>(count, strassen_most_rows<T>(depth), unit);
  }

  static Index packed_size(Index depth) { return strassen_packed_rows<T>(depth); }

  /// For each block of pairs of rows, each portion of its terms, each product: the sum (term, pair).
  static void pack(const RowSource<T>& rows, Isa isa, Range portion, Index depth, T* packed, T* beside) {
    for (Index r = portion.begin; r < portion.end;) {
      const Index pairs = (portion.end - r) / 2;
      const Index height = block_height<T>(pairs);
      const Index count = height < pairs ? height : pairs;
      T* const odd = beside + height * depth;
      rows.pack(isa, r, 2, count, height, beside);
      rows.pack(isa, r + 1, 2, count, height, odd);
      const Index half = strassen_half * height;
      for (Index k = 0; k < depth * height; k += 2 * half) {
        sum_row_quarters<T>({beside + k, beside + k + half, odd + k, odd + k + half}, half, packed);
        packed += strassen_terms * half;
      }
      r += 2 * height;
    }
  }

  static void multiply(const T* packed, Range portion, const PackedView<T>& b, Index pair, Index next,
                       const Epilogue<T>& epilogue, T* out, Index out_stride, T* beside) {
    constexpr Index width = 2 * MatmulBlock<T>::columns;
    constexpr Index block_rows = 2 * MatmulBlock<T>::rows;
    const Index count = portion.size();
    const Index first_column = pair * width;
    T* const product = beside;
    T* const sums = product + (count + block_rows - 1) / block_rows * block_rows * width;
    multiply_pairs<T>(packed, count / 2, b.depth, b.panels + first_column * b.depth, b.panels + next * width * b.depth,
                      b.bias ? b.bias + first_column : nullptr, product, sums);
    if (epilogue.pool == 1) {
      BlockResult<T> result(epilogue, nullptr, out, out_stride);
      result.move_down(portion.begin);
      result.move_right(first_column);
      finish_rows<T>(product, count, result);
    } else {
      pool_rows<T>(product, count, width, epilogue.pool,
                   out + portion.begin / epilogue.pool * out_stride + first_column, out_stride, width);
    }
  }
};
