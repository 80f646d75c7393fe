#pragma once
// The instruction sets that this machine can run.

#include <vector>

#include "plainnet/kernels/isa.hpp"

namespace plainnet::test {

inline std::vector<Isa> supported_isas() {
  std::vector<Isa> supported;
  for (Isa isa : all_isas) {
    if (is_supported(isa)) supported.push_back(isa);
  }
  return supported;
}

}  // namespace plainnet::test
