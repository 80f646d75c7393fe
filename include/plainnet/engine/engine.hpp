#pragma once
// The fast form of a network: folded, weights packed, memory planned for one shape of input.

#include <algorithm>
#include <memory>
#include <optional>
#include <string_view>
#include <thread>
#include <type_traits>

#include "plainnet/core/run_arithmetic.hpp"
#include "plainnet/core/thread_pool.hpp"
#include "plainnet/engine/lower.hpp"
#include "plainnet/engine/memory_plan.hpp"

namespace plainnet {

/// How an engine runs.
struct EngineOptions {
  Index threads = 1;
  Isa isa = chosen_isa();
  bool keep_features = false;  // the maps of all stages stay readable after a run
};

/// Called as hook(steps done, all steps); returns whether the run goes on. It must not throw, and say so.
template <class Hook>
concept RunHook = std::is_nothrow_invocable_r_v<bool, Hook&, Index, Index>;

/// A step of an engine's runs.
struct StepInfo {
  std::string_view name;  // of the operation
  Shape input;
  Shape output;
  Count macs;  // of one run
  Index weight_bytes;
};

/// Memory and threads of one run at a time; an engine makes it. A program that runs an engine on several threads of
/// its own gives each a workspace.
template <class T>
class Workspace {
 public:
  /// `elements` of memory, the first `maps` of them for intermediate maps, the rest scratch. The executor is the
  /// workspace's own or outlives it, and runs one task at a time.
  Workspace(Index elements, Index maps, std::unique_ptr<Executor> executor)
      : memory_(static_cast<std::size_t>(elements)), maps_(maps), own_(std::move(executor)), executor_(own_.get()) {}
  Workspace(Index elements, Index maps, Executor& executor)
      : memory_(static_cast<std::size_t>(elements)), maps_(maps), executor_(&executor) {}

  T* maps() { return memory_.data(); }
  const T* maps() const { return memory_.data(); }
  T* scratch() { return memory_.data() + maps_; }
  Index size() const { return static_cast<Index>(memory_.size()); }
  /// Elements for intermediate maps.
  Index maps_size() const { return maps_; }
  Executor& executor() { return *executor_; }
  /// 0 for one that was moved from.
  Index threads() const { return memory_.empty() ? 0 : executor_->size(); }

 private:
  AlignedVector<T> memory_;
  Index maps_;
  std::unique_ptr<Executor> own_;  // or null
  Executor* executor_;
};

/// A program prepared for one input shape and a number of threads. Immutable: any number of threads may run it at
/// once. Copies share the weights.
template <class T>
class BasicEngine {
 public:
  BasicEngine(std::shared_ptr<const Program<T>> program, const Shape& input, const EngineOptions& options)
      : program_(std::move(program)), options_(options) {
    require(options.threads >= 1, "an engine needs at least one thread, not ", options.threads);
    require(input.batch >= 1 && input.height >= 1 && input.width >= 1, "an engine needs a non-empty input, not ",
            input);
    require(!program_->steps().empty(), "an engine needs a program of at least one operation");
    shapes_.push_back(input);
    Index scratch = 0;
    for (const auto& [operation, read, residual] : program_->steps()) {
      for (const Index value : {read, residual.value_or(0)}) {
        require(value >= 0 && value < static_cast<Index>(shapes_.size()), "step ", shapes_.size() - 1,
                " reads a value that comes later");
      }
      const Shape in = shapes_[static_cast<std::size_t>(read)];
      macs_ = add_counts(macs_, operation->macs(in));
      scratch = std::max(scratch, operation->scratch(in, options.threads));
      shapes_.push_back(operation->output_shape(in));
      require(!residual || shapes_[static_cast<std::size_t>(*residual)] == shapes_.back(),
              "a step adds a value to one of another shape");
    }
    plan();
    workspace_elements_ = checked_add(plan_.size, scratch);
  }

  const Shape& input_shape() const { return shapes_.front(); }
  const Shape& output_shape() const { return shapes_.back(); }
  const EngineOptions& options() const { return options_; }
  Isa isa() const { return program_->isa(); }

  /// Multiply-adds of one run.
  Count macs() const { return macs_; }

  /// Bytes of packed weights, shared by all engines of this program.
  Index weight_bytes() const {
    Index elements = 0;
    for (const auto& step : program_->steps()) elements += step.operation->weight_elements();
    return elements * static_cast<Index>(sizeof(T));
  }

  /// Bytes of one workspace.
  Index workspace_bytes() const { return checked_multiply(workspace_elements_, sizeof(T)); }

  Workspace<T> workspace() const {
    return Workspace<T>(workspace_elements_, plan_.size, std::make_unique<ThreadPool>(options_.threads));
  }
  /// The same with threads of the caller's, which outlive the workspace. Error unless there are as many as the engine
  /// was prepared for.
  Workspace<T> workspace(Executor& executor) const {
    require(executor.size() == options_.threads, "this engine was prepared for ", options_.threads,
            " threads and was given an executor of ", executor.size());
    return Workspace<T>(workspace_elements_, plan_.size, executor);
  }

  /// The same weights for another shape. Where a network has 3×3 convolutions, an engine that is prepared for a shape
  /// from the start may be faster on it, and differ in rounding.
  BasicEngine prepared_for(const Shape& input) const { return BasicEngine(program_, input, options_); }

  /// `in` (N, H, W, C), normalised, in the shape of preparation; the logits (N, 1, 1, classes) lie in the workspace
  /// until its next run. Throws Error if a shape is not as prepared, before anything is computed; then neither throws
  /// nor allocates. The bits of the result do not depend on the number of threads nor on the batch, nor on the
  /// arithmetic that the caller has set; denormal numbers count as zeros (RunArithmetic).
  TensorView<const T> run(TensorView<const T> in, Workspace<T>& workspace) const {
    return *run(in, workspace, [](Index, Index) noexcept { return true; });
  }

  /// The same, with a hook for progress, profiles and cancelling, which is called on the caller's thread before every
  /// step and after the last one. Where it returns false the run ends, and there is no result.
  template <RunHook Hook>
  std::optional<TensorView<const T>> run(TensorView<const T> in, Workspace<T>& workspace, Hook&& hook) const {
    require(in.shape() == input_shape(), "this engine was prepared for ", input_shape(), " and was given ", in.shape());
    require(fits(workspace), "this workspace was made by another engine");
    if (!run_checked(in, workspace, hook)) return std::nullopt;
    return view(workspace, static_cast<Index>(shapes_.size()) - 1);
  }

  /// What step `i` of a run is, 0 ≤ i < step_count().
  StepInfo step(Index i) const {
    const auto at = static_cast<std::size_t>(i);
    const auto& [operation, read, residual] = program_->steps().at(at);
    const Shape& in = shapes_[static_cast<std::size_t>(read)];
    return {operation->name(), in, shapes_[at + 1], operation->macs(in),
            operation->weight_elements() * static_cast<Index>(sizeof(T))};
  }
  Index step_count() const { return static_cast<Index>(program_->steps().size()); }

  /// Names and values of the stages' outputs after a run, in order; empty unless options.keep_features. Error if the
  /// workspace is another engine's.
  std::vector<std::pair<std::string_view, TensorView<const T>>> features(const Workspace<T>& workspace) const {
    std::vector<std::pair<std::string_view, TensorView<const T>>> all;
    if (!options_.keep_features) return all;
    require(fits(workspace), "this workspace was made by another engine");
    for (const auto& feature : program_->features()) all.emplace_back(feature.name, view(workspace, feature.value));
    return all;
  }

 private:
  static constexpr Index granularity = static_cast<Index>(alignment / sizeof(T));

  bool fits(const Workspace<T>& workspace) const {
    return workspace.size() == workspace_elements_ && workspace.maps_size() == plan_.size &&
           workspace.threads() == options_.threads;
  }

  /// The last step at which each value is needed.
  std::vector<Index> last_uses() const {
    std::vector<Index> last(shapes_.size(), -1);
    for (Index step = 0; step < step_count(); ++step) {
      const auto& [operation, read, residual] = program_->steps()[static_cast<std::size_t>(step)];
      last[static_cast<std::size_t>(step + 1)] = step;  // where it is written
      for (const Index used : {read, residual.value_or(read)}) last[static_cast<std::size_t>(used)] = step;
    }
    last.back() = step_count();  // the result
    if (options_.keep_features) {
      for (const auto& feature : program_->features()) last[static_cast<std::size_t>(feature.value)] = step_count();
    }
    return last;
  }

  /// The value that a step writes its result over; 0 for none, since the input is the caller's.
  Index overwritten_by(Index step, const std::vector<Index>& last) const {
    const auto& [operation, read, residual] = program_->steps()[static_cast<std::size_t>(step)];
    const Overwrites what = operation->overwrites(shapes_[static_cast<std::size_t>(read)], options_.threads);
    if (what == Overwrites::nothing || (what == Overwrites::residual && residual == read)) return 0;
    const Index value = what == Overwrites::input ? read : residual.value_or(0);
    return last[static_cast<std::size_t>(value)] == step ? value : 0;
  }

  /// Gives each value that a step writes a place, a new one or that of an earlier value.
  void plan() {
    const std::vector<Index> last = last_uses();
    std::vector<Lifetime> places;
    for (Index step = 0; step < step_count(); ++step) {
      const auto value = static_cast<std::size_t>(step + 1);
      if (const Index earlier = overwritten_by(step, last)) {
        places_.push_back(places_[static_cast<std::size_t>(earlier - 1)]);
        places[places_.back()].last = last[value];
      } else {
        places_.push_back(places.size());
        places.push_back({shapes_[value].elements(), step, last[value]});
      }
    }
    plan_ = plan_memory(places, granularity);
  }

  TensorView<const T> view(const Workspace<T>& workspace, Index value) const {
    return {workspace.maps() + plan_.offsets[places_[static_cast<std::size_t>(value - 1)]],
            shapes_[static_cast<std::size_t>(value)]};
  }

  /// Whether all steps were run.
  template <class Hook>
  bool run_checked(TensorView<const T> in, Workspace<T>& workspace, Hook& hook) const noexcept {
    const auto value = [&](Index i) { return i == 0 ? in : view(workspace, i); };
    RunExecutor executor(workspace.executor());
    for (std::size_t i = 0; i < program_->steps().size(); ++i) {
      if (!hook(static_cast<Index>(i), step_count())) return false;  // in the caller's own arithmetic
      const RunArithmetic arithmetic;
      const auto& [operation, read, residual] = program_->steps()[i];
      const TensorView<T> out(workspace.maps() + plan_.offsets[places_[i]], shapes_[i + 1]);
      operation->run(value(read), residual ? value(*residual).data() : nullptr, out, workspace.scratch(), executor);
    }
    return hook(step_count(), step_count());
  }

  std::shared_ptr<const Program<T>> program_;
  EngineOptions options_;
  std::vector<Shape> shapes_;        // of value i
  std::vector<std::size_t> places_;  // of value i + 1, in the plan
  MemoryPlan plan_;
  Index workspace_elements_ = 0;
  Count macs_ = 0;
};

/// What most users need: float.
using Engine = BasicEngine<float>;

/// Packs the weights of a folded network for this machine, on the threads that will run it, as far as it has so many
/// processors, and plans its memory for `input` (N, H, W, 3). A network that is given up,
/// prepare(std::move(network), …), need not be in memory a second time.
template <class Folded>
auto prepare(Folded&& network, const Shape& input, const EngineOptions& options = {}) {
  using T = typename std::remove_cvref_t<Folded>::Scalar;
  const Index processors = std::max<Index>(1, std::thread::hardware_concurrency());
  ThreadPool pool(std::min(options.threads, processors));
  Program<T> program(options.isa, input, pool);
  lower(std::forward<Folded>(network), program);
  return BasicEngine<T>(std::make_shared<const Program<T>>(std::move(program)), input, options);
}

}  // namespace plainnet
