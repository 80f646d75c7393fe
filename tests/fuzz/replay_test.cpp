// What the fuzzers started from, a choice of what they found, and every input that once did harm, run again.

#include <algorithm>
#include <filesystem>
#include <ostream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "fuzz/targets.hpp"
#include "io/temporary_folder.hpp"
#include "support/data.hpp"

namespace plainnet::test {

void PrintTo(const FuzzTarget& target, std::ostream* out) { *out << target.name; }

namespace {

/// In the order of their names; none if there is no such folder.
std::vector<std::filesystem::path> files_in(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  if (!std::filesystem::is_directory(folder)) return files;
  for (const auto& file : std::filesystem::directory_iterator(folder)) files.push_back(file.path());
  std::sort(files.begin(), files.end());
  return files;
}

bool accepts(const FuzzTarget& target, const std::filesystem::path& file) {
  SCOPED_TRACE(file.string());
  const std::string bytes = read_text(file);
  bool is_accepted = false;
  EXPECT_NO_THROW(is_accepted = target.accepts(std::as_bytes(std::span(bytes)))) << file;
  return is_accepted;
}

class FuzzReplay : public testing::TestWithParam<FuzzTarget> {};

std::string target_name(const testing::TestParamInfo<FuzzTarget>& info) { return std::string(info.param.name); }

INSTANTIATE_TEST_SUITE_P(, FuzzReplay, testing::ValuesIn(fuzz_targets), target_name);

TEST_P(FuzzReplay, EverySeedIsAccepted) {
  const auto files = files_in(data("fuzz") / GetParam().name / "seeds");
  EXPECT_GE(files.size(), 3u);
  for (const auto& file : files) EXPECT_TRUE(accepts(GetParam(), file)) << file;
}

TEST_P(FuzzReplay, WhatWasFoundIsRefusedOrReadRight) {
  const auto files = files_in(data("fuzz") / GetParam().name / "found");
  EXPECT_GE(files.size(), 10u);
  std::size_t accepted = 0;
  for (const auto& file : files) accepted += accepts(GetParam(), file);
  EXPECT_LT(accepted, files.size());
}

TEST_P(FuzzReplay, WhatOnceDidHarmDoesNoMore) {
  for (const auto& file : files_in(data("fuzz") / GetParam().name / "crashes")) accepts(GetParam(), file);
}

TEST(FuzzSeeds, EveryFolderBelongsToATarget) {
  const auto folders = files_in(data("fuzz"));
  for (const FuzzTarget& target : fuzz_targets) {
    EXPECT_TRUE(std::filesystem::is_directory(data("fuzz") / target.name)) << target.name;
  }
  std::size_t count = 0;
  for (const auto& folder : folders) {
    if (!std::filesystem::is_directory(folder)) continue;
    ++count;
    for (const auto& part : files_in(folder)) {
      const std::string name = part.filename().string();
      EXPECT_TRUE(name == "seeds" || name == "found" || name == "crashes") << part;
      EXPECT_FALSE(files_in(part).empty()) << part;
    }
  }
  EXPECT_GE(count, fuzz_targets.size());  // more where there is no stb_image
}

TEST(FuzzSeeds, PublishedCheckpointsWouldDoToo) {
  std::size_t count = 0;
  for (const auto& file : files_in(data("checkpoints"))) {
    const std::string name = file.filename().string();
    if (name.ends_with(".json")) continue;
    const FuzzTarget* const target = &fuzz_targets[name.ends_with(".safetensors") ? 0
                                                   : name.starts_with("legacy")   ? 2
                                                                                  : 1];
    EXPECT_TRUE(accepts(*target, file)) << file;
    ++count;
  }
  EXPECT_GE(count, 12u);
}

}  // namespace
}  // namespace plainnet::test
