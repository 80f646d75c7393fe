#include <cmath>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "io/safetensors_bytes.hpp"
#include "io/temporary_folder.hpp"
#include "io/torch_bytes.hpp"
#include "plainnet/engine/engine.hpp"
#include "plainnet/io/checkpoint.hpp"
#include "plainnet/model.hpp"
#include "support/compare.hpp"
#include "support/data.hpp"
#include "support/golden_rule.hpp"

namespace plainnet::test {
namespace {

std::string why_refused(std::string_view file, const CheckpointOptions& options = {}) {
  const auto [bytes, owner] = exact_copy(file);
  return error_of([bytes = bytes, owner = owner, &options] { parse_checkpoint(bytes, "test", options, owner); });
}

TEST(OpenCheckpoint, TellsTheFormatByTheContent) {
  const TemporaryFolder folder;
  for (const char* name : {"float32.safetensors", "plain_state_dict.pth", "legacy_format.pth.tar"}) {
    for (const char* other : {"a.safetensors", "a.pth", "a"}) {
      std::filesystem::copy_file(data("checkpoints") / name, folder / other,
                                 std::filesystem::copy_options::overwrite_existing);
      EXPECT_EQ(open_checkpoint(folder / other).size(), 89) << name << " as " << other;
    }
  }
}

TEST(OpenCheckpoint, TakesAKeyWhereThereAreEntries) {
  const auto path = data("checkpoints/training_run_with_ema.pth");
  EXPECT_EQ(open_checkpoint(path).entry, "model_ema");
  EXPECT_EQ(open_checkpoint(path, {.key = "model"}).entry, "model");
  EXPECT_NE(why_refused(file_of("{}"), {.key = "model"}).find("a safetensors file has no entries, so not \"model\""),
            std::string::npos);
}

TEST(OpenCheckpoint, HandsItsLimitsOn) {
  CheckpointOptions options;
  options.torch.tensors = 88;
  options.safetensors.tensors = 88;
  for (const char* name : {"float32.safetensors", "plain_state_dict.pth", "legacy_format.pth.tar"}) {
    const std::string message = error_of([&] { open_checkpoint(data("checkpoints") / name, options); });
    EXPECT_NE(message.find("more than 88 tensors"), std::string::npos) << message;
  }
}

TEST(OpenCheckpoint, SaysWhatElseAFileMayBe) {
  std::string tar(512, 'x');
  tar.replace(257, 5, "ustar");
  const std::vector<std::pair<std::string, const char*>> rows = {
      {"", "but an empty one; a failed download?"},
      {tar, "but a tar archive; if it is"},
      {"<!DOCTYPE html>\n<html>", "but a web page; a failed download?"},
      {"version https://git-lfs.github.com/spec/v1\noid sha256:0", "but a Git LFS pointer; fetch"},
      {"\x1F\x8B\x08 and so on", "but a gzip archive; unpack it first"},
      {"\x08\x07\x12\x07pytorch\x1A\x03"
       "2.1",
       "but an ONNX model"},
      {"{\"weight_map\": {}}", "but JSON text"},
      {std::string(100, '\0'), "but zeros; a download that was not finished?"},
      {"\x89PNG\r\n\x1A\n", "but a picture"},
      {"\177ELF\2\1\1", "but a program"},
      {"Entry not found", "but text that begins \"Entry not found\""},
      {"two\nlines", "but text that begins \"two\\x0alines\""},
      {"\1\2\3\4\xFF", "but one that begins with the bytes 01 02 03 04 ff"},
      {std::string(100, '\3'), "but one that begins with the bytes 03 03 03 03 03 03 03 03"},
  };
  for (const auto& [file, reason] : rows) {
    const std::string expected = concatenate("test: neither a safetensors file nor a PyTorch checkpoint ", reason);
    const std::string message = why_refused(file);
    EXPECT_TRUE(message.starts_with(expected)) << "expected \"" << expected << "\", found \"" << message << "\"";
  }
  EXPECT_NE(why_refused("PK\x03\x04").find("a zip archive of 4 bytes without an end"), std::string::npos);
  EXPECT_NE(why_refused("\x80").find("truncated"), std::string::npos);
  // What is a safetensors file, but a damaged one.
  EXPECT_NE(why_refused(file_of("{").substr(0, 9)).find("expected"), std::string::npos);
}

TEST(OpenCheckpoint, NoHeaderLengthPassesForAnotherFormat) {
  // The length comes first: 60 bytes look like the '<' of a web page, 128 like the first of a pickle.
  for (std::size_t size = 2; size < 1100; ++size) {
    std::string header = "{}";
    header.resize(size, ' ');
    const std::string file = file_of(header);
    EXPECT_NO_THROW(parse_checkpoint(std::as_bytes(std::span(file)))) << size;
    EXPECT_NE(
        why_refused(file_of(header).substr(0, 9)).find(concatenate("a header of ", size, " bytes in a file of 9")),
        std::string::npos)
        << size;
  }
}

/// Logits of the network in a file, folded and run by the engine, for the input of expected.json.
Tensor<float> logits_of(const Model& model) {
  const Tensor<float> input = golden_image(1, 64, 64, 7);
  return std::visit(
      [&](const auto& folded) {
        const Engine engine = prepare(folded, input.shape(), {.threads = 2});
        Workspace<float> workspace = engine.workspace();
        const TensorView<const float> logits = engine.run(input, workspace);
        Tensor<float> copy(logits.shape());
        std::copy_n(logits.data(), logits.shape().elements(), copy.data());
        return copy;
      },
      load_folded<float>(model));
}

struct Expected {
  const char* file;
  const char* logits;  // in expected.json
  double slope = 1.0;
};

class CheckpointLogits : public testing::TestWithParam<Expected> {};

TEST_P(CheckpointLogits, AreThoseOfTheReference) {
  const auto expectations = nlohmann::json::parse(read_text(data("checkpoints/expected.json")));
  const auto expected = expectations.at(GetParam().logits).get<std::vector<double>>();
  const Model model =
      open_model(data("checkpoints") / GetParam().file, {.variant = "vanillanet_test", .slope = GetParam().slope});
  const Tensor<float> logits = logits_of(model);
  ASSERT_EQ(logits.shape().channels, static_cast<Index>(expected.size()));
  double magnitude = 0;
  for (const double logit : expected) magnitude = std::max(magnitude, std::abs(logit));
  // Sums of up to 1024 terms (a stem of 48, merged convolutions of 64 to 128, kernels of 49) in seven layers.
  const double tolerance = rounding_error<float>(1024, magnitude);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(logits.data()[i], expected[i], tolerance) << GetParam().file << ", class " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, CheckpointLogits,
    testing::Values(Expected{"float32.safetensors", "logits"}, Expected{"plain_state_dict.pth", "logits"},
                    Expected{"legacy_format.pth.tar", "logits"}, Expected{"training_run_with_ema.pth", "logits"},
                    Expected{"data_parallel.pth.tar", "logits"}, Expected{"views_and_strides.pth", "logits"},
                    Expected{"deploy_form.pth", "deploy_float32"}, Expected{"act_num_4.safetensors", "act_num_4"},
                    Expected{"plain_state_dict.pth", "logits_slope_0.25", 0.25},
                    Expected{"legacy_format.pth.tar", "logits_slope_0.25", 0.25}),
    [](const auto& row) {
      const std::string name = row.param.file;
      return name.substr(0, name.find('.')) + (row.param.slope == 1.0 ? "" : "_slope");
    });

TEST(CheckpointLogits16, AreThoseOfWeightsRoundedTo16Bits) {
  for (const auto& [file, format] : {std::pair{"half.pth", NumberFormat::f16}, {"bfloat16.pth", NumberFormat::bf16}}) {
    StateDict rounded;
    for (const auto& [name, tensor] : open_checkpoint(data("checkpoints/plain_state_dict.pth"))) {
      if (!is_floating(tensor.format)) continue;
      const AlignedVector<float> numbers = tensor.values<float>();
      rounded.add(name, store<float>(tensor.extents, numbers, format));
    }
    const ModelOptions options{.variant = "vanillanet_test"};
    const Tensor<float> expected = logits_of(open_model(rounded, options));
    EXPECT_TRUE(same_bits(logits_of(open_model(data("checkpoints") / file, options)), expected)) << file;
  }
}

TEST(CheckpointLogits16, TheLastWeightsOfATrainingRunAreOthers) {
  const auto path = data("checkpoints/training_run_with_ema.pth");
  const ModelOptions averaged{.variant = "vanillanet_test"};
  ModelOptions last = averaged;
  last.key = "model";
  EXPECT_EQ(open_model(path, averaged).tensors.entry, "model_ema");
  EXPECT_EQ(open_model(path, last).tensors.entry, "model");
  EXPECT_FALSE(same_bits(logits_of(open_model(path, averaged)), logits_of(open_model(path, last))));
}

}  // namespace
}  // namespace plainnet::test
