// The program on NFNets: the reference logits, as trained and folded; rows without public weights; pictures that are
// squashed.

#include "plainnet/core/layout.hpp"
#include "plainnet/io/load.hpp"
#include "support/golden_rule.hpp"
#include "tools/program.hpp"

namespace plainnet {
namespace {

using test::expect_failure;
using test::expect_success;
using test::Json;
using test::Outcome;
using test::run;

class NfNetProgram : public testing::Test {
 protected:
  std::string path(const char* name) const { return (folder_ / name).string(); }

  double largest_error(const Json& expected, const char* name) const {
    const AlignedVector<double> found = open_safetensors(path("output.safetensors")).at(name).values<double>();
    double worst = found.size() == expected.size() ? 0.0 : 1e9;
    for (std::size_t i = 0; i < std::min(found.size(), expected.size()); ++i) {
      worst = std::max(worst, std::abs(found[i] - expected[i].get<double>()));
    }
    return worst;
  }

  test::TemporaryFolder folder_;
};

TEST_F(NfNetProgram, GivesTheReferenceLogitsOfTimm) {
  std::ifstream file(test::data("golden/eca_nfnet_l0.96x64.classes7.json"));
  const Json golden = Json::parse(file);
  StateDict weights;
  for (const auto& [name, shape, rule] :
       golden["tensors"].get<std::vector<std::tuple<std::string, std::vector<Index>, std::string>>>()) {
    Extents extents;
    for (const Index extent : shape) extents.push_back(extent);
    Parameter<float> numbers(extents);
    test::fill(numbers, name, 0, rule);
    weights.add(name, store(numbers));
  }
  write_safetensors(path("weights.safetensors"), weights);
  const Tensor<float> image = test::golden_image(1, 96, 64);
  StateDict input;
  input.add("input", store<float>({1, 3, 96, 64}, to_channels_first(image.view())));
  write_safetensors(path("input.safetensors"), input);

  const Outcome inspected = run({"inspect", path("weights.safetensors"), "--json"});
  expect_success(inspected);
  const Json found = inspected.json_lines().at(0);
  EXPECT_EQ(found["model"], "eca_nfnet_l0");
  EXPECT_EQ(found["classes"], 7);
  EXPECT_EQ(found["parameters"], golden["parameters"]);

  const Outcome folded = run({"fold", path("weights.safetensors"), path("folded.safetensors"), "--json"});
  expect_success(folded);
  const Json receipt = folded.json_lines().at(0);
  EXPECT_LT(receipt["parameters_after"], golden["parameters"]);
  EXPECT_EQ(receipt["parameters_before"], golden["parameters"]);
  EXPECT_EQ(receipt["macs_after"], receipt["macs_before"]);
  EXPECT_GT(receipt["largest_logit"], 0.1);
  const double float_tolerance = 4 * golden["torch_float32_max_abs_error"].get<double>();
  EXPECT_LT(receipt["largest_difference"], float_tolerance);
  const Outcome again = run({"inspect", path("folded.safetensors"), "--json"});
  expect_success(again);
  EXPECT_EQ(again.json_lines().at(0)["model"], "eca_nfnet_l0");

  for (const char* name : {"weights.safetensors", "folded.safetensors"}) {
    expect_success(run({"infer", "--weights", path(name), "--input", path("input.safetensors"), "--output",
                        path("output.safetensors"), "--features", "--threads", "2"}));
    EXPECT_LT(largest_error(golden["logits"][0], "logits"), float_tolerance) << name;
    for (const auto& [feature, expected] : golden["features"].items()) {
      const StateDict output = open_safetensors(path("output.safetensors"));
      const auto shape = expected["shape"].get<std::vector<Index>>();
      EXPECT_EQ(output.at(feature).extents, (Extents{shape[0], shape[1], shape[2], shape[3]})) << feature;
      const AlignedVector<double> values = output.at(feature).values<double>();
      for (const Json& sample : expected["samples"]) {
        // Of a feature, relative to its root mean square: some hundred roundings of the largest values.
        ASSERT_NEAR(values.at(sample[0]), sample[1].get<double>(), 1e-4 * expected["rms"].get<double>()) << feature;
      }
    }
  }
  expect_success(run({"infer", "--weights", path("weights.safetensors"), "--input", path("input.safetensors"),
                      "--output", path("output.safetensors"), "--no-fold", "--double"}));
  EXPECT_LT(largest_error(golden["logits"][0], "logits"), 1e-7);
  expect_failure(run({"verify", path("weights.safetensors"), "--slope", "0.5"}), {"no annealed activations"});
  expect_failure(run({"verify", path("weights.safetensors"), "--model", "nfnet_l0"}),
                 {"efficient channel attention", "nfnet_l0 is of", "squeeze-excite"});
}

TEST_F(NfNetProgram, ListsNetworksThatHaveNoPublicWeights) {
  const Outcome listed = run({"models", "--json"});
  expect_success(listed);
  std::map<std::string, Json> rows;
  for (const Json& row : listed.json_lines()) rows[row["name"]] = row;
  for (const char* name : {"nfnet_f0", "nfnet_f7", "nfnet_f4_plus", "nfnet_f7_plus", "eca_nfnet_l3"}) {
    ASSERT_TRUE(rows.contains(name)) << name;
    EXPECT_TRUE(rows[name]["checkpoint"].is_null()) << name;
    EXPECT_TRUE(rows[name]["published_top1"].is_null()) << name;
  }
  const Json& row = rows["dm_nfnet_f0"];
  EXPECT_EQ(row["checkpoint"], "https://huggingface.co/timm/dm_nfnet_f0.dm_in1k");
  EXPECT_EQ(row["published_top1"], 83.468);
  EXPECT_EQ(row["crop_mode"], "squash");
  EXPECT_EQ(row["input"], 256);
  EXPECT_EQ(row["parameters"], 71489284);
  EXPECT_EQ(row["macs"], 12384198656);
  EXPECT_EQ(row["depths"], (Json{1, 2, 6, 3}));
  EXPECT_EQ(row["widths"], (Json{256, 512, 1536, 1536}));
  const Outcome text = run({"models"});
  expect_success(text);
  const std::size_t line = text.out.find("nfnet_f7_plus ");
  ASSERT_NE(line, std::string::npos);
  EXPECT_EQ(text.out.substr(line, text.out.find('\n', line) - line).find("https"), std::string::npos);
  EXPECT_NE(text.out.substr(line, text.out.find('\n', line) - line).find("none published"), std::string::npos);
}

// preprocess/expected.json is what timm's evaluation transform makes of the pictures, on Pillow.
TEST_F(NfNetProgram, SquashesPicturesForTheNetworksOfDeepMind) {
  std::ifstream file(test::data("preprocess/expected.json"));
  const Json expected = Json::parse(file);
  int compared = 0;
  for (const auto& [model, size] : {std::pair<const char*, Index>{"dm_nfnet_f0", 256}, {"dm_nfnet_f1", 320}}) {
    for (const Json& item : expected["cases"]) {
      const std::string name = item["file"];
      if (item["crop_mode"] != "squash" || item["size"] != size || !name.ends_with(".png")) continue;
      SCOPED_TRACE(concatenate(model, ", ", name));
      expect_success(run({"preprocess", "--model", model, "--output", path("input.safetensors"),
                          test::data("preprocess/" + name).string()}));
      const StateDict output = open_safetensors(path("input.safetensors"));
      ASSERT_EQ(output.at("pixels").extents, (Extents{size, size, 3}));
      const auto pixels = output.at("pixels").bytes;
      for (const Json& sample : item["pixels_hwc"]) {
        ASSERT_EQ(std::to_integer<int>(pixels[sample[0].get<std::size_t>()]), sample[1].get<int>()) << sample[0];
      }
      ++compared;
    }
  }
  EXPECT_EQ(compared, 4);
}

}  // namespace
}  // namespace plainnet
