// An engine has no batch norm, so that no unfolded layer can run in one unnoticed.
// expected: An engine runs folded networks only

#include "plainnet/engine/program.hpp"

int main() {
  plainnet::Program<float> program(plainnet::Isa::baseline);
  program.append(plainnet::BatchNorm2d<float>(3, 1e-6));
}
