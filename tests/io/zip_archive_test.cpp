#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "io/error_message.hpp"
#include "io/temporary_folder.hpp"
#include "io/torch_bytes.hpp"
#include "plainnet/io/zip_archive.hpp"
#include "support/data.hpp"

namespace plainnet::test {
namespace {

/// All entries, opened, with their checksums checked: names and contents in one text.
std::string contents(std::string_view file, const ZipLimits& limits = {}) {
  const auto [bytes, owner] = exact_copy(file);
  const ZipArchive archive(bytes, "test", limits);
  std::string all;
  for (const ZipArchive::Entry& entry : archive.entries()) {
    all += concatenate(entry.name, "=", detail::as_text(archive.open_checked(entry)), ";");
  }
  return all;
}

void expect_refused(std::string_view file, std::string_view reason, const ZipLimits& limits = {}) {
  const std::string message = error_of([&] { contents(file, limits); });
  EXPECT_NE(message.find(reason), message.npos) << "expected \"" << reason << "\", found \"" << message << "\"";
  EXPECT_TRUE(message.starts_with("test: ")) << message;
}

std::string replace(std::string text, std::string_view from, std::string_view to, std::size_t which = 0) {
  std::size_t place = text.find(from);
  for (; which > 0; --which) place = text.find(from, place + 1);
  EXPECT_NE(place, text.npos);
  return text.replace(place, from.size(), to);
}

const std::vector<ZipEntry> two = {{"a/x", "hello"}, {"a/data/0", std::string(100, 'y')}};
const std::string two_contents = "a/data/0=" + std::string(100, 'y') + ";a/x=hello;";

TEST(Crc32, IsThatOfZip) {
  EXPECT_EQ(detail::crc32(std::as_bytes(std::span("123456789", 9))), 0xCBF43926u);  // the usual check value
  for (std::size_t size = 0; size < 40; ++size) {
    std::string text;
    for (std::size_t i = 0; i < size; ++i) text += static_cast<char>(i * 37 + 200);
    EXPECT_EQ(detail::crc32(std::as_bytes(std::span(text))), slow_crc(text)) << size;
  }
}

TEST(ZipArchive, ReadsEveryShapeOfStoredEntries) {
  for (const bool has_descriptors : {false, true}) {
    for (const bool is_wide : {false, true}) {
      for (const bool has_checksums : {false, true}) {
        for (const char* comment : {"", "PK\x05\x06 a comment"}) {
          const ZipShape shape{has_descriptors, has_checksums, is_wide, comment};
          EXPECT_EQ(contents(zip_of(two, shape)), two_contents) << has_descriptors << is_wide << has_checksums;
        }
      }
    }
  }
}

TEST(ZipArchive, SkipsExtraFieldsOfALocalHeader) {
  std::vector<ZipEntry> entries = two;
  entries[0].extra = "FB" + u16(3) + "ZZZ";
  EXPECT_EQ(contents(zip_of(entries)), two_contents);
  entries[0].extra = "FB" + u16(4) + "ZZZ";
  expect_refused(zip_of(entries), "an extra field needs 4 bytes, 3 are left");
}

TEST(ZipArchive, FindsEntriesByName) {
  const auto [bytes, owner] = exact_copy(zip_of(two));
  const ZipArchive archive(bytes, "test");
  ASSERT_NE(archive.find("a/x"), nullptr);
  EXPECT_EQ(detail::as_text(archive.open(*archive.find("a/x"))), "hello");
  EXPECT_EQ(archive.find("a"), nullptr);
  EXPECT_EQ(archive.find("b"), nullptr);
}

TEST(ZipArchive, ReadsWhatPyTorchWrote) {
  const std::string file = read_text(data("checkpoints/training_run_with_ema.pth"));
  const auto [bytes, owner] = exact_copy(file);
  const ZipArchive archive(bytes, "test");
  EXPECT_EQ(archive.entries().size(), 180u);
  for (const ZipArchive::Entry& entry : archive.entries()) {
    EXPECT_NE(entry.checksum, 0u);
    EXPECT_EQ(archive.open_checked(entry).size(), entry.size);
  }
}

TEST(ZipArchive, RefusesWhatIsNoArchive) {
  expect_refused("", "without an end");
  expect_refused("PK\x03\x04", "a zip archive of 4 bytes without an end; truncated download?");
  expect_refused(std::string(100'000, '\0'), "without an end");
}

TEST(ZipArchive, RefusesCompressionAndEncryption) {
  std::vector<ZipEntry> entries = two;
  entries[1].method = 8;
  expect_refused(zip_of(entries), "entry \"a/data/0\" is compressed (method 8)");
  entries = two;
  entries[0].flags = 1;
  expect_refused(zip_of(entries), "entry \"a/x\" is encrypted");
}

TEST(ZipArchive, RefusesSeveralDisks) {
  const std::string file = zip_of(two);
  std::string changed = file;
  changed[file.size() - 18] = 1;
  expect_refused(changed, "one part of a zip archive in several");
}

TEST(ZipArchive, RefusesNamesThatOccurTwiceOrLeaveTheirFolder) {
  expect_refused(zip_of({{"a/x", "1"}, {"a/x", "2"}}), "two entries are called \"a/x\"");
  using namespace std::string_literals;
  for (const std::string& name : {""s, "/a"s, "../a"s, "a/../b"s, "a/.."s, "a\0b"s}) {
    expect_refused(zip_of({{name, "1"}}), "has no proper name");
  }
  EXPECT_EQ(contents(zip_of({{"a..b/..c", "1"}})), "a..b/..c=1;");
}

TEST(ZipArchive, RefusesEntriesThatOverlap) {
  // The second entry's place in the directory: 42 bytes after its signature.
  const std::string file = zip_of(two);
  std::string changed = file;
  const std::size_t second = changed.find("PK\x01\x02", changed.find("PK\x01\x02") + 1);
  changed.replace(second + 42, 4, u32(0));
  expect_refused(changed, "overlaps the next entry");
  changed.replace(second + 42, 4, u32(20));
  expect_refused(changed, "overlaps the next entry");
  changed.replace(second + 42, 4, u32(1000));
  expect_refused(changed, "overlaps the central directory");
  changed.replace(second + 42, 4, u32(0xFFFFFFFE));
  expect_refused(changed, "overlaps the central directory");
}

TEST(ZipArchive, RefusesSizesThatLie) {
  for (const std::int64_t more : {-1, 1, 16, 200, 1 << 30}) {
    std::vector<ZipEntry> entries = two;
    entries[0].more_bytes = more;
    EXPECT_NE(error_of([&] { contents(zip_of(entries)); }), "") << more;
    EXPECT_NE(error_of([&] { contents(zip_of(entries, {.has_descriptors = false})); }), "") << more;
    EXPECT_NE(error_of([&] { contents(zip_of(entries, {.is_wide = true})); }), "") << more;
  }
  const std::string stored = zip_of(two, {.has_descriptors = false});
  const std::string file = replace(stored, u32(5) + u32(5), u32(4) + u32(5));
  expect_refused(file, "entry \"a/x\": its size is not what the central directory says");
  expect_refused(replace(stored, u32(5) + u32(5), u32(4) + u32(5), 1), "is stored, but of 5 bytes in 4");
  std::vector<ZipEntry> entries = two;
  entries[1].more_bytes = -101;  // 2^64 - 1
  expect_refused(zip_of(entries, {.is_wide = true}), "overlaps the central directory");
}

TEST(ZipArchive, RefusesBytesThatBelongToNothing) {
  std::vector<ZipEntry> entries = two;
  entries[0].gap = "z";
  expect_refused(zip_of(entries, {.has_descriptors = false}), "1 bytes after entry \"a/x\" belong to none");
  expect_refused(zip_of(entries), "1 bytes after entry \"a/x\" belong to none");
  expect_refused("z" + zip_of(two), "does not end here");
  expect_refused(replace(zip_of(two), "PK\x05\x06", "zPK\x05\x06"), "does not end here");
  expect_refused(replace(zip_of(two, {.is_wide = true}), "PK\x06\x07", "zPK\x06\x07"), "is not before its locator");
}

TEST(ZipArchive, RefusesHeadersThatDisagree) {
  const std::string file = zip_of(two);
  expect_refused(replace(file, "PK\x03\x04", "PK\x03\x05"), "its local header is not what");
  expect_refused(replace(file, "a/x", "a/z"), "its name is not what");
  expect_refused(replace(file, "PK\x07\x08", "PK\x07\x09"), "the data descriptor of entry");
  expect_refused(replace(file, "hello", "hallo"), "its checksum is wrong");
  expect_refused(replace(zip_of(two, {.is_wide = true}), "PK\x06\x06", "PK\x06\x05"), "not the 64-bit end");
}

TEST(ZipArchive, KeepsToItsLimits) {
  EXPECT_EQ(contents(zip_of(two), {.entries = 2, .name_bytes = 8}), two_contents);
  expect_refused(zip_of(two), "2 entries; at most 1 are accepted", {.entries = 1});
  expect_refused(zip_of(two), "a name of 8 bytes; at most 7", {.name_bytes = 7});
}

TEST(ZipArchive, DamagedArchivesAreRefusedOrReadRight) {
  for (const bool is_wide : {false, true}) {
    for (const bool has_descriptors : {false, true}) {
      const std::string file = zip_of(two, {.has_descriptors = has_descriptors, .is_wide = is_wide});
      for (std::size_t size = 0; size < file.size(); ++size) {
        ASSERT_NE(error_of([&] { contents(file.substr(0, size)); }), "") << size;
      }
      int accepted = 0;
      for (std::size_t position = 0; position < file.size(); ++position) {
        for (int byte = 0; byte < 256; ++byte) {
          std::string changed = file;
          changed[position] = static_cast<char>(byte);
          std::string found;
          if (!error_of([&] { found = contents(changed); }).empty()) continue;
          ++accepted;
          ASSERT_EQ(found, two_contents) << "byte " << position << " is " << byte;
        }
      }
      EXPECT_GT(accepted, 1000);  // versions, dates, attributes
    }
  }
}

}  // namespace
}  // namespace plainnet::test
