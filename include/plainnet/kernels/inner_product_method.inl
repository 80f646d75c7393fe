// Part of matmul.hpp, compiled once for every instruction set (for_each_isa.hpp): products by inner_product.hpp.

/// Rows in a register block, with two vectors of a panel: of AVX-512's 32 registers 20 are sums and 6 weights, of the
/// 16 of others 8 and 4.
template <class T>
inline constexpr Index inner_product_block_rows = Simd<T>::lanes * sizeof(T) == 64 ? inner_product_most_rows : 4;

/// Where an element of a row waits for its two additions, one for each vector of a panel.
enum class Operand {
  in_register,  // loaded once for both
  in_memory     // loaded by each
};

/// In memory where units of half a vector's width leave time for these loads (Zen 4: a block takes 0.7 of the time,
/// since a load to a register takes a place among additions). Of whole ones two add and two multiply in each cycle, in
/// which two operands can be loaded, less than they want (Zen 5: a block takes 1.5 times as long).
template <class T>
inline Operand operand_on(Isa isa) {
  return isa == Isa::zen4 && Simd<T>::lanes * sizeof(T) == 64 ? Operand::in_memory : Operand::in_register;
}

/// An element of each row of a block, `step` elements from row to row. In memory, the rows of a panel's vectors are to
/// the compiler two pointers, so that it loads what they point at twice.
template <class T, Operand operand, Index step = inner_product_terms>
struct BlockTerm {
  const T* rows[2];

  explicit BlockTerm(const T* first) : rows{first, first} {
    if constexpr (operand == Operand::in_memory) asm("" : "+r"(rows[1]));
  }

  typename Simd<T>::Vector operator()(Index row, Index vector) const {
    return Simd<T>::broadcast(rows[vector][row * step]);
  }
  void move_on() { ++rows[0], ++rows[1]; }
};

/// The weights of a term in a panel.
template <class T>
struct PanelTerm {
  typename Simd<T>::Vector columns[2];

  explicit PanelTerm(const T* panel) : columns{Simd<T>::load(panel), Simd<T>::load(panel + Simd<T>::lanes)} {}

  typename Simd<T>::Vector operator()(Index vector) const { return columns[vector]; }
};

/// sum(r, c) of a portion of terms: rows at `left` times the portion of a panel at `b`. With every three terms
/// `ahead.step` bytes are asked for in L2; and in L1, but for Zen 4's of 32 KB, those a quarter of a portion before
/// (Zen 5: 0.992 to 0.997 of the time of L1 alone); and a vector of `c`, which sums are about to meet (Zen 5:
/// vanillanet_9 takes 0.977 of the time, poolformer_s12 0.986, convformer_s18 0.993).
template <class T, Index rows, Operand operand>
__attribute__((always_inline)) inline void sum_inner_products(Index terms, const T* left, const T* b, Ahead ahead,
                                                              const T* c, typename Simd<T>::Vector (&sum)[rows][2]) {
  using S = Simd<T>;
  constexpr Index columns = MatmulBlock<T>::columns;
  constexpr Index nearer = (inner_product_terms + 1) * columns * static_cast<Index>(sizeof(T)) / 4;
  const Index pairs = terms / 3;
  const PanelTerm<T> minus_eta(b);
#pragma GCC unroll 16
  for (Index r = 0; r < rows; ++r) {
#pragma GCC unroll 2
    for (Index v = 0; v < 2; ++v) sum[r][v] = minus_eta(v);
  }
  BlockTerm<T, operand> x1(left), x2(left + pairs), x3(left + 2 * pairs);
  const T* first = b + columns;
  const T* second = first + pairs * columns;
  const T* third = second + pairs * columns;
  for (Index k = 0; k < pairs; ++k, first += columns, second += columns, third += columns) {
    const PanelTerm<T> y1(first), y2(second), y3(third);
    for (Index i = 0; i < ahead.step; i += 64) {
      __builtin_prefetch(ahead.data + i, 0, 2);
      if constexpr (operand == Operand::in_register) __builtin_prefetch(ahead.data + i - nearer, 0, 3);
    }
    ahead.data += ahead.step;
    __builtin_prefetch(c + k * S::lanes);
#pragma GCC unroll 16
    for (Index r = 0; r < rows; ++r) {
#pragma GCC unroll 2
      for (Index v = 0; v < 2; ++v) {
        sum[r][v] = S::fma(x3(r, v), y3(v), sum[r][v]);
        sum[r][v] = S::fma(S::add(x1(r, v), y2(v)), S::add(x2(r, v), y1(v)), sum[r][v]);
      }
    }
    x1.move_on(), x2.move_on(), x3.move_on();
  }
  for (Index k = 3 * pairs; k < terms; ++k, third += columns, x3.move_on()) {
    const PanelTerm<T> y(third);
#pragma GCC unroll 16
    for (Index r = 0; r < rows; ++r) {
#pragma GCC unroll 2
      for (Index v = 0; v < 2; ++v) sum[r][v] = S::fma(x3(r, v), y(v), sum[r][v]);
    }
  }
}

/// Which of a row's portions it is.
struct PortionPlace {
  bool is_first;
  bool is_last;
};

/// `count` blocks of rows, one after the other: c (rows, panel) becomes c_p of a portion of terms where it was c_{p−1}
/// (inner_product.hpp); that of the first has ends[2 · r] in its place, −s_0 Σ s_p ξ_p, and the last is multiplied by
/// ends[2 · r + 1], the inverse of a row's scale. With a call for each block, one takes 471 cycles in place of 462
/// (Zen 5, all of it in L1).
template <class T, Index rows, Operand operand>
__attribute__((noinline)) void add_inner_products(Index count, Index terms, const T* left, const T* b, Ahead ahead,
                                                  PortionPlace place, const T* ends, T* c) {
  using S = Simd<T>;
  for (; count > 0; --count) {
    typename S::Vector sum[rows][2];
    sum_inner_products<T, rows, operand>(terms, left, b, ahead, c, sum);
    if (place.is_first) {
      const BlockTerm<T, operand, 2> xi(ends);
#pragma GCC unroll 16
      for (Index r = 0; r < rows; ++r) {
#pragma GCC unroll 2
        for (Index v = 0; v < 2; ++v) sum[r][v] = S::add(sum[r][v], xi(r, v));
      }
    } else {
#pragma GCC unroll 16
      for (Index r = 0; r < rows; ++r) {
#pragma GCC unroll 2
        for (Index v = 0; v < 2; ++v) sum[r][v] = S::sub(sum[r][v], S::load(c + (2 * r + v) * S::lanes));
      }
    }
    if (place.is_last) {
      const BlockTerm<T, operand, 2> scale(ends + 1);
#pragma GCC unroll 16
      for (Index r = 0; r < rows; ++r) {
#pragma GCC unroll 2
        for (Index v = 0; v < 2; ++v) sum[r][v] = S::mul(scale(r, v), sum[r][v]);
      }
    }
#pragma GCC unroll 16
    for (Index r = 0; r < rows; ++r) {
#pragma GCC unroll 2
      for (Index v = 0; v < 2; ++v) S::store(c + (2 * r + v) * S::lanes, sum[r][v]);
    }
    left += rows * inner_product_terms;
    ends += 2 * rows;
    c += rows * MatmulBlock<T>::columns;
    ahead = ahead.after(terms / 3);
  }
}

template <class T>
using AddInnerProducts = void (*)(Index, Index, const T*, const T*, Ahead, PortionPlace, const T*, T*);

/// add_inner_products() of blocks of `height` rows, at most `most`.
template <class T, Index most = inner_product_block_rows<T>>
inline AddInnerProducts<T> inner_products_of(Index height, Operand operand) {
  if constexpr (most > 1) {
    if (height < most) return inner_products_of<T, most - 1>(height, operand);
  }
  if constexpr (Simd<T>::lanes * sizeof(T) == 64) {
    if (operand == Operand::in_memory) return add_inner_products<T, most, Operand::in_memory>;
  }
  return add_inner_products<T, most, Operand::in_register>;
}

/// Products by a panel: of each row the largest of scale · product + bias, for as many products as are pooled.
template <class T>
struct ScaledProducts {
  using S = Simd<T>;

  const T* products;  // (rows · pool, column)
  const T* scales;    // (column)
  const T* bias;      // (column) or null
  Index pool;

  /// With scales and bias in registers.
  struct Columns {
    typename S::Vector scale[2], bias[2];
    const T* products;
    Index pool;

    __attribute__((always_inline)) inline typename S::Vector operator()(Index r, Index v) const {
      if (pool == 1) return S::fma(scale[v], S::load(products + (2 * r + v) * S::lanes), bias[v]);
      const T* product = products + r * pool * 2 * S::lanes + v * S::lanes;
      typename S::Vector largest = S::fma(scale[v], S::load(product), bias[v]);
      for (Index i = 1; i < pool; ++i) {
        product += 2 * S::lanes;
        largest = S::larger(largest, S::fma(scale[v], S::load(product), bias[v]));
      }
      return largest;
    }
  };

  Columns columns() const {
    const typename S::Vector none = S::broadcast(T{0});
    return {{S::load(scales), S::load(scales + S::lanes)},
            {bias ? S::load(bias) : none, bias ? S::load(bias + S::lanes) : none},
            products,
            pool};
  }
};

/// How a thread multiplies by inner products; DirectMethod has the same members.
template <class T>
struct InnerProductMethod {
  static constexpr Index columns = MatmulBlock<T>::columns;

  static Index rows_in_portion(Index count, Index depth, Index pool) {
    return portion_of<T>(count, inner_product_rows<T>(depth), pool);
  }

  static Index copies_size(Index depth) { return inner_product_copies<T>(depth); }

  /// Copies of `count` rows: (portion of terms, row, term), and the two numbers behind each.
  static RowCopies<T> copies_of(Index count, Index depth, T* copies) {
    constexpr Index terms = inner_product_terms;
    return {copies, count * terms, terms, copies + inner_product_portions(depth) * count * terms, 2};
  }

  /// list[0] points at copies.
  static void locate(const RowSource<T>& rows, Isa isa, Range portion, Index depth, T* copies, T* beside,
                     const T** list) {
    list[0] = copies;
    const RowCopies<T> to = copies_of(portion.size(), depth, copies);
    for (Index first = 0, some = 0; first < portion.size(); first += some) {
      const Index left = portion.size() - first;
      some = left < most_rows_copied ? left : most_rows_copied;
      rows.copy(isa, portion.begin + first, some, depth, to.from(first), beside);
    }
  }

  /// c (rows of a portion, panel) = rows · panel, the first row's copy at `left`. Meanwhile the panel `later` is
  /// brought into the caches. What is asked for lies half a portion behind the next: its begin, middle and end are read
  /// at once, too soon for what the last block asks (Zen 5, half a portion nearer: poolformer_s12 takes 1.04 of the
  /// time, convformer_s18 and vanillanet_9 1.01).
  static void multiply_panel(Isa isa, const T* left, Index rows, Index depth, const T* panel, const T* later, T* c) {
    const BlocksAlike blocks(rows, inner_product_block_rows<T>);
    const Operand operand = operand_on<T>(isa);
    const AddInnerProducts<T> add_higher = inner_products_of<T>(blocks.height, operand);
    const AddInnerProducts<T> add_lower = inner_products_of<T>(blocks.height - 1, operand);
    const Index higher_rows = blocks.higher * blocks.height;
    const Index portions = inner_product_portions(depth);
    const T* const ends = left + portions * rows * inner_product_terms;
    for (Index portion = 0; portion < portions; ++portion) {
      const bool is_last = portion + 1 == portions;
      const Index begin = portion * inner_product_terms;
      const Index terms = is_last ? depth - begin : inner_product_terms;
      const T* const next = is_last ? later : panel + (terms + 1) * columns;
      const Index bytes = (inner_product_terms + 1) * columns * static_cast<Index>(sizeof(T));
      const Index steps = blocks.count * (terms / 3);
      const Index step = steps > 0 ? (bytes + steps - 1) / steps : 0;
      const Ahead ahead{reinterpret_cast<const char*>(next) + bytes / 2, step};
      const PortionPlace place{portion == 0, is_last};
      add_higher(blocks.higher, terms, left, panel, ahead, place, ends, c);
      add_lower(blocks.count - blocks.higher, terms, left + higher_rows * inner_product_terms, panel,
                ahead.after(blocks.higher * (terms / 3)), place, ends + 2 * higher_rows, c + higher_rows * columns);
      left += rows * inner_product_terms;
      panel = next;
    }
  }

  /// A portion of rows times some panels, inner_product_panels_at_once at most. Meanwhile each brings the next into L2,
  /// the last the first of `later`.
  static void multiply(const T* const* rows, Range portion, const PackedView<T>& b, Range panels, Range later,
                       const Epilogue<T>& epilogue, T* out, Index out_stride, T* beside) {
    const bool is_unfinished = epilogue.is_unfinished;
    const Index size = is_unfinished ? out_stride : portion.size() * columns;
    const Index panel_size = b.panel_size();
    T* product = is_unfinished ? out + panels.begin * size + portion.begin * columns : beside;
    for (Index i = panels.begin; i < panels.end; ++i, product += size) {
      const Index next = i + 1 < panels.end ? i + 1 : later.begin;
      multiply_panel(b.isa, rows[0], portion.size(), b.depth, b.panels + i * panel_size, b.panels + next * panel_size,
                     product);
    }
    if (is_unfinished) return;
    const Epilogue<T> pooled{.pool = epilogue.pool};
    BlockResult<T> result(epilogue.pool > 1 ? pooled : epilogue, b.bias, out, out_stride);
    result.move_down(portion.begin / epilogue.pool);
    result.move_right(panels.begin * columns);
    finish_products(beside, size, b.scales + panels.begin * columns, panels.size(), portion.size(), result);
  }

  /// `count` products of `rows` rows, `size` elements from one to the next, become their results, side by side: a few
  /// rows of all before the next.
  static void finish_products(const T* products, Index size, const T* scales, Index count, Index rows,
                              BlockResult<T> result) {
    const Index pool = result.epilogue->pool;
    const Index step = MatmulBlock<T>::rows * pool;
    for (Index r = 0; r < rows; r += step, products += step * columns) {
      const Index some = (step < rows - r ? step : rows - r) / pool;
      for (Index i = 0; i < count; ++i, result.move_right(columns))
        finish_block<T>(ScaledProducts<T>{products + i * size, scales + i * columns, result.bias, pool}, some, result);
      result.move_right(-count * columns);
      result.move_down(some);
    }
  }
};
