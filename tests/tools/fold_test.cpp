// plainnet fold, inspect, verify: folded files, receipts, lists of tensors, and checks of the engine.

#include <cmath>

#include "plainnet/core/layout.hpp"
#include "support/golden_rule.hpp"
#include "tools/program.hpp"

namespace plainnet {
namespace {

using test::checkpoint;
using test::expect_failure;
using test::expect_success;
using test::Json;
using test::Outcome;
using test::run;

class FoldCommand : public testing::Test {
 protected:
  std::string path(std::string_view name) const { return (folder_ / name).string(); }

  /// Logits of the reference input.
  AlignedVector<double> infer(const std::string& weights, std::vector<std::string> options = {}) {
    const Tensor<float> image = test::golden_image(1, 64, 64, 7);
    StateDict tensors;
    tensors.add("input", store<float>({1, 3, 64, 64}, to_channels_first(image.view())));
    write_safetensors(path("input"), tensors);
    options.insert(options.begin(),
                   {"infer", "--weights", weights, "--input", path("input"), "--output", path("output")});
    expect_success(run(options));
    return open_safetensors(path("output")).at("logits").values<double>();
  }

  test::TemporaryFolder folder_;
  const std::string trained_ = checkpoint("float32.safetensors");
  const std::string folded_ = path("folded.safetensors");
};

TEST_F(FoldCommand, WritesThePublishedDeployNames) {
  expect_success(run({"fold", trained_, folded_}));
  std::vector<std::string> names;
  for (const auto& [name, tensor] : open_safetensors(folded_)) {
    names.push_back(name);
    EXPECT_EQ(tensor.format, NumberFormat::f32);
  }
  std::sort(names.begin(), names.end());
  EXPECT_EQ(names, (std::vector<std::string>{
                       "cls.2.bias", "cls.2.weight", "stages.0.act.bias", "stages.0.act.weight", "stages.0.conv.bias",
                       "stages.0.conv.weight", "stages.1.act.bias", "stages.1.act.weight", "stages.1.conv.bias",
                       "stages.1.conv.weight", "stages.2.act.bias", "stages.2.act.weight", "stages.2.conv.bias",
                       "stages.2.conv.weight", "stem.0.bias", "stem.0.weight", "stem.1.bias", "stem.1.weight"}));
}

TEST_F(FoldCommand, WritesAFileThatGivesTheSameLogits) {
  std::ifstream file(test::data("checkpoints/expected.json"));
  const Json expected = Json::parse(file);
  const auto expect_logits = [&](const AlignedVector<double>& logits, const char* key) {
    for (std::size_t c = 0; c < logits.size(); ++c) EXPECT_NEAR(logits[c], expected[key][c].get<double>(), 1e-5) << key;
  };
  expect_success(run({"fold", trained_, folded_}));
  expect_logits(infer(folded_), "logits");
  expect_success(run({"fold", "--slope", "0.25", trained_, folded_}));
  expect_logits(infer(folded_), "logits_slope_0.25");
  expect_logits(infer(folded_, {"--slope", "0.25", "--double"}), "logits_slope_0.25");
  expect_success(run({"fold", checkpoint("act_num_4.safetensors"), folded_}));
  expect_logits(infer(folded_), "act_num_4");
}

TEST_F(FoldCommand, PrintsAReceipt) {
  const Outcome outcome = run({"fold", trained_, folded_});
  expect_success(outcome);
  for (const std::string part : {"43,660 -> 31,850", "largest difference", "batch norm", "64 x 64"}) {
    EXPECT_NE(outcome.out.find(part), std::string::npos) << part;
  }
  const Outcome in_json = run({"fold", "--json", trained_, folded_});
  expect_success(in_json);
  const Json receipt = in_json.json_lines().at(0);
  EXPECT_EQ(receipt["model"], "vanillanet_test");
  EXPECT_EQ(receipt["parameters_before"], 43660);
  EXPECT_EQ(receipt["parameters_after"], 31850);
  EXPECT_EQ(receipt["macs_after"], 2064640);
  EXPECT_GT(receipt["macs_before"], receipt["macs_after"]);
  EXPECT_EQ(receipt["probe"], (Json{1, 3, 64, 64}));
  EXPECT_GT(receipt["largest_difference"], 0.0);
  EXPECT_LT(receipt["largest_difference"], 1e-5);
  Index merged = 0;
  for (const Json& merge : receipt["merges"]) merged += merge["count"].get<Index>();
  EXPECT_EQ(receipt["operations_merged"], merged);
  EXPECT_EQ(merged, 9 + 4 + 5);
}

TEST_F(FoldCommand, RefusesWhatIsFoldedAlready) {
  expect_success(run({"fold", trained_, folded_}));
  expect_failure(run({"fold", folded_, path("again")}), {folded_, "already folded"});
  expect_failure(run({"infer", "--no-fold", "--weights", folded_, "--input", path("input"), "--output", path("again")}),
                 {path("input")});
  EXPECT_FALSE(std::filesystem::exists(path("again")));
}

TEST_F(FoldCommand, RefusesToRunTheTrainedFormOfAFoldedFile) {
  expect_success(run({"fold", trained_, folded_}));
  infer(folded_);
  expect_failure(run({"infer", "--no-fold", "--weights", folded_, "--input", path("input"), "--output", path("again")}),
                 {folded_, "folded"});
}

TEST_F(FoldCommand, MayReplaceItsInput) {
  std::filesystem::copy_file(trained_, folded_);
  expect_success(run({"fold", folded_, folded_}));
  EXPECT_TRUE(open_safetensors(folded_).find("cls.2.weight"));
}

TEST_F(FoldCommand, LeavesNothingBehindIfItFails) {
  test::write_text(folded_, "precious");
  expect_failure(run({"fold", path("missing"), folded_}), {path("missing")});
  expect_failure(run({"fold", trained_, path("no/such/folder")}), {path("no/such/folder")});
  EXPECT_EQ(test::read_text(folded_), "precious");
  EXPECT_EQ(folder_.entries(), 1);
}

TEST_F(FoldCommand, RefusesASlopeThatContradictsAFoldedFile) {
  expect_success(run({"fold", trained_, folded_}));
  expect_failure(run({"verify", "--slope", "0.5", folded_}), {folded_, "slope"});
}

class Inspect : public FoldCommand {
 protected:
  Json inspect(const std::string& weights) {
    const Outcome outcome = run({"inspect", "--json", weights});
    expect_success(outcome);
    return outcome.json_lines().at(0);
  }
};

TEST_F(Inspect, ListsTensorsAndTellsTheVariant) {
  const Json found = inspect(trained_);
  EXPECT_EQ(found["model"], "vanillanet_test");
  EXPECT_EQ(found["form"], "trained");
  EXPECT_EQ(found["classes"], 10);
  EXPECT_EQ(found["parameters"], 43660);
  EXPECT_TRUE(found["problem"].is_null());
  const StateDict tensors = open_safetensors(trained_);
  ASSERT_EQ(found["tensors"].size(), static_cast<std::size_t>(tensors.size()));
  std::size_t i = 0;
  for (const auto& [name, tensor] : tensors) {
    const Json& row = found["tensors"][i++];
    EXPECT_EQ(row["name"], name);
    EXPECT_EQ(row["shape"], std::vector<Index>(tensor.extents.begin(), tensor.extents.end()));
    EXPECT_EQ(row["format"], name_of(tensor.format));
    EXPECT_EQ(row["finite"], true);
  }
  const Outcome text = run({"inspect", trained_});
  expect_success(text);
  EXPECT_NE(text.out.find("vanillanet_test, trained form, 10 classes"), std::string::npos) << text.out;
  EXPECT_NE(text.out.find("cls2.0.weight"), std::string::npos);
}

TEST_F(Inspect, TellsTheFoldedForm) {
  expect_success(run({"fold", "--slope", "0.5", trained_, folded_}));
  const Json found = inspect(folded_);
  EXPECT_EQ(found["model"], "vanillanet_test");
  EXPECT_EQ(found["form"], "folded");
  EXPECT_EQ(found["metadata"]["plainnet.activation_slope"], "0.5");
  EXPECT_TRUE(found["problem"].is_null());
}

TEST_F(Inspect, ListsAFileThatIsNoKnownNetworkAndSaysWhy) {
  StateDict tensors;
  tensors.add("embedding", store<std::int64_t>({2}, std::vector<std::int64_t>{1, 2}));
  tensors.add("values", store<double>({3}, std::vector<double>{1, -INFINITY, 2}));
  tensors.metadata["note"] = "mine";
  write_safetensors(path("other"), tensors);
  const Json found = inspect(path("other"));
  EXPECT_TRUE(found["model"].is_null());
  EXPECT_NE(found["problem"].get<std::string>().find("no known network"), std::string::npos);
  EXPECT_EQ(found["metadata"]["note"], "mine");
  ASSERT_EQ(found["tensors"].size(), 2u);
  EXPECT_EQ(found["tensors"][0]["format"], "I64");
  EXPECT_EQ(found["tensors"][1]["finite"], false);
  const Outcome text = run({"inspect", path("other")});
  expect_success(text);
  EXPECT_NE(text.out.find("NaN or infinity"), std::string::npos);
}

TEST_F(Inspect, SaysWhichTensorsOfAVariantAreMissing) {
  StateDict tensors;
  for (const auto& [name, tensor] : open_safetensors(trained_)) {
    if (name != "stages.2.act.bn.bias") tensors.add(name, tensor);
  }
  write_safetensors(path("incomplete"), tensors);
  const Json found = inspect(path("incomplete"));
  EXPECT_EQ(found["model"], "vanillanet_test");
  EXPECT_NE(found["problem"].get<std::string>().find("missing: stages.2.act.bn.bias"), std::string::npos);
}

class Verify : public FoldCommand {};

TEST_F(Verify, AgreesOnTrainedAndFoldedFilesAndAtOtherSlopes) {
  for (const std::string slope : {"1", "0.25"}) {
    expect_success(run({"fold", "--slope", slope, trained_, folded_}));
    for (const std::string& file : {trained_, folded_}) {
      const Outcome outcome = run({"verify", "--slope", slope, file});
      expect_success(outcome);
      EXPECT_NE(outcome.out.find("3 of 3"), std::string::npos) << outcome.out;
    }
  }
  expect_success(run({"verify", "--size", "37", "--threads", "3", checkpoint("float16.safetensors")}));
}

TEST_F(Verify, FailsIfTheAnswersAreNotNumbers) {
  StateDict tensors;
  for (const auto& [name, tensor] : open_safetensors(trained_)) {
    AlignedVector<float> values = tensor.values<float>();
    if (name == "cls2.0.bias") values[0] = std::nanf("");
    tensors.add(name, store<float>(tensor.extents, values));
  }
  write_safetensors(path("nan"), tensors);
  const Outcome outcome = run({"verify", path("nan")});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_NE(outcome.err.find("NaN or infinity in cls2.0.bias"), std::string::npos) << outcome.err;
}

TEST_F(Verify, SaysThatAnInputIsTooSmall) { expect_failure(run({"verify", "--size", "3", trained_}), {"too small"}); }

}  // namespace
}  // namespace plainnet
