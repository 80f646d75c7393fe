// A Sequential of nothing has no result.
// expected: A Sequential needs at least one layer

#include "plainnet/layers/sequential.hpp"

int main() { plainnet::Sequential<> layers; }
