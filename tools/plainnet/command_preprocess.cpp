// plainnet preprocess: what a network will see of a picture, as a file to compare with other programs.

#include "commands.hpp"
#include "plainnet/core/layout.hpp"
#include "plainnet/image/preprocess.hpp"
#include "plainnet/io/image.hpp"
#include "plainnet/io/safetensors.hpp"
#include "plainnet/networks/registry.hpp"

namespace plainnet::program {
namespace {

struct PreprocessArguments {
  std::string model;
  std::optional<Index> size;
  std::optional<double> crop;
  std::string mode;
  std::string output;
  std::string image;
};

Preprocessing preprocessing_of(const PreprocessArguments& arguments) {
  Preprocessing result;
  if (!arguments.model.empty()) result = variant_named(arguments.model).preprocessing;
  result.size = arguments.size.value_or(result.size);
  result.crop = arguments.crop.value_or(result.crop);
  if (!arguments.mode.empty()) result.mode = arguments.mode == "squash" ? CropMode::squash : CropMode::center;
  return result;
}

int preprocess(const PreprocessArguments& arguments) {
  const Preprocessing preprocessing = preprocessing_of(arguments);
  const Image pixels = resize_and_crop(load_image(arguments.image), preprocessing);
  const Tensor<float> input = normalize(pixels, preprocessing);
  const AlignedVector<float> values = to_channels_first(input.view());

  StateDict tensors;
  tensors.add("input", store<float>({1, Image::channels, pixels.height, pixels.width}, values));
  tensors.add("pixels", store<std::uint8_t>({pixels.height, pixels.width, Image::channels}, pixels.pixels));
  write_safetensors(arguments.output, tensors);
  return success;
}

}  // namespace

Command preprocess_command(CLI::App& program) {
  CLI::App* const line = program.add_subcommand("preprocess", "Write what a network will see of a picture");
  const auto arguments = std::make_shared<PreprocessArguments>();
  line->add_option("--model", arguments->model, "Prepare for this variant; without it 224 pixels, crop 0.875, center")
      ->type_name("M");
  line->add_option("--size", arguments->size, "Width and height of the result in pixels, instead of the variant's")
      ->type_name("N")
      ->check(number_in<Index>(1, 1 << 13));
  line->add_option("--crop", arguments->crop, "Part of the resized edge that is kept, instead of the variant's")
      ->type_name("C")
      ->check(number_in(1e-3, 1e3));
  line->add_option(
          "--mode", arguments->mode,
          "center resizes the shorter edge to floor(size / crop), squash both edges; then the centre is cut out")
      ->type_name("center|squash")
      ->check(CLI::IsMember({"center", "squash"}));
  line->add_option("--output", arguments->output,
                   "File to write: \"input\" (1, 3, H, W) F32, normalised, and \"pixels\" "
                   "(H, W, 3) U8 before that")
      ->type_name("X.safetensors")
      ->required();
  line->add_option("image", arguments->image, "The picture")->type_name("IMAGE")->required();
  return {line, [arguments] { return preprocess(*arguments); }};
}

}  // namespace plainnet::program
