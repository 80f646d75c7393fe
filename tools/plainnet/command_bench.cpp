// plainnet bench: latency of variants, beside what the machine can do at most.

#include <cstdint>

#include "commands.hpp"
#include "measure.hpp"
#include "peak.hpp"
#include "plainnet/engine/engine.hpp"
#include "plainnet/fold/receipt.hpp"
#include "progress_bar.hpp"
#include "table.hpp"
#include "weights.hpp"

namespace plainnet::program {
namespace {

struct BenchArguments {
  std::vector<std::string> models;
  bool all = false;
  std::string weights;
  Index threads = 1;
  Index batch = 1;
  std::string size;  // "HxW"; empty: the variant's
  double seconds = 3;
  bool json = false;
};

/// "160x192" or, for both, "160"; nothing if it is neither.
std::optional<Extent2D> parse_size(const std::string& text) {
  constexpr Index most = 1 << 14;
  const std::size_t x = text.find('x');
  Extent2D size = 0;
  const bool is_number = CLI::detail::lexical_cast(text.substr(0, x), size.height) &&
                         CLI::detail::lexical_cast(x == text.npos ? text : text.substr(x + 1), size.width);
  const auto fits = [](Index side) { return side >= 1 && side <= most; };
  return is_number && fits(size.height) && fits(size.width) ? std::optional(size) : std::nullopt;
}

/// What is timed.
struct Subject {
  std::string model;
  Engine engine;
  double load_ms;  // 0: nothing was read
  double prepare_ms;
};

/// Error unless the engine gives the readable layers' answer on a small picture: only what is right is timed.
template <class Folded>
void check_answer(const Folded& network, const Engine& engine, const std::string& model) {
  const Tensor<float> input = probe_input<float>({1, 64, 64, engine.input_shape().channels});
  const Engine small = engine.prepared_for(input.shape());
  Workspace<float> workspace = small.workspace();
  const TensorView<const float> found = small.run(input, workspace);
  const Tensor<float> expected = network.forward(input.view());
  const float largest = expected.matrix().cwiseAbs().maxCoeff();
  const float difference = (expected.matrix() - found.matrix()).cwiseAbs().maxCoeff();
  require(difference <= 1e-4f * largest, model, ": the engine's answer is off by ", scientific(difference),
          " of logits up to ", scientific(largest), ", so it is not timed");
}

/// Takes the network, so that only the engine stays in memory.
Subject make_subject(const Variant& variant, AnyFolded<float> network, Index channels, double load_ms,
                     const BenchArguments& arguments) {
  const Extent2D size = parse_size(arguments.size).value_or(Extent2D{variant.preprocessing.size});
  const Shape input{arguments.batch, size.height, size.width, channels};
  return std::visit(
      [&](const auto& any) {
        const Stopwatch watch;
        Engine engine = prepare(any, input, {.threads = arguments.threads});
        const double prepare_ms = watch.milliseconds();
        check_answer(any, engine, variant.name);
        return Subject{variant.name, std::move(engine), load_ms, prepare_ms};
      },
      network);
}

Subject subject_of_weights(const BenchArguments& arguments) {
  const Stopwatch watch;
  const Model model =
      open_weights({.weights = arguments.weights, .model = arguments.models.empty() ? "" : arguments.models.front()});
  LoadReport report;
  AnyFolded<float> network = load_folded<float>(model, {.threads = arguments.threads}, &report);
  const double load_ms = watch.milliseconds();
  warn_of_non_finite(model, report);
  return make_subject(model.variant(), std::move(network), square_input(model, 1).channels, load_ms, arguments);
}

/// Random weights that keep activations in range: uniform, of variance 1 / fan-in.
Subject random_subject(const Variant& variant, const BenchArguments& arguments) {
  AnyFolded<float> network = make_folded<float>(variant.config);
  std::uint32_t state = 1;
  const auto fill = [&](const std::string&, auto& parameter, ParameterKind) {
    const Extents& extents = parameter.extents();
    const Index fan_in = extents.rank() > 1 ? parameter.size() / extents[0] : 300;  // biases: up to 0.1
    const float bound = std::sqrt(3.0f / static_cast<float>(fan_in));
    for (float& value : parameter) {
      state = state * 1664525 + 1013904223;  // linear congruential generator of "Numerical Recipes"
      value = bound * (static_cast<float>(state >> 8) * 0x1p-23f - 1.0f);
    }
  };
  std::visit([&](auto& any) { for_each_parameter(any, fill); }, network);
  return make_subject(variant, std::move(network), variant.input_shape().channels, 0.0, arguments);
}

struct Timing {
  std::vector<double> milliseconds;  // of runs, in ascending order
  double resident_bytes;
};

/// After two runs to warm up.
Timing time_runs(const Engine& engine, double seconds) {
  constexpr std::size_t least_runs = 5;
  const Tensor<float> input = probe_input<float>(engine.input_shape());
  Workspace<float> workspace = engine.workspace();
  for (int i = 0; i < 2; ++i) engine.run(input, workspace);
  std::vector<double> times;
  for (const Stopwatch total; times.size() < least_runs || total.seconds() < seconds;) {
    const Stopwatch watch;
    engine.run(input, workspace);
    times.push_back(watch.milliseconds());
  }
  std::sort(times.begin(), times.end());
  return {std::move(times), resident_bytes()};
}

Json measure(const Subject& subject, const BenchArguments& arguments) {
  const Engine& engine = subject.engine;
  const double peak_before = measure_peak(engine.isa(), arguments.threads);
  const Timing timing = time_runs(engine, arguments.seconds);
  const double peak = std::max(peak_before, measure_peak(engine.isa(), arguments.threads));

  const auto macs = static_cast<double>(engine.macs());
  const double median = quantile(timing.milliseconds, 0.5);
  const double gflops = 2 * macs / median / 1e6;
  return {{"model", subject.model},
          {"threads", arguments.threads},
          {"batch", engine.input_shape().batch},
          {"height", engine.input_shape().height},
          {"width", engine.input_shape().width},
          {"gmacs", macs / 1e9},
          {"median_ms", median},
          {"p95_ms", quantile(timing.milliseconds, 0.95)},
          {"gflops", gflops},
          {"peak_gflops", peak},
          {"share_of_peak", gflops / peak},
          {"weights_mb", static_cast<double>(engine.weight_bytes()) / 1e6},
          {"workspace_mb", static_cast<double>(engine.workspace_bytes()) / 1e6},
          {"resident_mb", timing.resident_bytes / 1e6},
          {"load_ms", subject.load_ms},
          {"prepare_ms", subject.prepare_ms},
          {"isa", to_string(engine.isa())}};
}

const std::vector<Column> bench_columns = {
    {"model", 27, Align::left}, {"threads"},      {"input", 11},  {"GMACs", 7},
    {"median ms", 0},           {"p95 ms", 9},    {"GFLOP/s", 0}, {"of peak", 0},
    {"weights MB", 0},          {"workspace MB"}, {"load ms", 9}, {"prepare ms"}};

std::string bench_row(const Json& row) {
  const auto number = [&](const char* key, int decimals) { return fixed(row[key], decimals); };
  const std::string input =
      concatenate(row["batch"].get<Index>(), 'x', row["height"].get<Index>(), 'x', row["width"].get<Index>());
  return table_row(bench_columns,
                   {row["model"], number("threads", 0), input, number("gmacs", 3), number("median_ms", 3),
                    number("p95_ms", 3), number("gflops", 1), fixed(100 * row["share_of_peak"].get<double>(), 1) + " %",
                    number("weights_mb", 1), number("workspace_mb", 1), number("load_ms", 0), number("prepare_ms", 0)});
}

int bench(const BenchArguments& arguments) {
  std::vector<std::function<Subject()>> subjects;
  if (!arguments.weights.empty()) {
    subjects.push_back([&] { return subject_of_weights(arguments); });
  } else if (arguments.all) {
    for (const Variant& variant : variants()) subjects.push_back([&] { return random_subject(variant, arguments); });
  } else {
    for (const std::string& name :
         arguments.models.empty() ? std::vector<std::string>{"vanillanet_5"} : arguments.models) {
      const Variant& variant = variant_named(name);
      subjects.push_back([&] { return random_subject(variant, arguments); });
    }
  }

  ProgressBar progress(static_cast<Index>(subjects.size()), "models");
  for (std::size_t i = 0; i < subjects.size(); ++i) {
    const Json row = measure(subjects[i](), arguments);
    progress.clear();
    if (arguments.json) {
      print_json(row);
    } else {
      print((i == 0 ? table_head(bench_columns) : "") + bench_row(row));
    }
    progress.advance();
  }
  return success;
}

}  // namespace

Command bench_command(CLI::App& program) {
  CLI::App* const line = program.add_subcommand("bench", "Measure latency");
  const auto arguments = std::make_shared<BenchArguments>();
  CLI::Option* const models =
      line->add_option("--model", arguments->models, "Variants, separated by commas; vanillanet_5 without it")
          ->type_name("M,...")
          ->delimiter(',');
  CLI::Option* const all = line->add_flag("--all", arguments->all, "All variants")->excludes(models);
  CLI::Option* const weights =
      line->add_option("--weights", arguments->weights, "Checkpoint; without it, weights are random")->type_name("F");
  weights->excludes(all);
  add_threads(line, arguments->threads);
  line->add_option("--batch", arguments->batch, "Pictures in a run; 1 without it")
      ->type_name("B")
      ->check(number_in<Index>(1, 4096));
  line->add_option("--size", arguments->size, "Height and width of the input in pixels; the variant's without it")
      ->type_name("HxW")
      ->check(CLI::Validator(
          [](std::string& text) {
            return parse_size(text) ? std::string() : concatenate("expected a size like 160x192, found ", text);
          },
          ""));
  line->add_option("--seconds", arguments->seconds, "How long each model is timed; 3 without it, and at least 5 runs")
      ->type_name("S")
      ->check(number_in(0.0, 86400.0));
  add_json(line, arguments->json);
  line->footer(
      "gmacs are those of one run, gflops count a multiply-add as two operations; peak_gflops is measured by a\n"
      "loop of multiply-adds on as many threads, before and after the runs. MB are 10^6 bytes. load_ms is the\n"
      "time to read and fold, 0 for random weights. Every engine's answer is checked before it is timed.");
  return {line, [arguments] {
            if (!arguments->weights.empty() && arguments->models.size() > 1) {
              complain("--weights is one model, so --model names one (see plainnet bench --help)");
              return wrong_usage;
            }
            return bench(*arguments);
          }};
}

}  // namespace plainnet::program
