// The part that libFuzzer calls, compiled once for each target.

#include <cstddef>
#include <cstdint>
#include <span>

#include "fuzz/targets.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  plainnet::test::PLAINNET_FUZZ_TARGET(std::as_bytes(std::span(data, size)));
  return 0;
}
