#pragma once
// The receipt of a folding: what was merged, what it saves, and how far the results are apart.

#include <cstdint>
#include <span>
#include <vector>

#include "plainnet/fold/fold.hpp"
#include "plainnet/networks/parameters.hpp"

namespace plainnet {

struct FoldReceipt {
  std::vector<Merge> merges;
  Index parameters_before = 0;
  Index parameters_after = 0;
  Shape input;  // that multiply-adds are counted for
  Index macs_before = 0;
  Index macs_after = 0;
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

/// Runs both forms on a probe input and compares their logits.
template <class Trained, class Folded>
FoldReceipt make_receipt(const Trained& trained, const Folding<Folded>& folding, const Shape& input,
                         const Shape& probe) {
  using T = typename Trained::Scalar;
  const Tensor<T> noise = probe_input<T>(probe);
  const Tensor<T> before = trained.forward(noise.view());
  const Tensor<T> after = folding.network.forward(noise.view());
  const auto largest = [](const auto& matrix) {
    return static_cast<double>(matrix.cwiseAbs().template maxCoeff<Eigen::PropagateNaN>());
  };
  return {.merges = folding.merges,
          .parameters_before = count_parameters(trained),
          .parameters_after = count_parameters(folding.network),
          .input = input,
          .macs_before = trained.macs(input),
          .macs_after = folding.network.macs(input),
          .probe = probe,
          .largest_difference = largest(before.matrix() - after.matrix()),
          .largest_logit = largest(before.matrix())};
}

}  // namespace plainnet
