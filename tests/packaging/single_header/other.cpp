// A second file of the same program: linking fails if something in the header is defined twice.

#include PLAINNET_HEADER

plainnet::Index other_elements(const plainnet::Shape& shape) {
  return plainnet::Tensor<float>(shape).shape().elements();
}
