// An app that uses the package, with images if it has them.

#include <iostream>

#include "plainnet/core/version.hpp"
#include "plainnet/plainnet.hpp"

#ifdef WITH_IMAGES
#include "plainnet/io/image.hpp"
#endif

int main() {
  const plainnet::Tensor<float> tensor(plainnet::Shape{.height = 2, .width = 2, .channels = 3});
  std::cout << "plainnet " << plainnet::version() << ", " << tensor.shape().elements() << " elements";
#ifdef WITH_IMAGES
  try {
    plainnet::load_image("missing.png");
  } catch (const plainnet::Error&) {
    std::cout << ", and images";
  }
#endif
  std::cout << "\n";
}
