#pragma once
// The receipt of a folding: what was merged, what it saves, and how far the results are apart.

#include <cstdint>
#include <span>
#include <vector>

#include "plainnet/fold/fold.hpp"
#include "plainnet/networks/parameters.hpp"

namespace plainnet {

/// What a fold did, and how far the folded form is from the trained one on a probe input.
struct FoldReceipt {
  std::vector<Merge> merges;
  Index parameters_before = 0;
  Index parameters_after = 0;
  Shape input;  // that multiply-adds are counted for
  Count macs_before = 0;
  Count macs_after = 0;
  Shape probe;                      // shape of the random input that both forms ran on
  double largest_difference = 0.0;  // of a logit; NaN if there is one
  double largest_logit = 0.0;
};

/// Reproducible noise in [−1, 1), about the range of a normalised picture.
template <class T>
Tensor<T> probe_input(const Shape& shape) {
  Tensor<T> probe(shape);
  std::uint64_t state = 0x9E3779B97F4A7C15u;
  for (T& value : std::span(probe.data(), static_cast<std::size_t>(shape.elements()))) {
    state = state * 6364136223846793005u + 1442695040888963407u;  // Knuth's linear congruential generator
    value = static_cast<T>(static_cast<double>(state >> 40) * 0x1p-23 - 1.0);
  }
  return probe;
}

/// What a receipt needs to know of a network as trained, taken before folding may take its place in memory.
template <class T>
struct BeforeFolding {
  Index parameters;
  Shape input;
  Count macs;
  Shape probe;
  Tensor<T> logits;  // of the probe input
};

/// Runs the trained form on the probe input; `input` is the shape that multiply-adds are counted for.
template <class Trained>
BeforeFolding<typename Trained::Scalar> before_folding(const Trained& trained, const Shape& input, const Shape& probe) {
  using T = typename Trained::Scalar;
  return {count_parameters(trained), input, trained.macs(input), probe, trained.forward(probe_input<T>(probe).view())};
}

/// Runs the folded form on the same probe input and compares the logits.
template <class T, class Folded>
FoldReceipt make_receipt(const BeforeFolding<T>& before, const Folding<Folded>& folding) {
  const Tensor<T> after = folding.network.forward(probe_input<T>(before.probe).view());
  const auto largest = [](const auto& matrix) {
    return static_cast<double>(matrix.cwiseAbs().template maxCoeff<Eigen::PropagateNaN>());
  };
  return {.merges = folding.merges,
          .parameters_before = before.parameters,
          .parameters_after = count_parameters(folding.network),
          .input = before.input,
          .macs_before = before.macs,
          .macs_after = folding.network.macs(before.input),
          .probe = before.probe,
          .largest_difference = largest(before.logits.matrix() - after.matrix()),
          .largest_logit = largest(before.logits.matrix())};
}

}  // namespace plainnet
