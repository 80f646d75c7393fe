// The program on MetaFormers of full width: the reference logits, as trained and folded; a network of one size of
// image.

#include "plainnet/core/layout.hpp"
#include "plainnet/io/load.hpp"
#include "plainnet/networks/parameters.hpp"
#include "plainnet/networks/registry.hpp"
#include "support/golden_rule.hpp"
#include "tools/program.hpp"

namespace plainnet {
namespace {

using test::expect_failure;
using test::expect_success;
using test::Json;
using test::Outcome;
using test::run;

class MetaFormerProgram : public testing::Test {
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

TEST_F(MetaFormerProgram, GivesTheReferenceLogitsOfTimm) {
  std::ifstream file(test::data("golden/convformer_s18.timm.classes7.96x64.json"));
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
  EXPECT_EQ(found["model"], "convformer_s18");
  EXPECT_EQ(found["classes"], 7);
  EXPECT_EQ(found["parameters"], golden["parameters"]);

  const Outcome folded = run({"fold", path("weights.safetensors"), path("folded.safetensors"), "--json"});
  expect_success(folded);
  EXPECT_LT(folded.json_lines().at(0)["parameters_after"], golden["parameters"]);

  const double float_tolerance = 4 * golden["torch_float32_max_abs_error"].get<double>();
  for (const char* name : {"weights.safetensors", "folded.safetensors"}) {
    expect_success(run({"infer", "--weights", path(name), "--input", path("input.safetensors"), "--output",
                        path("output.safetensors"), "--features"}));
    EXPECT_LT(largest_error(golden["logits"][0], "logits"), float_tolerance) << name;
    EXPECT_EQ(open_safetensors(path("output.safetensors")).at("stages.2").extents, (Extents{1, 320, 6, 4}));
  }
  expect_success(run({"infer", "--weights", path("weights.safetensors"), "--input", path("input.safetensors"),
                      "--output", path("output.safetensors"), "--no-fold", "--double"}));
  EXPECT_LT(largest_error(golden["logits"][0], "logits"), 1e-7);
  expect_failure(run({"verify", path("weights.safetensors"), "--slope", "0.5"}), {"no annealed activations"});
}

TEST_F(MetaFormerProgram, ProbesANetworkOfOneSizeAtItsSize) {
  const MetaFormerConfig& config = std::get<MetaFormerConfig>(variant_named("randformer_s12").config);
  PublishedMetaFormer<float> network(config);
  fill_randomly(network);
  write_safetensors(path("weights.safetensors"), view_state_dict(network));
  const Outcome folded = run({"fold", path("weights.safetensors"), path("folded.safetensors"), "--json"});
  expect_success(folded);
  EXPECT_EQ(folded.json_lines().at(0)["probe"], (Json{1, 3, 224, 224}));
  const Outcome timed = run({"bench", "--model", "randformer_s12", "--seconds", "0.05", "--json"});
  expect_success(timed);
  EXPECT_EQ(timed.json_lines().at(0)["model"], "randformer_s12");
  expect_failure(run({"bench", "--model", "randformer_s12", "--size", "192x192"}), {"one size of image only"});
}

}  // namespace
}  // namespace plainnet
