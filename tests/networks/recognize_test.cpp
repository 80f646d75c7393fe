#include <gtest/gtest.h>

#include "networks/named_tensors.hpp"
#include "plainnet/networks/recognize.hpp"
#include "support/compare.hpp"

namespace plainnet {
namespace {

using test::expect_in;
using test::Named;
using test::to_checkpoint;
using test::with;
using test::without;

void add_convolution(Named& tensors, const std::string& name, Index out, Index in, Index kernel = 1) {
  tensors.push_back({name + ".weight", {out, in, kernel, kernel}});
  tensors.push_back({name + ".bias", {out}});
}

void add_norm(Named& tensors, const std::string& name, Index channels) {
  for (const char* last : {".weight", ".bias", ".running_mean", ".running_var"})
    tensors.push_back({name + last, {channels}});
  tensors.push_back({name + ".num_batches_tracked", {}});
}

/// What a training checkpoint of the published code holds.
Named trained_tensors(const VanillaNetConfig& config) {
  Named tensors;
  const Index side = 2 * config.act_num + 1;
  const Index first = config.widths.front();
  add_convolution(tensors, "stem1.0", first, config.in_channels, 4);
  add_norm(tensors, "stem1.1", first);
  add_convolution(tensors, "stem2.0", first, first);
  add_norm(tensors, "stem2.1", first);
  tensors.push_back({"stem2.2.weight", {first, 1, side, side}});
  add_norm(tensors, "stem2.2.bn", first);
  for (std::size_t i = 0; i + 1 < config.widths.size(); ++i) {
    const std::string stage = "stages." + std::to_string(i);
    add_convolution(tensors, stage + ".conv1.0", config.widths[i], config.widths[i]);
    add_norm(tensors, stage + ".conv1.1", config.widths[i]);
    add_convolution(tensors, stage + ".conv2.0", config.widths[i + 1], config.widths[i]);
    add_norm(tensors, stage + ".conv2.1", config.widths[i + 1]);
    tensors.push_back({stage + ".act.weight", {config.widths[i + 1], 1, side, side}});
    add_norm(tensors, stage + ".act.bn", config.widths[i + 1]);
  }
  add_convolution(tensors, "cls1.2", config.classes, config.widths.back());
  add_norm(tensors, "cls1.3", config.classes);
  add_convolution(tensors, "cls2.0", config.classes, config.classes);
  return tensors;
}

/// The deploy form; with both convolutions of a pair where `pairs`.
Named folded_tensors(const VanillaNetConfig& config, bool pairs = false) {
  Named tensors;
  const Index side = 2 * config.act_num + 1;
  const auto add_pair = [&](const std::string& name, Index in, Index middle, Index out, Index kernel) {
    if (!pairs) return add_convolution(tensors, name, out, in, kernel);
    add_convolution(tensors, name + ".0", middle, in, kernel);
    add_convolution(tensors, name + ".2", out, middle);
  };
  const auto add_series = [&](const std::string& name, Index channels) {
    tensors.push_back({name + ".weight", {channels, 1, side, side}});
    tensors.push_back({name + ".bias", {channels}});
  };
  const Index first = config.widths.front();
  add_pair("stem.0", config.in_channels, first, first, 4);
  add_series("stem.1", first);
  for (std::size_t i = 0; i + 1 < config.widths.size(); ++i) {
    const std::string stage = "stages." + std::to_string(i);
    add_pair(stage + ".conv", config.widths[i], config.widths[i], config.widths[i + 1], 1);
    add_series(stage + ".act", config.widths[i + 1]);
  }
  add_pair("cls.2", config.widths.back(), config.classes, config.classes, 1);
  return tensors;
}

const VanillaNetConfig& config_of(const std::string& name) {
  return std::get<VanillaNetConfig>(variant_named(name).config);
}

const VanillaNetConfig& config_of(const Recognized& recognized) {
  return std::get<VanillaNetConfig>(recognized.config);
}

bool is_one_of_two_alike(const std::string& name) { return name.starts_with("vanillanet_13_x1_5"); }

class RecognizeVanillaNets : public testing::TestWithParam<std::string> {};

TEST_P(RecognizeVanillaNets, FindsTheRowOfEveryForm) {
  const VanillaNetConfig& config = config_of(GetParam());
  struct Case {
    Named tensors;
    Form form;
    bool keeps_activations;
  };
  for (const Case& c :
       {Case{trained_tensors(config), Form::trained, false}, Case{folded_tensors(config), Form::folded, false},
        Case{folded_tensors(config, true), Form::folded, true}}) {
    StateDict tensors = to_checkpoint(c.tensors);
    SCOPED_TRACE(c.tensors.front().first);
    if (is_one_of_two_alike(GetParam())) {
      const std::string message = test::error_of([&] { recognize(tensors); });
      expect_in(message, "vanillanet_13_x1_5 or vanillanet_13_x1_5_ada_pool");
      expect_in(message, "name the model");
    } else {
      EXPECT_EQ(recognize(tensors).variant->name, GetParam());
    }
    const Recognized named = recognize(tensors, GetParam());
    tensors.metadata["plainnet.model"] = GetParam();
    const Recognized by_metadata = recognize(tensors);
    for (const Recognized& recognized : {named, by_metadata}) {
      EXPECT_EQ(recognized.variant, &variant_named(GetParam()));
      EXPECT_EQ(config_of(recognized), config);
      EXPECT_EQ(recognized.form, c.form);
      EXPECT_EQ(recognized.keeps_activations, c.keeps_activations);
    }
  }
}

std::vector<std::string> all_names() {
  std::vector<std::string> names;
  for (const VanillaNetVariant& variant : vanillanet_variants) names.emplace_back(variant.name);
  return names;
}
INSTANTIATE_TEST_SUITE_P(Variants, RecognizeVanillaNets, testing::ValuesIn(all_names()),
                         [](const auto& row) { return row.param; });

TEST(RecognizeVanillaNet, LeavesClassesActNumAndInputChannelsToTheFile) {
  VanillaNetConfig config = config_of("vanillanet_6");
  config.classes = 37;
  config.act_num = 0;
  config.in_channels = 1;
  for (const Named& tensors : {trained_tensors(config), folded_tensors(config), folded_tensors(config, true)}) {
    const Recognized recognized = recognize(to_checkpoint(tensors));
    EXPECT_EQ(recognized.variant->name, "vanillanet_6");
    EXPECT_EQ(config_of(recognized), config);
  }
}

TEST(RecognizeVanillaNet, DoesNotBelieveMetadataAboutAnotherNetwork) {
  StateDict tensors = to_checkpoint(folded_tensors(config_of("vanillanet_6")));
  tensors.metadata["plainnet.model"] = "vanillanet_13";
  EXPECT_EQ(recognize(tensors).variant->name, "vanillanet_6");
  StateDict alike = to_checkpoint(folded_tensors(config_of("vanillanet_13_x1_5")));
  alike.metadata["plainnet.model"] = "vanillanet_13";
  expect_in(test::error_of([&] { recognize(alike); }), "name the model");
}

TEST(RecognizeVanillaNet, NamesTheNearestOfUnknownWidths) {
  VanillaNetConfig config = config_of("vanillanet_6");
  config.widths.back() = 1000;
  const std::string message = test::error_of([&] { recognize(to_checkpoint(trained_tensors(config))); });
  expect_in(message, "file.safetensors");
  expect_in(message, "widths 512, 1024, 2048, 4096, 1000");
  expect_in(message, "vanillanet_6 (512, 1024, 2048, 4096, 4096)");
  config = config_of("vanillanet_13");
  config.widths.insert(config.widths.begin() + 4, 2048);
  expect_in(test::error_of([&] { recognize(to_checkpoint(trained_tensors(config))); }), "vanillanet_13 (");
}

TEST(RecognizeVanillaNet, RefusesAnotherVariantThanTheOneAskedFor) {
  const StateDict tensors = to_checkpoint(folded_tensors(config_of("vanillanet_6")));
  const std::string message = test::error_of([&] { recognize(tensors, "vanillanet_5"); });
  expect_in(message,
            "holds a VanillaNet of widths 512, 1024, 2048, 4096, 4096; vanillanet_5 has 512, 1024, 2048, 4096");
  expect_in(test::error_of([&] { recognize(tensors, "vanillanet_66"); }), "unknown model 'vanillanet_66'");
}

TEST(RecognizeVanillaNet, RefusesFilesThatHoldNoKnownNetwork) {
  const StateDict other = to_checkpoint({{"conv1.weight", {64, 3, 7, 7}}, {"fc.weight", {1000, 512}}});
  expect_in(test::error_of([&] { recognize(other); }),
            "file.safetensors: no known network; its first tensor is 'conv1.weight'");
  expect_in(test::error_of([&] { recognize(other, "vanillanet_6"); }), "no known network, so not vanillanet_6");
  expect_in(test::error_of([&] { recognize(to_checkpoint({})); }), "it holds no tensors");
}

TEST(RecognizeVanillaNet, NamesTheTensorThatDoesNotBelong) {
  const VanillaNetConfig& config = config_of("vanillanet_test");
  const auto message = [](const Named& tensors) { return test::error_of([&] { recognize(to_checkpoint(tensors)); }); };
  expect_in(message(with(trained_tensors(config), "stem1.0.weight", {32, 3, 16})),
            "looks like a VanillaNet, but stem1.0.weight is of shape (32, 3, 16)");
  expect_in(message(without(trained_tensors(config), "cls2.0.weight")), "cls2.0.weight is missing");
  expect_in(message(without(trained_tensors(config), "stem2.2.weight")), "stem2.2.weight is missing");
  expect_in(message(with(folded_tensors(config), "stages.1.conv.weight", {64})),
            "stages.1.conv.weight is of shape (64)");
  expect_in(message(with(folded_tensors(config), "cls.2.weight", {0, 128, 1, 1})),
            "cls.2.weight is of shape (0, 128, 1, 1)");
  expect_in(message(with(folded_tensors(config, true), "cls.2.2.weight", {})), "cls.2.2.weight is of shape ()");
}

TEST(RecognizeVanillaNet, RefusesSizesThatTheFileDoesNotHold) {
  const VanillaNetConfig config = std::get<VanillaNetConfig>(variant_named("vanillanet_test").config);
  const std::vector<std::pair<std::string, Extents>> lies = {
      {"cls2.0.weight", {30000, 1, 1, 1}},
      {"stages.2.conv2.0.weight", {128, 1, 1, 1}},
      {"stem2.2.weight", {1, 1, 1001, 1001}},
      {"stem2.2.weight", {32, 1, 1001, 1}},
  };
  for (const auto& [name, extents] : lies) {
    Named tensors = trained_tensors(config);
    for (auto& tensor : tensors) {
      if (tensor.first == name) tensor.second = extents;
    }
    EXPECT_NE(test::error_of([&] { recognize(to_checkpoint(tensors)); }).find(name), std::string::npos) << name;
  }
}

TEST(RecognizeVanillaNet, TellsWhenAStageIsMissing) {
  const VanillaNetConfig& config = config_of("vanillanet_test");  // 32, 64, 64, 128
  expect_in(
      test::error_of([&] { recognize(to_checkpoint(without(trained_tensors(config), "stages.2.conv2.0.weight"))); }),
      "a VanillaNet of widths 32, 64, 64, which is none");
}

}  // namespace
}  // namespace plainnet
