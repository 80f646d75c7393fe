#include <cstddef>
#include <vector>

#include <gtest/gtest.h>

#include "image/test_pictures.hpp"
#include "plainnet/core/error.hpp"
#include "plainnet/image/byte_reader.hpp"

namespace plainnet::detail {
namespace {

TEST(ByteReader, ReadsBothByteOrders) {
  const test::Bytes file("\x01\x02\xfe\xff");
  EXPECT_EQ(ByteReader(file.get()).big_endian(4), 0x0102feffu);
  EXPECT_EQ(ByteReader(file.get()).little_endian(4), 0xfffe0201u);
  EXPECT_EQ(ByteReader(file.get(), 1).big_endian(2), 0x02feu);
  EXPECT_EQ(ByteReader(file.get(), 1).little_endian(3), 0xfffe02u);
}

TEST(ByteReader, SkipsPastAValue) {
  const test::Bytes file("abcabc");
  ByteReader reader(file.get());
  reader.skip_past(std::byte{'b'});
  EXPECT_EQ(reader.position(), 2u);
  reader.skip_past(std::byte{'b'});
  EXPECT_EQ(reader.position(), 5u);
  EXPECT_EQ(reader.byte(), 'c');
  EXPECT_EQ(reader.remaining(), 0u);
}

TEST(ByteReader, NeverReadsPastTheEnd) {
  const test::Bytes file("abc");
  EXPECT_NO_THROW(ByteReader(file.get()).take(3));
  EXPECT_THROW(ByteReader(file.get()).take(4), Error);
  EXPECT_THROW(ByteReader(file.get()).take(static_cast<std::size_t>(-1)), Error);
  EXPECT_THROW(ByteReader(file.get()).big_endian(4), Error);
  EXPECT_THROW(ByteReader(file.get(), 4), Error);
  EXPECT_THROW(ByteReader(file.get(), 3).byte(), Error);
  EXPECT_THROW(ByteReader(file.get()).skip_past(std::byte{'x'}), Error);
  EXPECT_THROW(ByteReader({}).byte(), Error);
}

}  // namespace
}  // namespace plainnet::detail
