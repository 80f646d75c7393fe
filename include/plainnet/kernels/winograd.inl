// Body of winograd.hpp, compiled once for every instruction set (for_each_isa.hpp): tiles, their products, outputs.

/// Tiles `tiles` of one group, few enough for the caches.
template <class T, Index side>
struct WinogradPortion {
  static constexpr Index tile = winograd_tile<side>;
  static constexpr Index positions = side * side;
  static constexpr Index columns = MatmulBlock<T>::columns;
  static constexpr Index lanes = Simd<T>::lanes;

  const PackedWinograd<T>& packed;
  Padding padding;
  TensorView<const T> in;
  TensorView<T> out;
  Index group;
  Range tiles;
  T* inputs;       // (position, tile, channel), every position on cache lines of its own; copies for inner products
  T* sums;         // (position, tile, column of a panel), likewise; before that, a tile on its way to copies
  T* transformed;  // (position, channel, column of a panel), likewise; where weights are taps

  Index input_row() const { return packed.input_row(); }
  Index input_stride() const { return packed.input_stride(tiles.size()); }
  Index sum_stride() const { return (tiles.size() + MatmulBlock<T>::rows) * columns + winograd_gap<T>; }

  /// The pixels that a tile sees; zeros outside the map.
  void locate(const TilePlace& place, const T* (&pixels)[positions]) const {
    const Shape& shape = in.shape();
    const Index first_y = place.y * winograd_stride<side> - padding.top;
    const Index first_x = place.x * winograd_stride<side> - padding.left;
    for (Index i = 0; i < side; ++i) {
      const bool has_row = first_y + i >= 0 && first_y + i < shape.height;
      const T* const row = in.pixel(place.n, has_row ? first_y + i : 0, 0);
#pragma GCC unroll 6
      for (Index j = 0; j < side; ++j) {
        const Index x = first_x + j;
        const T* const pixel = has_row && x >= 0 && x < shape.width ? row + x * shape.channels : packed.zeros.data();
        pixels[i * side + j] = pixel + group * packed.group_in();
      }
    }
  }

  void transform_inputs() const {
    const T* pixels[positions];
    const T* rows[positions];
    const bool is_copied = packed.is_by_inner_products();
    const Index stride = is_copied ? input_row() + winograd_gap<T> : input_stride();
    for (Index position = 0; position < positions; ++position) rows[position] = sums + position * stride;
    TilePlace place = TilePlace::of(tiles.begin, out.shape(), tile);
    for (Index i = 0; i < tiles.size(); ++i, place.move_on(out.shape(), tile)) {
      T* const to = is_copied ? sums : inputs + i * input_row();
      locate(place, pixels);
      for (Index c = 0; c < packed.group_in(); c += lanes) {
        const Index part = packed.group_in() - c < lanes ? packed.group_in() - c : lanes;
        transform_input<T, side>(pixels, c, part, to + c, stride);
      }
      if (!is_copied) continue;
      const auto copies = InnerProductMethod<T>::copies_of(tiles.size(), packed.group_in(), inputs).from(i);
      copy_rows<T>(rows, positions, packed.group_in(),
                   {copies.terms, copies.portion_step, input_stride(), copies.ends, input_stride()});
    }
  }

  const T* kept_weights(Index panel) const { return packed.weights.data() + panel * packed.panel_size(); }

  /// The weights of a panel as products read them, position_stride() elements from position to position.
  const T* weights_of(Index panel) const {
    if (!packed.keeps_taps) return kept_weights(panel);
    transform_panel<T, side>(kept_weights(panel), packed.group_in(), transformed, packed.position_stride());
    return transformed;
  }

  /// Where a position has its weights among those that differ: the last ones along each axis share theirs.
  static constexpr Index weights_at(Index position) {
    constexpr Index count = tile + 2;
    const Index i = position / side, j = position % side;
    return (i < count ? i : count - 1) * count + (j < count ? j : count - 1);
  }

  /// What is brought into L2 during a position's product, panel_size() / weight_positions() elements: the weights of
  /// the next (dm_nfnet_f0: 0.96 of the time on one thread, 0.98 on two), or a part of the next panel's taps.
  const T* later_weights(Index panel, Index position) const {
    const bool is_last = panel + 1 == packed.groups * packed.group_panels();
    const Index next_panel = is_last ? panel : panel + 1;
    const Index piece = packed.panel_size() / packed.weight_positions();
    if (packed.keeps_taps) return kept_weights(next_panel) + position * piece;
    const bool is_end = position + 1 == positions;
    return kept_weights(is_end ? next_panel : panel) + (is_end ? 0 : weights_at(position + 1)) * piece;
  }

  /// One product a position.
  void multiply_panel(Index panel) const {
    if (packed.is_by_inner_products()) {
      multiply_by_inner_products(panel);
    } else {
      multiply_by_definition(panel);
    }
  }

  void multiply_by_inner_products(Index panel) const {
    for (Index position = 0; position < positions; ++position) {
      const T* const scales = kept_weights(panel) + weights_at(position) * packed.position_stride();
      T* const product = sums + position * sum_stride();
      InnerProductMethod<T>::multiply_panel(packed.isa, inputs + position * input_stride(), tiles.size(),
                                            packed.group_in(), scales + columns, later_weights(panel, position),
                                            product);
      for (Index i = 0; i < tiles.size() * columns; i += lanes)
        Simd<T>::store(product + i, Simd<T>::mul(Simd<T>::load(scales + i % columns), Simd<T>::load(product + i)));
    }
  }

  void multiply_by_definition(Index panel) const {
    const T* rows[winograd_most_tiles + MatmulBlock<T>::rows];  // those that a block has too many lie behind
    for (Index i = 0; i < tiles.size() + MatmulBlock<T>::rows; ++i) rows[i] = inputs + i * input_row();
    const Epilogue<T> none;
    const T* const weights = weights_of(panel);
    const Index blocks = block_count<T>(tiles.size());
    const Index row_size = packed.panel_size() / packed.weight_positions() / packed.group_in();
    const Index step = (row_size * static_cast<Index>(sizeof(T)) + blocks - 1) / blocks;
    for (Index position = 0; position < positions; ++position) {
      const T* const b = weights + weights_at(position) * packed.position_stride();
      Ahead ahead{reinterpret_cast<const char*>(later_weights(panel, position)), step};
      BlockResult<T> result(none, nullptr, sums + position * sum_stride(), columns);
      for (Index first = 0, height = 0; first < tiles.size(); first += height) {
        height = block_height<T>(tiles.size() - first);
        const LocatedRows<T, winograd_terms_in_portion(tile)> left{rows + first, position * input_stride(),
                                                                   packed.group_in(), ahead};
        ahead = ahead.after(packed.group_in());
        multiply_whole_block<T>(height, left, b, result);
        result.move_down(height);
      }
    }
  }

  using Vector = typename Simd<T>::Vector;
  /// A tile's outputs of a panel: (vector of channels, row and column).
  using TileValues = Vector[MatmulBlock<T>::vectors][tile * tile];

  /// All of them, to the pixel at `first` and its neighbours.
  static void store_whole(const TileValues& values, T* first, const Shape& shape) {
#pragma GCC unroll 4
    for (Index y = 0; y < tile; ++y, first += shape.width * shape.channels) {
      T* to = first;
#pragma GCC unroll 4
      for (Index x = 0; x < tile; ++x, to += shape.channels) {
#pragma GCC unroll 2
        for (Index v = 0; v < MatmulBlock<T>::vectors; ++v) Simd<T>::store(to + v * lanes, values[v][y * tile + x]);
      }
    }
  }

  /// Those inside the map, plus the residual: `count` channels from `channel` on.
  void store_part_of(const TileValues& values, const TilePlace& place, Index channel, Index count,
                     const Epilogue<T>& epilogue) const {
    using S = Simd<T>;
    const Shape& shape = out.shape();
    for (Index y = 0; y < tile && place.y + y < shape.height; ++y) {
      for (Index x = 0; x < tile && place.x + x < shape.width; ++x) {
        const Index row = (place.n * shape.height + place.y + y) * shape.width + place.x + x;
        for (Index first = 0; first < count; first += lanes) {
          const Index c = channel + first;
          const Index part = count - first < lanes ? count - first : lanes;
          Vector value = values[first / lanes][y * tile + x];
          if (epilogue.residual) {
            const Vector term = load_part<T>(epilogue.residual + row * epilogue.residual_stride + c, part);
            const Vector scale =
                epilogue.residual_scale ? load_part<T>(epilogue.residual_scale + c, part) : S::broadcast(T{1});
            value = S::fma(scale, term, value);
          }
          store_part<T>(out.data() + row * shape.channels + c, value, part);
        }
      }
    }
  }

  /// The sums of a panel become its outputs, `count` channels of the map from `channel` on.
  void transform_sums(const T* bias, Index channel, Index count, const Epilogue<T>& epilogue) const {
    const Shape& shape = out.shape();
    const Index vectors = (count + lanes - 1) / lanes;
    const bool is_plain = count == columns && !epilogue.residual;
    const T* from = sums;
    TilePlace place = TilePlace::of(tiles.begin, shape, tile);
    for (Index i = tiles.begin; i < tiles.end; ++i, from += columns, place.move_on(shape, tile)) {
      TileValues values;
      for (Index v = 0; v < vectors; ++v)
        transform_output<T, side>(from + v * lanes, sum_stride(), Simd<T>::load(bias + v * lanes), values[v]);
      if (epilogue.activation != Activation::none)
        activate<T>(&values[0][0], vectors * tile * tile, epilogue.activation, epilogue.slope);
      if (is_plain && place.y + tile <= shape.height && place.x + tile <= shape.width) {
        store_whole(values, out.pixel(place.n, place.y, place.x) + channel, shape);
      } else {
        store_part_of(values, place, channel, count, epilogue);
      }
    }
  }

  /// Panels `some` of the group.
  void run(Range some, const Epilogue<T>& epilogue) const {
    transform_inputs();
    for (Index panel = some.begin; panel < some.end; ++panel) {
      const Index global = group * packed.group_panels() + panel;
      multiply_panel(global);
      const Index first = panel * columns;
      const Index left = packed.group_out() - first;
      transform_sums(packed.bias.data() + global * columns, group * packed.group_out() + first,
                     left < columns ? left : columns, epilogue);
    }
  }
};

template <class T, Index side>
inline WinogradPortion<T, side> portion_of_tiles(TensorView<const T> in, const PackedWinograd<T>& packed,
                                                 TensorView<T> out, T* scratch, Index group, Range tiles) {
  T* const sums = scratch + packed.input_scratch();
  const Padding padding = padded_for(in.shape(), packed.window).padding;
  return {packed, padding, in, out, group, tiles, scratch, sums, sums + packed.sum_scratch()};
}

/// Some of the tiles of all groups.
template <class T, Index side>
inline void convolve_tiles(TensorView<const T> in, const PackedWinograd<T>& packed, const Epilogue<T>& epilogue,
                           TensorView<T> out, T* scratch, Range tiles) {
  const Index group_tiles = packed.group_tiles(out.shape());
  for (Index i = tiles.begin; i < tiles.end;) {
    const Index group = i / group_tiles;
    const Index first = i % group_tiles;
    const Index left = group_tiles - first < tiles.end - i ? group_tiles - first : tiles.end - i;
    const Index count = packed.portions(left)(0).size();
    portion_of_tiles<T, side>(in, packed, out, scratch, group, {first, first + count})
        .run({0, packed.group_panels()}, epilogue);
    i += count;
  }
}

/// All tiles of some of the panels of all groups.
template <class T, Index side>
inline void convolve_panels(TensorView<const T> in, const PackedWinograd<T>& packed, const Epilogue<T>& epilogue,
                            TensorView<T> out, T* scratch, Range panels) {
  const WinogradPortions portions = packed.portions(packed.group_tiles(out.shape()));
  for (Index i = panels.begin; i < panels.end;) {
    const Index group = i / packed.group_panels();
    const Index first = i % packed.group_panels();
    const Index left = packed.group_panels() - first < panels.end - i ? packed.group_panels() - first : panels.end - i;
    for (Index portion = 0; portion < portions.count; ++portion) {
      portion_of_tiles<T, side>(in, packed, out, scratch, group, portions(portion))
          .run({first, first + left}, epilogue);
    }
    i += left;
  }
}

template <class T, Index side>
inline void convolve_winograd(TensorView<const T> in, const PackedWinograd<T>& packed, const Epilogue<T>& epilogue,
                              TensorView<T> out, T* scratch, bool of_panels, Range part) {
  if (of_panels) {
    convolve_panels<T, side>(in, packed, epilogue, out, scratch, part);
  } else {
    convolve_tiles<T, side>(in, packed, epilogue, out, scratch, part);
  }
}

template <class T>
inline void convolve_winograd(TensorView<const T> in, const PackedWinograd<T>& packed, const Epilogue<T>& epilogue,
                              TensorView<T> out, T* scratch, bool of_panels, Range part) {
  if (packed.side() == 4) {
    convolve_winograd<T, 4>(in, packed, epilogue, out, scratch, of_panels, part);
  } else if (packed.side() == 5) {
    convolve_winograd<T, 5>(in, packed, epilogue, out, scratch, of_panels, part);
  } else {
    convolve_winograd<T, 6>(in, packed, epilogue, out, scratch, of_panels, part);
  }
}
