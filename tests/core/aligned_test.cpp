#include <cstdint>

#include <gtest/gtest.h>

#include "plainnet/core/aligned.hpp"

namespace plainnet {
namespace {

TEST(AlignedVector, BeginsOnACacheLine) {
  for (std::size_t size : {1u, 3u, 17u, 1000u}) {
    const AlignedVector<float> values(size, 0.0f);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(values.data()) % alignment, 0u) << size;
    const AlignedVector<double> doubles(size, 0.0);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(doubles.data()) % alignment, 0u) << size;
  }
}

TEST(AlignedVector, RefusesMoreBytesThanCanBeCounted) {
  AlignedAllocator<double> allocator;
  EXPECT_THROW(allocator.allocate(std::size_t(-1) / 8 + 1), std::bad_array_new_length);
}

}  // namespace
}  // namespace plainnet
