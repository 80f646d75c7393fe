// An app of two files that both include the whole library: linking fails if something in it is defined twice.

#include <iostream>

#include "plainnet/core/version.hpp"
#include "plainnet/plainnet.hpp"

plainnet::Index elements(const plainnet::Shape& shape);  // other.cpp

int main() {
  const plainnet::Tensor<float> tensor(plainnet::Shape{.height = 2, .width = 2, .channels = 3});
  std::cout << "plainnet " << plainnet::version() << ", " << elements(tensor.shape()) << " elements\n";
}
