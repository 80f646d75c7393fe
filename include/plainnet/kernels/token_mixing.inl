// Body of token_mixing.hpp, compiled once for every instruction set (for_each_isa.hpp).

/// packed[k · panel columns + c] for all columns of the panel, zeros after the wanted ones.
template <class T>
inline void pack_tokens(const TokenPanel<T>& panel, T* packed) {
  using S = Simd<T>;
  using V = typename S::Vector;
  constexpr Index vectors = MatmulBlock<T>::vectors;
  Index part[vectors];
  V scale[vectors], shift[vectors];
  for (Index v = 0; v < vectors; ++v) {
    const Index left = panel.columns - v * S::lanes;
    part[v] = left < 0 ? 0 : left < S::lanes ? left : S::lanes;
    scale[v] = panel.scale ? load_part<T>(panel.scale + v * S::lanes, part[v]) : S::broadcast(T{1});
    shift[v] = panel.shift ? load_part<T>(panel.shift + v * S::lanes, part[v]) : S::broadcast(T{0});
  }
  for (Index k = 0; k < panel.depth; ++k) {
    const T* token = panel.in + k * panel.stride;
    for (Index v = 0; v < vectors; ++v, packed += S::lanes) {
      V x = load_part<T>(token + v * S::lanes, part[v]);
      if (panel.moments) {
        const Moments<T>& moments = panel.moments[k / panel.tokens_each];
        x = S::mul(S::sub(x, S::broadcast(moments.mean)), S::broadcast(moments.rstd));
        x = S::fma(scale[v], x, shift[v]);
      }
      S::store(packed, x);
    }
  }
}
