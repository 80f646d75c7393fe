#pragma once
// Feature maps, channels last: Tensor owns one, TensorView refers to one.

#include <algorithm>
#include <concepts>
#include <type_traits>
#include <utility>

#include <Eigen/Core>

#include "plainnet/core/aligned.hpp"
#include "plainnet/core/shape.hpp"

namespace plainnet {

/// Of Eigen, with memory of its own.
template <class T>
using RowMajorMatrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// A row-major matrix in memory that somebody else owns; read-only if T is const.
template <class T>
using MatrixMap =
    Eigen::Map<std::conditional_t<std::is_const_v<T>, const RowMajorMatrix<std::remove_const_t<T>>, RowMajorMatrix<T>>>;

/// A feature map in memory that somebody else owns, contiguous (N, H, W, C). Cheap to copy; read-only if T is const.
template <class T>
class TensorView {
 public:
  TensorView(T* data, const Shape& shape) : data_(data), shape_(shape) {}
  /// A read-only view of what `other` can write.
  template <class U>
    requires(std::is_const_v<T>&& std::same_as<T, const U>)
  TensorView(const TensorView<U>& other) : data_(other.data()), shape_(other.shape()) {}

  T* data() const { return data_; }
  const Shape& shape() const { return shape_; }

  T& operator()(Index n, Index y, Index x, Index c) const { return pixel(n, y, x)[c]; }

  /// The channels of one pixel.
  T* pixel(Index n, Index y, Index x) const {
    return data_ + ((n * shape_.height + y) * shape_.width + x) * shape_.channels;
  }

  /// (N·H·W, C)
  MatrixMap<T> matrix() const { return MatrixMap<T>(data_, shape_.pixels(), shape_.channels); }

  /// Image n: (H·W, C)
  MatrixMap<T> image(Index n) const {
    return MatrixMap<T>(pixel(n, 0, 0), shape_.height * shape_.width, shape_.channels);
  }

 private:
  T* data_;
  Shape shape_;
};

/// A feature map that owns its memory.
template <class T>
class Tensor {
 public:
  Tensor() : Tensor(Shape{.batch = 0}) {}

  /// All zeros.
  explicit Tensor(const Shape& shape) : shape_(shape), values_(static_cast<std::size_t>(shape.elements()), T{}) {}

  /// Converts every element, for instance float to double.
  template <class U>
  explicit Tensor(const Tensor<U>& other) : Tensor(other.shape()) {
    std::transform(other.data(), other.data() + other.shape().elements(), data(),
                   [](U value) { return static_cast<T>(value); });
  }

  T* data() { return values_.data(); }
  const T* data() const { return values_.data(); }
  const Shape& shape() const { return shape_; }

  T& operator()(Index n, Index y, Index x, Index c) { return view()(n, y, x, c); }
  const T& operator()(Index n, Index y, Index x, Index c) const { return view()(n, y, x, c); }

  TensorView<T> view() { return {data(), shape_}; }
  TensorView<const T> view() const { return {data(), shape_}; }
  operator TensorView<const T>() const { return view(); }

  /// (N·H·W, C)
  MatrixMap<T> matrix() { return view().matrix(); }
  MatrixMap<const T> matrix() const { return view().matrix(); }

 private:
  Shape shape_;
  AlignedVector<T> values_;
};

}  // namespace plainnet
