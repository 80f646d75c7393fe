// plainnet classify: the likeliest classes of pictures, one after the other.

#include "commands.hpp"
#include "measure.hpp"
#include "pictures.hpp"
#include "plainnet/classifier.hpp"
#include "plainnet/io/image.hpp"
#include "weights.hpp"

namespace plainnet::program {
namespace {

struct ClassifyArguments {
  WeightsOptions weights;
  std::string labels;
  Index top = 5;
  Index threads = 1;
  bool json = false;
  std::vector<std::string> paths;
};

std::string text_answer(const std::string& file, const std::vector<Prediction>& top) {
  std::string text = on_one_line(file) + '\n';
  for (const Prediction& prediction : top) {
    const std::string percent = fixed(100.0 * prediction.probability, 2);
    text += std::string(8 - std::min<std::size_t>(percent.size(), 8), ' ') + percent + " %  " +
            (prediction.label.empty() ? concatenate("class ", prediction.index) : on_one_line(prediction.label)) + '\n';
  }
  return text;
}

Json json_answer(const std::string& file, const std::vector<Prediction>& top, double milliseconds) {
  Json answer = {{"file", file}, {"top", Json::array()}, {"ms", milliseconds}};
  for (const Prediction& prediction : top) {
    answer["top"].push_back(
        {{"index", prediction.index}, {"label", prediction.label}, {"probability", for_json(prediction.probability)}});
  }
  return answer;
}

/// Answers every picture as soon as it is classified, and goes on after one that cannot be read.
class Session {
 public:
  Session(const ClassifyArguments& arguments, const Classifier& classifier)
      : arguments_(arguments), classifier_(classifier), workspace_(classifier.workspace()) {}

  void answer_path(const std::filesystem::path& path) {
    visit_path(path, {.picture = [this](const auto& file) { answer_picture(file); },
                      .problem = [this](const auto& folder, const auto& text) { refuse(folder.string(), text); }});
  }

  void answer_standard_input() {
    while (const std::optional<std::string> line = read_line()) {
      if (line->empty()) continue;
      line->find('\0') == line->npos ? answer_path(*line) : refuse(*line, "a path cannot hold a zero byte");
    }
  }

  bool has_failed() const { return has_failed_; }

 private:
  void answer_picture(const std::filesystem::path& path) {
    const std::string file = path.string();
    const Stopwatch watch;
    std::vector<Prediction> top;
    try {
      top = classifier_.classify(load_image(path), workspace_, arguments_.top);
    } catch (const std::exception& error) {
      return refuse(file, explain(error));
    }
    const double milliseconds = watch.milliseconds();
    arguments_.json ? print_json(json_answer(file, top, milliseconds)) : print(text_answer(file, top));
  }

  void refuse(const std::string& file, const std::string& problem) {
    has_failed_ = true;
    const std::string message = about_file(file, problem);
    if (arguments_.json) print_json({{"file", file}, {"error", message}});
    complain(message);
  }

  const ClassifyArguments& arguments_;
  const Classifier& classifier_;
  Workspace<float> workspace_;
  bool has_failed_ = false;
};

int classify(const ClassifyArguments& arguments) {
  const Model model = open_weights(arguments.weights);
  const Classifier classifier(
      model, {.labels = open_labels(arguments.labels, arguments.weights, model), .threads = arguments.threads});
  warn_of_non_finite(model, classifier.load_report());
  Session session(arguments, classifier);
  for (const std::string& path : arguments.paths) {
    path == "-" ? session.answer_standard_input() : session.answer_path(path);
  }
  return session.has_failed() ? failure : success;
}

}  // namespace

Command classify_command(CLI::App& program) {
  CLI::App* const line = program.add_subcommand("classify", "Print the likeliest classes of pictures");
  const auto arguments = std::make_shared<ClassifyArguments>();
  add_weights(line, arguments->weights);
  line->add_option("--labels", arguments->labels, "Names of the classes, a text file with one a line")->type_name("F");
  line->add_option("--top", arguments->top, "How many classes of each picture; 5 without it")
      ->type_name("K")
      ->check(number_in<Index>(1, 1'000'000));
  add_threads(line, arguments->threads);
  add_json(line, arguments->json);
  line->add_option("paths", arguments->paths,
                   "Pictures, folders of them, or - for paths from standard input, a line each, of which each is "
                   "answered before the next is read")
      ->type_name("IMAGE|DIR|-")
      ->required();
  line->footer(
      "--json prints {\"file\", \"top\": [{\"index\", \"label\", \"probability\"}], \"ms\"} or {\"file\", \"error\"};\n"
      "ms is the time from opening the file to the answer. A folder is searched with all folders in it.");
  return {line, [arguments] { return classify(*arguments); }};
}

}  // namespace plainnet::program
