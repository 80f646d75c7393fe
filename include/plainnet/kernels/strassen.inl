// Body of strassen.hpp, compiled once for every instruction set (for_each_isa.hpp).

/// A vector of double from as many elements in memory, and back.
template <class T>
struct Converted {
  using S = Simd<double>;
  typedef T Narrow __attribute__((vector_size(S::lanes * sizeof(T))));
  typedef double Wide __attribute__((vector_size(S::lanes * sizeof(double))));

  static typename S::Vector load(const T* p) {
    Narrow v;
    __builtin_memcpy(&v, p, sizeof v);
    return (typename S::Vector) __builtin_convertvector(v, Wide);
  }
  static void store(T* p, typename S::Vector x) {
    const Narrow v = __builtin_convertvector((Wide)x, Narrow);
    __builtin_memcpy(p, &v, sizeof v);
  }
};

/// The four blocks of A, `size` elements each, into the left factors of the seven products.
struct SplitLeft {
  static void split(const double* in, Index size, double* out, Index stride) {
    using S = Simd<double>;
    for (Index i = 0; i < size; i += S::lanes) {
      const auto a11 = S::load(in + i), a12 = S::load(in + size + i);
      const auto a21 = S::load(in + 2 * size + i), a22 = S::load(in + 3 * size + i);
      const auto s1 = S::add(a21, a22), s2 = S::sub(s1, a11);
      S::store(out + i, a11);
      S::store(out + stride + i, a12);
      S::store(out + 2 * stride + i, S::sub(a12, s2));
      S::store(out + 3 * stride + i, a22);
      S::store(out + 4 * stride + i, s1);
      S::store(out + 5 * stride + i, s2);
      S::store(out + 6 * stride + i, S::sub(a11, a21));
    }
  }
};

/// The same of B, into the right factors.
struct SplitRight {
  static void split(const double* in, Index size, double* out, Index stride) {
    using S = Simd<double>;
    for (Index i = 0; i < size; i += S::lanes) {
      const auto b11 = S::load(in + i), b12 = S::load(in + size + i);
      const auto b21 = S::load(in + 2 * size + i), b22 = S::load(in + 3 * size + i);
      const auto t1 = S::sub(b12, b11), t2 = S::sub(b22, t1);
      S::store(out + i, b11);
      S::store(out + stride + i, b21);
      S::store(out + 2 * stride + i, b22);
      S::store(out + 3 * stride + i, S::sub(t2, b21));
      S::store(out + 4 * stride + i, t1);
      S::store(out + 5 * stride + i, t2);
      S::store(out + 6 * stride + i, S::sub(b22, b12));
    }
  }
};

/// Seven products into the four blocks of C.
inline void join(const double* in, Index stride, Index size, double* out) {
  using S = Simd<double>;
  for (Index i = 0; i < size; i += S::lanes) {
    const auto p1 = S::load(in + i), p5 = S::load(in + 4 * stride + i);
    const auto u2 = S::add(p1, S::load(in + 5 * stride + i)), u3 = S::add(u2, S::load(in + 6 * stride + i));
    S::store(out + i, S::add(p1, S::load(in + stride + i)));
    S::store(out + size + i, S::add(S::add(u2, p5), S::load(in + 2 * stride + i)));
    S::store(out + 2 * size + i, S::sub(u3, S::load(in + 3 * stride + i)));
    S::store(out + 3 * size + i, S::add(u3, p5));
  }
}

inline void copy_vectors(const double* in, Index size, double* out) {
  using S = Simd<double>;
  for (Index i = 0; i < size; i += S::lanes) S::store(out + i, S::load(in + i));
}

/// 4^levels leaves of `size` elements, one after the other, into 7^levels factors at out + i · stride.
template <class Side>
inline void split_levels(Index levels, Index leaves, const double* in, Index size, double* out, Index stride,
                         Index products, double* work) {
  if (levels == 0) return copy_vectors(in, size, out);
  if (levels == 1) return Side::split(in, size, out, stride);
  const Index block = leaves / 4 * size;
  Side::split(in, block, work, block);
  for (Index i = 0; i < 7; ++i) {
    split_levels<Side>(levels - 1, leaves / 4, work + i * block, size, out + i * (products / 7) * stride, stride,
                       products / 7, work + 7 * block);
  }
}

/// 7^levels products of `size` elements at in + i · stride into 4^levels leaves, one after the other.
inline void join_levels(Index levels, Index leaves, const double* in, Index stride, Index size, double* out,
                        Index products, double* work) {
  if (levels == 0) return copy_vectors(in, size, out);
  if (levels == 1) return join(in, stride, size, out);
  const Index block = leaves / 4 * size;
  for (Index i = 0; i < 7; ++i) {
    join_levels(levels - 1, leaves / 4, in + i * (products / 7) * stride, stride, size, work + i * block, products / 7,
                work + 7 * block);
  }
  join(work, block, block, out);
}

/// Where a leaf lies in its matrix, counted in leaves: two bits of its number for each level, the higher one for rows.
struct LeafPlace {
  Index row = 0, column = 0;

  LeafPlace(Index leaf, Index levels) {
    for (Index level = levels - 1; level >= 0; --level) {
      row = 2 * row + (leaf >> (2 * level + 1) & 1);
      column = 2 * column + (leaf >> (2 * level) & 1);
    }
  }
};

inline Index within(Index first, Index count, Index end) {
  return first >= end ? 0 : first + count < end ? count : end - first;
}

/// Some elements of a row of B, converted and scaled, zeros after the `valid` ones.
template <class T>
inline void load_scaled(const T* from, Index valid, double scale, double* to) {
  using S = Simd<double>;
  constexpr Index columns = MatmulBlock<double>::columns;
  if (valid == columns) {
#pragma GCC unroll 2
    for (Index c = 0; c < columns; c += S::lanes) {
      S::store(to + c, S::mul(S::broadcast(scale), Converted<T>::load(from + c)));
    }
  } else {
    for (Index c = 0; c < columns; ++c) to[c] = c < valid ? scale * static_cast<double>(from[c]) : 0.0;
  }
}

/// Panels of the right factors, `first_column` being that of a leaf: (factor, slice of depth, panel, k, column). Two
/// panels at a time, so that no line of B is read twice, and the rows after them come meanwhile.
template <class T>
inline void pack_right_factors(const ScaledProduct<T>& product, const StrassenPlan& plan, Index first_column,
                               Range panels, double* out, double* scratch) {
  constexpr Index columns = MatmulBlock<double>::columns;
  constexpr Index chunk = StrassenPlan::chunk;
  const Index leaves_size = plan.leaves * chunk * columns;  // of one panel
  for (Index begin = panels.begin; begin < panels.end; begin += 2) {
    const Range pair{begin, begin + 1 < panels.end ? begin + 2 : begin + 1};
    for (Index first = 0; first < plan.leaf_depth; first += chunk) {
      for (Index leaf = 0; leaf < plan.leaves; ++leaf) {
        const LeafPlace place(leaf, plan.levels);
        const Index k_begin = place.row * plan.leaf_depth + first;
        for (Index k = k_begin; k < k_begin + chunk; ++k) {
          for (Index panel = pair.begin; panel < pair.end; ++panel) {
            const Index in_leaf = first_column + panel * columns;
            const Index c_begin = place.column * plan.leaf_columns + in_leaf;
            const Index count = within(in_leaf, within(c_begin, columns, product.columns), plan.leaf_columns);
            double* const to = scratch + (panel - pair.begin) * leaves_size + (leaf * chunk + k - k_begin) * columns;
            const T* const from = product.right + k * product.columns + c_begin;
            if (k + chunk < product.depth && panel == pair.begin) __builtin_prefetch(from + chunk * product.columns);
            load_scaled<T>(from, k < product.depth ? count : 0, k < product.depth ? product.depth_scale[k] : 0.0, to);
          }
        }
      }
      const Index slice = first / StrassenPlan::terms_at_once * StrassenPlan::terms_at_once;
      const Index depth = within(slice, StrassenPlan::terms_at_once, plan.leaf_depth);
      for (Index panel = pair.begin; panel < pair.end; ++panel) {
        double* const to = out + slice * plan.columns_at_once + (panel * depth + first - slice) * columns;
        split_levels<SplitRight>(plan.levels, plan.leaves, scratch + (panel - pair.begin) * leaves_size,
                                 chunk * columns, to, plan.right_size(), plan.products, scratch + 2 * leaves_size);
      }
    }
  }
}

/// Rows of a leaf and a slice of its depth: (factor, block of rows, k, row).
template <class T>
inline void pack_left_factors(const ScaledProduct<T>& product, const StrassenPlan& plan, Range rows, Range slice,
                              double* out, double* scratch) {
  using S = Simd<double>;
  constexpr Index chunk = StrassenPlan::chunk;
  alignas(64) double wide[MatmulBlock<double>::rows * chunk];
  RowGroup<double> group;
  for (Index r = 0; r < MatmulBlock<double>::rows; ++r) group.data[r] = wide + r * chunk;
  for (Index r = rows.begin, height = 0; r < rows.end; r += height) {
    height = block_height<double>(rows.end - r);
    const Index in_block = within(r, height, rows.end);
    for (Index first = slice.begin; first < slice.end; first += chunk) {
      for (Index leaf = 0; leaf < plan.leaves; ++leaf) {
        const LeafPlace place(leaf, plan.levels);
        const Index k_begin = place.column * plan.leaf_depth + first;
        const Index r_begin = place.row * plan.leaf_rows + r;
        const Index count = within(r_begin, in_block, product.rows);
        const Index valid = within(k_begin, chunk, product.depth);
        for (Index i = 0; i < count; ++i) {
          const T* from = product.left + (r_begin + i) * product.depth + k_begin;
          double* const to = wide + i * chunk;
          __builtin_prefetch(from + 2 * chunk);
          if (valid == chunk) {
#pragma GCC unroll 8
            for (Index k = 0; k < chunk; k += S::lanes) S::store(to + k, Converted<T>::load(from + k));
          } else {
            for (Index k = 0; k < chunk; ++k) to[k] = k < valid ? static_cast<double>(from[k]) : 0.0;
          }
        }
        pack_rows<double>(group, chunk, count, height, scratch + leaf * chunk * height);
      }
      split_levels<SplitLeft>(plan.levels, plan.leaves, scratch, chunk * height, out + (first - slice.begin) * height,
                              plan.left_size(), plan.products, scratch + plan.leaves * chunk * height);
    }
    out += height * slice.size();
  }
}

/// All products of some rows of the leaves and a slice of their depth, added to `out` unless it is the first: (product,
/// panel, row, column). (To prefetch the next panel made no difference.)
inline void multiply_leaves(const StrassenPlan& plan, Index rows, Range slice, Index panels, const double* left,
                            const double* right, double* out) {
  constexpr Index block_rows = MatmulBlock<double>::rows;
  constexpr Index columns = MatmulBlock<double>::columns;
  const Index depth = slice.size();
  const Index padded = rows + block_rows;
  const Epilogue<double> none;
  for (Index i = 0; i < plan.products; ++i) {
    const double* b = right + i * plan.right_size() + slice.begin * plan.columns_at_once;
    double* c = out + i * plan.product_size();
    for (Index panel = 0; panel < panels; ++panel, b += depth * columns, c += padded * columns) {
      const double* a = left + i * plan.left_size();
      BlockResult<double> result(none, nullptr, c, columns);
      result.residual_stride = columns;
      for (Index r = 0, height = 0; r < rows; r += height) {
        height = block_height<double>(rows - r);
        if (slice.begin > 0) result.residual = result.out;
        multiply_whole_block<double>(height, PackedRows<double>{a, depth, {reinterpret_cast<const char*>(b), 0}}, b,
                                     result);
        a += height * depth;
        result.out += height * columns;
      }
    }
  }
}

/// The rows of the result that finished products make.
template <class T>
inline void write_result(const ScaledProduct<T>& product, const StrassenPlan& plan, Range rows, Index first_column,
                         Index panels, const double* products, double* scratch) {
  using S = Simd<double>;
  constexpr Index block_rows = MatmulBlock<double>::rows;
  constexpr Index columns = MatmulBlock<double>::columns;
  const Index padded = rows.size() + block_rows;
  double* const leaves = scratch;
  for (Index panel = 0; panel < panels; ++panel) {
    for (Index r = 0; r < rows.size(); r += block_rows) {
      const Index height = within(r, block_rows, rows.size());
      join_levels(plan.levels, plan.leaves, products + (panel * padded + r) * columns, plan.product_size(),
                  height * columns, leaves, plan.products, leaves + plan.leaves * height * columns);
      for (Index leaf = 0; leaf < plan.leaves; ++leaf) {
        const LeafPlace place(leaf, plan.levels);
        const Index in_leaf = first_column + panel * columns;
        const Index c_begin = place.column * plan.leaf_columns + in_leaf;
        const Index r_begin = place.row * plan.leaf_rows + rows.begin + r;
        const Index count = within(in_leaf, within(c_begin, columns, product.columns), plan.leaf_columns);
        const Index valid_rows = within(r_begin, height, product.rows);
        for (Index i = 0; i < valid_rows; ++i) {
          const double scale = product.row_scale[r_begin + i];
          const double* from = leaves + (leaf * height + i) * columns;
          T* to = product.out + (r_begin + i) * product.columns + c_begin;
          if (count == columns) {
#pragma GCC unroll 2
            for (Index c = 0; c < columns; c += S::lanes) {
              Converted<T>::store(to + c, S::mul(S::broadcast(scale), S::load(from + c)));
            }
          } else {
            for (Index c = 0; c < count; ++c) to[c] = static_cast<T>(scale * from[c]);
          }
        }
      }
    }
  }
}

/// The part of a thread in the result of some panels, which have these right factors.
template <class T>
inline void multiply_factors(const ScaledProduct<T>& product, const StrassenPlan& plan, Index first_column,
                             Index panels, const double* right, Index threads, Index thread, double* scratch) {
  constexpr Index block_rows = MatmulBlock<double>::rows;
  const Index all_units = (plan.leaf_rows + block_rows - 1) / block_rows;
  const Range units = part_of(all_units, threads, thread);
  const Range mine{units.begin * block_rows, units.end == all_units ? plan.leaf_rows : units.end * block_rows};
  double* const left = scratch;
  double* const products = left + plan.products * plan.left_size();
  double* const work = products + plan.products * plan.product_size();
  const Index rows_at_once = plan.rows_at_once / block_rows * block_rows;
  for (Index first = mine.begin; first < mine.end; first += rows_at_once) {
    const Range rows{first, first + within(first, rows_at_once, mine.end)};
    for (Index begin = 0; begin < plan.leaf_depth; begin += StrassenPlan::terms_at_once) {
      const Range slice{begin, begin + within(begin, StrassenPlan::terms_at_once, plan.leaf_depth)};
      pack_left_factors<T>(product, plan, rows, slice, left, work);
      multiply_leaves(plan, rows.size(), slice, panels, left, right, products);
    }
    write_result<T>(product, plan, rows, first_column, panels, products, work);
  }
}
