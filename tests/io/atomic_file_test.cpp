#include <string>

#include "plainnet/io/atomic_file.hpp"

#if __has_include(<sys/resource.h>)
#include <csignal>
#include <sys/resource.h>
#endif

#include <gtest/gtest.h>

#include "io/error_message.hpp"
#include "io/temporary_folder.hpp"

namespace plainnet::test {
namespace {

namespace fs = std::filesystem;

TEST(AtomicFile, AppearsOnCommitAndNotBefore) {
  const TemporaryFolder folder;
  AtomicFile file(folder / "out");
  file.write("one ");
  file.write(std::string_view());
  file.write("two");
  EXPECT_FALSE(fs::exists(folder / "out"));
  file.commit();
  EXPECT_EQ(read_text(folder / "out"), "one two");
  EXPECT_EQ(folder.entries(), 1);
}

TEST(AtomicFile, WithoutCommitTheOldFileStaysAndNothingElseIsLeft) {
  const TemporaryFolder folder;
  write_text(folder / "out", "old");
  { AtomicFile(folder / "out").write("new"); }
  EXPECT_EQ(read_text(folder / "out"), "old");
  EXPECT_EQ(folder.entries(), 1);
}

TEST(AtomicFile, ReplacesAnOldFileAndKeepsItsPermissions) {
  const TemporaryFolder folder;
  write_text(folder / "out", "old and longer");
  const fs::perms secret = fs::perms::owner_read | fs::perms::owner_write;
  fs::permissions(folder / "out", secret);
  AtomicFile file(folder / "out");
  file.write("new");
  file.commit();
  EXPECT_EQ(read_text(folder / "out"), "new");
  EXPECT_EQ(fs::status(folder / "out").permissions(), secret);
}

TEST(AtomicFile, FollowsASymbolicLink) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "other");
  write_text(folder / "other/real", "old");
  fs::create_symlink(folder / "other/real", folder / "link");
  AtomicFile file(folder / "link");
  file.write("new");
  file.commit();
  EXPECT_TRUE(fs::is_symlink(folder / "link"));
  EXPECT_EQ(read_text(folder / "other/real"), "new");
}

TEST(AtomicFile, ALongNameIsNoProblem) {
  const TemporaryFolder folder;
  const std::string name(250, 'n');
  AtomicFile file(folder / name);
  file.write("x");
  file.commit();
  EXPECT_EQ(read_text(folder / name), "x");
}

TEST(AtomicFile, RefusesAFolderAndAMissingFolder) {
  const TemporaryFolder folder;
  const std::string is_folder = error_of([&] { AtomicFile{folder / "."}; });
  EXPECT_NE(is_folder.find("is a folder"), is_folder.npos) << is_folder;
  const std::string missing = error_of([&] { AtomicFile{folder / "nowhere/out"}; });
  EXPECT_NE(missing.find("nowhere/out: cannot write there: No such file"), missing.npos) << missing;
}

TEST(AtomicFile, AFailedRenameLeavesNothing) {
  const TemporaryFolder folder;
  AtomicFile file(folder / "out");
  file.write("new");
  fs::create_directory(folder / "out");  // appears meanwhile, and cannot be replaced by a file
  EXPECT_NE(error_of([&] { file.commit(); }), "");
  EXPECT_EQ(folder.entries(), 1);
}

TEST(AtomicFile, WritingAfterTheEndIsRefused) {
  const TemporaryFolder folder;
  AtomicFile file(folder / "out");
  file.commit();
  EXPECT_THROW(file.write("x"), Error);
  EXPECT_THROW(file.commit(), Error);
  EXPECT_EQ(read_text(folder / "out"), "");
}

#if __has_include(<sys/resource.h>)
TEST(AtomicFile, AFullDiskIsAnErrorAndTheOldFileStays) {
  const TemporaryFolder folder;
  write_text(folder / "out", "old");
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  auto* const handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{10'000, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string large(100'000, 'x');
  const std::string in_write = error_of([&] { AtomicFile(folder / "out").write(large); });
  const std::string in_commit = error_of([&] {  // small pieces fail only when the buffer is flushed
    AtomicFile file(folder / "out");
    for (int i = 0; i < 10'001; ++i) file.write("x");
    file.commit();
  });
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_NE(in_write.find("cannot be written"), in_write.npos) << in_write;
  EXPECT_NE(in_commit.find("cannot be written"), in_commit.npos) << in_commit;
  EXPECT_EQ(read_text(folder / "out"), "old");
  EXPECT_EQ(folder.entries(), 1);
}

TEST(AtomicFile, ADeviceIsWrittenAndNotReplaced) {
  if (!fs::is_character_file("/dev/full")) GTEST_SKIP() << "no /dev/full";
  AtomicFile file("/dev/full");
  file.write("x");
  EXPECT_NE(error_of([&] { file.commit(); }), "");
  EXPECT_TRUE(fs::is_character_file("/dev/full"));
  AtomicFile discarded("/dev/null");
  discarded.write("x");
  discarded.commit();
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
}
#endif

}  // namespace
}  // namespace plainnet::test
