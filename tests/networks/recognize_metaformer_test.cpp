#include <gtest/gtest.h>

#include "networks/named_tensors.hpp"
#include "plainnet/io/load.hpp"
#include "plainnet/networks/recognize.hpp"
#include "support/compare.hpp"

namespace plainnet {
namespace {

using test::expect_in;
using test::Named;
using test::to_checkpoint;

const MetaFormerConfig& config_of(const std::string& name) {
  return std::get<MetaFormerConfig>(variant_named(name).config);
}

const MetaFormerConfig& config_of(const Recognized& recognized) {
  return std::get<MetaFormerConfig>(recognized.config);
}

template <class Network>
Named names_of(const Network& network) {
  Named tensors;
  for (const NamedExtents& parameter : list_parameters(network))
    tensors.emplace_back(parameter.name, parameter.extents);
  return tensors;
}
Named trained_tensors(const MetaFormerConfig& config) { return names_of(PublishedMetaFormer<float>(config)); }

StateDict folded_checkpoint(const MetaFormerConfig& config, std::string_view code) {
  StateDict tensors = to_checkpoint(names_of(PublishedFoldedMetaFormer<float>(config)));
  tensors.metadata["plainnet.code"] = code;
  return tensors;
}

std::vector<MetaFormerCode> codes_of(const MetaFormerConfig& config) {
  return {config.is_baseline() ? MetaFormerCode::metaformer : MetaFormerCode::poolformer, MetaFormerCode::timm};
}

class RecognizeMetaFormers : public testing::TestWithParam<std::string> {};

TEST_P(RecognizeMetaFormers, FindsTheRowInTheNamesOfEveryCode) {
  MetaFormerConfig config = config_of(GetParam());
  const bool has_mixer_parameters = config.mixers.find_first_not_of("ip") != config.mixers.npos;
  for (const MetaFormerCode code : codes_of(config)) {
    if (code == MetaFormerCode::timm && config_of(GetParam()).code != code) continue;
    SCOPED_TRACE(static_cast<int>(code));
    config.code = code;
    const StateDict tensors = to_checkpoint(trained_tensors(config));
    const Recognized named = recognize(tensors, GetParam());
    EXPECT_EQ(named.variant, &variant_named(GetParam()));
    EXPECT_EQ(config_of(named), config);
    EXPECT_EQ(named.form, Form::trained);
    const Recognized folded = recognize(folded_checkpoint(config, detail::to_string(code)), GetParam());
    EXPECT_EQ(config_of(folded), config);
    EXPECT_EQ(folded.form, Form::folded);
    if (!has_mixer_parameters && code != MetaFormerCode::timm) {
      // Nothing in the file tells pooling from identity.
      const bool is_baseline = config.is_baseline();
      const std::string size = GetParam().substr(GetParam().rfind('_'));
      if (!is_baseline && size != "_s12") continue;  // the first generation has an identity of one size only
      const std::string message = test::error_of([&] { recognize(tensors); });
      expect_in(message, (is_baseline ? "identityformer" + size + " or poolformerv2" + size
                                      : "poolformer_s12 or metaformer_id_s12") +
                             ", whose token mixers");
      expect_in(message, "name the model");
    } else {
      // Rows for larger images are the same network.
      EXPECT_EQ(recognize(tensors).variant->name + (GetParam().ends_with("_384") ? "_384" : ""), GetParam());
    }
  }
}

std::vector<std::string> names() {
  std::vector<std::string> names;
  for (const MetaFormerVariant& row : metaformer_variants) {
    const bool is_large = row.sizes.widths.back() > 512;  // of the same names as smaller ones
    if (!is_large || row.name == "poolformer_m36") names.emplace_back(row.name);
  }
  return names;
}
INSTANTIATE_TEST_SUITE_P(Variants, RecognizeMetaFormers, testing::ValuesIn(names()),
                         [](const auto& row) { return row.param; });

TEST(RecognizeMetaFormer, LeavesClassesAndInputChannelsToTheFile) {
  for (const std::string name : {"caformer_s18", "metaformer_ppaa_s12_224"}) {
    MetaFormerConfig config = config_of(name);
    config.classes = 37;
    config.in_channels = 1;
    for (const MetaFormerCode code : codes_of(config)) {
      if (name != "caformer_s18" && code == MetaFormerCode::timm) continue;
      config.code = code;
      const Recognized recognized = recognize(to_checkpoint(trained_tensors(config)));
      EXPECT_EQ(recognized.variant->name, name);
      EXPECT_EQ(config_of(recognized), config);
    }
  }
}

TEST(RecognizeMetaFormer, BelievesTheFileAboutTheRowIfItFits) {
  MetaFormerConfig config = config_of("caformer_s18");
  StateDict tensors = folded_checkpoint(config, "timm");
  tensors.metadata["plainnet.model"] = "caformer_s18_384";
  EXPECT_EQ(recognize(tensors).variant->name, "caformer_s18_384");
  tensors.metadata["plainnet.model"] = "caformer_s36";
  EXPECT_EQ(recognize(tensors).variant->name, "caformer_s18");
  config = config_of("identityformer_s12");
  tensors = folded_checkpoint(config, "metaformer");
  expect_in(test::error_of([&] { recognize(tensors); }), "name the model");
  tensors.metadata["plainnet.model"] = "identityformer_s12";
  EXPECT_EQ(config_of(recognize(tensors)), config);
}

TEST(RecognizeMetaFormer, NeedsTheCodeOfAFoldedFile) {
  for (const std::string code : {"", "pytorch"}) {
    StateDict tensors = folded_checkpoint(config_of("caformer_s18"), code);
    if (code.empty()) tensors.metadata.clear();
    expect_in(test::error_of([&] { recognize(tensors); }), "its metadata does not say plainnet.code");
  }
}

TEST(RecognizeMetaFormer, NamesTheNearestOfUnknownSizes) {
  MetaFormerConfig config = config_of("poolformer_s12");
  config.widths[2] = 321;
  const std::string message = test::error_of([&] { recognize(to_checkpoint(trained_tensors(config))); });
  expect_in(message, "a MetaFormer of first generation, depths 2, 2, 6, 2, widths 64, 128, 321, 512, mixers ????");
  expect_in(message, "poolformer_s12 (first generation, depths 2, 2, 6, 2, widths 64, 128, 320, 512, mixers pppp)");
}

TEST(RecognizeMetaFormer, RefusesAnotherVariantThanTheOneAskedFor) {
  const StateDict tensors = to_checkpoint(trained_tensors(config_of("poolformer_s12")));
  expect_in(test::error_of([&] { recognize(tensors, "poolformer_s24"); }),
            "poolformer_s24 is of first generation, depths 4, 4, 12, 4");
  expect_in(test::error_of([&] { recognize(tensors, "poolformerv2_s12"); }), "second generation");
  expect_in(test::error_of([&] { recognize(tensors, "vanillanet_5"); }), "holds a MetaFormer, so not vanillanet_5");
}

// What tells the sizes must be there in full: a file of kilobytes shall not ask for gigabytes.
TEST(RecognizeMetaFormer, RefusesSizesThatTheFileDoesNotHold) {
  const Named tensors = trained_tensors(config_of("poolformer_s12"));
  const std::vector<std::pair<std::string, Extents>> lies = {
      {"head.fc.weight", {1000000, 1}},
      {"stages.2.downsample.conv.weight", {320, 1, 3, 3}},
      {"stages.1.blocks.0.mlp.fc1.weight", {512, 1}},
      {"stages.1.blocks.0.mlp.fc1.weight", {1, 128}},
      {"stages.1.blocks.0.mlp.fc1.weight", {512}},
      {"stem.conv.weight", {64, 3}},
      {"stem.conv.weight", {0, 3, 7, 7}},
  };
  for (const auto& lie : lies) {
    const StateDict checkpoint = to_checkpoint(test::with(tensors, lie.first, lie.second));
    expect_in(test::error_of([&] { recognize(checkpoint); }), lie.first);
  }
  expect_in(test::error_of([&] { recognize(to_checkpoint(test::without(tensors, "head.fc.weight"))); }),
            "looks like a MetaFormer, but head.fc.weight is missing");
}

}  // namespace
}  // namespace plainnet
