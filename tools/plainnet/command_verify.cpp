// plainnet verify: the readable network in double precision against the engine in float.

#include <cmath>

#include "commands.hpp"
#include "plainnet/engine/engine.hpp"
#include "plainnet/fold/receipt.hpp"
#include "progress_bar.hpp"
#include "weights.hpp"

namespace plainnet::program {
namespace {

struct VerifyArguments {
  WeightsOptions weights;
  Index threads = 1;
  Index size = 0;  // 0: the variant's
  std::optional<Isa> isa = {};
};

/// Largest difference of a logit, as a part of the largest logit, that is put down to float arithmetic. Measured were
/// 3e-7 (vanillanet_9) to 8e-7 (digits).
constexpr double tolerance = 1e-4;

/// Two engines of the same weights, for batches of one and of two pictures, see three pictures in all.
constexpr Index picture_count = 3;

template <class T>
Tensor<T> part_of_batch(const Tensor<T>& all, Index first, Index count) {
  Shape shape = all.shape();
  shape.batch = count;
  Tensor<T> part(shape);
  std::copy_n(all.view().pixel(first, 0, 0), shape.elements(), part.data());
  return part;
}

/// Logits (3, 1, 1, classes) of the engine.
Tensor<float> run_engine(const Model& model, const Tensor<float>& input, const VerifyArguments& arguments,
                         LoadReport& report) {
  const Tensor<float> single = part_of_batch(input, 0, 1);
  const Tensor<float> pair = part_of_batch(input, 1, 2);
  const EngineOptions options{.threads = arguments.threads, .isa = arguments.isa.value_or(chosen_isa())};
  const Engine engine = std::visit(
      [&]<class Folded>(Folded&& folded) { return prepare(std::forward<Folded>(folded), single.shape(), options); },
      load_folded<float>(model, {.threads = arguments.threads}, &report, {.share = true}));
  Tensor<float> logits({.batch = picture_count, .channels = engine.output_shape().channels});
  float* out = logits.data();
  for (const Tensor<float>* part : {&single, &pair}) {
    const Engine prepared = engine.prepared_for(part->shape());
    Workspace<float> workspace = prepared.workspace();
    const TensorView<const float> result = prepared.run(*part, workspace);
    out = std::copy_n(result.data(), result.shape().elements(), out);
  }
  return logits;
}

/// The same of the readable layers, from the form that the file holds.
Tensor<double> run_reference(const Model& model, const Tensor<float>& input, ProgressBar& progress) {
  Tensor<double> logits({.batch = picture_count, .channels = model.classes()});
  const auto run = [&](const auto& network) {
    for (Index n = 0; n < picture_count; ++n) {
      const Tensor<double> picture(part_of_batch(input, n, 1));
      const Tensor<double> result = network.forward(picture.view());
      std::copy_n(result.data(), model.classes(), logits.view().pixel(n, 0, 0));
      progress.advance();
    }
  };
  model.is_folded() ? std::visit(run, load_folded<double>(model)) : std::visit(run, load_trained<double>(model));
  return logits;
}

struct Comparison {
  double largest_difference = 0;
  double largest_logit = 0;
  Index same_top1 = 0;

  bool is_fine() const { return largest_difference <= tolerance * largest_logit; }  // false for NaN
};

Comparison compare(const Tensor<double>& reference, const Tensor<float>& result) {
  Comparison comparison;
  const auto keep_larger = [](double& largest, double value) {
    if (!std::isnan(largest) && !(value <= largest)) largest = value;  // a NaN is kept
  };
  for (Index n = 0; n < reference.shape().batch; ++n) {
    Index best_expected = 0, best_found = 0;
    for (Index c = 0; c < reference.shape().channels; ++c) {
      const double expected = reference(n, 0, 0, c);
      const double found = result(n, 0, 0, c);
      keep_larger(comparison.largest_difference, std::abs(found - expected));
      keep_larger(comparison.largest_logit, std::abs(expected));
      if (expected > reference(n, 0, 0, best_expected)) best_expected = c;
      if (found > static_cast<double>(result(n, 0, 0, best_found))) best_found = c;
    }
    comparison.same_top1 += best_expected == best_found ? 1 : 0;
  }
  return comparison;
}

int verify(const VerifyArguments& arguments) {
  const Model model = open_weights(arguments.weights);
  const Index size = arguments.size > 0 ? arguments.size : model.variant().preprocessing.size;
  const Tensor<float> input = probe_input<float>(square_input(model, size, picture_count));
  ProgressBar progress(1 + picture_count, "steps");
  LoadReport report;
  const Tensor<float> result = run_engine(model, input, arguments, report);
  progress.clear();
  warn_of_non_finite(model, report);
  progress.advance();
  const Comparison comparison = compare(run_reference(model, input, progress), result);
  progress.clear();

  print(concatenate(model.variant().name, ", ", model.is_folded() ? "folded" : "trained",
                    " form in double against the engine in float, ", picture_count, " random inputs of ", size, " x ",
                    size, "\nlargest difference  ", scientific(comparison.largest_difference), " of logits up to ",
                    scientific(comparison.largest_logit), ": a part of ",
                    scientific(comparison.largest_difference / comparison.largest_logit), ", at most ",
                    scientific(tolerance), " is accepted\ntop-1 agrees        ", comparison.same_top1, " of ",
                    picture_count, '\n'));
  require(comparison.is_fine(), model.tensors.source, ": the engine differs from the reference by more than rounding");
  return success;
}

}  // namespace

Command verify_command(CLI::App& program) {
  CLI::App* const line = program.add_subcommand("verify", "Check the engine's answers against the readable layers");
  const auto arguments = std::make_shared<VerifyArguments>();
  line->add_option("file", arguments->weights.weights, "Checkpoint, trained or folded")->type_name("F")->required();
  add_key(line, arguments->weights.key);
  add_model(line, arguments->weights.model);
  add_slope(line, arguments->weights.slope);
  add_threads(line, arguments->threads);
  add_isa(line, arguments->isa);
  line->add_option("--size", arguments->size, "Width and height of the inputs in pixels; the variant's without it")
      ->type_name("N")
      ->check(number_in<Index>(1, 1 << 14));
  line->footer(concatenate("Fails if a logit differs by more than ", scientific(tolerance), " of the largest logit."));
  return {line, [arguments] { return verify(*arguments); }};
}

}  // namespace plainnet::program
