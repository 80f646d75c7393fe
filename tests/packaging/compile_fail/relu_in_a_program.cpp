// A layer without an operation is named at compile time, inside a Sequential too.
// expected: or give Program an append

#include "plainnet/engine/program.hpp"

int main() {
  plainnet::Program<float> program(plainnet::Isa::baseline);
  program.append(plainnet::Sequential(plainnet::GlobalAvgPool2d<float>{}, plainnet::Relu<float>{}));
}
