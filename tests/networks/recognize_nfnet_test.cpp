#include <gtest/gtest.h>

#include "../../tools/plainnet/network_sizes.hpp"
#include "networks/named_tensors.hpp"
#include "plainnet/networks/recognize.hpp"
#include "support/compare.hpp"

namespace plainnet {
namespace {

using test::expect_in;
using test::Named;
using test::to_checkpoint;

const NfNetConfig& config_of(const std::string& name) { return std::get<NfNetConfig>(variant_named(name).config); }
const NfNetConfig& config_of(const Recognized& recognized) { return std::get<NfNetConfig>(recognized.config); }

template <class Network>
Named names_of(const Network& network) {
  Named tensors;
  for (const NamedExtents& parameter : list_parameters(network))
    tensors.emplace_back(parameter.name, parameter.extents);
  return tensors;
}
/// Networks that hold no weights: the largest would take 3 GB.
Named trained_tensors(const NfNetConfig& config) { return names_of(NfNet<Unstored>(config)); }
Named folded_tensors(const NfNetConfig& config) { return names_of(FoldedNfNet<Unstored>(config)); }

class RecognizeNfNets : public testing::TestWithParam<std::string> {};

TEST_P(RecognizeNfNets, FindsTheRowInNamesAndShapes) {
  const NfNetConfig& config = config_of(GetParam());
  const StateDict trained = to_checkpoint(trained_tensors(config));
  StateDict folded = to_checkpoint(folded_tensors(config));
  for (const std::string& name : {GetParam(), std::string()}) {
    const Recognized found = recognize(trained, name);
    EXPECT_EQ(found.variant, &variant_named(GetParam()));
    EXPECT_EQ(config_of(found), config);
    EXPECT_EQ(found.form, Form::trained);
  }
  const Recognized named = recognize(folded, GetParam());
  EXPECT_EQ(config_of(named), config);
  EXPECT_EQ(named.form, Form::folded);
  // Folding leaves no trace of the padding: the same network in DeepMind's convention and in timm's.
  const std::string size = GetParam().substr(GetParam().rfind('_') + 1);
  if (GetParam() == "dm_nfnet_" + size || (GetParam() == "nfnet_" + size && size[0] == 'f' && size != "f7")) {
    const std::string message = test::error_of([&] { recognize(folded); });
    expect_in(message, concatenate("dm_nfnet_", size, " or nfnet_", size, ", which differ in padding"));
    expect_in(message, "name the model");
  } else {
    EXPECT_EQ(recognize(folded).variant, &variant_named(GetParam()));
  }
  folded.metadata["plainnet.model"] = GetParam();
  EXPECT_EQ(recognize(folded).variant, &variant_named(GetParam()));
  EXPECT_EQ(recognize(folded).form, Form::folded);
}

std::vector<std::string> names() {
  std::vector<std::string> names;
  for (const NfNetVariant& row : nfnet_variants) names.emplace_back(row.name);
  return names;
}
INSTANTIATE_TEST_SUITE_P(Variants, RecognizeNfNets, testing::ValuesIn(names()),
                         [](const auto& row) { return row.param; });

TEST(RecognizeNfNet, LeavesClassesAndInputChannelsToTheFile) {
  for (const std::string name : {"dm_nfnet_f0", "nfnet_f7", "eca_nfnet_l1", "nf_resnet50"}) {
    NfNetConfig config = config_of(name);
    config.classes = 37;
    config.in_channels = 1;
    const Recognized recognized = recognize(to_checkpoint(trained_tensors(config)));
    EXPECT_EQ(recognized.variant->name, name);
    EXPECT_EQ(config_of(recognized), config);
  }
}

TEST(RecognizeNfNet, BelievesTheFileAboutTheRowIfItFits) {
  StateDict tensors = to_checkpoint(folded_tensors(config_of("dm_nfnet_f1")));
  tensors.metadata["plainnet.model"] = "nfnet_f1";
  EXPECT_EQ(recognize(tensors).variant->name, "nfnet_f1");
  tensors.metadata["plainnet.model"] = "dm_nfnet_f2";
  expect_in(test::error_of([&] { recognize(tensors); }), "dm_nfnet_f1 or nfnet_f1");
  tensors = to_checkpoint(trained_tensors(config_of("dm_nfnet_f1")));
  tensors.metadata["plainnet.model"] = "nfnet_f1";  // which has no SkipInit
  EXPECT_EQ(recognize(tensors).variant->name, "dm_nfnet_f1");
}

TEST(RecognizeNfNet, RefusesTheNameOfANetworkThatPadsOtherwiseThanTheFolded) {
  StateDict tensors = to_checkpoint(folded_tensors(config_of("dm_nfnet_f0")));
  for (const auto& [stated, wanted] : {std::pair("dm_nfnet_f0", "nfnet_f0"), std::pair("nfnet_f0", "dm_nfnet_f0")}) {
    tensors.metadata["plainnet.model"] = stated;
    const std::string message = test::error_of([&, name = wanted] { recognize(tensors, name); });
    expect_in(message, concatenate("was folded as ", stated, ", whose convolutions pad otherwise than those of "));
    EXPECT_EQ(recognize(tensors, stated).variant->name, stated);
  }
}

TEST(RecognizeNfNet, NamesTheNearestOfUnknownSizes) {
  NfNetConfig config = config_of("dm_nfnet_f1");
  config.depths[2] = 13;
  std::string message = test::error_of([&] { recognize(to_checkpoint(trained_tensors(config))); });
  expect_in(message,
            "an NFNet of depths 2, 4, 13, 6, widths 256, 512, 1536, 1536 by way of 128, 256, 768, 768, groups of 128, "
            "squeeze-excite, with SkipInit, which is none of the known variants; the nearest are dm_nfnet_f1 (depths "
            "2, 4, 12, 6, ");
  // The widened network as the released code builds it, whose first stage is cut to one group of 128.
  config = config_of("nfnet_f4_plus");
  config.whole_groups = true;
  message = test::error_of([&] { recognize(to_checkpoint(trained_tensors(config))); });
  expect_in(message, "by way of 128, 384, 1024, 1024");
  expect_in(message, "nfnet_f4_plus (depths 5, 10, 30, 15, widths 384, 768, 2048, 2048 by way of 192, 384, 1024, 1024");
  config = config_of("nf_resnet50");
  config.second_3x3 = true;
  expect_in(test::error_of([&] { recognize(to_checkpoint(trained_tensors(config))); }), "none of the known variants");
  config = config_of("nfnet_l0");
  config.bottleneck = 0.5;
  expect_in(test::error_of([&] { recognize(to_checkpoint(trained_tensors(config))); }),
            "widths 256, 512, 1536, 1536 by way of 128, 256, 768, 768, groups of 64");
}

TEST(RecognizeNfNet, RefusesAnotherVariantThanTheOneAskedFor) {
  const StateDict tensors = to_checkpoint(trained_tensors(config_of("dm_nfnet_f0")));
  expect_in(test::error_of([&] { recognize(tensors, "dm_nfnet_f1"); }), "dm_nfnet_f1 is of depths 2, 4, 12, 6");
  expect_in(test::error_of([&] { recognize(tensors, "nfnet_f0"); }), "without SkipInit: is it another variant?");
  expect_in(test::error_of([&] { recognize(tensors, "eca_nfnet_l0"); }), "efficient channel attention");
  expect_in(test::error_of([&] { recognize(tensors, "vanillanet_5"); }), "holds an NFNet, so not vanillanet_5");
  expect_in(test::error_of([&] { recognize(tensors, "poolformer_s12"); }), "holds an NFNet, so not poolformer_s12");
  expect_in(test::error_of([&] { recognize(to_checkpoint(folded_tensors(config_of("dm_nfnet_f0"))), "dm_nfnet_f1"); }),
            "is it another variant?");
}

TEST(RecognizeNfNet, SaysWhatIsMissing) {
  const Named tensors = trained_tensors(config_of("dm_nfnet_f0"));
  for (const std::string name :
       {"head.fc.weight", "stages.0.0.conv3.weight", "stages.2.4.conv3.weight", "stages.0.0.conv2.weight"}) {
    expect_in(test::error_of([&] { recognize(to_checkpoint(test::without(tensors, name))); }),
              concatenate("looks like an NFNet, but ", name, " is missing"));
  }
  // Without these it is another network, or none.
  expect_in(test::error_of([&] { recognize(to_checkpoint(test::without(tensors, "stages.2.4.conv1.weight"))); }),
            "an NFNet of depths 1, 2, 4, 3");
  expect_in(test::error_of([&] { recognize(to_checkpoint(test::without(tensors, "stages.1.0.conv1.weight"))); }),
            "an NFNet of depths 1, widths 256");
  expect_in(test::error_of([&] { recognize(to_checkpoint(test::without(tensors, "stem.conv1.weight"))); }),
            "no known network");
  expect_in(test::error_of([&] { recognize(to_checkpoint(test::without(tensors, "stages.0.0.conv1.weight"))); }),
            "no known network");
}

// What tells the sizes must be there in full: a file of kilobytes shall not ask for gigabytes.
TEST(RecognizeNfNet, RefusesSizesThatTheFileDoesNotHold) {
  const Named tensors = trained_tensors(config_of("dm_nfnet_f0"));
  const std::vector<std::pair<std::string, Extents>> lies = {
      {"head.fc.weight", {1000000, 1}},
      {"head.fc.weight", {1000}},
      {"head.fc.weight", {0, 3072}},
      {"stages.1.0.conv3.weight", {512, 1, 1, 1}},
      {"stages.1.0.conv1.weight", {256, 1, 1, 1}},
      {"stages.1.0.conv1.weight", {1, 256, 1, 1}},
      {"stages.1.1.conv1.weight", {256, 1, 1, 1}},
      {"stages.1.1.conv1.weight", {1, 512, 1, 1}},
      {"stages.1.1.conv3.weight", {1, 256, 1, 1}},
      {"stages.1.1.conv3.weight", {0, 256, 1, 1}},
      {"stages.1.0.conv3.weight", {512, 256}},
      {"stem.conv1.weight", {16, 3}},
      {"stem.conv1.weight", {16, 100000, 1, 1}},
      {"stem.conv2.weight", {0, 16, 3, 3}},
      {"final_conv.weight", {3072}},
      {"stages.0.0.conv2.weight", {128, 0, 3, 3}},
  };
  for (const auto& lie : lies) {
    const StateDict checkpoint = to_checkpoint(test::with(tensors, lie.first, lie.second));
    expect_in(test::error_of([&] { recognize(checkpoint); }), lie.first);
  }
}

// Every block by way of a single channel would be some hundred kilobytes, and the row 1.7 GB.
TEST(RecognizeNfNet, RefusesBlocksThatAreNarrowInside) {
  for (const std::string row : {"dm_nfnet_f6", "nfnet_f7", "nf_resnet50", "eca_nfnet_l2"}) {
    for (const bool is_folded : {false, true}) {
      Named tensors = is_folded ? folded_tensors(config_of(row)) : trained_tensors(config_of(row));
      Index held = 0;
      for (auto& [name, extents] : tensors) {
        if (name.ends_with("conv1.weight") && name.starts_with("stages")) extents = {1, extents[1], 1, 1};
        if (name.ends_with("conv3.weight") && name.starts_with("stages")) extents = {extents[0], 1, 1, 1};
      }
      for (const auto& [name, extents] : tensors) {
        if (name.ends_with("conv1.weight") || name.ends_with("conv3.weight")) held += extents.elements();
      }
      EXPECT_LT(held, 1 << 20);
      for (const std::string& asked : {std::string(), row}) {
        expect_in(test::error_of([&] { recognize(to_checkpoint(tensors), asked); }), "by way of 1, 1, 1, 1");
      }
    }
  }
}

}  // namespace
}  // namespace plainnet
