// The second file of the app.

#include "plainnet/core/version.hpp"
#include "plainnet/plainnet.hpp"

plainnet::Index elements(const plainnet::Shape& shape) { return plainnet::Tensor<double>(shape).shape().elements(); }
