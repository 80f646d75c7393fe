#include <set>

#include <gtest/gtest.h>

#include "plainnet/networks/registry.hpp"
#include "support/compare.hpp"

namespace plainnet {
namespace {

TEST(Variants, AreTheRowsOfAllFamilies) {
  ASSERT_EQ(variants().size(), vanillanet_variants.size() + metaformer_variants.size() + nfnet_variants.size());
  std::size_t i = 0;
  const auto expect_row = [&](const auto& row, std::string_view family, const Preprocessing& preprocessing,
                              Form published) {
    const Variant& variant = variants()[i++];
    EXPECT_EQ(variant.name, row.name);
    EXPECT_EQ(variant.family, family);
    EXPECT_EQ(variant.config, NetworkConfig(row.config()));
    EXPECT_EQ(variant.preprocessing, preprocessing);
    EXPECT_EQ(variant.published_top1, row.published_top1);
    EXPECT_EQ(variant.checkpoint, row.checkpoint());
    EXPECT_EQ(variant.published_form, published);
    const Index size = preprocessing.size;
    EXPECT_EQ(variant.input_shape(), (Shape{.batch = 1, .height = size, .width = size, .channels = 3}));
    EXPECT_EQ(variant.input_shape(5).batch, 5);
  };
  for (const auto& row : vanillanet_variants) expect_row(row, "VanillaNet", row.preprocessing, Form::folded);
  for (const auto& row : metaformer_variants) expect_row(row, row.family(), row.preprocessing(), Form::trained);
  for (const auto& row : nfnet_variants) expect_row(row, row.family(), row.preprocessing(), Form::trained);
}

TEST(Variants, HaveNamesOfTheirOwn) {
  std::set<std::string> names;
  for (const Variant& variant : variants()) EXPECT_TRUE(names.insert(variant.name).second) << variant.name;
}

TEST(VariantNamed, FindsEveryRow) {
  for (const Variant& variant : variants()) EXPECT_EQ(&variant_named(variant.name), &variant);
}

TEST(VariantNamed, SaysWhatWasMeant) {
  const auto message = [](std::string_view name) { return test::error_of([&] { variant_named(name); }); };
  const auto position = [](const std::string& text, std::string_view part) { return text.find(part); };
  EXPECT_NE(position(message("vanilanet_6"), "unknown model 'vanilanet_6'; the nearest known are vanillanet_6,"),
            std::string::npos)
      << message("vanilanet_6");
  EXPECT_NE(position(message("vanillanet_13_x15"), "known are vanillanet_13_x1_5,"), std::string::npos);
  EXPECT_NE(position(message(""), "unknown model ''"), std::string::npos);
  EXPECT_NE(position(message("VANILLANET_6"), "unknown model"), std::string::npos);
  EXPECT_LT(message(std::string(10000, 'x')).size(), 300u) << "a name from outside may be long";
}

TEST(EditDistance, CountsLettersToAddDropOrChange) {
  EXPECT_EQ(detail::edit_distance("", ""), 0u);
  EXPECT_EQ(detail::edit_distance("", "abc"), 3u);
  EXPECT_EQ(detail::edit_distance("abc", ""), 3u);
  EXPECT_EQ(detail::edit_distance("kitten", "sitting"), 3u);
  EXPECT_EQ(detail::edit_distance("flaw", "lawn"), 2u);
  EXPECT_EQ(detail::edit_distance("abc", "abc"), 0u);
}

TEST(MakeNetworks, TakeTheConfigurationAndTheSlope) {
  const NetworkConfig config = variant_named("vanillanet_test").config;
  const auto trained = std::get<VanillaNet<float>>(make_trained<float>(config, 0.25));
  EXPECT_EQ(trained.config(), std::get<VanillaNetConfig>(config));
  EXPECT_EQ(trained.slope(), 0.25);
  const auto folded = std::get<FoldedVanillaNet<double>>(make_folded<double>(config));
  EXPECT_EQ(folded.config(), std::get<VanillaNetConfig>(config));
  EXPECT_EQ(folded.slope(), 1.0);
  const NetworkConfig other = variant_named("metaformer_id_s12").config;
  EXPECT_EQ(std::get<PublishedMetaFormer<float>>(make_trained<float>(other)).config(),
            std::get<MetaFormerConfig>(other));
  EXPECT_EQ(std::get<PublishedFoldedMetaFormer<float>>(make_folded<float>(other)).config(),
            std::get<MetaFormerConfig>(other));
}

}  // namespace
}  // namespace plainnet
