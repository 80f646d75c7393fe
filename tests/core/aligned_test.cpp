#include <algorithm>
#include <cstdint>
#include <fstream>
#include <vector>

#include <gtest/gtest.h>

#include "plainnet/core/aligned.hpp"

#if defined(PLAINNET_MAPS_LARGE_BLOCKS)
#include <unistd.h>  // sysconf
#endif

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

TEST(AlignedVector, OfMegabytesIsZeroWhereItSaysSo) {
  const std::size_t size = detail::large_block / sizeof(float);
  for (int again = 0; again < 3; ++again) {  // what a heap hands out again is not zero by itself
    AlignedVector<float> values(size + 3);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(values.data()) % alignment, 0u);
    if (AlignedAllocator<float>::is_zeroed(values.size())) {
      EXPECT_EQ(std::count(values.begin(), values.end(), 0.0f), static_cast<std::ptrdiff_t>(values.size()));
    }
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

#if defined(PLAINNET_MAPS_LARGE_BLOCKS)
/// Of this process, bytes.
long resident() {
  long pages = 0, resident_pages = 0;
  std::ifstream("/proc/self/statm") >> pages >> resident_pages;
  return resident_pages * ::sysconf(_SC_PAGESIZE);
}

TEST(AlignedVector, OfMegabytesGoesBackToTheSystem) {
  constexpr std::size_t size = detail::large_block + 100;
  ASSERT_TRUE(AlignedAllocator<char>::is_zeroed(size));
  AlignedVector<char>(16 * size, 'a');  // from then on the heap would keep blocks of that size
  std::vector<AlignedVector<char>> blocks(20);
  for (AlignedVector<char>& block : blocks) block.assign(size, 'b');
  const long before = resident();
  for (std::size_t i = 0; i < blocks.size(); i += 2) AlignedVector<char>().swap(blocks[i]);
  EXPECT_LT(resident(), before - 9 * static_cast<long>(size));
  for (std::size_t i = 1; i < blocks.size(); i += 2) EXPECT_EQ(blocks[i].back(), 'b');
}
#endif

TEST(AlignedVector, RefusesWhatNoMemoryHolds) {
  AlignedAllocator<char> allocator;
  for (std::size_t less : {std::size_t{1}, std::size_t{4096}, 5 * detail::large_block}) {
    EXPECT_THROW(allocator.allocate(std::size_t(-1) - less), std::bad_alloc) << less;
  }
}

TEST(AlignedVector, RefusesMoreBytesThanCanBeCounted) {
  AlignedAllocator<double> allocator;
  EXPECT_THROW(allocator.allocate(std::size_t(-1) / 8 + 1), std::bad_array_new_length);
}

}  // namespace
}  // namespace plainnet
