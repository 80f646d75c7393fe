#pragma once
// A learned array, in the shape and order in which a checkpoint stores it.

#include <algorithm>

#include "plainnet/core/tensor.hpp"

namespace plainnet {

/// Numbers of a layer, row-major, with the extents that the published code gives them.
template <class T>
class Parameter {
 public:
  Parameter() = default;

  /// All zeros. A large one takes up memory as it is written: one that is replaced before costs nothing.
  explicit Parameter(const Extents& extents)
      : extents_(extents), values_(static_cast<std::size_t>(extents.elements())) {
    if (!AlignedAllocator<T>::is_zeroed(values_.size())) std::fill(values_.begin(), values_.end(), T{});
  }

  const Extents& extents() const { return extents_; }
  Index size() const { return static_cast<Index>(values_.size()); }

  T* data() { return values_.data(); }
  const T* data() const { return values_.data(); }
  T& operator[](Index i) { return values_[static_cast<std::size_t>(i)]; }
  const T& operator[](Index i) const { return values_[static_cast<std::size_t>(i)]; }
  T* begin() { return data(); }
  T* end() { return data() + size(); }
  const T* begin() const { return data(); }
  const T* end() const { return data() + size(); }

  /// The parameter as a matrix (first extent, all others): a convolution's weight as (O, I·kh·kw), a vector as (O, 1).
  Index rows() const { return extents_.rank() == 0 ? size() : extents_[0]; }
  Index columns() const { return rows() == 0 ? 0 : size() / rows(); }
  MatrixMap<T> matrix() { return MatrixMap<T>(data(), rows(), columns()); }
  MatrixMap<const T> matrix() const { return MatrixMap<const T>(data(), rows(), columns()); }

 private:
  Extents extents_{0};
  AlignedVector<T> values_;
};

}  // namespace plainnet
