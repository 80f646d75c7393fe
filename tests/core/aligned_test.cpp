#include <algorithm>
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

TEST(AlignedVector, OfMegabytesBeginsOnALargePageWithZeros) {
  const std::size_t size = 2 * detail::large_page / sizeof(float);
  for (int again = 0; again < 3; ++again) {  // what the heap hands out again is not zero by itself
    AlignedVector<float> values(size + 3);
    ASSERT_TRUE(AlignedAllocator<float>::is_zeroed(values.size()));
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(values.data()) % detail::large_page, 0u);
    EXPECT_EQ(std::count(values.begin(), values.end(), 0.0f), static_cast<std::ptrdiff_t>(values.size()));
    std::fill(values.begin(), values.end(), 1.0f);
    values.resize(2 * size, 2.0f);
    EXPECT_EQ(values[size + 2], 1.0f);
    EXPECT_EQ(values[size + 3], 2.0f);
    values.resize(17);
    values.shrink_to_fit();
    EXPECT_EQ(values.back(), 1.0f);
  }
  EXPECT_FALSE(AlignedAllocator<float>::is_zeroed(size - 1));
}

TEST(AlignedVector, RefusesWhatNoMemoryHolds) {
  AlignedAllocator<char> allocator;
  for (std::size_t less : {std::size_t{1}, detail::large_page, 5 * detail::large_page}) {
    EXPECT_THROW(allocator.allocate(std::size_t(-1) - less), std::bad_alloc) << less;
  }
}

TEST(AlignedVector, RefusesMoreBytesThanCanBeCounted) {
  AlignedAllocator<double> allocator;
  EXPECT_THROW(allocator.allocate(std::size_t(-1) / 8 + 1), std::bad_array_new_length);
}

}  // namespace
}  // namespace plainnet
