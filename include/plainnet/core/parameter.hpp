#pragma once
// A learned array, in the shape and order in which a checkpoint stores it.

#include <algorithm>
#include <memory>
#include <utility>

#include "plainnet/core/tensor.hpp"

namespace plainnet {

/// Numbers of a layer, row-major, with the extents that the published code gives them. They are the parameter's own, or
/// shared: somebody else keeps them, a mapped file for instance, until the first access that may write copies them.
template <class T>
class Parameter {
 public:
  Parameter() = default;

  /// All zeros. A large one takes up memory as it is written: one that is replaced before costs nothing.
  explicit Parameter(const Extents& extents)
      : extents_(extents), values_(static_cast<std::size_t>(extents.elements())) {
    if (!AlignedAllocator<T>::is_zeroed(values_.size())) std::fill(values_.begin(), values_.end(), T{});
  }

  /// As many as the extents say, which nobody changes from now on.
  Parameter(const Extents& extents, std::shared_ptr<const T> shared) : extents_(extents), shared_(std::move(shared)) {}

  const Extents& extents() const { return extents_; }
  Index size() const { return shared_ ? extents_.elements() : static_cast<Index>(values_.size()); }

  bool is_shared() const { return shared_ != nullptr; }

  /// Copies the numbers if they are shared. What may write begins with it; so threads may read a parameter at once, but
  /// not through these while it is shared.
  void own() {
    if (!shared_) return;
    values_.assign(shared_.get(), shared_.get() + extents_.elements());
    shared_.reset();
  }

  T* data() {
    own();
    return values_.data();
  }
  const T* data() const { return shared_ ? shared_.get() : values_.data(); }
  T& operator[](Index i) { return data()[i]; }
  const T& operator[](Index i) const { return data()[i]; }
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
  std::shared_ptr<const T> shared_;  // or null: the values are here
};

}  // namespace plainnet
