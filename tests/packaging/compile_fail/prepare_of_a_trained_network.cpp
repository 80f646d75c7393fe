// Only folded networks can be prepared.
// expected: An engine runs folded networks only: fold this network first

#include "plainnet/engine/engine.hpp"

int main() {
  const plainnet::VanillaNet<float> trained({.widths = {8, 8}, .strides = {2}});
  plainnet::prepare(trained, {.batch = 1, .height = 8, .width = 8, .channels = 3});
}
