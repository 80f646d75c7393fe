// plainnet convert, and the other commands on PyTorch checkpoints; tools/fetch_weights.

#include <cstdlib>

#include "plainnet/io/checkpoint.hpp"
#include "plainnet/networks/registry.hpp"
#include "tools/program.hpp"

namespace plainnet {
namespace {

using test::checkpoint;
using test::expect_failure;
using test::expect_success;
using test::expect_wrong_usage;
using test::Json;
using test::Outcome;
using test::run;

class Convert : public testing::Test {
 protected:
  std::string path(std::string_view name) const { return (folder_ / name).string(); }

  test::TemporaryFolder folder_;
  const std::string output_ = path("converted.safetensors");
};

void expect_same(const StateDict& found, const StateDict& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (const auto& [name, tensor] : expected) {
    const StoredTensor& other = found.at(name);
    EXPECT_EQ(other.format, tensor.format) << name;
    EXPECT_EQ(other.extents, tensor.extents) << name;
    EXPECT_TRUE(std::equal(other.bytes.begin(), other.bytes.end(), tensor.bytes.begin(), tensor.bytes.end())) << name;
  }
}

TEST_F(Convert, KeepsNamesShapesAndBitsOfEveryContainer) {
  for (const char* name : {"plain_state_dict.pth", "legacy_format.pth.tar", "views_and_strides.pth", "half.pth",
                           "bfloat16.pth", "deploy_form.pth", "float32.safetensors"}) {
    SCOPED_TRACE(name);
    const Outcome outcome = run({"convert", checkpoint(name), output_});
    expect_success(outcome);
    EXPECT_NE(outcome.out.find(output_), std::string::npos) << outcome.out;
    const StateDict converted = open_safetensors(output_);
    expect_same(converted, open_checkpoint(checkpoint(name)));
    EXPECT_EQ(converted.metadata.at("format"), "pt");
  }
}

TEST_F(Convert, SaysWhichEntryItTook) {
  const std::string training = checkpoint("training_run_with_ema.pth");
  const Outcome averaged = run({"convert", "--json", training, output_});
  expect_success(averaged);
  const Json receipt = averaged.json_lines().at(0);
  EXPECT_EQ(receipt["entry"], "model_ema");
  EXPECT_EQ(receipt["tensors"], open_checkpoint(training).size());
  expect_same(open_safetensors(output_), open_checkpoint(training));

  expect_success(run({"convert", "--key", "model", training, output_}));
  const StateDict last = open_safetensors(output_);
  expect_same(last, open_checkpoint(training, {.key = "model"}));
  const auto first_bytes = [](const StateDict& tensors) { return tensors.at("stem1.0.weight").bytes; };
  const StateDict average = open_checkpoint(training);
  EXPECT_FALSE(std::equal(first_bytes(last).begin(), first_bytes(last).end(), first_bytes(average).begin()));
}

TEST_F(Convert, RoundsToHalfAndKeepsIntegers) {
  StateDict tensors;
  tensors.add("single", store<float>({3}, std::vector<float>{1.0f, 1.0f + 0x1p-11f, -0x1p-24f}));
  tensors.add("double", store<double>({1}, std::vector<double>{1.0 + 0x1p-11 + 0x1p-40}));  // above the tie
  tensors.add("count", store<std::int64_t>({}, std::vector<std::int64_t>{5}));
  write_safetensors(path("in"), tensors);
  expect_success(run({"convert", "--half", "f16", path("in"), output_}));
  const StateDict half = open_safetensors(output_);
  EXPECT_EQ(half.at("single").format, NumberFormat::f16);
  EXPECT_EQ(half.at("single").values<float>(), (AlignedVector<float>{1.0f, 1.0f, -0x1p-24f}));
  EXPECT_EQ(half.at("double").values<float>(), (AlignedVector<float>{1.0f + 0x1p-10f}));
  EXPECT_EQ(half.at("count").format, NumberFormat::i64);
  expect_success(run({"convert", "--half", "bf16", path("in"), output_}));
  EXPECT_EQ(open_safetensors(output_).at("single").format, NumberFormat::bf16);
  EXPECT_EQ(open_safetensors(output_).at("double").values<float>(), (AlignedVector<float>{1.0f}));
}

TEST_F(Convert, WarnsOfNumbersBeyondTheRangeOfHalf) {
  StateDict tensors;
  tensors.add("large", store<float>({2}, std::vector<float>{1.0f, 1e6f}));
  tensors.add("infinite", store<float>({1}, std::vector<float>{INFINITY}));  // was so before: nothing to warn of
  write_safetensors(path("in"), tensors);
  const Outcome outcome = run({"convert", "--half", "f16", path("in"), output_});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_NE(outcome.err.find("large has numbers beyond the range of f16"), std::string::npos) << outcome.err;
  EXPECT_EQ(outcome.err.find("infinite has"), std::string::npos) << outcome.err;
  expect_success(run({"convert", "--half", "bf16", path("in"), output_}));
}

TEST_F(Convert, LeavesNothingAfterAnError) {
  const std::string plain = checkpoint("plain_state_dict.pth");
  expect_failure(run({"convert", "--key", "optimizer", plain, output_}), {plain, "optimizer"});
  expect_failure(run({"convert", path("missing.pth"), output_}), {"missing.pth", "cannot open"});
  EXPECT_FALSE(std::filesystem::exists(output_));
  expect_wrong_usage({"convert", "--half", "f8", plain, output_}, {"f8"});
}

TEST_F(Convert, OtherCommandsTakePyTorchCheckpointsToo) {
  const std::string training = checkpoint("training_run_with_ema.pth");
  const Outcome inspected = run({"inspect", "--json", training});
  expect_success(inspected);
  const Json found = inspected.json_lines().at(0);
  EXPECT_EQ(found["model"], "vanillanet_test");
  EXPECT_EQ(found["entry"], "model_ema");
  const Outcome text = run({"inspect", "--key", "model", training});
  expect_success(text);
  EXPECT_NE(text.out.find("entry          model\n"), std::string::npos) << text.out;

  const Outcome folded = run({"fold", "--json", training, output_});
  expect_success(folded);
  EXPECT_EQ(folded.json_lines().at(0)["entry"], found["entry"]);
  expect_success(run({"verify", checkpoint("legacy_format.pth.tar")}));
}

/// The script's answer; `mirror` is where it shall download from.
Outcome fetch(const std::string& arguments, const std::string& mirror, const std::string& more = {}) {
  test::TemporaryFolder folder;
  const std::string command = concatenate(more, " PLAINNET_MIRROR='", mirror, "' PLAINNET_PROGRAM='", PLAINNET_PROGRAM,
                                          "' '", PLAINNET_TEST_DATA, "/../../tools/fetch_weights' ", arguments, " > '",
                                          (folder / "out").string(), "' 2> '", (folder / "err").string(), "'");
  const int status = std::system(command.c_str());
  return {WEXITSTATUS(status), test::read_text(folder / "out"), test::read_text(folder / "err")};
}

TEST(FetchWeights, PrintsTheAddressOfTheTable) {
  const Outcome outcome = fetch("--print vanillanet_5", "");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "https://github.com/huawei-noah/VanillaNet/releases/download/ckpt/vanillanet_5.pth\n");
  EXPECT_EQ(fetch("--print caformer_s18_384", "").out,
            "https://huggingface.co/timm/caformer_s18.sail_in1k_384/resolve/main/model.safetensors\n");
  const Outcome list = fetch("", "");
  const auto published = std::count_if(variants().begin(), variants().end(),
                                       [](const Variant& variant) { return !variant.checkpoint.empty(); });
  EXPECT_EQ(std::count(list.out.begin(), list.out.end(), '\n'), published) << list.out;
  EXPECT_GT(published, 50);
  const Outcome unknown = fetch("--print vanillanet_99", "");
  EXPECT_EQ(unknown.code, 1);
  EXPECT_NE(unknown.err.find("vanillanet_13_x1_5_ada_pool"), std::string::npos) << unknown.err;
}

TEST(FetchWeights, DownloadsWholeFilesWithinTheLimit) {
  if (std::system("command -v curl > /dev/null") != 0) GTEST_SKIP() << "curl is not installed";
  test::TemporaryFolder folder;
  const std::string mirror = "file://" + folder.path().string();
  const std::string target = (folder / "weights").string();
  std::filesystem::copy_file(checkpoint("plain_state_dict.pth"), folder / "vanillanet_5.pth");
  const Outcome small = fetch("vanillanet_5 '" + target + "'", mirror, "PLAINNET_MAX_BYTES=1000");
  EXPECT_EQ(small.code, 1) << small.out;
  EXPECT_FALSE(std::filesystem::exists(folder / "weights" / "vanillanet_5.pth"));
  const Outcome outcome = fetch("vanillanet_5 '" + target + "'", mirror);
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, target + "/vanillanet_5.pth\n");
  EXPECT_EQ(test::read_text(folder / "weights" / "vanillanet_5.pth"), test::read_text(folder / "vanillanet_5.pth"));

  // Every page has its file under the same name; here it has the variant's.
  std::filesystem::copy_file(checkpoint("float32.safetensors"), folder / "poolformer_s12.safetensors");
  EXPECT_EQ(fetch("poolformer_s12 '" + target + "'", mirror).out, target + "/poolformer_s12.safetensors\n");

  test::write_text(folder / "vanillanet_6.pth", "<html>not found</html>");
  EXPECT_EQ(fetch("vanillanet_6 '" + target + "'", mirror).code, 1);
  EXPECT_FALSE(std::filesystem::exists(folder / "weights" / "vanillanet_6.pth"));
}

}  // namespace
}  // namespace plainnet
