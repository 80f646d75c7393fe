#pragma once
// Comparing results with a reference: everywhere, with the first worst place named.

#include <cmath>
#include <cstring>
#include <limits>

#include <gtest/gtest.h>

#include "plainnet/core/tensor.hpp"
#include "support/reference_layers.hpp"

namespace plainnet::test {

/// What rounding may cost a sum of `terms` terms of sizes up to a sum of `magnitude`: ε · terms · magnitude.
template <class T>
double rounding_error(Index terms, double magnitude) {
  return static_cast<double>(std::numeric_limits<T>::epsilon()) * static_cast<double>(terms) * magnitude;
}

/// Success if both have one shape and every element of `actual` is within `tolerance` of `expected`; NaN and infinities
/// only agree with their like.
template <class T>
testing::AssertionResult near_everywhere(TensorView<const T> actual, const Map& expected, double tolerance) {
  const Map found = to_reference(actual);
  if (found.batch != expected.batch || found.channels != expected.channels || found.height != expected.height ||
      found.width != expected.width) {
    return testing::AssertionFailure() << "shape " << to_string(actual.shape()) << ", expected (N " << expected.batch
                                       << ", H " << expected.height << ", W " << expected.width << ", C "
                                       << expected.channels << ")";
  }
  double worst = tolerance;
  testing::AssertionResult result = testing::AssertionSuccess();
  for (Index n = 0; n < found.batch; ++n) {
    for (Index y = 0; y < found.height; ++y) {
      for (Index x = 0; x < found.width; ++x) {
        for (Index c = 0; c < found.channels; ++c) {
          const double a = found.at(n, c, y, x);
          const double b = expected.at(n, c, y, x);
          const bool same = a == b || (std::isnan(a) && std::isnan(b));
          const double difference = same                                   ? 0.0
                                    : std::isfinite(a) && std::isfinite(b) ? std::abs(a - b)
                                                                           : std::numeric_limits<double>::infinity();
          if (!(difference > worst)) continue;
          worst = difference;
          result = testing::AssertionFailure()
                   << "n " << n << ", y " << y << ", x " << x << ", c " << c << ": " << a << ", expected " << b
                   << ", apart by " << difference << ", tolerance " << tolerance;
        }
      }
    }
  }
  return result;
}
template <class T>
testing::AssertionResult near_everywhere(const Tensor<T>& actual, const Map& expected, double tolerance) {
  return near_everywhere<T>(actual.view(), expected, tolerance);
}
template <class T>
testing::AssertionResult near_everywhere(const Tensor<T>& actual, const Tensor<T>& expected, double tolerance) {
  return near_everywhere<T>(actual.view(), to_reference(expected), tolerance);
}

/// Success if both have one shape and the same bytes.
template <class T>
testing::AssertionResult same_bits(TensorView<const T> actual, TensorView<const T> expected) {
  if (actual.shape() != expected.shape()) {
    return testing::AssertionFailure() << "shape " << to_string(actual.shape()) << ", expected "
                                       << to_string(expected.shape());
  }
  for (Index i = 0; i < actual.shape().elements(); ++i) {
    const T& a = actual.data()[i];
    const T& b = expected.data()[i];
    if (std::memcmp(&a, &b, sizeof(T)) == 0) continue;
    return testing::AssertionFailure() << "element " << i << " of " << to_string(actual.shape()) << ": " << a
                                       << ", expected the bits of " << b;
  }
  return testing::AssertionSuccess();
}
template <class T>
testing::AssertionResult same_bits(const Tensor<T>& actual, const Tensor<T>& expected) {
  return same_bits<T>(actual.view(), expected.view());
}

/// The largest size of an element.
inline double largest_magnitude(const Map& map) { return map.values.magnitudes().largest(); }
template <class T>
double largest_magnitude(const Tensor<T>& tensor) {
  return largest_magnitude(to_reference(tensor));
}

/// The message of the plainnet::Error that function() throws; a failure of the test if it throws none.
template <class Function>
std::string error_of(Function&& function) {
  try {
    function();
  } catch (const Error& error) {
    return error.what();
  }
  ADD_FAILURE() << "no plainnet::Error was thrown";
  return {};
}

}  // namespace plainnet::test
