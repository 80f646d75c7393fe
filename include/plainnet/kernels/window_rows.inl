// Body of window_rows.hpp, compiled once for every instruction set (for_each_isa.hpp).

/// Body of copy_runs(). The last vector of a run overlaps the one before.
template <class T>
inline void copy_runs(const T* from, Index from_step, Index count, Index size, T* to, Index to_step) {
  using S = Simd<T>;
  if (size < S::lanes) {
    for (; count > 0; --count, from += from_step, to += to_step) store_part<T>(to, load_part<T>(from, size), size);
    return;
  }
  const Index last = size - S::lanes;
  for (; count > 0; --count, from += from_step, to += to_step) {
    for (Index k = 0; k < last; k += S::lanes) S::store(to + k, S::load(from + k));
    S::store(to + last, S::load(from + last));
  }
}
