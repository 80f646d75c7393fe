// Body of vector_math.hpp, compiled once for every instruction set (for_each_isa.hpp).

/// p[0] … p[count − 1], then `rest` in every lane; reads nothing behind them. count is at most the number of lanes.
template <class T>
inline typename Simd<T>::Vector load_part(const T* p, Index count, T rest = T{0}) {
  using S = Simd<T>;
  if (count == S::lanes) return S::load(p);
  if constexpr (sizeof(typename S::Vector) == 64) {
    return S::load_part(p, count, rest);
  } else {
    alignas(64) T part[S::lanes];
    for (Index i = 0; i < S::lanes; ++i) part[i] = i < count ? p[i] : rest;
    return S::load(part);
  }
}

/// The first `count` lanes to p; writes nothing behind them.
template <class T>
inline void store_part(T* p, typename Simd<T>::Vector x, Index count) {
  using S = Simd<T>;
  if (count == S::lanes) return S::store(p, x);
  if constexpr (sizeof(typename S::Vector) == 64) {
    S::store_part(p, x, count);
  } else {
    alignas(64) T part[S::lanes];
    S::store(part, x);
    Index i = 0;
    if (count >= S::lanes / 2) {
      __builtin_memcpy(p, part, sizeof(x) / 2);
      i = S::lanes / 2;
    }
    for (; i < count; ++i) p[i] = part[i];
  }
}

/// 16 bytes of a vector. Not by way of memory: for the address sanitizer GCC 12 puts it where a vector of 64 bytes may
/// not lie (GCC bug 110027).
template <class T, int piece>
inline auto piece_of(typename Simd<T>::Vector x) {
  if constexpr (sizeof(T) == 4) {
    constexpr int first = 4 * piece;
    return __builtin_shufflevector(x, x, first, first + 1, first + 2, first + 3);
  } else {
    return __builtin_shufflevector(x, x, 2 * piece, 2 * piece + 1);
  }
}

/// 16 bytes of sums of the lanes that are a multiple of 16 bytes apart.
template <class T>
inline auto sum_of_pieces(typename Simd<T>::Vector x) {
  if constexpr (sizeof(x) == 64) {
    return (piece_of<T, 0>(x) + piece_of<T, 2>(x)) + (piece_of<T, 1>(x) + piece_of<T, 3>(x));
  } else if constexpr (sizeof(x) == 32) {
    return piece_of<T, 0>(x) + piece_of<T, 1>(x);
  } else {
    return piece_of<T, 0>(x);
  }
}

template <class T>
inline T sum_of_lanes(typename Simd<T>::Vector x) {
  const auto sum = sum_of_pieces<T>(x);
  if constexpr (sizeof(T) == 4) {
    return (sum[0] + sum[2]) + (sum[1] + sum[3]);
  } else {
    return sum[0] + sum[1];
  }
}

/// Sums of lanes that are taken together, as many as 16 bytes hold.
template <class T>
inline constexpr Index sums_at_once = 16 / static_cast<Index>(sizeof(T));

/// The sums of the lanes of each of these vectors. Inlined by force: where GCC calls it, a row of 64 elements is
/// normalised and copied in 75 cycles in place of 53 (Zen 5).
template <class T>
__attribute__((always_inline)) inline auto sums_of_lanes(const typename Simd<T>::Vector (&x)[sums_at_once<T>]) {
  using S = Simd<T>;
  const auto halves = S::add(S::low(x[0], x[1]), S::high(x[0], x[1]));
  if constexpr (sizeof(T) == 4) {
    const auto others = S::add(S::low(x[2], x[3]), S::high(x[2], x[3]));
    return sum_of_pieces<T>(S::add(S::low_pairs(halves, others), S::high_pairs(halves, others)));
  } else {
    return sum_of_pieces<T>(halves);
  }
}

/// c[0] + c[1] · x + … + c[terms − 1] · x^(terms − 1): even and odd powers apart, to halve the chain of dependent
/// steps.
template <class T, Index terms>
inline typename Simd<T>::Vector polynomial(const T (&c)[terms], typename Simd<T>::Vector x) {
  using S = Simd<T>;
  using V = typename S::Vector;
  static_assert(terms % 2 == 0);
  const V square = S::mul(x, x);
  V even = S::broadcast(c[terms - 2]);
  V odd = S::broadcast(c[terms - 1]);
#pragma GCC unroll 16
  for (Index k = terms - 4; k >= 0; k -= 2) {
    even = S::fma(even, square, S::broadcast(c[k]));
    odd = S::fma(odd, square, S::broadcast(c[k + 1]));
  }
  return S::fma(odd, x, even);
}

/// e^x = 2^n · e^r with n = round(x / ln 2), r = x − n · ln 2, |r| ≤ ln 2 / 2. Adding 1.5 · 2^23 + 127 rounds to a
/// whole number and leaves n + 127, the exponent field of 2^n, in the low bits. e^r: minimax polynomial, relative
/// error 1.4e-7.
template <class T>
inline typename Simd<T>::Vector exponential(typename Simd<T>::Vector x) {
  using S = Simd<T>;
  if constexpr (sizeof(T) == sizeof(double)) {
    alignas(64) T part[S::lanes];
    S::store(part, x);
    for (T& value : part) value = std::exp(value);
    return S::load(part);
  } else {
    constexpr T e_to_r[] = {1.0f, 1.0f, 0.49999154f, 0.16666457f, 0.041897673f, 0.0083746289f};
    constexpr T shift = 12582912.0f + 127.0f;
    x = S::at_most(S::broadcast(89.0f), S::at_least(S::broadcast(-88.0f), x));
    const typename S::Vector biased = S::fma(x, S::broadcast(1.44269504f), S::broadcast(shift));
    const typename S::Vector n = S::sub(biased, S::broadcast(shift));
    // ln 2 in two parts, the first so short that its product with n is exact.
    typename S::Vector r = S::fma(n, S::broadcast(-0.693359375f), x);
    r = S::fma(n, S::broadcast(2.12194440e-4f), r);
    return S::mul(polynomial<T>(e_to_r, r), S::shift_bits(biased));
  }
}

/// 2^x of x ≤ 0, likewise, with n = round(x) and r = x − n, which is exact. 2^r: the polynomial of e^r in r · ln 2.
template <class T>
inline typename Simd<T>::Vector power_of_two(typename Simd<T>::Vector x) {
  using S = Simd<T>;
  if constexpr (sizeof(T) == sizeof(double)) {
    alignas(64) T part[S::lanes];
    S::store(part, x);
    for (T& value : part) value = std::exp2(value);
    return S::load(part);
  } else {
    constexpr T two_to_r[] = {1.0f, 0.693147181f, 0.240222442f, 0.0555034104f, 0.00967145348f, 0.00133996322f};
    constexpr T shift = 12582912.0f + 127.0f;
    x = S::at_least(S::broadcast(-127.0f), x);
    const typename S::Vector biased = S::add(x, S::broadcast(shift));
    const typename S::Vector r = S::sub(x, S::sub(biased, S::broadcast(shift)));
    return S::mul(polynomial<T>(two_to_r, r), S::shift_bits(biased));
  }
}

template <class T>
inline typename Simd<T>::Vector sigmoid(typename Simd<T>::Vector x) {
  using S = Simd<T>;
  const typename S::Vector one = S::broadcast(T{1});
  return S::div(one, S::add(one, exponential<T>(S::sub(S::broadcast(T{0}), x))));
}

/// x · Φ(x) = x/2 + |x| · (Φ(|x|) − ½), in pieces whose coefficients are looked up in registers: half the time of the
/// polynomial in gelu().
template <class T>
inline typename Simd<T>::Vector gelu_in_pieces(typename Simd<T>::Vector x) {
  using S = Simd<T>;
  using V = typename S::Vector;
  constexpr T shift = 12582912;  // rounds to a whole number and leaves it in the low bits
  const V scale = S::broadcast(gelu_pieces_in_one);
  const V size = S::at_least(S::sub(S::broadcast(T{0}), x), x);
  const V inside = S::at_most(S::broadcast(gelu_pieces_end), size);
  const V shifted = S::fma(inside, scale, S::broadcast(shift));
  const V r = S::fma(inside, scale, S::sub(S::broadcast(shift), shifted));
  V h = S::look_up(gelu_pieces[5], shifted);
#pragma GCC unroll 5
  for (Index k = 4; k >= 0; --k) h = S::fma(h, r, S::look_up(gelu_pieces[k], shifted));
  return S::fma(size, h, S::mul(S::broadcast(T{0.5}), x));
}

/// x · (½ + h), h = Φ(x) − ½ = x · Q(x²): minimax polynomial Q for |x| ≤ 5.2, error of h 8e-8, in t = x² / 13.52 − 1,
/// since powers of x² itself would cancel. Beyond, h grows past ±½ and is cut there; 1 − Φ(5.2) = 1e-7.
template <class T>
inline typename Simd<T>::Vector gelu(typename Simd<T>::Vector x) {
  using S = Simd<T>;
  if constexpr (sizeof(T) == sizeof(double)) {
    alignas(64) T part[S::lanes];
    S::store(part, x);
    for (T& value : part) value *= std::erfc(value * -0.70710678118654752) / 2;
    return S::load(part);
  } else if constexpr (S::lanes == 16) {
    return gelu_in_pieces<T>(x);
  } else {
    constexpr T q[] = {0.13594999612808895f,  -0.06774368315472949f,  0.05002423782927679f,   -0.039929172855084315f,
                       0.031994050711681925f, -0.024730706103555242f, 0.017933713933988925f,  -0.012473557112672173f,
                       0.008608074933611246f, -0.004855032001808288f, 0.0017503138729978653f, -0.0011570752542479244f,
                       0.001287590919799666f, -0.0005049391483526861f};
    const typename S::Vector half = S::broadcast(0.5f);
    const typename S::Vector square = S::at_most(S::broadcast(27.04f), S::mul(x, x));
    const typename S::Vector t = S::fma(square, S::broadcast(1.0f / 13.52f), S::broadcast(-1.0f));
    typename S::Vector h = S::mul(x, polynomial<T>(q, t));
    h = S::at_most(half, S::at_least(S::broadcast(-0.5f), h));
    return S::mul(x, S::add(half, h));
  }
}

/// act(x) of an activation that is known when it is compiled.
template <class T, Activation activation>
inline typename Simd<T>::Vector activated(typename Simd<T>::Vector x, T slope) {
  using S = Simd<T>;
  if constexpr (activation == Activation::relu) {
    return S::relu(x);
  } else if constexpr (activation == Activation::leaky_relu) {
    // Without a comparison: relu(x) − slope · relu(−x), of which one term is zero.
    return S::fma(S::broadcast(-slope), S::relu(S::mul(x, S::broadcast(T{-1}))), S::relu(x));
  } else if constexpr (activation == Activation::gelu) {
    return gelu<T>(x);
  } else if constexpr (activation == Activation::squared_relu) {
    return S::mul(S::relu(x), S::relu(x));
  } else if constexpr (activation == Activation::sigmoid) {
    return sigmoid<T>(x);
  } else if constexpr (activation == Activation::silu) {
    return S::mul(x, sigmoid<T>(x));
  } else {
    return x;
  }
}

/// work.run<activation>(): the choice is made once for many vectors, not in their loop.
template <class Work>
inline void run_with(Activation activation, const Work& work) {
  switch (activation) {
    case Activation::none: return work.template run<Activation::none>();
    case Activation::relu: return work.template run<Activation::relu>();
    case Activation::leaky_relu: return work.template run<Activation::leaky_relu>();
    case Activation::gelu: return work.template run<Activation::gelu>();
    case Activation::squared_relu: return work.template run<Activation::squared_relu>();
    case Activation::sigmoid: return work.template run<Activation::sigmoid>();
    case Activation::silu: return work.template run<Activation::silu>();
  }
}

/// Vectors that become act(x) in place.
template <class T>
struct ActivateInPlace {
  typename Simd<T>::Vector* values;
  Index count;
  T slope;

  template <Activation activation>
  __attribute__((noinline)) void run() const {
    for (Index i = 0; i < count; ++i) values[i] = activated<T, activation>(values[i], slope);
  }
};

template <class T>
inline void activate(typename Simd<T>::Vector* values, Index count, Activation activation, T slope) {
  run_with(activation, ActivateInPlace<T>{values, count, slope});
}

template <class T>
inline void activate_array(const T* in, Index count, Activation activation, T slope, T* out) {
  constexpr Index lanes = Simd<T>::lanes;
  constexpr Index vectors = 8;
  for (Index first = 0; first < count; first += vectors * lanes) {
    typename Simd<T>::Vector x[vectors];
    Index used = 0;
    for (Index i = first; used < vectors && i < count; i += lanes, ++used) {
      x[used] = load_part<T>(in + i, count - i < lanes ? count - i : lanes);
    }
    activate<T>(x, used, activation, slope);
    for (Index v = 0; v < used; ++v) {
      const Index i = first + v * lanes;
      store_part<T>(out + i, x[v], count - i < lanes ? count - i : lanes);
    }
  }
}

template <class T, typename Simd<T>::Vector (*function)(typename Simd<T>::Vector)>
inline void apply_to_array(const T* in, Index count, T* out) {
  constexpr Index lanes = Simd<T>::lanes;
  for (Index i = 0; i < count; i += lanes) {
    const Index part = count - i < lanes ? count - i : lanes;
    store_part<T>(out + i, function(load_part<T>(in + i, part)), part);
  }
}

template <class T>
inline void exponential_array(const T* in, Index count, T* out) {
  apply_to_array<T, exponential<T>>(in, count, out);
}

template <class T>
inline void power_of_two_array(const T* in, Index count, T* out) {
  apply_to_array<T, power_of_two<T>>(in, count, out);
}
