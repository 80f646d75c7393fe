// Body of winograd.hpp, compiled once for every instruction set (for_each_isa.hpp): the transforms.

/// x becomes Bᵀ x.
template <class T>
inline void winograd_input(typename Simd<T>::Vector (&x)[4]) {
  using S = Simd<T>;
  const typename S::Vector first = S::sub(x[2], x[0]);
  const typename S::Vector last = S::sub(x[3], x[1]);
  const typename S::Vector sum = S::add(x[2], x[1]);
  x[2] = S::sub(x[2], x[1]);
  x[0] = first;
  x[1] = sum;
  x[3] = last;
}

/// The same of F(2×2) of stride 2: every other one is an input of F(2×2) of two taps, the others are their own.
template <class T>
inline void winograd_input(typename Simd<T>::Vector (&x)[5]) {
  using S = Simd<T>;
  using V = typename S::Vector;
  const V first = S::sub(x[0], x[2]);
  const V last = S::sub(x[4], x[2]);
  x[4] = x[3];
  x[3] = x[1];
  x[0] = first;
  x[1] = x[2];
  x[2] = last;
}

/// The same of F(4×4): the rows of points a and −a differ in the sign of their odd powers.
template <class T>
inline void winograd_input(typename Simd<T>::Vector (&x)[6]) {
  using S = Simd<T>;
  using V = typename S::Vector;
  constexpr double a = winograd_points[0], b = winograd_points[1];
  const V product = S::broadcast(T(a * a * b * b));
  const V minus_sum = S::broadcast(T(-(a * a + b * b)));
  const V first = S::fma(product, x[0], S::fma(minus_sum, x[2], x[4]));
  const V last = S::fma(product, x[1], S::fma(minus_sum, x[3], x[5]));
  const V even_a = S::fma(S::broadcast(T(-b * b)), x[2], x[4]);
  const V odd_a = S::fma(S::broadcast(T(-b * b)), x[1], x[3]);
  const V even_b = S::fma(S::broadcast(T(-a * a)), x[2], x[4]);
  const V odd_b = S::fma(S::broadcast(T(-a * a)), x[1], x[3]);
  x[0] = first;
  x[1] = S::fma(S::broadcast(T(a)), odd_a, even_a);
  x[2] = S::fma(S::broadcast(T(-a)), odd_a, even_a);
  x[3] = S::fma(S::broadcast(T(b)), odd_b, even_b);
  x[4] = S::fma(S::broadcast(T(-b)), odd_b, even_b);
  x[5] = last;
}

/// The first two of x become Aᵀ x.
template <class T>
inline void winograd_output(typename Simd<T>::Vector (&x)[4]) {
  using S = Simd<T>;
  x[0] = S::add(x[0], S::add(x[1], x[2]));
  x[1] = S::add(x[3], S::sub(x[1], x[2]));
}

/// The same of stride 2.
template <class T>
inline void winograd_output(typename Simd<T>::Vector (&x)[5]) {
  using S = Simd<T>;
  x[0] = S::add(x[3], S::add(x[0], x[1]));
  x[1] = S::add(x[4], S::add(x[1], x[2]));
}

/// The first four of x become Aᵀ x.
template <class T>
inline void winograd_output(typename Simd<T>::Vector (&x)[6]) {
  using S = Simd<T>;
  using V = typename S::Vector;
  constexpr double a = winograd_points[0], b = winograd_points[1];
  const V sum_a = S::add(x[1], x[2]);
  const V sum_b = S::add(x[3], x[4]);
  const V difference_a = S::sub(x[1], x[2]);
  const V difference_b = S::sub(x[3], x[4]);
  x[0] = S::add(x[0], S::add(sum_a, sum_b));
  x[1] = S::fma(S::broadcast(T(a)), difference_a, S::mul(S::broadcast(T(b)), difference_b));
  x[2] = S::fma(S::broadcast(T(a * a)), sum_a, S::mul(S::broadcast(T(b * b)), sum_b));
  x[3] = S::fma(S::broadcast(T(a * a * a)), difference_a, S::fma(S::broadcast(T(b * b * b)), difference_b, x[5]));
}

/// y = G x of F(2×2).
template <class T>
inline void winograd_weight(const typename Simd<T>::Vector (&x)[3], typename Simd<T>::Vector (&y)[4]) {
  using S = Simd<T>;
  using V = typename S::Vector;
  const V half = S::broadcast(T(0.5));
  const V even = S::mul(half, S::add(x[0], x[2]));
  y[0] = S::sub(S::broadcast(T{0}), x[0]);
  y[1] = S::fma(half, x[1], even);
  y[2] = S::fma(S::broadcast(T(-0.5)), x[1], even);
  y[3] = x[2];
}

/// The same of stride 2, for which the last two are the same.
template <class T>
inline void winograd_weight(const typename Simd<T>::Vector (&x)[3], typename Simd<T>::Vector (&y)[5]) {
  y[0] = x[0];
  y[1] = Simd<T>::add(x[0], x[2]);
  y[2] = x[2];
  y[3] = y[4] = x[1];
}

/// The same of F(4×4): the rows of points a and −a differ in the sign of a.
template <class T>
inline void winograd_weight(const typename Simd<T>::Vector (&x)[3], typename Simd<T>::Vector (&y)[6]) {
  using S = Simd<T>;
  using V = typename S::Vector;
  constexpr double a = winograd_points[0], b = winograd_points[1];
  constexpr double at_zero = 1 / (a * a * b * b);
  constexpr double at_a = 1 / (2 * a * a * (a * a - b * b)), at_b = 1 / (2 * b * b * (b * b - a * a));
  const V even_a = S::fma(S::broadcast(T(at_a * a * a)), x[2], S::mul(S::broadcast(T(at_a)), x[0]));
  const V even_b = S::fma(S::broadcast(T(at_b * b * b)), x[2], S::mul(S::broadcast(T(at_b)), x[0]));
  y[0] = S::mul(S::broadcast(T(at_zero)), x[0]);
  y[1] = S::fma(S::broadcast(T(at_a * a)), x[1], even_a);
  y[2] = S::fma(S::broadcast(T(-at_a * a)), x[1], even_a);
  y[3] = S::fma(S::broadcast(T(at_b * b)), x[1], even_b);
  y[4] = S::fma(S::broadcast(T(-at_b * b)), x[1], even_b);
  y[5] = x[2];
}

/// G g Gᵀ of one vector of columns of a panel: position (i, j) of those that differ to out[(i · count + j) · stride].
template <class T, Index side>
inline void transform_weight(const T* taps, T* out, Index stride) {
  using S = Simd<T>;
  using V = typename S::Vector;
  constexpr Index count = winograd_tile<side> + 2;
  V columns[side][3];
#pragma GCC unroll 3
  for (Index j = 0; j < 3; ++j) {
    V x[3];
    V y[side];
#pragma GCC unroll 3
    for (Index i = 0; i < 3; ++i) x[i] = S::load(taps + (i * 3 + j) * MatmulBlock<T>::columns);
    winograd_weight<T>(x, y);
#pragma GCC unroll 6
    for (Index i = 0; i < side; ++i) columns[i][j] = y[i];
  }
#pragma GCC unroll 6
  for (Index i = 0; i < count; ++i) {
    V y[side];
    winograd_weight<T>(columns[i], y);
#pragma GCC unroll 6
    for (Index j = 0; j < count; ++j) S::store(out + (i * count + j) * stride, y[j]);
  }
}

template <class T, Index side>
inline void transform_panel(const T* taps, Index channels, T* out, Index stride) {
  constexpr Index columns = MatmulBlock<T>::columns;
  for (Index c = 0; c < channels; ++c, taps += 9 * columns, out += columns) {
    for (Index v = 0; v < columns; v += Simd<T>::lanes) transform_weight<T, side>(taps + v, out + v, stride);
  }
}

template <class T>
inline void transform_panel(Index side, const T* taps, Index channels, T* out, Index stride) {
  if (side == 4) {
    transform_panel<T, 4>(taps, channels, out, stride);
  } else if (side == 5) {
    transform_panel<T, 5>(taps, channels, out, stride);
  } else {
    transform_panel<T, 6>(taps, channels, out, stride);
  }
}

/// Bᵀ d B of one vector of channels, of which `part` are there: position (i, j) to out[(i · side + j) · stride].
template <class T, Index side>
inline void transform_input(const T* const* pixels, Index channel, Index part, T* out, Index stride) {
  using S = Simd<T>;
  using V = typename S::Vector;
  V columns[side][side];
#pragma GCC unroll 6
  for (Index j = 0; j < side; ++j) {
    V x[side];
#pragma GCC unroll 6
    for (Index i = 0; i < side; ++i) x[i] = load_part<T>(pixels[i * side + j] + channel, part);
    winograd_input<T>(x);
#pragma GCC unroll 6
    for (Index i = 0; i < side; ++i) columns[i][j] = x[i];
  }
#pragma GCC unroll 6
  for (Index i = 0; i < side; ++i) {
    winograd_input<T>(columns[i]);
#pragma GCC unroll 6
    for (Index j = 0; j < side; ++j) S::store(out + (i * side + j) * stride, columns[i][j]);
  }
}

/// Aᵀ M A + bias of one vector of channels: output (y, x) of a tile to values[y · tile + x].
template <class T, Index side>
inline void transform_output(const T* sums, Index stride, typename Simd<T>::Vector bias,
                             typename Simd<T>::Vector* values) {
  using S = Simd<T>;
  using V = typename S::Vector;
  constexpr Index tile = winograd_tile<side>;
  V rows[tile][side];
#pragma GCC unroll 6
  for (Index j = 0; j < side; ++j) {
    V x[side];
#pragma GCC unroll 6
    for (Index i = 0; i < side; ++i) x[i] = S::load(sums + (i * side + j) * stride);
    winograd_output<T>(x);
#pragma GCC unroll 4
    for (Index i = 0; i < tile; ++i) rows[i][j] = x[i];
  }
#pragma GCC unroll 4
  for (Index i = 0; i < tile; ++i) {
    winograd_output<T>(rows[i]);
#pragma GCC unroll 4
    for (Index j = 0; j < tile; ++j) values[i * tile + j] = S::add(bias, rows[i][j]);
  }
}
