#pragma once
// What the command bench times: engines of given or random weights, whose answers were checked.

#include "measure.hpp"
#include "plainnet/engine/engine.hpp"
#include "plainnet/fold/receipt.hpp"
#include "probe.hpp"
#include "weights.hpp"

namespace plainnet::program {

/// What a run shall be like.
struct RunSize {
  Index threads = 1;
  Index batch = 1;
  std::optional<Extent2D> size = {};  // none: the variant's
  std::optional<Isa> isa = {};        // none: chosen_isa()
};

struct Subject {
  std::string model;
  Engine engine;
  double load_ms;  // 0: nothing was read
  double prepare_ms;
};

/// Error unless the engine gives this answer of the readable layers: only what is right is timed.
inline void check_answer(const Engine& engine, const Tensor<float>& input, const Tensor<float>& expected,
                         const std::string& model) {
  const Engine small = engine.prepared_for(input.shape());
  Workspace<float> workspace = small.workspace();
  const TensorView<const float> found = small.run(input, workspace);
  const float largest = expected.matrix().cwiseAbs().maxCoeff();
  const float difference = (expected.matrix() - found.matrix()).cwiseAbs().maxCoeff();
  require(difference <= 1e-4f * largest, model, ": the engine's answer is off by ", scientific(difference),
          " of logits up to ", scientific(largest), ", so it is not timed");
}

/// Takes the network, so that only the engine stays in memory.
inline Subject make_subject(const Variant& variant, AnyFolded<float> network, Index channels, double load_ms,
                            const RunSize& run) {
  const Extent2D size = run.size.value_or(Extent2D{variant.preprocessing.size});
  const Shape input{run.batch, size.height, size.width, channels};
  return std::visit(
      [&](auto& any) {
        const Tensor<float> small = probe_input<float>(probe_shape(any, input));
        const Tensor<float> expected = any.forward(small.view());
        const Stopwatch watch;
        Engine engine = prepare(std::move(any), input, {.threads = run.threads, .isa = run.isa.value_or(chosen_isa())});
        const double prepare_ms = watch.milliseconds();
        check_answer(engine, small, expected, variant.name);
        return Subject{variant.name, std::move(engine), load_ms, prepare_ms};
      },
      network);
}

inline Subject subject_of_weights(const WeightsOptions& weights, const RunSize& run) {
  const Stopwatch watch;
  const Model model = open_weights(weights);
  LoadReport report;
  AnyFolded<float> network = load_folded<float>(model, {.threads = run.threads}, &report, {.share = true});
  const double load_ms = watch.milliseconds();
  warn_of_non_finite(model, report);
  return make_subject(model.variant(), std::move(network), square_input(model, 1).channels, load_ms, run);
}

inline Subject random_subject(const Variant& variant, const RunSize& run) {
  AnyFolded<float> network = make_folded<float>(variant.config);
  std::visit([](auto& any) { fill_randomly(any); }, network);
  return make_subject(variant, std::move(network), variant.input_shape().channels, 0.0, run);
}

}  // namespace plainnet::program
