// plainnet infer, preprocess: the reference logits of real checkpoints, features, and inputs that are refused.

#include <map>

#include "plainnet/core/layout.hpp"
#include "plainnet/image/preprocess.hpp"
#include "plainnet/io/image.hpp"
#include "plainnet/io/load.hpp"
#include "plainnet/networks/registry.hpp"
#include "support/golden_rule.hpp"
#include "tools/program.hpp"

namespace plainnet {
namespace {

using test::checkpoint;
using test::expect_failure;
using test::expect_success;
using test::Json;
using test::run;

class Infer : public testing::Test {
 protected:
  Infer() {
    std::ifstream file(test::data("checkpoints/expected.json"));
    expected_ = Json::parse(file);
    const Tensor<float> image = test::golden_image(1, 64, 64, 7);
    StateDict tensors;
    tensors.add("input", store<float>({1, 3, 64, 64}, to_channels_first(image.view())));
    write_safetensors(input_, tensors);
  }

  /// Runs the program on `weights` and reads what it wrote.
  StateDict infer(const std::string& weights, std::vector<std::string> options = {}) {
    options.insert(options.begin(), {"infer", "--weights", weights, "--input", input_, "--output", output_});
    expect_success(run(options));
    return open_safetensors(output_);
  }

  void expect_logits(const StateDict& result, const char* key, double tolerance) const {
    const StoredTensor& logits = result.at("logits");
    EXPECT_EQ(logits.extents, (Extents{1, 10}));
    const AlignedVector<double> found = logits.values<double>();
    for (std::size_t c = 0; c < 10; ++c) EXPECT_NEAR(found[c], expected_[key][c].get<double>(), tolerance) << c;
  }

  test::TemporaryFolder folder_;
  std::string input_ = (folder_ / "input.safetensors").string();
  std::string output_ = (folder_ / "output.safetensors").string();
  Json expected_;
};

TEST_F(Infer, GivesTheReferenceLogits) {
  const StateDict result = infer(checkpoint("float32.safetensors"));
  EXPECT_EQ(result.size(), 1);
  EXPECT_EQ(result.at("logits").format, NumberFormat::f32);
  expect_logits(result, "logits", 1e-5);
}

TEST_F(Infer, GivesTheReferenceLogitsInDouble) {
  const StateDict trained = infer(checkpoint("float32.safetensors"), {"--no-fold", "--double"});
  EXPECT_EQ(trained.at("logits").format, NumberFormat::f64);
  expect_logits(trained, "logits", 1e-9);
  expect_logits(infer(checkpoint("float32.safetensors"), {"--double"}), "logits", 1e-9);
}

TEST_F(Infer, RunsTheTrainedFormInFloat) {
  expect_logits(infer(checkpoint("float32.safetensors"), {"--no-fold"}), "logits", 1e-5);
}

TEST_F(Infer, UsesTheSlope) {
  const std::string weights = checkpoint("float32.safetensors");
  expect_logits(infer(weights, {"--slope", "0.25"}), "logits_slope_0.25", 1e-5);
  expect_logits(infer(weights, {"--slope", "0.25", "--no-fold", "--double"}), "logits_slope_0.25", 1e-9);
}

TEST_F(Infer, ReadsTheSizeOfSeriesKernelsFromTheFile) {
  expect_logits(infer(checkpoint("act_num_4.safetensors")), "act_num_4", 1e-5);
  expect_logits(infer(checkpoint("act_num_4.safetensors"), {"--no-fold", "--double"}), "act_num_4", 1e-9);
}

TEST_F(Infer, ReadsWeightsOf16Bits) {
  expect_logits(infer(checkpoint("float16.safetensors")), "logits", 2e-3);
  expect_logits(infer(checkpoint("bfloat16.safetensors")), "logits", 2e-2);
}

TEST_F(Infer, WritesEveryStageChannelsFirst) {
  VanillaNet<double> network(std::get<VanillaNetConfig>(variant_named("vanillanet_test").config));
  load(network, open_safetensors(checkpoint("float32.safetensors")));
  const Tensor<double> image(test::golden_image(1, 64, 64, 7));
  std::map<std::string, Tensor<double>> expected;
  const auto keep = [&](const std::string& name, TensorView<const double> map) {
    std::copy_n(map.data(), map.shape().elements(), expected.emplace(name, map.shape()).first->second.data());
  };
  keep("logits", network.forward(image.view(), keep).view());

  for (const std::vector<std::string>& options :
       {std::vector<std::string>{"--features"}, {"--features", "--no-fold"}}) {
    const StateDict found = infer(checkpoint("float32.safetensors"), options);
    ASSERT_EQ(found.size(), static_cast<Index>(expected.size()));
    for (const auto& [name, map] : expected) {
      const Shape& s = map.shape();
      const StoredTensor& tensor = found.at(name);
      EXPECT_EQ(tensor.extents, name == "logits" ? Extents({1, 10}) : Extents({1, s.channels, s.height, s.width}));
      const AlignedVector<double> values = tensor.values<double>();
      std::size_t i = 0;
      for (Index c = 0; c < s.channels; ++c) {
        for (Index y = 0; y < s.height; ++y) {
          for (Index x = 0; x < s.width; ++x) ASSERT_NEAR(values[i++], map(0, y, x, c), 1e-5) << name << ' ' << c;
        }
      }
    }
  }
  EXPECT_EQ(infer(checkpoint("float32.safetensors"), {"--features", "--double"}).at("stem").format, NumberFormat::f64);
}

TEST_F(Infer, TakesBatchesAndAnySizeAndAnyFloatingFormat) {
  const Tensor<float> images = test::golden_image(3, 50, 71, 7);
  StateDict tensors;
  tensors.add("input", store<float>({3, 3, 50, 71}, to_channels_first(images.view()), NumberFormat::f64));
  tensors.add("pixels", store<std::uint8_t>({1}, std::vector<std::uint8_t>{1}));
  write_safetensors(input_, tensors);
  const AlignedVector<double> batch = infer(checkpoint("float32.safetensors")).at("logits").values<double>();
  ASSERT_EQ(batch.size(), 30u);
  const AlignedVector<double> right =
      infer(checkpoint("float32.safetensors"), {"--no-fold", "--double"}).at("logits").values<double>();
  for (std::size_t i = 0; i < 30; ++i) EXPECT_NEAR(batch[i], right[i], 1e-5);
}

TEST_F(Infer, GivesTheSameBitsForEveryNumberOfThreads) {
  infer(checkpoint("float32.safetensors"), {"--threads", "1"});
  const std::string one = test::read_text(output_);
  infer(checkpoint("float32.safetensors"), {"--threads", "3"});
  EXPECT_EQ(test::read_text(output_), one);
}

TEST_F(Infer, RefusesAnInputOfAnotherShapeOrFormat) {
  const auto expect_refusal = [&](const StateDict& tensors, const std::vector<std::string>& parts) {
    write_safetensors(input_, tensors);
    expect_failure(
        run({"infer", "--weights", checkpoint("float32.safetensors"), "--input", input_, "--output", output_}), parts);
    EXPECT_FALSE(std::filesystem::exists(output_));
  };
  const auto with_shape = [](const Extents& extents) {
    StateDict tensors;
    tensors.add("input", store<float>(extents, AlignedVector<float>(static_cast<std::size_t>(extents.elements()))));
    return tensors;
  };
  expect_refusal(with_shape({3, 64, 64}), {input_, "(3, 64, 64)", "(N, 3, H, W)"});
  expect_refusal(with_shape({1, 64, 64, 3}), {input_, "(1, 64, 64, 3)"});
  expect_refusal(with_shape({0, 3, 64, 64}), {input_, "(0, 3, 64, 64)"});
  expect_refusal(with_shape({1, 3, 2, 64}), {input_, "too small"});
  StateDict tensors;
  tensors.add("input", store<std::uint8_t>({1, 3, 1, 1}, std::vector<std::uint8_t>(3)));
  expect_refusal(tensors, {input_, "U8"});
  StateDict other;
  other.add("image", store<float>({1, 3, 1, 1}, AlignedVector<float>(3)));
  expect_refusal(other, {input_, "input", "image"});
}

TEST_F(Infer, LeavesAnExistingOutputAloneIfItFails) {
  test::write_text(output_, "precious");
  expect_failure(
      run({"infer", "--weights", checkpoint("float32.safetensors"), "--input", "missing", "--output", output_}),
      {"missing"});
  EXPECT_EQ(test::read_text(output_), "precious");
  EXPECT_EQ(folder_.entries(), 2);
}

TEST_F(Infer, FailsIfTheOutputCannotBeWritten) {
  const std::string output = (folder_ / "no/such/folder").string();
  expect_failure(run({"infer", "--weights", checkpoint("float32.safetensors"), "--input", input_, "--output", output}),
                 {output});
}

TEST_F(Infer, TakesWhatPreprocessWrites) {
  const std::string picture = test::data("preprocess/landscape.png").string();
  expect_success(run({"preprocess", "--model", "vanillanet_test", "--output", input_, picture}));
  EXPECT_EQ(infer(checkpoint("float32.safetensors")).at("logits").extents, (Extents{1, 10}));
}

class PreprocessCommand : public Infer {
 protected:
  /// What the program writes is what the library computes with `expected`.
  void expect(const Preprocessing& expected, const std::vector<std::string>& options) {
    const std::string picture = test::data("preprocess/landscape.png").string();
    std::vector<std::string> arguments = {"preprocess", "--output", output_, picture};
    arguments.insert(arguments.end(), options.begin(), options.end());
    expect_success(run(arguments));
    const StateDict result = open_safetensors(output_);
    ASSERT_EQ(result.size(), 2);

    const Image pixels = resize_and_crop(load_image(picture), expected);
    EXPECT_EQ(result.at("pixels").extents, (Extents{expected.size, expected.size, 3}));
    const AlignedVector<std::uint8_t> found = result.at("pixels").values<std::uint8_t>();
    EXPECT_TRUE(std::equal(found.begin(), found.end(), pixels.pixels.begin(), pixels.pixels.end()));
    EXPECT_EQ(result.at("input").extents, (Extents{1, 3, expected.size, expected.size}));
    EXPECT_EQ(result.at("input").format, NumberFormat::f32);
    const Tensor<float> normalized = normalize(pixels, expected);
    EXPECT_EQ(result.at("input").values<float>(), to_channels_first(normalized.view()));
  }
};

TEST_F(PreprocessCommand, UsesTheDefaultsWithoutAModel) { expect({}, {}); }

TEST_F(PreprocessCommand, UsesTheVariantsPreprocessing) {
  expect({.size = 64, .crop = 1.0}, {"--model", "vanillanet_test"});
}

TEST_F(PreprocessCommand, LetsOptionsPrevail) {
  expect({.size = 100, .crop = 0.9, .mode = CropMode::squash},
         {"--model", "vanillanet_test", "--size", "100", "--crop", "0.9", "--mode", "squash"});
}

TEST_F(PreprocessCommand, RefusesWhatIsNoPicture) {
  expect_failure(run({"preprocess", "--output", output_, input_}), {input_});
  expect_failure(run({"preprocess", "--output", output_, "missing.png"}), {"missing.png", "no such file"});
  EXPECT_FALSE(std::filesystem::exists(output_));
}

}  // namespace
}  // namespace plainnet
