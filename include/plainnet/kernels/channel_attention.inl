// Body of channel_attention.hpp, compiled once for every instruction set (for_each_isa.hpp).

template <class T>
inline void add_gated_pixels(const T* in, const T* gates, T gain, const T* residual, Index pixels, Index channels,
                             T* out) {
  using S = Simd<T>;
  for (Index p = 0; p < pixels; ++p, in += channels, residual += channels, out += channels) {
    Index c = 0;
    for (; c + S::lanes <= channels; c += S::lanes) {
      const typename S::Vector gate = S::mul(S::broadcast(gain), S::load(gates + c));
      S::store(out + c, S::fma(gate, S::load(in + c), S::load(residual + c)));
    }
    if (c < channels) {
      const Index part = channels - c;
      const typename S::Vector gate = S::mul(S::broadcast(gain), load_part<T>(gates + c, part));
      store_part<T>(out + c, S::fma(gate, load_part<T>(in + c, part), load_part<T>(residual + c, part)), part);
    }
  }
}
