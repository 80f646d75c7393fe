#pragma once
// Opening the weights that the command line asks for.

#include "command_line.hpp"
#include "digits_model.hpp"
#include "network_sizes.hpp"
#include "plainnet/io/checkpoint.hpp"
#include "plainnet/io/labels.hpp"

namespace plainnet::program {

/// Recognised, and checked to fit before memory is asked for: a file of kilobytes can claim a million classes.
inline Model open_weights(const WeightsOptions& options) {
  StateDict tensors = options.weights.empty() ? parse_safetensors(digits_weights(), "the built-in digits model")
                                              : open_checkpoint(options.weights, {.key = options.key});
  Model model = open_model(std::move(tensors), {.variant = options.model, .slope = options.slope});
  require_fit(model.tensors, model.recognized, model.slope);
  return model;
}

/// The labels of the file `path`; where that is empty, those of the digits model if it is in use, else none. Error if
/// they are not as many as the model's classes.
inline std::vector<std::string> open_labels(const std::string& path, const WeightsOptions& options,
                                            const Model& model) {
  if (path.empty() && !options.weights.empty()) return {};
  const std::string source = path.empty() ? "the built-in labels" : path;
  std::vector<std::string> labels = path.empty() ? parse_labels(digits_labels(), source) : load_labels(path);
  require(static_cast<Index>(labels.size()) == model.classes(), source, ": has ", labels.size(), " labels for ",
          model.classes(), " classes: are they of another model?");
  return labels;
}

/// A NaN in the weights is no error, but the answers are worth nothing.
inline void warn_of_non_finite(const Model& model, const LoadReport& report) {
  if (report.non_finite.empty()) return;
  constexpr std::size_t most = 10;
  std::string names;
  for (std::size_t i = 0; i < std::min(most, report.non_finite.size()); ++i) {
    names += (i == 0 ? "" : ", ") + report.non_finite[i];
  }
  if (report.non_finite.size() > most) names += concatenate(" and ", report.non_finite.size() - most, " more");
  complain(on_one_line(concatenate("warning: ", model.tensors.source, ": NaN or infinity in ", names)));
}

/// (batch, size, size, C): a square input with as many channels as the network takes.
inline Shape square_input(const Model& model, Index size, Index batch = 1) {
  const Index channels = std::visit([](const auto& config) { return config.in_channels; }, model.recognized.config);
  return {batch, size, size, channels};
}

}  // namespace plainnet::program
