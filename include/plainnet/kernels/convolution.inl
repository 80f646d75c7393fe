// Body of convolution.hpp, compiled once for every instruction set (for_each_isa.hpp).

/// The pixels that a block of outputs sees: pixels[tap · height + row] points at the first channel of the map. Zeros
/// stand where a window leaves the map.
template <class T>
struct TapPixels {
  static constexpr Index terms_in_portion = matmul_terms_in_portion;

  const T* const* pixels;
  Index first_channel;
  Index channels;
  Index depth;  // taps · channels
  Ahead ahead;

  /// As of LocatedRows, in the order of the weights: term tap · channels + c.
  template <Index rows>
  void add_products(Range terms, const T* b, typename Simd<T>::Vector (&sum)[rows][MatmulBlock<T>::vectors]) const {
    const T* const* tap = pixels + terms.begin / channels * rows;
    Index channel = terms.begin % channels;
    Ahead later = ahead.after(terms.begin);
    for (Index k = terms.begin; k < terms.end; tap += rows) {
      const Index count = channels - channel < terms.end - k ? channels - channel : terms.end - k;
      ScatteredRows<T, rows> row;
#pragma GCC unroll 16
      for (Index r = 0; r < rows; ++r) row.row[r] = tap[r] + first_channel + channel;
      add_row_products<T, rows>(row, count, b, later, sum);
      later = later.after(count);
      b += count * MatmulBlock<T>::columns;
      k += count;
      channel = 0;
    }
  }
};

/// TapPixels::pixels of output pixels `rows`, block after block.
template <class T>
inline void list_tap_pixels(TensorView<const T> in, const Window& window, const Shape& out, const T* zeros, Range rows,
                            const T** list) {
  const Shape& shape = in.shape();
  const Index taps = window.kernel.height * window.kernel.width;
  for (Index first = rows.begin, height = 0; first < rows.end; first += height, list += height * taps) {
    height = block_height<T>(rows.end - first);
    for (Index r = 0; r < height; ++r) {
      const Index row = first + r;
      const bool is_output = row < rows.end;
      const Index top = row / out.width % out.height * window.stride.height - window.padding.top;
      const Index left = row % out.width * window.stride.width - window.padding.left;
      const T** place = list + r;
      for (Index ky = 0; ky < window.kernel.height; ++ky) {
        const Index y = top + ky * window.dilation.height;
        for (Index kx = 0; kx < window.kernel.width; ++kx, place += height) {
          const Index x = left + kx * window.dilation.width;
          const bool in_map = is_output && y >= 0 && y < shape.height && x >= 0 && x < shape.width;
          *place = in_map ? in.pixel(row / (out.width * out.height), y, x) : zeros;
        }
      }
    }
  }
}

/// Part `part` of `parts` equal parts of a convolution's outputs `pixels`. The work is a list of register blocks, in
/// the order (chunk of pixels, group, panel, block of pixels): the pixels of a chunk stay in L2 while the panels pass,
/// and every part is as long as the others to within one block, however few pixels there are.
///
/// Meanwhile the next panel is brought into L2 (7×7 outputs of 320 to 512 channels, weights in memory: 0.93 of the time
/// on one thread, 0.84 on two). Tried without gain: asking for the next block's pixels.
template <class T>
inline void convolve_taps(TensorView<const T> in, const PackedConvolution<T>& packed, const Epilogue<T>& epilogue,
                          TensorView<T> out, Range pixels, Index parts, Index part) {
  constexpr Index block_rows = MatmulBlock<T>::rows;
  constexpr Index columns = MatmulBlock<T>::columns;
  const T* list[most_tap_pixels];
  const Window window = padded_for(in.shape(), packed.window);
  const Shape& shape = out.shape();
  const Index group_out = packed.group_out();
  const Index group_panels = packed.groups.front().view().panel_count();
  const Index panels = group_panels * static_cast<Index>(packed.groups.size());
  const Index blocks = block_count<T>(pixels.size());
  // Chunks alike, as near as can be to what fits: a block by itself would read all weights for little (14×14 maps of
  // 320 channels, 3×3, stride 2: 49 pixels in chunks of 3 and 1 blocks took 1.2 times as long as in one of 4).
  const Index fitting = packed.pixels_in_cache() / block_rows;
  const Index nearest = (2 * blocks + fitting) / (2 * fitting);
  const Index alike = nearest > 1 ? (blocks + nearest - 1) / nearest : blocks;
  const Index at_most = most_tap_pixels / packed.taps() / block_rows;
  const Index chunk_blocks = alike < at_most ? alike : at_most;
  const Range all = part_of(panels * blocks, parts, part);
  for (Index i = all.begin; i < all.end;) {
    const Index first_block = i / (panels * chunk_blocks) * chunk_blocks;
    const Index chunk_begin = first_block * panels;
    const Index here = first_block + chunk_blocks < blocks ? chunk_blocks : blocks - first_block;
    const Index end = chunk_begin + here * panels < all.end ? chunk_begin + here * panels : all.end;
    const Index first_pixel = pixels.begin + first_block * block_rows;
    const Index count = first_pixel + here * block_rows < pixels.end ? here * block_rows : pixels.end - first_pixel;
    list_tap_pixels<T>(in, window, shape, packed.zeros.data(), {first_pixel, first_pixel + count}, list);
    while (i < end) {
      const Index panel = (i - chunk_begin) / here;
      const Index group = panel / group_panels;
      const PackedView<T> weights = packed.groups[static_cast<std::size_t>(group)].view();
      const Index first_column = panel % group_panels * columns;
      const Index valid_columns = group_out - first_column < columns ? group_out - first_column : columns;
      const Epilogue<T> group_epilogue = epilogue.from(0, group * group_out);
      BlockResult<T> result(group_epilogue, weights.bias, out.data() + group * group_out, shape.channels);
      Index block = (i - chunk_begin) % here;
      result.move_down(first_pixel + block_begin<T>(count, block));
      result.move_right(first_column);
      const T* const panel_weights = weights.panels + first_column * weights.depth;
      const bool is_last = panel % group_panels + 1 == group_panels;
      const T* const next = is_last ? panel_weights : panel_weights + weights.depth * columns;
      const Index step = is_last ? 0 : (columns * static_cast<Index>(sizeof(T)) + here - 1) / here;
      for (; block < here && i < end; ++block, ++i) {
        const Index begin = block_begin<T>(count, block);
        const Ahead ahead{reinterpret_cast<const char*>(next) + block * weights.depth * step, step};
        const TapPixels<T> left{list + begin * packed.taps(), group * packed.group_in(), packed.group_in(),
                                weights.depth, ahead};
        multiply_block_part<T>(count - begin, left, panel_weights, result, valid_columns);
        result.move_down(block_height<T>(count - begin));
      }
    }
  }
}
