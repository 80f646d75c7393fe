#pragma once
// Where the time of an engine's runs goes, step by step.

#include "measure.hpp"
#include "plainnet/engine/engine.hpp"
#include "probe.hpp"
#include "table.hpp"

namespace plainnet::program {

struct StepTime {
  StepInfo step;
  double milliseconds;  // median
};

/// Of runs for `seconds`, at least five, after two to warm up.
inline std::vector<StepTime> profile_runs(const Engine& engine, double seconds) {
  using Clock = std::chrono::steady_clock;
  constexpr int warm_up = 2, least_runs = 5;
  const Tensor<float> input = probe_input<float>(engine.input_shape());
  Workspace<float> workspace = engine.workspace();
  const auto steps = static_cast<std::size_t>(engine.step_count());
  std::vector<std::vector<double>> times(steps);
  std::vector<Clock::time_point> moments(steps + 1);
  const Stopwatch total;
  for (int run = 0; run < warm_up + least_runs || total.seconds() < seconds; ++run) {
    engine.run(input, workspace, [&](Index done, Index) noexcept {
      moments[static_cast<std::size_t>(done)] = Clock::now();
      return true;
    });
    for (std::size_t i = 0; run >= warm_up && i < steps; ++i) {
      times[i].push_back(std::chrono::duration<double, std::milli>(moments[i + 1] - moments[i]).count());
    }
  }
  std::vector<StepTime> profile;
  for (std::size_t i = 0; i < steps; ++i) {
    std::sort(times[i].begin(), times[i].end());
    profile.push_back({engine.step(static_cast<Index>(i)), quantile(times[i], 0.5)});
  }
  return profile;
}

/// One object a step; `peak` in GFLOP/s.
inline std::vector<Json> profile_rows(const std::vector<StepTime>& profile, const std::string& model, double peak) {
  double all = 0;
  for (const StepTime& time : profile) all += time.milliseconds;
  const auto shape = [](const Shape& s) { return Json::array({s.batch, s.height, s.width, s.channels}); };
  std::vector<Json> rows;
  for (std::size_t i = 0; i < profile.size(); ++i) {
    const auto& [step, milliseconds] = profile[i];
    const double gflops = 2 * static_cast<double>(step.macs) / milliseconds / 1e6;
    rows.push_back({{"model", model},
                    {"step", i},
                    {"name", step.name},
                    {"input", shape(step.input)},
                    {"output", shape(step.output)},
                    {"gmacs", static_cast<double>(step.macs) / 1e9},
                    {"median_ms", milliseconds},
                    {"share_of_time", milliseconds / all},
                    {"gflops", gflops},
                    {"share_of_peak", gflops / peak},
                    {"weights_mb", static_cast<double>(step.weight_bytes) / 1e6}});
  }
  return rows;
}

inline const std::vector<Column> profile_columns = {
    {"step", 4},    {"name", 17, Align::left}, {"input", 15},  {"output", 15}, {"GMACs", 7},
    {"weights MB"}, {"median ms", 0},          {"of time", 0}, {"GFLOP/s", 0}, {"of peak", 0}};

inline std::string profile_row(const Json& row) {
  const auto shape = [&](const char* key) {
    return concatenate(row[key][1].get<Index>(), 'x', row[key][2].get<Index>(), 'x', row[key][3].get<Index>());
  };
  const auto percent = [&](const char* key) { return fixed(100 * row[key].get<double>(), 1) + " %"; };
  const bool computes = row["gmacs"] > 0;
  return table_row(
      profile_columns,
      {concatenate(row["step"].get<Index>()), row["name"], shape("input"), shape("output"), fixed(row["gmacs"], 4),
       fixed(row["weights_mb"], 2), fixed(row["median_ms"], 3), percent("share_of_time"),
       computes ? fixed(row["gflops"], 1) : "", computes ? percent("share_of_peak") : ""});
}

}  // namespace plainnet::program
