#pragma once
// From a checkpoint's file to a network, as trained or folded, of whatever family it holds.

#include <filesystem>
#include <optional>
#include <utility>

#include "plainnet/fold/fold.hpp"
#include "plainnet/io/checkpoint.hpp"
#include "plainnet/io/load.hpp"
#include "plainnet/io/real_text.hpp"
#include "plainnet/networks/recognize.hpp"

namespace plainnet {

/// What is to be known of a checkpoint beside its tensors.
struct ModelOptions {
  std::string variant = {};          // of variants(); empty: told from the tensors
  std::optional<double> slope = {};  // of annealed activations; none: the file's own, else 1
  std::string key = {};              // of the entry of a PyTorch checkpoint, see TorchOptions; empty: the usual ones
};

/// A checkpoint that was opened and recognised, its tensors not yet read.
struct Model {
  StateDict tensors;
  Recognized recognized;
  double slope;

  const Variant& variant() const { return *recognized.variant; }
  bool is_folded() const { return recognized.form == Form::folded; }

  /// Logits of a run.
  Index classes() const {
    return std::visit([](const auto& config) { return config.classes; }, recognized.config);
  }
};

namespace detail {

/// Metadata that says at which slope of the annealed activations the tensors were trained.
inline constexpr std::string_view slope_key = "plainnet.activation_slope";
inline constexpr std::string_view model_key = "plainnet.model";

inline std::optional<double> stored_slope(const StateDict& tensors) {
  const auto entry = tensors.metadata.find(std::string(slope_key));
  if (entry == tensors.metadata.end()) return std::nullopt;
  const std::string& text = entry->second;
  const std::optional<double> slope = parse_real(text);
  require(slope.has_value(), tensors.source, ": ", slope_key, " is '", printable(text), "', not a number");
  return slope;
}

inline double slope_of(const StateDict& tensors, const Recognized& recognized, std::optional<double> wanted) {
  if (!std::holds_alternative<VanillaNetConfig>(recognized.config)) {
    require(!wanted || *wanted == 1.0, recognized.variant->name, " has no annealed activations, so no slope of ",
            wanted.value_or(1.0));
    return 1.0;
  }
  const std::optional<double> stored = stored_slope(tensors);
  const double slope = wanted.value_or(stored.value_or(1.0));
  require(slope >= 0.0 && slope <= 1.0, "a slope of annealed activations lies in 0 … 1, not at ", slope);
  if (recognized.form == Form::folded) {
    require(!recognized.keeps_activations || wanted || stored, tensors.source,
            ": holds annealed activations, but neither the file nor you say their slope");
    require(recognized.keeps_activations == (slope != 1.0), tensors.source, ": was folded ",
            recognized.keeps_activations ? "with its annealed activations kept, which a slope of 1 contradicts"
                                         : concatenate("at slope 1; a slope of ", slope, " contradicts that"));
  }
  return slope;
}

}  // namespace detail

/// Recognises what `tensors` hold. Error if it is no variant, or not the one that is asked for.
inline Model open_model(StateDict tensors, const ModelOptions& options = {}) {
  const Recognized recognized = recognize(tensors, options.variant);
  const double slope = detail::slope_of(tensors, recognized, options.slope);
  return {std::move(tensors), recognized, slope};
}

/// Opens a checkpoint of any kind, see open_checkpoint(). `tensors.entry` of the result is the entry that was used.
inline Model open_model(const std::filesystem::path& path, const ModelOptions& options = {}) {
  return open_model(open_checkpoint(path, {.key = options.key}), options);
}

/// The network as trained. Error if the file holds the folded form, or tensors are missing, unexpected or misshapen.
template <class T>
AnyTrained<T> load_trained(const Model& model, LoadReport* report = nullptr, const LoadOptions& options = {}) {
  require(!model.is_folded(), model.tensors.source,
          ": holds the folded form, from which the trained form cannot be had back");
  AnyTrained<T> network = make_trained<T>(model.recognized.config, model.slope);
  std::visit(
      [&](auto& trained) {
        const LoadReport loaded = load(trained, model.tensors, options);
        if (report) *report = loaded;
      },
      network);
  return network;
}

namespace detail {

/// Folds what was trained. Its numbers are where the file holds them until they are folded.
template <class T>
AnyFolded<T> fold_from(const Model& model, const FoldOptions& options, LoadReport* report, LoadOptions load_options) {
  const bool may_share = std::exchange(load_options.share, true);
  return std::visit(
      [&]<class Trained>(Trained&& trained) -> AnyFolded<T> {
        auto folded = fold(std::forward<Trained>(trained), options).network;
        if (!may_share) {  // what folding left as it was
          for_each_parameter(folded, [](const std::string&, auto& parameter, ParameterKind) { parameter.own(); });
        }
        return folded;
      },
      load_trained<T>(model, report, load_options));
}

}  // namespace detail

/// The folded network: read, if the file holds that form, else folded from the trained form.
template <class T>
AnyFolded<T> load_folded(const Model& model, const FoldOptions& options = {}, LoadReport* report = nullptr,
                         const LoadOptions& load_options = {}) {
  if (!model.is_folded()) return detail::fold_from<T>(model, options, report, load_options);
  AnyFolded<T> network = make_folded<T>(model.recognized.config, model.slope);
  std::visit(
      [&](auto& folded) {
        const LoadReport loaded = load(folded, model.tensors, load_options);
        if (report) *report = loaded;
      },
      network);
  return network;
}

/// The tensors of a folded network, copied or as views, with what their shapes do not tell as metadata.
template <class Folded>
StateDict describe_folded(StateDict tensors, const Folded& network, const std::string& variant) {
  tensors.metadata[std::string(detail::model_key)] = variant;
  tensors.metadata["format"] = "pt";
  if constexpr (requires { network.slope(); }) {
    if (network.slope() != 1.0) {
      tensors.metadata[std::string(detail::slope_key)] = detail::write_real(network.slope());
    }
  }
  if constexpr (requires { network.config().code; }) {
    tensors.metadata[std::string(detail::code_key)] = detail::to_string(network.config().code);
  }
  return tensors;
}

/// The tensors of a folded network as its file holds them, copied.
template <class Folded>
StateDict folded_state_dict(const Folded& network, const std::string& variant) {
  return describe_folded(to_state_dict(network), network, variant);
}

}  // namespace plainnet
