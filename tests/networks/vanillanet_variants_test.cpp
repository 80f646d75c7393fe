// The rows of VanillaNet against the published numbers, and the published code's names and shapes.

#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "plainnet/networks/parameters.hpp"
#include "plainnet/networks/vanillanet_variants.hpp"
#include "support/data.hpp"

namespace plainnet {
namespace {

using Json = nlohmann::json;

Json read_json(const std::string& name) {
  std::ifstream file(test::data(name));
  return Json::parse(file);
}

/// Rows of the table of published facts.
const Json& facts() {
  static const Json all = [] {
    Json facts = read_json("models.json");
    Json& models = facts["models"];
    for (std::size_t i = models.size(); i-- > 0;) {
      if (models[i]["family"] != "VanillaNet") models.erase(i);
    }
    return facts;
  }();
  return all;
}

const VanillaNetVariant& row_named(const std::string& name) {
  for (const VanillaNetVariant& row : vanillanet_variants) {
    if (row.name == name) return row;
  }
  throw Error("no row " + name);
}

using ShapesByName = std::vector<std::pair<std::string, Extents>>;

template <class Network>
ShapesByName shapes_of(const Network& network) {
  ShapesByName shapes;
  for_each_parameter(network, [&](const std::string& name, const auto& parameter, ParameterKind) {
    shapes.emplace_back(name, parameter.extents());
  });
  return shapes;
}

void expect_same(const ShapesByName& found, const ShapesByName& expected) {
  for (std::size_t i = 0; i < std::max(found.size(), expected.size()); ++i) {
    ASSERT_LT(i, found.size()) << expected[i].first << " is missing";
    ASSERT_LT(i, expected.size()) << found[i].first << " is not published";
    ASSERT_EQ(found[i].first, expected[i].first);
    ASSERT_EQ(found[i].second, expected[i].second) << found[i].first << ": " << to_string(found[i].second);
  }
}

/// Names and shapes of the published deploy form: stem.0, stem.1.{weight, bias}, stages.N.conv, stages.N.act.{weight,
/// bias}, cls.2.
ShapesByName deploy_form(const VanillaNetConfig& config) {
  const Index side = 2 * config.act_num + 1;
  const Index first = config.widths.front();
  const Index last = config.widths.back();
  ShapesByName shapes = {{"stem.0.weight", {first, config.in_channels, 4, 4}},
                         {"stem.0.bias", {first}},
                         {"stem.1.weight", {first, 1, side, side}},
                         {"stem.1.bias", {first}}};
  for (std::size_t i = 0; i + 1 < config.widths.size(); ++i) {
    const std::string stage = "stages." + std::to_string(i);
    const Index out = config.widths[i + 1];
    shapes.push_back({stage + ".conv.weight", {out, config.widths[i], 1, 1}});
    shapes.push_back({stage + ".conv.bias", {out}});
    shapes.push_back({stage + ".act.weight", {out, 1, side, side}});
    shapes.push_back({stage + ".act.bias", {out}});
  }
  shapes.push_back({"cls.2.weight", {config.classes, last, 1, 1}});
  shapes.push_back({"cls.2.bias", {config.classes}});
  return shapes;
}

TEST(VanillaNetVariants, AreThePublishedRows) {
  std::set<std::string> names;
  for (const VanillaNetVariant& row : vanillanet_variants) {
    EXPECT_TRUE(names.insert(std::string(row.name)).second) << row.name << " stands there twice";
    EXPECT_NO_THROW(row.config().check()) << row.name;
  }
  ASSERT_EQ(facts()["models"].size(), 11u);
  for (const Json& fact : facts()["models"]) {
    const std::string name = fact["name"];
    SCOPED_TRACE(name);
    ASSERT_TRUE(names.contains(name));
    const VanillaNetVariant& row = row_named(name);
    const VanillaNetConfig config = row.config();
    EXPECT_EQ(config.widths, fact["widths"].get<std::vector<Index>>());
    EXPECT_EQ(config.strides, fact["strides"].get<std::vector<Index>>());
    EXPECT_EQ(config.adaptive_pools,
              fact["ada_pool"].is_null() ? std::vector<Index>() : fact["ada_pool"].get<std::vector<Index>>());
    EXPECT_EQ(config.classes, 1000);
    EXPECT_EQ(config.act_num, 3);
    EXPECT_EQ(config.in_channels, 3);
    EXPECT_EQ(row.published_top1, fact["published_top1"].get<double>());
    EXPECT_EQ(row.checkpoint(), fact["checkpoint"].get<std::string>());
    EXPECT_EQ(row.preprocessing.size, fact["input"].get<Index>());
    EXPECT_EQ(row.preprocessing.crop, fact["crop_pct"].get<double>());
    EXPECT_EQ(row.preprocessing.mode, CropMode::center);
    ASSERT_EQ(fact["crop_mode"], "center");
    for (std::size_t c = 0; c < 3; ++c) {
      EXPECT_EQ(row.preprocessing.mean[c], static_cast<float>(facts()["mean"][c].get<double>()));
      EXPECT_EQ(row.preprocessing.deviation[c], static_cast<float>(facts()["std"][c].get<double>()));
    }
  }
}

/// One published row; the largest takes 1 GB, so never two at a time.
class VanillaNetRow : public testing::TestWithParam<std::string> {
 protected:
  const Json& fact() const {
    for (const Json& fact : facts()["models"]) {
      if (fact["name"] == GetParam()) return fact;
    }
    throw Error("no such model");
  }
  Shape input() const {
    const Index size = fact()["input"];
    return {.batch = 1, .height = size, .width = size, .channels = 3};
  }
};

TEST_P(VanillaNetRow, AsTrainedHasThePublishedTensorsAndNumbers) {
  const VanillaNet<float> network(row_named(GetParam()).config());
  EXPECT_EQ(count_parameters(network), fact()["parameters_trained_form"].get<Index>());
  EXPECT_EQ(network.output_shape(input()), (Shape{.channels = 1000}));

  ShapesByName published;
  const Json golden = read_json("golden/" + GetParam() + ".json");
  for (const Json& tensor : golden["tensors"]) {
    const std::string name = tensor[0];
    Extents extents;
    for (Index extent : tensor[1]) extents.push_back(extent);
    if (!name.ends_with("num_batches_tracked")) published.emplace_back(name, extents);
  }
  expect_same(shapes_of(network), published);
}

TEST_P(VanillaNetRow, FoldedHasThePublishedDeployFormAndNumbers) {
  const FoldedVanillaNet<float> network(row_named(GetParam()).config());
  EXPECT_EQ(count_parameters(network), fact()["parameters"].get<Index>());
  EXPECT_EQ(network.macs(input()), fact()["macs"].get<Index>());
  EXPECT_EQ(network.output_shape(input()), (Shape{.channels = 1000}));
  expect_same(shapes_of(network), deploy_form(network.config()));
}

std::vector<std::string> published_names() {
  std::vector<std::string> names;
  for (const Json& fact : facts()["models"]) names.push_back(fact["name"]);
  return names;
}
INSTANTIATE_TEST_SUITE_P(Published, VanillaNetRow, testing::ValuesIn(published_names()),
                         [](const auto& row) { return row.param; });

// Multiply-adds of the trained form, in 10^9, as the table of published numbers gives them to two digits.
TEST(VanillaNetVariants, AsTrainedNeedThePublishedMultiplyAdds) {
  const std::map<std::string, double> published = {{"vanillanet_5", 8.45}, {"vanillanet_9", 15.16}};
  for (const auto& [name, giga_macs] : published) {
    const VanillaNet<float> network(row_named(name).config());
    const Index macs = network.macs({.batch = 1, .height = 224, .width = 224, .channels = 3});
    EXPECT_NEAR(static_cast<double>(macs) * 1e-9, giga_macs, 0.005) << name;
  }
}

TEST(VanillaNetVariants, OfOurOwnFitTheirInput) {
  for (const std::string name : {"vanillanet_digits", "vanillanet_test"}) {
    const VanillaNetVariant& row = row_named(name);
    const FoldedVanillaNet<float> network(row.config());
    const Index size = row.preprocessing.size;
    EXPECT_EQ(network.output_shape({.batch = 1, .height = size, .width = size, .channels = 3}),
              (Shape{.channels = 10}));
    EXPECT_TRUE(row.checkpoint().empty());
    EXPECT_EQ(row.published_top1, 0.0);
  }
}

}  // namespace
}  // namespace plainnet
