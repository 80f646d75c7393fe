// An app that uses the package.

#include <iostream>

#include "plainnet/core/version.hpp"
#include "plainnet/plainnet.hpp"

int main() {
  const plainnet::Tensor<float> tensor(plainnet::Shape{.height = 2, .width = 2, .channels = 3});
  std::cout << "plainnet " << plainnet::version() << ", " << tensor.shape().elements() << " elements\n";
}
