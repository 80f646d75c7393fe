// plainnet infer: logits, and features, of an input that is given as a tensor.

#include "commands.hpp"
#include "plainnet/core/layout.hpp"
#include "plainnet/engine/engine.hpp"
#include "weights.hpp"

namespace plainnet::program {
namespace {

struct InferArguments {
  WeightsOptions weights;
  std::string input;
  std::string output;
  bool features = false;
  bool no_fold = false;
  bool in_double = false;
  Index threads = 1;
};

/// The tensor "input" (N, C, H, W) of a file.
template <class T>
Tensor<T> read_input(const std::string& path, Index channels) {
  const StateDict file = open_safetensors(path);
  const StoredTensor& stored = file.at("input");
  const Extents& extents = stored.extents;
  require(extents.rank() == 4 && extents[1] == channels && extents.elements() > 0, path,
          ": tensor \"input\" has the shape ", to_string(extents), "; expected (N, ", channels, ", H, W)");
  require(is_floating(stored.format), path, ": tensor \"input\" holds ", name_of(stored.format),
          " numbers; expected a floating-point format");
  const AlignedVector<T> values = stored.values<T>();
  return from_channels_first<T>(values, {extents[0], extents[2], extents[3], extents[1]});
}

template <class T>
void add_map(StateDict& result, std::string_view name, TensorView<const T> map) {
  const Shape& shape = map.shape();
  result.add(std::string(name),
             store<T>({shape.batch, shape.channels, shape.height, shape.width}, to_channels_first(map)));
}

template <class T>
void add_logits(StateDict& result, TensorView<const T> logits) {
  result.add("logits", store<T>({logits.shape().batch, logits.shape().channels},
                                {logits.data(), static_cast<std::size_t>(logits.shape().elements())}));
}

template <class T>
StateDict run_trained(const AnyTrained<T>& any, const Tensor<T>& input, const InferArguments& arguments) {
  StateDict result;
  const auto observe = [&](const std::string& name, TensorView<const T> map) {
    if (arguments.features) add_map(result, name, map);
  };
  const Tensor<T> logits = std::visit([&](const auto& network) { return network.forward(input.view(), observe); }, any);
  add_logits(result, logits.view());
  return result;
}

template <class T>
StateDict run_folded(AnyFolded<T> any, const Tensor<T>& input, const InferArguments& arguments) {
  const BasicEngine<T> engine = std::visit(
      [&](auto& network) {
        return prepare(std::move(network), input.shape(),
                       {.threads = arguments.threads, .keep_features = arguments.features});
      },
      any);
  Workspace<T> workspace = engine.workspace();
  const TensorView<const T> logits = engine.run(input, workspace);
  StateDict result;
  for (const auto& [name, map] : engine.features(workspace)) add_map(result, name, map);
  add_logits(result, logits);
  return result;
}

template <class T>
int infer(const InferArguments& arguments) {
  const Model model = open_weights(arguments.weights);
  const Tensor<T> input = read_input<T>(arguments.input, square_input(model, 1).channels);
  LoadReport report;
  StateDict result;
  if (arguments.no_fold) {
    const AnyTrained<T> network = load_trained<T>(model, &report, {.share = true});
    warn_of_non_finite(model, report);
    result = about(arguments.input, [&] { return run_trained(network, input, arguments); });
  } else {
    AnyFolded<T> network = load_folded<T>(model, {.threads = arguments.threads}, &report, {.share = true});
    warn_of_non_finite(model, report);
    result = about(arguments.input, [&] { return run_folded(std::move(network), input, arguments); });
  }
  write_safetensors(arguments.output, result);
  return success;
}

}  // namespace

Command infer_command(CLI::App& program) {
  CLI::App* const line = program.add_subcommand("infer", "Run a network on a tensor");
  const auto arguments = std::make_shared<InferArguments>();
  line->add_option("--weights", arguments->weights.weights, "Checkpoint, safetensors or PyTorch")
      ->type_name("F")
      ->required();
  add_key(line, arguments->weights.key);
  add_model(line, arguments->weights.model);
  add_slope(line, arguments->weights.slope);
  line->add_option("--input", arguments->input, "File with the tensor \"input\" (N, 3, H, W), of any floating format")
      ->type_name("X.safetensors")
      ->required();
  line->add_option("--output", arguments->output, "File to write: \"logits\" (N, classes) F32, or F64 with --double")
      ->type_name("Y.safetensors")
      ->required();
  line->add_flag("--features", arguments->features,
                 "Write every stage's output too, (N, C, H, W), under the name of the published module");
  line->add_flag("--no-fold", arguments->no_fold,
                 "Run the trained form on the readable layers: slow, the specification");
  line->add_flag("--double", arguments->in_double, "Compute in double precision");
  add_threads(line, arguments->threads);
  return {line, [arguments] { return arguments->in_double ? infer<double>(*arguments) : infer<float>(*arguments); }};
}

}  // namespace plainnet::program
