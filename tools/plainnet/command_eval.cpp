// plainnet eval: accuracy on a folder of class folders.

#include <atomic>
#include <limits>
#include <mutex>

#include "class_folders.hpp"
#include "commands.hpp"
#include "measure.hpp"
#include "plainnet/core/thread_pool.hpp"
#include "plainnet/engine/engine.hpp"
#include "plainnet/io/image.hpp"
#include "progress_bar.hpp"
#include "weights.hpp"

namespace plainnet::program {
namespace {

struct EvalArguments {
  WeightsOptions weights;
  std::string labels;
  std::string folder;
  Index threads = 1;
  bool json = false;
};

/// How many classes the network finds likelier than the right one; NaN counts against it.
Index place_of(Index label, std::span<const float> logits) {
  const auto logit = [&](Index c) { return logits[static_cast<std::size_t>(c)]; };
  Index place = 0;
  for (Index c = 0; c < static_cast<Index>(logits.size()); ++c) {
    const bool is_lower = logit(c) < logit(label);
    const bool is_tied_and_later = logit(c) == logit(label) && c >= label;
    place += is_lower || is_tied_and_later ? 0 : 1;
  }
  return place;
}

struct Score {
  Index seen = 0;
  Index failed = 0;
  Index top1 = 0;
  Index top5 = 0;
  double seconds = 0;

  double percent(Index count) const { return 100.0 * static_cast<double>(count) / static_cast<double>(seen); }
  double images_per_second() const { return static_cast<double>(seen) / seconds; }
};

/// One walk over the pictures, shared by threads that each take the next one, so that reading and resizing are shared
/// out too.
class Evaluation {
 public:
  Evaluation(const Engine& engine, const Preprocessing& preprocessing, const std::vector<LabelledPicture>& pictures)
      : engine_(engine),
        preprocessing_(preprocessing),
        pictures_(pictures),
        progress_(static_cast<Index>(pictures.size()), "pictures") {}

  Score run(Index threads) {
    std::vector<Workspace<float>> workspaces;
    for (Index i = 0; i < threads; ++i) workspaces.push_back(engine_.workspace());
    ThreadPool pool(threads);
    const Stopwatch watch;
    pool.run([&](Index i) { work(workspaces[static_cast<std::size_t>(i)]); });
    score_.seconds = watch.seconds();
    return score_;
  }

 private:
  /// Takes pictures until none is left.
  void work(Workspace<float>& workspace) noexcept {
    for (std::size_t i; (i = next_++) < pictures_.size();) {
      try {
        const Index place = look_at(pictures_[i], workspace);
        const std::lock_guard lock(mutex_);
        ++score_.seen;
        score_.top1 += place < 1 ? 1 : 0;
        score_.top5 += place < 5 ? 1 : 0;
        progress_.advance();
      } catch (const std::exception& error) {
        const std::lock_guard lock(mutex_);
        ++score_.failed;
        progress_.clear();
        complain(about_file(pictures_[i].file, error));
        progress_.advance();
      }
    }
  }

  Index look_at(const LabelledPicture& picture, Workspace<float>& workspace) const {
    const Tensor<float> input = plainnet::preprocess(load_image(picture.file), preprocessing_);
    const TensorView<const float> logits = engine_.run(input, workspace);
    return place_of(picture.label, {logits.data(), static_cast<std::size_t>(logits.shape().channels)});
  }

  const Engine& engine_;
  const Preprocessing& preprocessing_;
  const std::vector<LabelledPicture>& pictures_;
  std::atomic<std::size_t> next_ = 0;
  std::mutex mutex_;  // of what follows
  Score score_;
  ProgressBar progress_;
};

void print_score(const EvalArguments& arguments, const Model& model, const Score& score) {
  if (arguments.json) {
    print_json({{"folder", arguments.folder},
                {"model", model.variant().name},
                {"threads", arguments.threads},
                {"images", score.seen},
                {"failed", score.failed},
                {"top1", score.percent(score.top1)},
                {"top5", score.percent(score.top5)},
                {"images_per_second", score.images_per_second()}});
  } else {
    print(concatenate("top-1 ", fixed(score.percent(score.top1), 2), " %, top-5 ", fixed(score.percent(score.top5), 2),
                      " % of ", score.seen, " pictures, ", fixed(score.images_per_second(), 1), " images/s",
                      score.failed > 0 ? concatenate("; ", score.failed, " more could not be read") : "", '\n'));
  }
}

int eval(const EvalArguments& arguments) {
  const Model model = open_weights(arguments.weights);
  const std::vector<std::string> labels = open_labels(arguments.labels, arguments.weights, model);
  bool has_unreadable_folder = false;
  const std::vector<LabelledPicture> pictures = about(arguments.folder, [&] {
    return find_labelled_pictures(arguments.folder, labels, model.classes(), [&](const auto&, const auto& problem) {
      has_unreadable_folder = true;
      complain(on_one_line(problem));
    });
  });

  LoadReport report;
  AnyFolded<float> network = load_folded<float>(model, {.threads = arguments.threads}, &report, {.share = true});
  warn_of_non_finite(model, report);
  const Preprocessing& preprocessing = model.variant().preprocessing;
  const Engine engine =
      std::visit([&](auto& any) { return prepare(std::move(any), square_input(model, preprocessing.size)); }, network);
  const Score score = Evaluation(engine, preprocessing, pictures).run(arguments.threads);
  print_score(arguments, model, score);
  return score.failed > 0 || has_unreadable_folder ? failure : success;
}

}  // namespace

Command eval_command(CLI::App& program) {
  CLI::App* const line = program.add_subcommand("eval", "Measure accuracy on a folder of class folders");
  const auto arguments = std::make_shared<EvalArguments>();
  line->add_option("folder", arguments->folder, "Folder with a folder of pictures for each class")
      ->type_name("DIR")
      ->required();
  add_weights(line, arguments->weights);
  line->add_option("--labels", arguments->labels, "Names of the classes, a text file with one a line")->type_name("F");
  add_threads(line, arguments->threads);
  add_json(line, arguments->json, "Print one JSON object");
  line->footer(
      "Class folders are called by labels or by numbers of classes, or stand for the classes in the order of\n"
      "their names if they are as many. top1 and top5 are in percent of the pictures that could be read.");
  return {line, [arguments] { return eval(*arguments); }};
}

}  // namespace plainnet::program
