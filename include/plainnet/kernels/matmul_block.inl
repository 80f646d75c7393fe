// Body of matmul.hpp, compiled once for every instruction set (for_each_isa.hpp): some rows by one panel, which are
// computed in registers.

/// Register block: `rows` pixels by `vectors` vectors of output channels. 14 × 2 uses 28 of AVX-512's 32 registers as
/// accumulators, 6 × 2 uses 12 of the 16 of AVX2 and SSE2.
template <class T>
struct MatmulBlock {
  static constexpr Index vectors = 2;
  static constexpr Index columns = vectors * Simd<T>::lanes;
  static constexpr Index rows = Simd<T>::lanes * sizeof(T) == 64 ? 14 : 6;
};

/// What a block of rows × columns becomes: out(r, c) = act(Σ_k a(k, r) · b(k, c) + bias(c)) + scale(c) · residual(r,
/// c), everything counted from the block's first row and column. Whoever moves to another block changes the pointers in
/// place: a copy would be read in wider pieces than it was written, and wait for all stores before it (measured: a
/// block of 48 terms took twice the time).
template <class T>
struct BlockResult {
  const Epilogue<T>* epilogue;
  const T* bias;            // or null
  const T* residual;        // or null
  const T* residual_scale;  // or null
  Index residual_stride;
  T* out;
  Index stride;

  BlockResult(const Epilogue<T>& epilogue_, const T* bias_, T* out_, Index stride_)
      : epilogue(&epilogue_),
        bias(bias_),
        residual(epilogue_.residual),
        residual_scale(epilogue_.residual_scale),
        residual_stride(epilogue_.residual_stride),
        out(out_),
        stride(stride_) {}

  /// Whether the sums and the bias are all.
  bool is_plain() const { return epilogue->activation == Activation::none && !residual; }

  void move_down(Index rows) {
    out += rows * stride;
    if (residual) residual += rows * residual_stride;
  }
  void move_right(Index columns) {
    out += columns;
    if (bias) bias += columns;
    if (residual) residual += columns;
    if (residual_scale) residual_scale += columns;
  }
};

/// `rows` rows of a panel become a result: act(value(r, v)) + scale · residual for vector v of row r, all of it in
/// registers. values.columns() gives value, which may hold what is the same in every row. Whether there is a residual
/// is asked before the rows, not in each, and values are inlined by force: 0.6 to 0.7 of the time on Zen 5, and twice
/// where GCC called them.
template <class T, class Values>
struct FinishBlock {
  const Values& values;
  Index rows;
  const BlockResult<T>& result;

  template <Activation activation>
  __attribute__((noinline)) void run() const {
    if (result.residual) {
      finish_rows<activation, true>();
    } else {
      finish_rows<activation, false>();
    }
  }

  template <Activation activation, bool has_residual>
  __attribute__((always_inline)) inline void finish_rows() const {
    using S = Simd<T>;
    constexpr Index vectors = MatmulBlock<T>::vectors;
    const auto value = values.columns();
    const T slope = result.epilogue->slope;
    typename S::Vector scale[vectors];
    const bool is_scaled = has_residual && result.residual_scale;
#pragma GCC unroll 2
    for (Index v = 0; v < vectors; ++v)
      scale[v] = is_scaled ? S::load(result.residual_scale + v * S::lanes) : S::broadcast(T{1});
    T* out = result.out;
    const T* residual = result.residual;
    const Index stride = result.stride, residual_stride = result.residual_stride;
    for (Index r = 0; r < rows; ++r, out += stride) {
#pragma GCC unroll 2
      for (Index v = 0; v < vectors; ++v) {
        typename S::Vector x = activated<T, activation>(value(r, v), slope);
        if constexpr (has_residual) x = S::fma(scale[v], S::load(residual + v * S::lanes), x);
        S::store(out + v * S::lanes, x);
      }
      if constexpr (has_residual) residual += residual_stride;
    }
  }
};

template <class T, class Values>
inline void finish_block(const Values& values, Index rows, const BlockResult<T>& result) {
  run_with(result.epilogue->activation, FinishBlock<T, Values>{values, rows, result});
}

/// The sums of a block, with the bias.
template <class T>
struct BlockSums {
  const typename Simd<T>::Vector* sums;

  const BlockSums& columns() const { return *this; }
  __attribute__((always_inline)) inline typename Simd<T>::Vector operator()(Index r, Index v) const {
    return sums[r * MatmulBlock<T>::vectors + v];
  }
};

/// What a block asks for while it is computed, `step` bytes with every term, so that it waits in L2 when its turn
/// comes: a part of the next panel. Weights in memory are too far for the few lines that the processor itself looks
/// ahead (7×7 maps of 4096 channels: 1.3 times faster).
struct Ahead {
  const char* data;
  Index step;

  Ahead after(Index terms) const { return {data + terms * step, step}; }
};

/// Rows wherever they lie, term after term. Of 14 pointers the compiler fetches some again for every term.
template <class T, Index rows>
struct ScatteredRows {
  const T* row[rows];
  Index term = 0;

  const T& operator[](Index r) const { return row[r][term]; }
  void move_on() { ++term; }
};

/// Rows at equal distances, term after term: a pointer for every three of them, since an address may be the sum of a
/// pointer and the distance or twice that. Fewer loads than ScatteredRows has, and fewer instructions (a block of 256
/// terms: 1.02 times faster on Emerald Rapids, 1.01 on Zen 5).
template <class T, Index rows>
struct SpacedRows {
  static constexpr Index pointers = (rows + 2) / 3;
  const T* every_third[pointers];
  Index stride;

  SpacedRows(const T* first, Index stride_) : stride(stride_) {
#pragma GCC unroll 8
    for (Index i = 0; i < pointers; ++i) every_third[i] = first + 3 * i * stride;
  }

  const T& operator[](Index r) const { return every_third[r / 3][r % 3 * stride]; }
  void move_on() {
#pragma GCC unroll 8
    for (Index i = 0; i < pointers; ++i) ++every_third[i];
  }
};

/// sum(r, c) += element k of row r · b(k, c) for k < count.
template <class T, Index rows, class Rows>
inline void add_row_products(Rows row, Index count, const T* b, Ahead ahead,
                             typename Simd<T>::Vector (&sum)[rows][MatmulBlock<T>::vectors]) {
  using S = Simd<T>;
  using V = typename S::Vector;
  constexpr Index vectors = MatmulBlock<T>::vectors;
  for (Index k = 0; k < count; ++k) {
    V column[vectors];
#pragma GCC unroll 2
    for (Index v = 0; v < vectors; ++v) {
      column[v] = S::load(b + v * S::lanes);
      __builtin_prefetch(b + v * S::lanes + 8 * MatmulBlock<T>::columns);
    }
    __builtin_prefetch(ahead.data, 0, 2);
    ahead.data += ahead.step;
#pragma GCC unroll 16
    for (Index r = 0; r < rows; ++r) {
      const V pixel = S::broadcast(row[r]);
#pragma GCC unroll 2
      for (Index v = 0; v < vectors; ++v) sum[r][v] = S::fma(pixel, column[v], sum[r][v]);
    }
    row.move_on();
    b += MatmulBlock<T>::columns;
  }
}

/// The left-hand side of a block: element k of row r at rows[r][offset + k], all rows of a block at equal distances
/// (space_out()). They are read where they lie: packing them for the block took 2 % (1280 terms) to 15 % (256) of a
/// product's time, and was no faster to read.
template <class T, Index portion = matmul_terms_in_portion>
struct LocatedRows {
  static constexpr Index terms_in_portion = portion;

  const T* const* rows;
  Index offset;
  Index depth;
  Ahead ahead;

  /// sum(r, c) += element k of row r · b(k, c) for k in `terms`; b points at the row terms.begin of the panel.
  template <Index height>
  void add_products(Range terms, const T* b, typename Simd<T>::Vector (&sum)[height][MatmulBlock<T>::vectors]) const {
    const SpacedRows<T, height> row(rows[0] + offset + terms.begin, height > 1 ? rows[1] - rows[0] : 0);
    add_row_products<T, height>(row, terms.size(), b, ahead.after(terms.begin), sum);
  }

  void move_down(Index count) { rows += count; }
};

/// k in ascending order for every element, in portions that do not depend on the block, so that a result never depends
/// on how a map is cut into blocks. `Left` is LocatedRows, or something else with its members `depth` and
/// add_products(). `total` is room for rows · vectors vectors, of the caller: of an array of its own the compiler would
/// keep copies in four places (a block of 64 terms took 1.1 times as long).
template <class T, Index rows, class Left>
__attribute__((noinline)) void multiply_block(const Left& left, const T* b, const BlockResult<T>& result,
                                              typename Simd<T>::Vector* total) {
  using S = Simd<T>;
  using V = typename S::Vector;
  constexpr Index vectors = MatmulBlock<T>::vectors;
  const Index depth = left.depth;
  for (Index begin = 0;;) {
    const Index end = begin + Left::terms_in_portion < depth ? begin + Left::terms_in_portion : depth;
    V sum[rows][vectors];
#pragma GCC unroll 16
    for (Index r = 0; r < rows; ++r) {
#pragma GCC unroll 2
      for (Index v = 0; v < vectors; ++v) sum[r][v] = S::broadcast(T{0});
    }
    left.template add_products<rows>({begin, end}, b, sum);
    if (begin > 0) {
#pragma GCC unroll 16
      for (Index r = 0; r < rows; ++r) {
#pragma GCC unroll 2
        for (Index v = 0; v < vectors; ++v) sum[r][v] = S::add(total[r * vectors + v], sum[r][v]);
      }
    }
    const bool is_last = end == depth;
    if (is_last) {
#pragma GCC unroll 2
      for (Index v = 0; v < vectors; ++v) {
        const V bias = result.bias ? S::load(result.bias + v * S::lanes) : S::broadcast(T{0});
#pragma GCC unroll 16
        for (Index r = 0; r < rows; ++r) sum[r][v] = S::add(bias, sum[r][v]);
      }
    }
    if (is_last && result.is_plain()) {
      T* out = result.out;
#pragma GCC unroll 16
      for (Index r = 0; r < rows; ++r, out += result.stride) {
#pragma GCC unroll 2
        for (Index v = 0; v < vectors; ++v) S::store(out + v * S::lanes, sum[r][v]);
      }
      return;
    }
#pragma GCC unroll 16
    for (Index r = 0; r < rows; ++r) {
#pragma GCC unroll 2
      for (Index v = 0; v < vectors; ++v) total[r * vectors + v] = sum[r][v];
    }
    if (is_last) return finish_block<T>(BlockSums<T>{total}, rows, result);
    b += (end - begin) * MatmulBlock<T>::columns;
    begin = end;
  }
}

/// How rows are cut into blocks of at most so many: `higher` of a height, the others a row less.
struct BlocksAlike {
  Index count;
  Index height;
  Index higher;

  BlocksAlike(Index rows, Index most)
      : count((rows + most - 1) / most), height((rows + count - 1) / count), higher(rows - count * (height - 1)) {}
};

/// Register blocks that `count` rows are cut into: blocks alike, of full height or one or two rows less, which are as
/// fast a row (25 = 13 + 12, 49 = 13 + 12 + 12 + 12), or two of about half (16 = 8 + 8), or all but one alike, and that
/// of half the height (32 = 13 + 12 + 7), where these are exactly as many. Where they are not, the first is of full
/// height and so on with the rest (30 = 14 + 8 + 8), and the last may be padded.
template <class T>
inline Index block_count(Index count) {
  return (count + MatmulBlock<T>::rows - 1) / MatmulBlock<T>::rows;
}

/// How high the first of them is.
template <class T>
inline Index block_height(Index count) {
  constexpr Index rows = MatmulBlock<T>::rows;
  const Index blocks = block_count<T>(count);
  if (count >= blocks * (rows - 2) || (blocks == 2 && count <= rows + 2)) return part_of(count, blocks, 0).size();
  const Index others = count - rows / 2;  // than a last one of half the height
  if (others >= (blocks - 1) * (rows - 2) && others <= (blocks - 1) * rows && blocks > 1)
    return part_of(others, blocks - 1, 0).size();
  if (count >= rows) return rows;
  if (count > rows / 2) return count == rows / 2 + 1 ? count : rows - 2;
  return count > 1 ? rows / 2 : 1;
}

/// Rows before block `i`.
template <class T>
inline Index block_begin(Index count, Index i) {
  Index begin = 0;
  for (; i > 0; --i) begin += block_height<T>(count - begin);
  return begin;
}

template <class T, class Left>
inline void multiply_whole_block(Index height, const Left& left, const T* b, const BlockResult<T>& result) {
  constexpr Index rows = MatmulBlock<T>::rows;
  typename Simd<T>::Vector total[rows * MatmulBlock<T>::vectors];
  if (height == rows) {
    multiply_block<T, rows>(left, b, result, total);
  } else if (height == rows - 1) {
    multiply_block<T, rows - 1>(left, b, result, total);
  } else if (height == rows - 2) {
    multiply_block<T, rows - 2>(left, b, result, total);
  } else if (height == rows / 2 + 1) {
    multiply_block<T, rows / 2 + 1>(left, b, result, total);
  } else if (height == rows / 2) {
    multiply_block<T, rows / 2>(left, b, result, total);
  } else {
    multiply_block<T, 1>(left, b, result, total);
  }
}

/// The first `count` columns of a block's row, and zeros.
template <class T>
inline void load_columns(const T* row, Index count, T* to) {
  using S = Simd<T>;
  for (Index c = 0; c < MatmulBlock<T>::columns; c += S::lanes) {
    const Index left = count - c;
    S::store(to + c, left <= 0 ? S::broadcast(T{0}) : load_part<T>(row + c, left < S::lanes ? left : S::lanes));
  }
}

/// A block that reaches over the last row or column: computed whole beside the result, of which a part is copied.
template <class T, class Left>
inline void multiply_partial_block(Index height, const Left& left, const T* b, const BlockResult<T>& result,
                                   Index valid_rows, Index valid_columns) {
  using S = Simd<T>;
  constexpr Index rows = MatmulBlock<T>::rows;
  constexpr Index columns = MatmulBlock<T>::columns;
  alignas(64) T whole[rows * columns];
  alignas(64) T residual[rows * columns];
  alignas(64) T scale[columns];
  BlockResult<T> beside = result;
  beside.out = whole;
  beside.stride = columns;
  if (result.residual) {
    for (Index r = 0; r < height; ++r) {
      const Index wanted = r < valid_rows ? r : 0;
      load_columns<T>(result.residual + wanted * result.residual_stride, valid_columns, residual + r * columns);
    }
    beside.residual = residual;
    beside.residual_stride = columns;
  }
  if (result.residual_scale) {
    load_columns<T>(result.residual_scale, valid_columns, scale);
    beside.residual_scale = scale;
  }
  multiply_whole_block<T>(height, left, b, beside);
  for (Index r = 0; r < valid_rows; ++r) {
    for (Index c = 0; c < valid_columns; c += S::lanes)
      store_part<T>(result.out + r * result.stride + c, S::load(whole + r * columns + c),
                    valid_columns - c < S::lanes ? valid_columns - c : S::lanes);
  }
}

/// A block of block_height(count) rows and one panel, `count` and `valid_columns` of which are wanted.
template <class T, class Left>
inline void multiply_block_part(Index count, const Left& left, const T* panel, const BlockResult<T>& result,
                                Index valid_columns) {
  const Index height = block_height<T>(count);
  if (count >= height && valid_columns == MatmulBlock<T>::columns) {
    multiply_whole_block<T>(height, left, panel, result);
  } else {
    multiply_partial_block<T>(height, left, panel, result, count < height ? count : height, valid_columns);
  }
}
