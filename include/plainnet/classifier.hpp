#pragma once
// A picture in, the likeliest classes out: the lines that most users need.

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "plainnet/core/bit_cast.hpp"
#include "plainnet/engine/engine.hpp"
#include "plainnet/image/preprocess.hpp"
#include "plainnet/model.hpp"

namespace plainnet {

/// How a classifier is made.
struct ClassifierOptions {
  ModelOptions model = {};
  std::vector<std::string> labels = {};  // one for each class; empty: none
  Index threads = 1;
};

/// A class and how likely it is.
struct Prediction {
  Index index = 0;           // of the class
  std::string label;         // empty if there are no labels
  float probability = 0.0f;  // softmax of the logits
};

/// Softmax, in double: p_i = exp(z_i − max z) / Σ_j exp(z_j − max z).
inline std::vector<float> softmax(std::span<const float> logits) {
  const double largest = logits.empty() ? 0.0 : *std::max_element(logits.begin(), logits.end());
  double sum = 0.0;
  for (float logit : logits) sum += std::exp(logit - largest);
  std::vector<float> probabilities;
  for (float logit : logits) probabilities.push_back(static_cast<float>(std::exp(logit - largest) / sum));
  return probabilities;
}

/// The `top` largest of `probabilities`, none negative: largest first, equal ones in the order of their classes,
/// NaN before all.
inline std::vector<Prediction> top_predictions(std::span<const float> probabilities,
                                               std::span<const std::string> labels, Index top) {
  // Without the sign, the bits of numbers as integers are in the order of the numbers, and NaN is above them all.
  std::vector<Index> keys;
  for (const float probability : probabilities)
    keys.push_back(-static_cast<Index>(detail::bit_cast<std::uint32_t>(probability) & 0x7FFFFFFFu));
  std::vector<Prediction> predictions;
  for (const std::size_t i : ascending(keys, top)) {
    predictions.push_back({static_cast<Index>(i), labels.empty() ? std::string() : labels[i], probabilities[i]});
  }
  return predictions;
}

/// A network, folded and prepared for one picture at a time. Immutable: threads that classify at once share one
/// classifier, each with a workspace of its own. A template so that a file which only includes this header compiles
/// nothing of it.
template <class T>
class BasicClassifier {
 public:
  /// Folds if need be. Error if the checkpoint or the labels do not fit.
  explicit BasicClassifier(const Model& model, const ClassifierOptions& options = {})
      : preprocessing_(model.variant().preprocessing),
        labels_(options.labels),
        engine_(std::visit(
            [&]<class Folded>(Folded&& folded) {
              return prepare(std::forward<Folded>(folded), model.variant().input_shape(), {.threads = options.threads});
            },
            load_folded<T>(model, {.threads = options.threads}, &load_report_, {.share = true}))) {
    require(labels_.empty() || static_cast<Index>(labels_.size()) == model.classes(), labels_.size(), " labels for ",
            model.classes(), " classes: are they of another model?");
  }

  explicit BasicClassifier(const std::filesystem::path& weights, const ClassifierOptions& options = {})
      : BasicClassifier(open_model(weights, options.model), options) {}

  const BasicEngine<T>& engine() const { return engine_; }
  const Preprocessing& preprocessing() const { return preprocessing_; }
  const std::vector<std::string>& labels() const { return labels_; }
  const LoadReport& load_report() const { return load_report_; }
  Workspace<T> workspace() const { return engine_.workspace(); }

  /// Resizes, crops and normalises `image` as the variant wants it and returns its `top` likeliest classes.
  std::vector<Prediction> classify(const Image& image, Workspace<T>& workspace, Index top = 5) const {
    const Tensor<T> input(preprocess(image, preprocessing_));
    const TensorView<const T> logits = engine_.run(input, workspace);
    const std::vector<float> values(logits.data(), logits.data() + logits.shape().channels);
    return top_predictions(softmax(values), labels_, top);
  }

  /// The same with a workspace for this call only.
  std::vector<Prediction> classify(const Image& image, Index top = 5) const {
    Workspace<T> temporary = workspace();
    return classify(image, temporary, top);
  }

 private:
  Preprocessing preprocessing_;
  std::vector<std::string> labels_;
  LoadReport load_report_;
  BasicEngine<T> engine_;
};

/// What most users need: float.
using Classifier = BasicClassifier<float>;

}  // namespace plainnet
