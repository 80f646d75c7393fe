// A Sequential takes layers only.
// expected: Each part of a Sequential must be a Layer

#include "plainnet/layers/sequential.hpp"

int main() {
  const plainnet::Tensor<float> in;
  plainnet::Sequential<int>(1).forward(in);
}
