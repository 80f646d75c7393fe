// Body of inner_product.hpp, compiled once for every instruction set (for_each_isa.hpp): how operands are prepared.

/// A power of two and its inverse; an inverse of 0 makes nothing of what is not 0 by rounding only.
template <class T>
struct PowerOfTwo {
  T value;
  T inverse;
};

/// Numbers of type T by the bits of their exponent.
template <class T>
struct ExponentBits {
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  static constexpr int fraction = std::numeric_limits<T>::digits - 1;
  static constexpr Index greatest = (Index{1} << (8 * static_cast<int>(sizeof(T)) - 1 - fraction)) - 1;
  static constexpr Index of_one = greatest / 2;

  /// Of x ≥ 0; that of ∞ and NaN is `greatest`.
  static Index of(T x) {
    Bits bits;
    __builtin_memcpy(&bits, &x, sizeof bits);
    return static_cast<Index>(bits >> fraction);
  }

  /// 2^(exponent − of_one), 0 for 0.
  static T power(Index exponent) {
    const Bits bits = static_cast<Bits>(exponent) << fraction;
    T x;
    __builtin_memcpy(&x, &bits, sizeof x);
    return x;
  }
};

/// Times which `size` ≥ 0 is in [1, 2), or below 4 if it is next to the largest number, below 1 next to 0.
template <class T>
inline PowerOfTwo<T> scale_for(T size) {
  using E = ExponentBits<T>;
  constexpr Index least = 1, most = E::greatest - 2;
  const Index exponent = E::of(size) < least ? least : E::of(size) > most ? most : E::of(size);
  return {E::power(E::greatest - 1 - exponent), size == 0 ? T{0} : E::power(exponent)};
}

/// The scale by which a root mean square is in [1, 2), if its square is not so large or small that digits were lost;
/// else the inverse is 0.
template <class T>
inline PowerOfTwo<T> scale_for_mean_square(T mean) {
  using E = ExponentBits<T>;
  const Index exponent = E::of(mean);
  constexpr Index margin = E::of_one / 4;
  if (exponent < margin || exponent > E::greatest - margin) return {0, 0};
  const Index root = (exponent - E::of_one) >> 1;
  return {E::power(E::of_one - root), E::power(E::of_one + root)};
}

/// The largest size of some numbers, `step` from each other. Those that are not numbers are left out.
template <class T>
inline T largest_of(const T* x, Index count, Index step = 1) {
  T largest = 0;
  for (Index k = 0; k < count; ++k) {
    const T size = x[k * step] < 0 ? -x[k * step] : x[k * step];
    if (size > largest) largest = size;
  }
  return largest;
}

/// The scale of any numbers by the largest of them, which then is in [2, 4).
template <class T>
inline PowerOfTwo<T> scale_for_largest(T largest) {
  return scale_for(largest / 2);
}

/// Vectors of a portion.
template <class T>
inline constexpr Index portion_vectors = inner_product_terms / Simd<T>::lanes;

/// Elements `first`, `first` + 1, … of a portion; zeros in the place of those from the `count`th on.
template <class T, Index first, Index count, Index... lane>
__attribute__((always_inline)) inline typename Simd<T>::Vector elements_of(
    const typename Simd<T>::Vector (&x)[portion_vectors<T>], std::integer_sequence<Index, lane...>) {
  using V = typename Simd<T>::Vector;
  constexpr Index lanes = Simd<T>::lanes, shift = first % lanes;
  V elements = x[first / lanes];
  if constexpr (shift > 0) elements = __builtin_shufflevector(elements, x[first / lanes + 1], (shift + lane)...);
  if constexpr (count < lanes) {
    const V zeros = Simd<T>::broadcast(T{0});
    elements = __builtin_shufflevector(elements, zeros, (lane < count ? lane : lanes + lane)...);
  }
  return elements;
}

/// ξ of a portion, in lanes, from vector `from` of the first elements of pairs on. No element is read again: pairs of
/// vectors that lie across lines, in part just written, take longer (Zen 5: of a row of 128 elements a copy takes 52
/// cycles that takes 45 so).
template <class T, Index from = 0>
__attribute__((always_inline)) inline typename Simd<T>::Vector products_of_pairs(
    const typename Simd<T>::Vector (&x)[portion_vectors<T>], typename Simd<T>::Vector xi) {
  constexpr Index lanes = Simd<T>::lanes, pairs = inner_product_terms / 3;
  if constexpr (from < pairs) {
    constexpr std::make_integer_sequence<Index, lanes> each;
    xi = Simd<T>::fma(elements_of<T, from, pairs - from>(x, each), elements_of<T, pairs + from, lanes>(x, each), xi);
    return products_of_pairs<T, from + lanes>(x, xi);
  }
  return xi;
}

/// ξ of `terms` elements in memory, in lanes.
template <class T>
__attribute__((always_inline)) inline typename Simd<T>::Vector products_of_pairs(const T* x, Index terms) {
  using S = Simd<T>;
  const Index pairs = terms / 3;
  typename S::Vector xi = S::broadcast(T{0});
#pragma GCC unroll 4
  for (Index k = 0; k < pairs; k += S::lanes) {
    const Index some = pairs - k < S::lanes ? pairs - k : S::lanes;
    xi = S::fma(load_part<T>(x + k, some), load_part<T>(x + pairs + k, some), xi);
  }
  return xi;
}

/// Of a row's portions so far, in lanes and before they are scaled: sums of squares, two that do not wait for each
/// other, and Σ s_p ξ_p.
template <class T>
struct RowSums {
  using S = Simd<T>;
  using V = typename S::Vector;

  V squares[2];
  V products;

  static RowSums of_none() {
    const V zero = S::broadcast(T{0});
    return {{zero, zero}, zero};
  }

  /// A whole portion.
  __attribute__((always_inline)) void add(const V (&x)[portion_vectors<T>]) {
#pragma GCC unroll 32
    for (Index i = 0; i < portion_vectors<T>; ++i) squares[i % 2] = S::fma(x[i], x[i], squares[i % 2]);
    products = S::sub(products_of_pairs<T>(x, S::broadcast(T{0})), products);
  }

  /// The last portion, of less.
  __attribute__((always_inline)) void add(const T* x, Index terms) {
#pragma GCC unroll 4
    for (Index k = 0; k < terms; k += S::lanes) {
      const V some = load_part<T>(x + k, terms - k < S::lanes ? terms - k : S::lanes);
      V& sum = squares[k / S::lanes % 2];
      sum = S::fma(some, some, sum);
    }
    products = S::sub(products_of_pairs<T>(x, terms), products);
  }
};

/// What sums of `count` ≤ sums_at_once<T> rows come to. They are reduced together, since a row alone waits for its own.
template <class T>
__attribute__((always_inline)) inline void reduce_sums(const RowSums<T>* sums, Index count, T* squares, T* products) {
  constexpr Index most = sums_at_once<T>;
  typename Simd<T>::Vector square[most], product[most];
#pragma GCC unroll 4
  for (Index r = 0; r < most; ++r) {
    const RowSums<T>& row = sums[r < count ? r : 0];
    square[r] = Simd<T>::add(row.squares[0], row.squares[1]);
    product[r] = row.products;
  }
  const auto square_sums = sums_of_lanes<T>(square), product_sums = sums_of_lanes<T>(product);
  __builtin_memcpy(squares, &square_sums, sizeof square_sums);
  __builtin_memcpy(products, &product_sums, sizeof product_sums);
}

/// Of `count` ≤ sums_at_once<T> rows, before they are scaled: sums of squares, and Σ s_p ξ_p.
template <class T>
inline void sum_rows(const T* const* rows, Index count, Index depth, T* squares, T* products) {
  using S = Simd<T>;
  constexpr Index most = sums_at_once<T>, portion = inner_product_terms;
  const Index whole = depth / portion * portion;
  RowSums<T> sums[most];
#pragma GCC unroll 4
  for (Index r = 0; r < most; ++r) {
    const T* const row = rows[r < count ? r : 0];
    sums[r] = RowSums<T>::of_none();
    for (Index k = 0; k < whole; k += portion) {
      typename S::Vector x[portion_vectors<T>];
#pragma GCC unroll 32
      for (Index i = 0; i < portion_vectors<T>; ++i) x[i] = S::load(row + k + i * S::lanes);
      sums[r].add(x);
    }
    if (whole < depth) sums[r].add(row + whole, depth - whole);
  }
  reduce_sums<T>(sums, most, squares, products);
}

/// `terms` elements times `scale`, zeros up to a whole vector. They may be written where they were.
template <class T>
__attribute__((always_inline)) inline void scale_terms(const T* x, Index terms, typename Simd<T>::Vector scale, T* to) {
  using S = Simd<T>;
#pragma GCC unroll 4
  for (Index k = 0; k < terms; k += S::lanes)
    S::store(to + k, S::mul(scale, load_part<T>(x + k, terms - k < S::lanes ? terms - k : S::lanes)));
}

/// The scale of a row, `step` elements from portion to portion, by its largest element, and Σ s_p ξ_p of what it
/// becomes: where the sum of its own squares is too large or too small.
template <class T>
__attribute__((noinline)) PowerOfTwo<T> scale_unusual_row(const T* row, Index step, Index depth, T& products) {
  constexpr Index portion = inner_product_terms;
  T largest = 0;
  const T* x = row;
  for (Index left = depth; left > 0; left -= portion, x += step) {
    const T size = largest_of(x, left < portion ? left : portion);
    if (size > largest) largest = size;
  }
  const PowerOfTwo<T> power = scale_for_largest(largest);
  products = 0;
  x = row;
  for (Index left = depth; left > 0; left -= portion, x += step) {
    const Index pairs = (left < portion ? left : portion) / 3;
    products = -products;
    for (Index k = 0; k < pairs; ++k) products += power.value * x[k] * (power.value * x[pairs + k]);
  }
  return power;
}

/// Copies a row, `step` elements from portion to portion, whose sum of squares and Σ s_p ξ_p, before it is scaled,
/// these are. It may lie where the copy does.
template <class T>
__attribute__((always_inline)) inline void copy_row(const T* row, Index step, Index depth, T squares, T products,
                                                    const RowCopies<T>& to) {
  using S = Simd<T>;
  constexpr Index portion = inner_product_terms;
  PowerOfTwo<T> power = scale_for_mean_square<T>(squares / static_cast<T>(depth));
  T xi = power.value * power.value * products;
  if (__builtin_expect(power.inverse == 0, 0)) power = scale_unusual_row(row, step, depth, xi);
  const typename S::Vector scale = S::broadcast(power.value);
  T* terms = to.terms;
  Index left = depth;
  for (; left >= portion; left -= portion, row += step, terms += to.portion_step)
    scale_terms<T>(row, portion, scale, terms);
  if (left > 0) scale_terms<T>(row, left, scale, terms);
  to.ends[0] = static_cast<T>(-inner_product_sign(0, inner_product_portions(depth))) * xi;
  to.ends[1] = power.inverse;
}

/// Copies `count` rows of `depth` elements. A row's copy depends on no other.
template <class T>
inline void copy_rows(const T* const* rows, Index count, Index depth, const RowCopies<T>& to) {
  constexpr Index at_once = sums_at_once<T>;
  const Index together = rows_summed<T>(depth);
  T squares[most_rows_copied], products[most_rows_copied];
  for (Index first = 0; first < count; first += together) {
    const Index some = count - first < together ? count - first : together;
    for (Index r = 0; r < some; r += at_once)
      sum_rows<T>(rows + first + r, some - r < at_once ? some - r : at_once, depth, squares + r, products + r);
    for (Index r = 0; r < some; ++r)
      copy_row<T>(rows[first + r], inner_product_terms, depth, squares[r], products[r], to.from(first + r));
  }
}

/// Body of scale_panel(). Every row moves towards the begin, so that rows may be read where others were written.
template <class T>
inline void scale_panel(Index depth, T* panel, T* scales) {
  constexpr Index columns = 2 * Simd<T>::lanes;
  const T* from = panel + inner_product_portions(depth) * columns;
  double squares[columns] = {};
  for (Index k = 0; k < depth; ++k) {
    for (Index c = 0; c < columns; ++c) {
      const auto y = static_cast<double>(from[k * columns + c]);
      squares[c] += y * y;
    }
  }
  T scale[columns];
  for (Index c = 0; c < columns; ++c) {
    const double mean = squares[c] / static_cast<double>(depth);
    const bool is_exact = mean > std::numeric_limits<double>::min() && mean < std::numeric_limits<double>::max();
    const PowerOfTwo<T> power = is_exact ? scale_for(static_cast<T>(__builtin_sqrt(mean)))
                                         : scale_for_largest(largest_of(from + c, depth, columns));
    scale[c] = power.value;
    scales[c] = power.inverse;
  }
  for (Index begin = 0; begin < depth; begin += inner_product_terms) {
    const Index terms = depth - begin < inner_product_terms ? depth - begin : inner_product_terms;
    const Index pairs = terms / 3;
    double sum[columns] = {};
    for (Index k = 0; k < pairs; ++k) {
      for (Index c = 0; c < columns; ++c) {
        const auto y = static_cast<double>(scale[c] * from[k * columns + c]);
        sum[c] += y * static_cast<double>(scale[c] * from[(pairs + k) * columns + c]);
      }
    }
    for (Index c = 0; c < columns; ++c) panel[c] = static_cast<T>(-sum[c]);
    panel += columns;
    const auto sign = static_cast<T>(inner_product_sign(begin / inner_product_terms, inner_product_portions(depth)));
    for (Index i = 0; i < terms * columns; i += columns) {
      for (Index c = 0; c < columns; ++c) panel[i + c] = sign * scale[c] * from[i + c];
    }
    panel += terms * columns;
    from += terms * columns;
  }
}
