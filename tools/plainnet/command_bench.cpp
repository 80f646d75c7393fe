// plainnet bench: latency of variants, beside what the machine can do at most.

#include "bench_subject.hpp"
#include "commands.hpp"
#include "peak.hpp"
#include "profile.hpp"
#include "progress_bar.hpp"
#include "table.hpp"

namespace plainnet::program {
namespace {

struct BenchArguments {
  std::vector<std::string> models;
  bool all = false;
  std::string weights;
  RunSize run;
  double seconds = 3;
  bool profile = false;
  bool json = false;
};

/// "160x192" or, for both, "160"; nothing if it is neither.
std::optional<Extent2D> parse_size(const std::string& text) {
  const std::size_t x = std::min(text.find('x'), text.size());
  const std::optional<Index> height = parse_number<Index>(text.substr(0, x));
  const std::optional<Index> width = x == text.size() ? height : parse_number<Index>(text.substr(x + 1));
  const auto fits = [](std::optional<Index> side) { return side && *side >= 1 && *side <= 1 << 14; };
  return fits(height) && fits(width) ? std::optional(Extent2D(*height, *width)) : std::nullopt;
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
  const double peak_before = measure_peak(engine.isa(), arguments.run.threads);
  const Timing timing = time_runs(engine, arguments.seconds);
  const double peak = std::max(peak_before, measure_peak(engine.isa(), arguments.run.threads));

  const auto macs = static_cast<double>(engine.macs());
  const double median = quantile(timing.milliseconds, 0.5);
  const double gflops = 2 * macs / median / 1e6;
  return {{"model", subject.model},
          {"threads", arguments.run.threads},
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

/// What shall be timed, made one after the other: all at once would not fit in memory.
std::vector<std::function<Subject()>> subjects_of(const BenchArguments& arguments) {
  const RunSize& run = arguments.run;
  if (!arguments.weights.empty()) {
    const WeightsOptions weights{.weights = arguments.weights,
                                 .model = arguments.models.empty() ? "" : arguments.models.front()};
    return {[weights, run] { return subject_of_weights(weights, run); }};
  }
  std::vector<const Variant*> chosen;
  if (arguments.all) {
    for (const Variant& variant : variants()) chosen.push_back(&variant);
  } else if (arguments.models.empty()) {
    chosen.push_back(&variant_named("vanillanet_5"));
  }
  for (const std::string& name : arguments.models) chosen.push_back(&variant_named(name));

  std::vector<std::function<Subject()>> subjects;
  subjects.reserve(chosen.size());
  for (const Variant* variant : chosen) {
    subjects.emplace_back([variant, run] { return random_subject(*variant, run); });
  }
  return subjects;
}

/// Prints the steps of one model.
void profile(const Subject& subject, const BenchArguments& arguments) {
  const Engine& engine = subject.engine;
  const double peak_before = measure_peak(engine.isa(), arguments.run.threads);
  const std::vector<StepTime> times = profile_runs(engine, arguments.seconds);
  const double peak = std::max(peak_before, measure_peak(engine.isa(), arguments.run.threads));
  if (!arguments.json) {
    print(concatenate(subject.model, ", ", to_string(engine.isa()), ", ", arguments.run.threads, " threads, peak ",
                      fixed(peak, 1), " GFLOP/s\n", table_head(profile_columns)));
  }
  for (const Json& row : profile_rows(times, subject.model, peak)) {
    if (arguments.json) {
      print_json(row);
    } else {
      print(profile_row(row));
    }
  }
}

int bench(const BenchArguments& arguments) {
  const std::vector<std::function<Subject()>> subjects = subjects_of(arguments);
  ProgressBar progress(static_cast<Index>(subjects.size()), "models");
  for (std::size_t i = 0; i < subjects.size(); ++i) {
    if (arguments.profile) {
      const Subject subject = subjects[i]();
      progress.clear();
      profile(subject, arguments);
      progress.advance();
      continue;
    }
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
  add_threads(line, arguments->run.threads);
  add_isa(line, arguments->run.isa);
  line->add_option("--batch", arguments->run.batch, "Pictures in a run; 1 without it")
      ->type_name("B")
      ->check(number_in<Index>(1, 4096));
  line->add_option_function<std::string>(
          "--size", [arguments](const std::string& text) { arguments->run.size = parse_size(text); },
          "Height and width of the input in pixels; the variant's without it")
      ->type_name("HxW")
      ->check(CLI::Validator(
          [](std::string& text) {
            return parse_size(text) ? std::string() : concatenate("expected a size like 160x192, found ", text);
          },
          ""));
  line->add_option("--seconds", arguments->seconds, "How long each model is timed; 3 without it, and at least 5 runs")
      ->type_name("S")
      ->check(number_in(0.0, 86400.0));
  line->add_flag("--profile", arguments->profile, "Print where the time goes, step by step, in place of the latency");
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
