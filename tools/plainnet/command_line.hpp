#pragma once
// What the commands' options have in common.

#include <algorithm>
#include <charconv>
#include <functional>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>

#include <CLI/CLI.hpp>

#include "output.hpp"
#include "plainnet/model.hpp"

namespace plainnet::program {

/// A command of the program. `run` is called if the command line names it; it returns the exit code, or throws.
struct Command {
  CLI::App* line;
  std::function<int()> run;
};

inline constexpr int success = 0;
inline constexpr int failure = 1;
inline constexpr int wrong_usage = 2;

/// The number that all of `text` is, in decimal; nothing if it is none.
template <class Number>
std::optional<Number> parse_number(std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(number) : std::nullopt;
}

/// Refuses what is not a number from `least` to `most`, NaN too.
template <class Number>
CLI::Validator number_in(Number least, Number most) {
  const auto check = [=](std::string& text) {
    const std::optional<Number> number = parse_number<Number>(text);
    if (!number || !(*number >= least && *number <= most)) {
      std::ostringstream message;
      message << "expected a number from " << least << " to " << most << ", found " << text;
      return message.str();
    }
    if constexpr (std::is_integral_v<Number>) text = std::to_string(*number);  // CLI11 takes 010 for octal
    return std::string();
  };
  return CLI::Validator(check, "");
}

inline void add_isa(CLI::App* line, std::optional<Isa>& isa) {
  line->add_option_function<std::string>(
          "--isa", [&isa](const std::string& name) { isa = isa_named(name); },
          "Instruction set: baseline, avx2, avx512, zen4 or zen5 (avx512 on AMD); without it, that of PLAINNET_ISA in "
          "the environment, else the best")
      ->type_name("SET")
      ->check(CLI::Validator(
          [](std::string& name) {
            try {
              isa_named(name);
              return std::string();
            } catch (const Error& error) {
              return std::string(error.what());
            }
          },
          ""));
}

inline void add_threads(CLI::App* line, Index& threads) {
  threads = std::max<Index>(1, static_cast<Index>(std::thread::hardware_concurrency()));
  line->add_option("--threads", threads, "Threads to compute with; without it, one for each processor")
      ->type_name("N")
      ->check(number_in<Index>(1, 1024));
}

inline void add_json(CLI::App* line, bool& json, const char* what = "Print JSON, one object a line") {
  line->add_flag("--json", json, what);
}

/// Which weights, and how they are to be understood.
struct WeightsOptions {
  std::string weights = {};  // path; empty: the digits model
  std::string key = {};      // entry of a training checkpoint; empty: the usual ones
  std::string model = {};    // empty: told from the tensors
  std::optional<double> slope = {};
};

inline void add_model(CLI::App* line, std::string& model) {
  line->add_option("--model", model, "Variant, a name that `plainnet models` lists; without it, told from the tensors")
      ->type_name("M");
}

inline void add_slope(CLI::App* line, std::optional<double>& slope) {
  line->add_option("--slope", slope, "Slope of the annealed activations; without it, the file's own, else 1")
      ->type_name("S")
      ->check(number_in(0.0, 1.0));
}

inline void add_key(CLI::App* line, std::string& key) {
  line->add_option(
          "--key", key,
          "Entry of a training checkpoint that holds the weights, dots for entries in entries; without it, the\n"
          "first of state_dict_ema, model_ema, state_dict and model, else the whole file")
      ->type_name("K");
}

/// --weights with the built-in digits model as the default, --key, --model and --slope.
inline void add_weights(CLI::App* line, WeightsOptions& options) {
  line->add_option("--weights", options.weights,
                   "Checkpoint, safetensors or PyTorch; without it, the built-in digits model")
      ->type_name("F");
  add_key(line, options.key);
  add_model(line, options.model);
  add_slope(line, options.slope);
}

}  // namespace plainnet::program
