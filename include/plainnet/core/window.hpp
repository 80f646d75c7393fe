#pragma once
// A sliding window (kernel, stride, dilation, four paddings, rounding) and the one formula for the map it produces.

#include <algorithm>

#include "plainnet/core/shape.hpp"

namespace plainnet {

/// Two sizes, or one for both: `Extent2D{3}` is 3×3.
struct Extent2D {
  Index height = 1;
  Index width = 1;

  constexpr Extent2D(Index both) : height(both), width(both) {}
  constexpr Extent2D(Index height_, Index width_) : height(height_), width(width_) {}

  bool operator==(const Extent2D&) const = default;
};

/// Rows and columns added around a map, or one number for all four sides.
struct Padding {
  Index top = 0;
  Index bottom = 0;
  Index left = 0;
  Index right = 0;

  constexpr Padding(Index all = 0) : top(all), bottom(all), left(all), right(all) {}
  constexpr Padding(Index top_, Index bottom_, Index left_, Index right_)
      : top(top_), bottom(bottom_), left(left_), right(right_) {}

  bool operator==(const Padding&) const = default;
};

/// What becomes of a last window that does not fit: dropped (floor) or kept if it starts inside the map or the
/// padding before it (ceil, as PyTorch's ceil_mode).
enum class Rounding { floor, ceil };

/// Which pixels of a map a convolution or a pooling looks at for each pixel of its result.
struct Window {
  Extent2D kernel = 1;
  Extent2D stride = 1;
  Extent2D dilation = 1;
  Padding padding = 0;
  Rounding rounding = Rounding::floor;
  bool same = false;  // in place of `padding` what same_padding() gives for the map, see padded_for()

  bool operator==(const Window&) const = default;

  /// One pixel in, the same pixel out; SAME padding adds nothing to it.
  bool is_pointwise() const { return kernel == Extent2D{1} && stride == Extent2D{1} && padding == Padding{0}; }
};

namespace detail {

/// From the first to the last pixel that a window sees along one axis, both included.
inline Index window_extent(Index kernel, Index dilation) {
  return checked_add(checked_multiply(dilation, kernel - 1), 1);
}

}  // namespace detail

/// Positions of a window along one axis: round((in + before + after − dilation·(kernel − 1) − 1) / stride) + 1;
/// 0 where not one fits.
inline Index output_extent(Index in, Index kernel, Index stride, Index dilation, Index before, Index after,
                           Rounding rounding) {
  require(in >= 0 && kernel >= 1 && stride >= 1 && dilation >= 1 && before >= 0 && after >= 0,
          "window needs kernel, stride and dilation of at least 1 and no negative padding; found kernel ", kernel,
          ", stride ", stride, ", dilation ", dilation, ", padding ", before, " and ", after);
  const Index padded = checked_add(checked_add(in, before), after);
  const Index room = padded - detail::window_extent(kernel, dilation);
  if (rounding == Rounding::floor) return room < 0 ? 0 : room / stride + 1;
  if (room <= -stride) return 0;  // even a first window would reach a stride or more over the end
  const auto rounded_up = [stride](Index a) { return a / stride + (a % stride > 0 ? 1 : 0); };
  return std::min(rounded_up(room) + 1, rounded_up(in + before));
}

/// TensorFlow's SAME rule for `in`: out = ceil(in / stride), the odd row or column of padding at the end.
inline Padding same_padding(const Shape& in, const Window& window) {
  const auto total = [](Index extent, Index kernel, Index stride, Index dilation) {
    require(extent >= 1 && kernel >= 1 && stride >= 1 && dilation >= 1,
            "SAME padding needs an extent, kernel, stride and dilation of at least 1; found ", extent, ", ", kernel,
            ", ", stride, " and ", dilation);
    const Index last = (extent - 1) / stride * stride;  // where the last window begins, before padding
    return std::max<Index>(0, checked_add(last, detail::window_extent(kernel, dilation)) - extent);
  };
  const Index vertical = total(in.height, window.kernel.height, window.stride.height, window.dilation.height);
  const Index horizontal = total(in.width, window.kernel.width, window.stride.width, window.dilation.width);
  return Padding(vertical / 2, vertical - vertical / 2, horizontal / 2, horizontal - horizontal / 2);
}

/// The window as it lies on a map of that shape: SAME padding in numbers.
inline Window padded_for(const Shape& in, Window window) {
  if (window.same) window.padding = same_padding(in, window);
  window.same = false;
  return window;
}

/// The map that a window produces, with `channels` channels. Error if not one window fits.
inline Shape output_shape(const Shape& in, const Window& any_window, Index channels) {
  const Window window = padded_for(in, any_window);
  const Padding& p = window.padding;
  const Shape out{.batch = in.batch,
                  .height = output_extent(in.height, window.kernel.height, window.stride.height, window.dilation.height,
                                          p.top, p.bottom, window.rounding),
                  .width = output_extent(in.width, window.kernel.width, window.stride.width, window.dilation.width,
                                         p.left, p.right, window.rounding),
                  .channels = channels};
  require(out.height > 0 && out.width > 0, "a map of ", in.height, "x", in.width, " is too small for a ",
          window.kernel.height, "x", window.kernel.width, " window: use a larger image");
  return out;
}

}  // namespace plainnet
