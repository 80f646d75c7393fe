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

/// The scale by which the root mean square of inner_product_terms numbers is in [1, 2), if the sum of their squares is
/// not so large or small that digits were lost; else the inverse is 0.
template <class T>
inline PowerOfTwo<T> scale_for_squares(T sum) {
  using E = ExponentBits<T>;
  const Index exponent = E::of(sum);
  constexpr Index margin = E::of_one / 4;
  if (exponent < margin || exponent > E::greatest - margin) return {0, 0};
  constexpr Index root_of_terms = 3;  // 2^3
  const Index root = ((exponent - E::of_one) >> 1) - root_of_terms;
  return {E::power(E::of_one - root), E::power(E::of_one + root)};
}

/// The scale of any numbers, `step` from each other: such that the largest is in [2, 4). Those that are not numbers are
/// left out.
template <class T>
inline PowerOfTwo<T> scale_for_largest(const T* x, Index count, Index step = 1) {
  T largest = 0;
  for (Index k = 0; k < count; ++k) {
    const T size = x[k * step] < 0 ? -x[k * step] : x[k * step];
    if (size > largest) largest = size;
  }
  return scale_for(largest / 2);
}

/// Sums of squares and of products of pairs of `terms` elements, in lanes.
template <class T>
__attribute__((always_inline)) inline void sum_terms(const T* x, Index terms, typename Simd<T>::Vector& squares,
                                                     typename Simd<T>::Vector& products) {
  using S = Simd<T>;
  using V = typename S::Vector;
  const Index pairs = terms / 3;
  V sum[2] = {S::broadcast(T{0}), S::broadcast(T{0})};
#pragma GCC unroll 4
  for (Index k = 0; k < terms; k += S::lanes) {
    const V some = load_part<T>(x + k, terms - k < S::lanes ? terms - k : S::lanes);
    sum[k / S::lanes % 2] = S::fma(some, some, sum[k / S::lanes % 2]);
  }
  squares = S::add(sum[0], sum[1]);
  products = S::broadcast(T{0});
#pragma GCC unroll 4
  for (Index k = 0; k < pairs; k += S::lanes) {
    const Index some = pairs - k < S::lanes ? pairs - k : S::lanes;
    products = S::fma(load_part<T>(x + k, some), load_part<T>(x + pairs + k, some), products);
  }
}

/// The copy of `terms` elements with these sums.
template <class T>
__attribute__((always_inline)) inline void write_terms(const T* x, Index terms, T squares, T products, T* to) {
  using S = Simd<T>;
  PowerOfTwo<T> power = scale_for_squares<T>(squares);
  T xi = power.value * power.value * products;
  if (__builtin_expect(power.inverse == 0, 0)) {
    const Index pairs = terms / 3;
    power = scale_for_largest(x, terms);
    xi = 0;
    for (Index k = 0; k < pairs; ++k) xi += power.value * x[k] * (power.value * x[pairs + k]);
  }
  const typename S::Vector scale = S::broadcast(power.value);
#pragma GCC unroll 4
  for (Index k = 0; k < terms; k += S::lanes)
    S::store(to + k, S::mul(scale, load_part<T>(x + k, terms - k < S::lanes ? terms - k : S::lanes)));
  to[inner_product_terms] = -xi;
  to[inner_product_terms + 1] = power.inverse;
}

/// Body of copy_portions(). So many terms are `known` when it is compiled, or 0. Sums of several rows together, since a
/// row alone waits for its own (64 terms on Zen 5: 1.25 times as long).
template <class T, Index known>
inline void copy_terms(const T* const* rows, Index count, Index begin, Index some_terms, T* to, Index step) {
  constexpr Index most = sums_at_once<T>;
  const Index terms = known ? known : some_terms;
  typename Simd<T>::Vector squares[most], products[most];
#pragma GCC unroll 4
  for (Index r = 0; r < most; ++r) sum_terms<T>(rows[r < count ? r : 0] + begin, terms, squares[r], products[r]);
  const auto square_sums = sums_of_lanes<T>(squares), product_sums = sums_of_lanes<T>(products);
#pragma GCC unroll 4
  for (Index r = 0; r < most; ++r) {
    if (r < count) write_terms<T>(rows[r] + begin, terms, square_sums[r], product_sums[r], to + r * step);
  }
}

/// Copies a portion of some rows, elements begin … begin + terms − 1 of each, row r to `to` + r · step: times a power
/// of two, zeros up to a whole vector; and behind inner_product_terms of them −ξ and the inverse of that power.
template <class T>
inline void copy_portions(const T* const* rows, Index count, Index begin, Index terms, T* to, Index step) {
  if (terms == inner_product_terms) return copy_terms<T, inner_product_terms>(rows, count, begin, terms, to, step);
  copy_terms<T, 0>(rows, count, begin, terms, to, step);
}

/// Copies `count` rows of `depth` elements: a row `row_step` elements behind the one before, and its portions
/// `portion_step` from each other. A row's copy depends on no other.
template <class T>
inline void copy_rows(const T* const* rows, Index count, Index depth, T* to, Index row_step, Index portion_step) {
  for (Index r = 0; r < count; r += sums_at_once<T>, rows += sums_at_once<T>, to += sums_at_once<T> * row_step) {
    const Index some = count - r < sums_at_once<T> ? count - r : sums_at_once<T>;
    T* portion = to;
    for (Index k = 0; k < depth; k += inner_product_terms, portion += portion_step) {
      const Index terms = depth - k < inner_product_terms ? depth - k : inner_product_terms;
      copy_portions<T>(rows, some, k, terms, portion, row_step);
    }
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
    const PowerOfTwo<T> power =
        is_exact ? scale_for(static_cast<T>(__builtin_sqrt(mean))) : scale_for_largest(from + c, depth, columns);
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
    for (Index i = 0; i < terms * columns; i += columns) {
      for (Index c = 0; c < columns; ++c) panel[i + c] = scale[c] * from[i + c];
    }
    panel += terms * columns;
    from += terms * columns;
  }
}
