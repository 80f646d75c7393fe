// The rows of NFNet against the published numbers.

#include <fstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "../../tools/plainnet/network_sizes.hpp"
#include "plainnet/networks/nfnet_variants.hpp"
#include "support/data.hpp"

namespace plainnet {
namespace {

using Json = nlohmann::json;

/// The published facts of the family, by name and size of image: of a network of DeepMind's at two sizes.
const std::map<std::pair<std::string, Index>, Json>& facts() {
  static const std::map<std::pair<std::string, Index>, Json> all = [] {
    std::ifstream file(test::data("models.json"));
    const Json models = Json::parse(file)["models"];
    std::map<std::pair<std::string, Index>, Json> rows;
    for (const Json& fact : models) {
      if (fact["family"].get<std::string>().starts_with("NFNet")) rows[{fact["name"], fact["input"]}] = fact;
    }
    return rows;
  }();
  return all;
}

const NfNetVariant& row_named(std::string_view name) {
  for (const NfNetVariant& row : nfnet_variants) {
    if (row.name == name) return row;
  }
  throw Error(concatenate("no row ", name));
}

/// Counted without weights, which would take up to 3 GB.
program::NetworkSizes sizes_of(const NfNetConfig& config, Index size) {
  return program::trained_sizes(config, {.batch = 1, .height = size, .width = size, .channels = 3});
}

TEST(NfNetVariants, AreThePublishedRows) {
  std::set<std::string_view> without_facts;
  for (const NfNetVariant& row : nfnet_variants) {
    SCOPED_TRACE(row.name);
    const auto fact = facts().find({std::string(row.name), row.size});
    if (fact == facts().end()) {
      without_facts.insert(row.name);
      EXPECT_EQ(row.published_top1, 0.0);
      EXPECT_EQ(row.checkpoint(), "");
      continue;
    }
    const Json& published = fact->second;
    EXPECT_EQ(row.family(), published["family"].get<std::string>());
    EXPECT_EQ(row.published_top1,
              published["published_top1"].is_null() ? 0.0 : published["published_top1"].get<double>());
    EXPECT_EQ(row.checkpoint(), published["checkpoint"].is_null() ? "" : published["checkpoint"].get<std::string>());
    EXPECT_EQ(row.preprocessing().size, row.size);
    EXPECT_EQ(row.preprocessing().crop, published["crop_pct"].get<double>());
    EXPECT_EQ(row.preprocessing().mode, published["crop_mode"] == "squash" ? CropMode::squash : CropMode::center);
  }
  EXPECT_EQ(without_facts, (std::set<std::string_view>{"nfnet_f4_plus", "nfnet_f7_plus", "eca_nfnet_l3"}));
}

TEST(NfNetVariants, HaveThePublishedParametersAndMultiplyAdds) {
  for (const auto& [key, published] : facts()) {
    const auto& [name, size] = key;
    SCOPED_TRACE(concatenate(name, " at ", size));
    const program::NetworkSizes found = sizes_of(row_named(name).config(), size);
    EXPECT_EQ(found.parameters, published["parameters"].get<Index>());
    EXPECT_EQ(found.macs, published["macs"].get<Index>());
    EXPECT_LE(size, row_named(name).size);  // accuracy is measured at no smaller size than that of training
  }
  EXPECT_EQ(facts().size(), 7u * 2 + 8 + 5);
}

// arXiv 2102.06171 (F4+: 527 M, 367 G) and what the released code builds, which cuts the first stage's bottleneck to a
// whole group; to two digits after the point.
TEST(NfNetVariants, HaveTheSizesOfTheWidenedNetworks) {
  const auto expect = [](std::string_view name, bool whole_groups, Index size, double millions, double giga) {
    SCOPED_TRACE(concatenate(name, " at ", size, whole_groups ? ", whole groups" : ""));
    NfNetConfig config = row_named(name).config();
    EXPECT_FALSE(config.whole_groups);
    config.whole_groups = whole_groups;
    const program::NetworkSizes found = sizes_of(config, size);
    EXPECT_NEAR(static_cast<double>(found.parameters) / 1e6, millions, 0.005);
    EXPECT_NEAR(static_cast<double>(found.macs) / 1e9, giga, 0.005);
  };
  expect("nfnet_f4_plus", true, 512, 524.95, 333.39);
  expect("nfnet_f4_plus", false, 512, 527.03, 367.41);
  expect("nfnet_f7_plus", true, 480, 829.55, 461.44);
  expect("nfnet_f7_plus", true, 608, 829.55, 740.16);
  expect("nfnet_f7_plus", false, 608, 832.89, 817.10);
}

TEST(NfNetVariants, FoldToTheSameMultiplyAddsAndFewerParameters) {
  for (const NfNetVariant& row : nfnet_variants) {
    const Shape input{.batch = 1, .height = row.size, .width = row.size, .channels = 3};
    const program::NetworkSizes trained = program::trained_sizes(row.config(), input);
    const program::NetworkSizes folded = program::folded_sizes(row.config(), input);
    EXPECT_EQ(folded.macs, trained.macs) << row.name;
    EXPECT_LT(folded.parameters, trained.parameters) << row.name;
  }
}

// Printed by the released code for F0, to six digits.
TEST(NfNetConfig, HasTheBetasOfTheReleasedCode) {
  const std::vector<std::vector<double>> expected = {
      {1.0}, {.980581, .980581}, {.962250, .980581, .962250, .944911, .928477, .912871}, {.898027, .980581, .962250}};
  for (const std::string_view name : {"dm_nfnet_f0", "nfnet_f0", "nfnet_l0", "eca_nfnet_l0"}) {
    const auto stages = row_named(name).config().blocks();
    ASSERT_EQ(stages.size(), expected.size());
    for (std::size_t i = 0; i < stages.size(); ++i) {
      ASSERT_EQ(stages[i].size(), expected[i].size());
      for (std::size_t j = 0; j < stages[i].size(); ++j) {
        EXPECT_NEAR(stages[i][j].beta, expected[i][j], 0.5e-6) << name << ", stage " << i << ", block " << j;
      }
    }
  }
}

}  // namespace
}  // namespace plainnet
