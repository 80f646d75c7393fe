#include <algorithm>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <string>
#include <string_view>

#include "plainnet/io/mapped_file.hpp"

#if __has_include(<sys/stat.h>)
#include <sys/stat.h>
#endif

#include <gtest/gtest.h>

#include "io/error_message.hpp"
#include "io/temporary_folder.hpp"

namespace plainnet::test {
namespace {

std::string text_of(const MappedFile& file) {
  return std::string(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
}

TEST(MappedFile, HoldsTheBytesOfTheFileMappedOrRead) {
  const TemporaryFolder folder;
  std::string text("one\0two", 7);
  text.append(100'000, 'x').append("end");
  write_text(folder / "file", text);
  EXPECT_EQ(text_of(MappedFile(folder / "file")), text);
  EXPECT_EQ(text_of(read_whole_file(folder / "file")), text);
}

TEST(MappedFile, AnEmptyFileHasNoBytes) {
  const TemporaryFolder folder;
  write_text(folder / "empty", "");
  EXPECT_TRUE(MappedFile(folder / "empty").bytes().empty());
  EXPECT_TRUE(read_whole_file(folder / "empty").bytes().empty());
  EXPECT_TRUE(MappedFile().bytes().empty());
}

TEST(MappedFile, CopiesAndMovesKeepTheBytesAndAMovedFromFileHasNone) {
  const TemporaryFolder folder;
  write_text(folder / "file", "contents");
  MappedFile first(folder / "file");
  const MappedFile copy = first;
  const MappedFile moved = std::move(first);
  EXPECT_TRUE(first.bytes().empty());  // NOLINT(bugprone-use-after-move): what is tested
  EXPECT_EQ(text_of(copy), "contents");
  EXPECT_EQ(text_of(moved), "contents");
}

TEST(MappedFile, OldContentsStayWhenTheFileIsReplacedOrRemoved) {
  const TemporaryFolder folder;
  write_text(folder / "file", "old");
  write_text(folder / "new", "something else");
  const MappedFile file(folder / "file");
  std::filesystem::rename(folder / "new", folder / "file");
  EXPECT_EQ(text_of(file), "old");
  std::filesystem::remove(folder / "file");
  EXPECT_EQ(text_of(file), "old");
}

TEST(MappedFile, PagesThatAreForgottenTakeNoMemoryAndAreReadAgain) {
  const auto resident_pages = [] {
    std::size_t total = 0, resident = 0;
    std::ifstream("/proc/self/statm") >> total >> resident;
    return resident;
  };
  if (resident_pages() == 0) GTEST_SKIP() << "this system does not tell how much memory is in use";
  constexpr std::size_t size = 16 << 20, pages = size / 4096;
  const TemporaryFolder folder;
  std::string text(size, 'x');
  for (std::size_t i = 0; i < size; i += 1000) text[i] = static_cast<char>(i / 1000 % 251);
  write_text(folder / "file", text);
  int mapped = 0;
  for (const MappedFile& file : {MappedFile(folder / "file"), read_whole_file(folder / "file")}) {
    const auto equals = [&] { return std::memcmp(file.bytes().data(), text.data(), size) == 0; };
    const std::size_t before = resident_pages();
    EXPECT_TRUE(equals());
    const bool is_mapped = resident_pages() > before + pages / 2;
    const std::size_t touched = resident_pages();
    // The first and the last page are shared with what lies beside.
    detail::forget_pages(file.bytes().subspan(1, size - 2), file.owner());
    if (is_mapped) {
      ++mapped;
      EXPECT_LT(resident_pages(), touched - pages / 2);
    }
    EXPECT_TRUE(equals());
    detail::forget_pages({}, file.owner());
    detail::forget_pages(file.bytes(), nullptr);
  }
  EXPECT_EQ(mapped, 1);
}

TEST(MappedFile, RefusesWhatIsNoFileAndSaysWhy) {
  const TemporaryFolder folder;
  const auto path = folder / "nothing";
  for (const auto open : {+[](const std::filesystem::path& p) { MappedFile{p}; },
                          +[](const std::filesystem::path& p) { read_whole_file(p); }}) {
    const std::string missing = error_of([&] { open(path); });
    EXPECT_NE(missing.find(path.string()), missing.npos) << missing;
    EXPECT_NE(missing.find("o such file"), missing.npos) << missing;
    const std::string is_folder = error_of([&] { open(folder / "."); });
    EXPECT_NE(is_folder.find("is a folder"), is_folder.npos) << is_folder;
  }
}

#if __has_include(<sys/stat.h>)
TEST(MappedFile, RefusesAPipeWithoutWaitingForAWriter) {
  const TemporaryFolder folder;
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  const std::string message = error_of([&] { MappedFile{folder / "pipe"}; });
  EXPECT_NE(message.find("not a regular file"), message.npos) << message;
  EXPECT_NE(error_of([&] { read_whole_file(folder / "pipe"); }), "");
}
#endif

}  // namespace
}  // namespace plainnet::test
