// The rows of MetaFormer against the published numbers.

#include <fstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "plainnet/networks/metaformer_variants.hpp"
#include "plainnet/networks/parameters.hpp"
#include "support/data.hpp"

namespace plainnet {
namespace {

using Json = nlohmann::json;

/// The published facts of the family, by the names of our rows: those for images of 384 pixels have a suffix.
const std::map<std::string, Json>& facts() {
  static const std::map<std::string, Json> all = [] {
    std::ifstream file(test::data("models.json"));
    const Json models = Json::parse(file)["models"];
    std::map<std::string, Json> rows;
    for (const Json& fact : models) {
      const std::string family = fact["family"];
      if (!family.starts_with("PoolFormer") && !family.starts_with("MetaFormer")) continue;
      rows[fact["name"].get<std::string>() + (fact["input"] == 384 ? "_384" : "")] = fact;
    }
    return rows;
  }();
  return all;
}

TEST(MetaFormerVariants, AreThePublishedRows) {
  std::size_t found = 0;
  for (const MetaFormerVariant& row : metaformer_variants) {
    SCOPED_TRACE(row.name);
    if (row.name.ends_with("_in21k")) {
      EXPECT_EQ(row.classes, 21841);
      EXPECT_EQ(row.published_top1, 0.0);
      EXPECT_TRUE(row.checkpoint().ends_with(concatenate("/", row.name, ".pth")));
      continue;
    }
    const auto fact = facts().find(std::string(row.name));
    ASSERT_NE(fact, facts().end());
    ++found;
    EXPECT_EQ(row.family(), fact->second["family"].get<std::string>());
    EXPECT_EQ(row.published_top1, fact->second["published_top1"].get<double>());
    EXPECT_EQ(row.checkpoint(), fact->second["checkpoint"].get<std::string>());
    EXPECT_EQ(row.preprocessing().size, fact->second["input"].get<Index>());
    EXPECT_EQ(row.preprocessing().crop, fact->second["crop_pct"].get<double>());
    ASSERT_EQ(fact->second["crop_mode"], "center");
    EXPECT_EQ(row.preprocessing().mode, CropMode::center);
  }
  EXPECT_EQ(found, facts().size());
}

TEST(MetaFormerVariants, HaveThePublishedParametersAndMultiplyAdds) {
  for (const MetaFormerVariant& row : metaformer_variants) {
    const auto fact = facts().find(std::string(row.name));
    if (fact == facts().end()) continue;
    const PublishedMetaFormer<float> network(row.config());
    const Shape input{.batch = 1, .height = row.size, .width = row.size, .channels = 3};
    EXPECT_EQ(count_parameters(network), fact->second["parameters"].get<Index>()) << row.name;
    EXPECT_EQ(network.macs(input), fact->second["macs"].get<Index>()) << row.name;
    EXPECT_EQ(network.output_shape(input), (Shape{.channels = 1000})) << row.name;
  }
}

TEST(MetaFormerConfig, RefusesWhatIsNoNetwork) {
  const MetaFormerConfig good = metaformer_variants.front().config();
  const auto message = [&](const auto& change) {
    MetaFormerConfig config = good;
    change(config);
    try {
      PublishedMetaFormer<float> network(config);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_EQ(message([](auto&) {}), "");
  EXPECT_EQ(message([](auto& c) { c.widths.pop_back(); }),
            "a MetaFormer needs a depth, a width and a mixer for each stage; found 4, 3 and 4");
  EXPECT_EQ(message([](auto& c) { c.depths[1] = 0; }),
            "a MetaFormer needs positive depths, widths, classes, input channels and size");
  EXPECT_EQ(message([](auto& c) { c.position_stage = 4; }), "no stage 4 for a position embedding");
  EXPECT_EQ(message([](auto& c) { c.mixers[2] = 'x'; }),
            "unknown mixer 'x': i (identity), p (pooling), a (attention), f (spatial fully connected), r (random) and "
            "c (separable convolution) are known");
}

}  // namespace
}  // namespace plainnet
