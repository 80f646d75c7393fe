// Every published variant at full size against the reference outputs of the published PyTorch code.

#include <fstream>
#include <set>
#include <thread>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "plainnet/engine/engine.hpp"
#include "plainnet/model.hpp"
#include "support/data.hpp"
#include "support/golden_rule.hpp"

namespace plainnet {
namespace {

using Json = nlohmann::json;

class PublishedGolden : public testing::TestWithParam<std::string> {
 protected:
  PublishedGolden() {
    std::ifstream file(test::data("golden/" + GetParam() + ".json"));
    golden_ = Json::parse(file);
    const auto& size = golden_["input"];
    input_ = test::golden_image(size[0], size[2], size[3], seed());
  }

  std::uint64_t seed() const { return golden_["seed"]; }

  /// The tensors that the published code has, with the numbers of the golden rule, recognised as a checkpoint is.
  Model model() const {
    StateDict tensors;
    tensors.source = GetParam();
    for (const auto& [name, shape, rule] :
         golden_["tensors"].get<std::vector<std::tuple<std::string, Json, std::string>>>()) {
      Extents extents;
      for (Index extent : shape) extents.push_back(extent);
      Parameter<float> numbers(extents);
      test::fill(numbers, name, seed(), rule);
      tensors.add(name, store(numbers));
    }
    ModelOptions options{.variant = golden_["model"]};
    if (golden_["activation_slope"] != 1.0) options.slope = golden_["activation_slope"];
    return open_model(std::move(tensors), options);
  }

  void expect_logits(const auto& logits, double tolerance) const {
    const auto& expected = golden_["logits"];
    ASSERT_EQ(logits.shape().batch, static_cast<Index>(expected.size()));
    ASSERT_EQ(logits.shape().channels, static_cast<Index>(expected[0].size()));
    double worst = 0.0;
    for (std::size_t n = 0; n < expected.size(); ++n) {
      for (std::size_t c = 0; c < expected[n].size(); ++c) {
        const double found = logits(static_cast<Index>(n), 0, 0, static_cast<Index>(c));
        worst = std::max(worst, std::abs(found - expected[n][c].template get<double>()));
      }
    }
    EXPECT_LT(worst, tolerance);
    RecordProperty("error_over_torch_float32", std::to_string(worst / torch_float_error()));
  }

  /// Shape, mean, root mean square and samples of one stage, errors relative to its root mean square.
  template <class T>
  void expect_feature(std::string_view name, TensorView<const T> map, double tolerance) {
    ++features_seen_;
    ASSERT_TRUE(golden_["features"].contains(name)) << name;
    const auto& expected = golden_["features"][std::string(name)];
    const Shape& shape = map.shape();
    // Some files have the map as the published module gives it, channels last.
    const bool channels_last = expected["shape"][1] == shape.height && expected["shape"][3] == shape.channels;
    const std::vector<Index> last = {shape.batch, shape.height, shape.width, shape.channels};
    const std::vector<Index> first = {shape.batch, shape.channels, shape.height, shape.width};
    ASSERT_EQ(channels_last ? last : first, expected["shape"].template get<std::vector<Index>>()) << name;
    const double rms = expected["rms"];
    const auto values = map.matrix().template cast<double>();
    EXPECT_NEAR(values.mean(), expected["mean"].template get<double>(), tolerance * rms) << name;
    EXPECT_NEAR(std::sqrt(values.array().square().mean()), rms, tolerance * rms) << name;
    for (const auto& sample : expected["samples"]) {
      const Index flat = sample[0];
      if (channels_last) {
        EXPECT_NEAR(map.data()[flat], sample[1].template get<double>(), tolerance * rms) << name << " at " << flat;
        continue;
      }
      const Index x = flat % shape.width;
      const Index y = flat / shape.width % shape.height;
      const Index c = flat / (shape.width * shape.height) % shape.channels;
      const Index n = flat / (shape.width * shape.height * shape.channels);
      EXPECT_NEAR(map(n, y, x, c), sample[1].template get<double>(), tolerance * rms) << name << " at " << flat;
    }
  }

  void expect_all_features_seen() const { EXPECT_EQ(features_seen_, golden_["features"].size()); }

  double torch_float_error() const { return golden_["torch_float32_max_abs_error"]; }

  /// How far a float run may be from the double reference: a small multiple of how far PyTorch's own was. Ours are at
  /// 0.6 to 2 times; the worst of a thousand logits varies that much with the order of summation.
  double float_tolerance() const { return 4.0 * torch_float_error(); }

  Json golden_;
  Tensor<float> input_;
  std::size_t features_seen_ = 0;
};

/// Of a feature, relative to its root mean square: some hundred roundings of the largest values, 20 times the mean.
constexpr double float_feature_tolerance = 1e-4;

TEST_P(PublishedGolden, TrainedFormInDoubleIsThePublishedCode) {
  const auto network = load_trained<double>(model());
  const Tensor<double> logits = std::visit(
      [&](const auto& trained) {
        return trained.forward(Tensor<double>(input_), [&](std::string_view name, TensorView<const double> map) {
          expect_feature(name, map, 1e-7);
        });
      },
      network);
  expect_logits(logits, 1e-7);
  expect_all_features_seen();
}

TEST_P(PublishedGolden, TrainedFormInFloat) {
  const auto network = load_trained<float>(model());
  const Tensor<float> logits = std::visit(
      [&](const auto& trained) {
        return trained.forward(input_, [&](std::string_view name, TensorView<const float> map) {
          expect_feature(name, map, float_feature_tolerance);
        });
      },
      network);
  expect_logits(logits, float_tolerance());
  expect_all_features_seen();
}

TEST_P(PublishedGolden, FoldedEngineInFloat) {
  const Index threads = std::max(1u, std::thread::hardware_concurrency());
  const Engine engine = std::visit(
      [&](const auto& folded) { return prepare(folded, input_.shape(), {.threads = threads, .keep_features = true}); },
      load_folded<float>(model(), {.threads = threads}));
  Workspace<float> workspace = engine.workspace();
  expect_logits(engine.run(input_, workspace), float_tolerance());
  for (const auto& [name, map] : engine.features(workspace)) expect_feature(name, map, float_feature_tolerance);
  expect_all_features_seen();
}

std::vector<std::string> cases() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(test::data("golden"))) {
    names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

/// What continuous integration leaves out ("Full" in the name, see tests/CMakeLists.txt): variants that differ from
/// their neighbours in depth or width alone, and large images.
bool adds_only_depth_or_width(const std::string& name) {
  static const std::set<std::string> names = {"vanillanet_8",  "vanillanet_9",  "vanillanet_10",
                                              "vanillanet_11", "vanillanet_12", "vanillanet_13_x1_5"};
  const bool is_nfnet = name.find("nfnet") != name.npos;
  const bool is_smallest_nfnet = name.find("_f0") != name.npos || name.find("_l0") != name.npos;
  const bool is_metaformer = name.find("former") != name.npos;
  const bool is_small = name.find("_s12") != name.npos || name.find("_s18") != name.npos;
  return names.contains(name) || (is_nfnet && !is_smallest_nfnet) ||
         (is_metaformer && !is_small && !name.ends_with("96x128")) || name.ends_with("384x384");
}

std::string test_name(const testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return !std::isalnum(c); }, '_');
  return adds_only_depth_or_width(info.param) ? name + "_Full" : name;
}

INSTANTIATE_TEST_SUITE_P(Published, PublishedGolden, testing::ValuesIn(cases()), test_name);

}  // namespace
}  // namespace plainnet
