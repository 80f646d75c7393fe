#include <limits>
#include <thread>

#include <gtest/gtest.h>

#include "plainnet/engine/engine.hpp"
#include "support/compare.hpp"
#include "support/isas.hpp"
#include "support/random.hpp"

namespace plainnet {
namespace {

struct EngineRow {
  VanillaNetConfig config;
  Shape input;
  double slope;
};

std::string to_string(const EngineRow& row) {
  const VanillaNetConfig& c = row.config;
  std::string text = "widths";
  for (Index width : c.widths) text += concatenate(' ', width);
  text += ", strides";
  for (Index stride : c.strides) text += concatenate(' ', stride);
  if (!c.adaptive_pools.empty()) text += ", pools";
  for (Index side : c.adaptive_pools) text += concatenate(' ', side);
  return concatenate(text, ", ", c.classes, " classes, act_num ", c.act_num, ", slope ", row.slope, ", ",
                     to_string(row.input));
}

/// All strides, adaptive pools, slopes, act_nums, batches and odd sizes, on widths around those of vectors.
std::vector<EngineRow> rows() {
  std::vector<EngineRow> all = {
      {{.widths = {8, 12}, .strides = {2}, .classes = 3}, {.batch = 1, .height = 45, .width = 39, .channels = 3}, 1.0},
      {{.widths = {7, 9, 16}, .strides = {2, 1}, .classes = 10},
       {.batch = 1, .height = 255, .width = 253, .channels = 3},
       1.0},
      {{.widths = {16, 32, 33}, .strides = {2, 2}, .classes = 17},
       {.batch = 3, .height = 45, .width = 39, .channels = 3},
       0.5},
      {{.widths = {5, 6, 7, 8}, .strides = {1, 2, 3}, .adaptive_pools = {0, 9, 2}, .classes = 5, .act_num = 2},
       {.batch = 2, .height = 40, .width = 31, .channels = 3},
       1.0},
      {{.widths = {4, 4}, .strides = {2}, .classes = 1, .act_num = 4, .in_channels = 1},
       {.batch = 1, .height = 8, .width = 8, .channels = 1},
       0.0},
  };
  test::Random random(7);
  while (all.size() < 40) {
    EngineRow row;
    const Index blocks = random.integer(1, 4);
    row.config.widths = {random.integer(1, 40)};
    const bool adaptive = random.integer(1, 4) == 4;
    for (Index i = 0; i < blocks; ++i) {
      row.config.widths.push_back(random.integer(1, 70));
      row.config.strides.push_back(random.integer(1, 2));
      if (adaptive) row.config.adaptive_pools.push_back(random.integer(0, 7));
    }
    row.config.classes = random.integer(1, 40);
    row.config.act_num = random.integer(0, 4);
    row.config.in_channels = random.integer(1, 4);
    row.input = {random.integer(1, 4), random.integer(70, 99), random.integer(70, 99), row.config.in_channels};
    row.slope = random.coin() ? 1.0 : random.uniform(0, 1);
    all.push_back(row);
  }
  return all;
}

template <class T>
FoldedVanillaNet<T> random_network(const VanillaNetConfig& config, double slope, test::Random& random) {
  FoldedVanillaNet<T> network(config, slope);
  random.fill_network(network);
  return network;
}

template <class T>
Tensor<T> copy_of(TensorView<const T> view) {
  Tensor<T> copy(view.shape());
  std::copy_n(view.data(), view.shape().elements(), copy.data());
  return copy;
}

template <class T>
Tensor<T> run(const BasicEngine<T>& engine, const Tensor<T>& in) {
  Workspace<T> workspace = engine.workspace();
  return copy_of(engine.run(in, workspace));
}

template <class T>
class EngineOf : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(EngineOf, Scalars);

// Both round, in another order; a network of this depth multiplies an early rounding some ten times.
template <class T>
double network_tolerance(const Tensor<T>& map) {
  return test::rounding_error<T>(1000, test::largest_magnitude(map));
}

TYPED_TEST(EngineOf, ComputesWhatTheReadableNetworkDoes) {
  using T = TypeParam;
  test::Random random(1);
  for (const EngineRow& row : rows()) {
    const FoldedVanillaNet<T> network = random_network<T>(row.config, row.slope, random);
    const Tensor<T> in = random.map<T>(row.input);
    std::vector<std::pair<std::string, Tensor<T>>> maps;
    const Tensor<T> logits = network.forward(
        in, [&](std::string_view name, TensorView<const T> map) { maps.emplace_back(name, copy_of(map)); });
    for (Isa isa : test::supported_isas()) {
      SCOPED_TRACE(concatenate(to_string(isa), ": ", to_string(row)));
      const BasicEngine<T> engine = prepare(network, row.input, {.threads = 1, .isa = isa, .keep_features = true});
      EXPECT_EQ(engine.input_shape(), row.input);
      EXPECT_EQ(engine.output_shape(), logits.shape());
      EXPECT_EQ(engine.isa(), isa);
      EXPECT_EQ(engine.macs(), network.macs(row.input));
      Workspace<T> workspace = engine.workspace();
      EXPECT_EQ(engine.workspace_bytes(), workspace.size() * static_cast<Index>(sizeof(T)));
      const TensorView<const T> result = engine.run(in, workspace);
      ASSERT_TRUE(test::near_everywhere<T>(result, test::to_reference(logits), network_tolerance(logits)));
      const auto features = engine.features(workspace);
      ASSERT_EQ(features.size(), maps.size());
      for (std::size_t i = 0; i < maps.size(); ++i) {
        EXPECT_EQ(features[i].first, maps[i].first);
        ASSERT_TRUE(test::near_everywhere<T>(features[i].second, test::to_reference(maps[i].second),
                                             network_tolerance(maps[i].second)))
            << maps[i].first;
      }
      // Without the features, maps share more memory; the logits must not know.
      const BasicEngine<T> lean = prepare(network, row.input, {.threads = 1, .isa = isa});
      EXPECT_LE(lean.workspace_bytes(), engine.workspace_bytes());
      ASSERT_TRUE(test::same_bits<T>(run(lean, in).view(), result));
      Workspace<T> lean_workspace = lean.workspace();
      EXPECT_TRUE(lean.features(lean_workspace).empty());
    }
  }
}

TYPED_TEST(EngineOf, GivesTheSameBitsWithAnyNumberOfThreads) {
  using T = TypeParam;
  test::Random random(2);
  for (const EngineRow& row : rows()) {
    const FoldedVanillaNet<T> network = random_network<T>(row.config, row.slope, random);
    const Tensor<T> in = random.map<T>(row.input);
    const Tensor<T> expected = run(prepare(network, row.input), in);
    for (Index threads : {2, 3}) {
      ASSERT_TRUE(test::same_bits(run(prepare(network, row.input, {.threads = threads}), in), expected))
          << threads << " threads, " << to_string(row);
    }
  }
}

TYPED_TEST(EngineOf, GivesEachImageOfABatchTheBitsItHasAlone) {
  using T = TypeParam;
  test::Random random(3);
  for (const EngineRow& row : rows()) {
    const FoldedVanillaNet<T> network = random_network<T>(row.config, row.slope, random);
    Shape batch = row.input;
    batch.batch = 5;
    Shape one = row.input;
    one.batch = 1;
    const Tensor<T> in = random.map<T>(batch);
    const Tensor<T> all = run(prepare(network, batch, {.threads = 2}), in);
    const BasicEngine<T> engine = prepare(network, one);
    for (Index n = 0; n < batch.batch; ++n) {
      Tensor<T> image(one);
      std::copy_n(in.view().pixel(n, 0, 0), one.elements(), image.data());
      const TensorView<const T> logits(all.view().pixel(n, 0, 0), {.channels = row.config.classes});
      ASSERT_TRUE(test::same_bits<T>(logits, run(engine, image).view())) << "image " << n << ", " << to_string(row);
    }
  }
}

TEST(Engine, ReportsEveryStepToAHook) {
  test::Random random(11);
  const Shape input{.batch = 1, .height = 40, .width = 40, .channels = 3};
  const auto network = random_network<float>({.widths = {9, 17, 20}, .strides = {2, 1}, .classes = 7}, 1.0, random);
  const Engine engine = prepare(network, input, {.threads = 2});
  const Tensor<float> in = random.map<float>(input);
  Workspace<float> workspace = engine.workspace();
  std::vector<Index> done;
  const auto result = engine.run(in, workspace, [&](Index step, Index all) noexcept {
    EXPECT_EQ(all, engine.step_count());
    done.push_back(step);
    return true;
  });
  ASSERT_TRUE(result);
  EXPECT_TRUE(test::same_bits<float>(*result, run(engine, in).view()));
  ASSERT_EQ(static_cast<Index>(done.size()), engine.step_count() + 1);
  for (Index i = 0; i <= engine.step_count(); ++i) EXPECT_EQ(done[static_cast<std::size_t>(i)], i);
}

TEST(Engine, EndsARunWhereItsHookSaysSo) {
  test::Random random(12);
  const Shape input{.batch = 1, .height = 40, .width = 40, .channels = 3};
  const auto network = random_network<float>({.widths = {9, 17, 20}, .strides = {2, 1}, .classes = 7}, 1.0, random);
  const Engine engine = prepare(network, input);
  const Tensor<float> in = random.map<float>(input);
  const Tensor<float> expected = run(engine, in);
  Workspace<float> workspace = engine.workspace();
  for (Index last = 0; last <= engine.step_count(); ++last) {
    Index calls = 0;
    const auto result = engine.run(in, workspace, [&](Index done, Index) noexcept {
      ++calls;
      return done < last;
    });
    EXPECT_FALSE(result) << last;
    EXPECT_EQ(calls, last + 1);
  }
  EXPECT_TRUE(test::same_bits<float>(engine.run(in, workspace), expected.view())) << "a run after those that ended";
}

TEST(Engine, DescribesItsSteps) {
  test::Random random(13);
  const Shape input{.batch = 2, .height = 40, .width = 40, .channels = 3};
  const auto network = random_network<float>({.widths = {9, 17, 20}, .strides = {2, 1}, .classes = 7}, 1.0, random);
  const Engine engine = prepare(network, input);
  Index macs = 0, bytes = 0;
  for (Index i = 0; i < engine.step_count(); ++i) {
    const StepInfo step = engine.step(i);
    EXPECT_FALSE(step.name.empty());
    EXPECT_EQ(step.input, i == 0 ? input : engine.step(i - 1).output);
    macs += step.macs;
    bytes += step.weight_bytes;
  }
  EXPECT_EQ(macs, engine.macs());
  EXPECT_EQ(bytes, engine.weight_bytes());
  EXPECT_EQ(engine.step(engine.step_count() - 1).output, engine.output_shape());
  // The stem and its activation; a convolution that pools and an activation, twice; a mean and the head.
  EXPECT_EQ(engine.step_count(), 8);
  EXPECT_EQ(engine.step(2).output, (Shape{.batch = 2, .height = 5, .width = 5, .channels = 17}));
}

/// Runs the parts of a task one after the other, the last first.
class Backwards final : public Executor {
 public:
  explicit Backwards(Index size) : size_(size) {}
  Index size() const noexcept override { return size_; }
  Index tasks = 0;

 private:
  void call_all(void (*call)(void*, Index), void* context) noexcept override {
    ++tasks;
    for (Index i = size_; i-- > 0;) call(context, i);
  }
  Index size_;
};

TEST(Engine, RunsOnAnExecutorOfTheCallers) {
  test::Random random(14);
  const Shape input{.batch = 1, .height = 40, .width = 40, .channels = 3};
  const auto network = random_network<float>({.widths = {9, 17, 20}, .strides = {2, 1}, .classes = 7}, 1.0, random);
  const Tensor<float> in = random.map<float>(input);
  const Tensor<float> expected = run(prepare(network, input), in);
  const Engine engine = prepare(network, input, {.threads = 3});
  Backwards executor(3);
  Workspace<float> workspace = engine.workspace(executor);
  EXPECT_TRUE(test::same_bits<float>(engine.run(in, workspace), expected.view()));
  EXPECT_GE(executor.tasks, engine.step_count());
  Backwards small(2);
  EXPECT_NE(test::error_of([&] { engine.workspace(small); }).find("3 threads and was given an executor of 2"),
            std::string::npos);
}

// Series activations are computed where their maps lie, so that a run needs one large map and the one after it.
TEST(Engine, WritesOverMapsThatNobodyNeeds) {
  test::Random random(15);
  const Shape input{.batch = 1, .height = 64, .width = 64, .channels = 3};
  const auto network = random_network<float>({.widths = {32, 64}, .strides = {2}, .classes = 7}, 1.0, random);
  const Engine engine = prepare(network, input);
  const Workspace<float> workspace = engine.workspace();
  EXPECT_EQ(workspace.maps_size(), 16 * 16 * 32 + 8 * 8 * 64);
}

TEST(Engine, TakesANetworkThatIsGivenUp) {
  test::Random random(16);
  const Shape input{.batch = 1, .height = 40, .width = 40, .channels = 3};
  auto network = random_network<float>({.widths = {9, 17, 20}, .strides = {2, 1}, .classes = 7}, 0.5, random);
  const Tensor<float> in = random.map<float>(input);
  const Tensor<float> expected = run(prepare(network, input), in);
  const Engine engine = prepare(std::move(network), input);
  EXPECT_TRUE(test::same_bits(run(engine, in), expected));
  Index left = 0;
  for_each_parameter(network.stages[1],
                     [&](const std::string&, const auto& parameter, ParameterKind) { left += parameter.size(); });
  EXPECT_EQ(left, 0);
}

TEST(Engine, RunsAgainAndAgainInOneWorkspace) {
  test::Random random(4);
  const Shape input{.batch = 1, .height = 40, .width = 40, .channels = 3};
  const auto network = random_network<float>({.widths = {9, 17, 20}, .strides = {2, 1}, .classes = 7}, 1.0, random);
  const Engine engine = prepare(network, input, {.threads = 2});
  Workspace<float> workspace = engine.workspace();
  for (int i = 0; i < 5; ++i) {
    const Tensor<float> in = random.map<float>(input);
    EXPECT_TRUE(test::same_bits<float>(engine.run(in, workspace), run(engine, in).view())) << "run " << i;
  }
}

TEST(Engine, ForgetsNaNWithTheImageThatHadIt) {
  test::Random random(5);
  const Shape input{.batch = 1, .height = 20, .width = 20, .channels = 3};
  const auto network = random_network<float>({.widths = {9, 17}, .strides = {2}, .classes = 7}, 1.0, random);
  const Engine engine = prepare(network, input);
  const Tensor<float> good = random.map<float>(input);
  Tensor<float> bad = good;
  bad(0, 7, 7, 1) = std::numeric_limits<float>::quiet_NaN();
  Workspace<float> workspace = engine.workspace();
  const TensorView<const float> logits = engine.run(bad, workspace);
  for (Index c = 0; c < 7; ++c) EXPECT_TRUE(std::isnan(logits(0, 0, 0, c))) << c;
  EXPECT_TRUE(test::same_bits<float>(engine.run(good, workspace), run(engine, good).view()));
}

TEST(Engine, SharesItsWeightsWithThePreparedForAnotherShape) {
  test::Random random(6);
  const auto network = random_network<float>({.widths = {9, 17, 20}, .strides = {2, 1}, .classes = 7}, 1.0, random);
  const Shape small{.batch = 1, .height = 24, .width = 24, .channels = 3};
  const Shape large{.batch = 2, .height = 45, .width = 39, .channels = 3};
  const Engine engine = prepare(network, small, {.threads = 2});
  const Engine other = engine.prepared_for(large);
  EXPECT_EQ(other.input_shape(), large);
  EXPECT_EQ(other.options().threads, 2);
  EXPECT_EQ(other.isa(), engine.isa());
  EXPECT_EQ(other.weight_bytes(), engine.weight_bytes());
  EXPECT_GE(engine.weight_bytes(), 4 * (9 * 48 + 9 * 49 + 17 * 9 + 17 * 49 + 20 * 17 + 20 * 49 + 7 * 20));
  const Tensor<float> in = random.map<float>(large);
  EXPECT_TRUE(test::same_bits(run(other, in), run(prepare(network, large), in)));
  EXPECT_EQ(engine.input_shape(), small);
}

// If it copied them, a program that prepares for many shapes would hold the weights many times.
TEST(Engine, HoldsOneCopyOfTheWeightsForAllShapes) {
  auto program = std::make_shared<Program<float>>(best_isa());
  program->append(Conv2d<float>({.in_channels = 3, .out_channels = 5}));
  const Engine engine(program, {.batch = 1, .height = 4, .width = 4, .channels = 3}, {});
  const long before = program.use_count();
  const Engine other = engine.prepared_for({.batch = 1, .height = 8, .width = 8, .channels = 3});
  const Engine copy = engine;
  EXPECT_EQ(program.use_count(), before + 2);
  EXPECT_EQ(other.output_shape().channels, 5);
  EXPECT_EQ(copy.output_shape().channels, 5);
}

TEST(Engine, OutlivesTheNetwork) {
  test::Random random(7);
  const Shape input{.batch = 1, .height = 24, .width = 24, .channels = 3};
  auto network =
      std::make_unique<FoldedVanillaNet<float>>(VanillaNetConfig{.widths = {9, 17}, .strides = {2}, .classes = 7});
  random.fill_network(*network);
  const Engine engine = prepare(*network, input);
  const Tensor<float> in = random.map<float>(input);
  const Tensor<float> expected = run(engine, in);
  random.fill_network(*network);
  EXPECT_TRUE(test::same_bits(run(engine, in), expected));
  network.reset();
  EXPECT_TRUE(test::same_bits(run(engine, in), expected));
}

TEST(Engine, MayBeRunByManyThreadsAtOnce) {
  test::Random random(8);
  const Shape input{.batch = 1, .height = 36, .width = 44, .channels = 3};
  const auto network = random_network<float>({.widths = {9, 17, 20}, .strides = {2, 1}, .classes = 7}, 1.0, random);
  const Engine engine = prepare(network, input, {.threads = 2});
  std::vector<Tensor<float>> images;
  std::vector<Tensor<float>> expected;
  for (int i = 0; i < 4; ++i) {
    images.push_back(random.map<float>(input));
    expected.push_back(run(engine, images.back()));
  }
  std::vector<std::string> failures(4);
  {
    std::vector<std::thread> threads;
    for (std::size_t t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        Workspace<float> workspace = engine.workspace();
        for (std::size_t i = 0; i < 40; ++i) {
          const std::size_t image = (t + i) % 4;
          const auto same = test::same_bits<float>(engine.run(images[image], workspace), expected[image].view());
          if (!same) failures[t] = same.message();
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  for (std::size_t t = 0; t < 4; ++t) EXPECT_EQ(failures[t], "") << "thread " << t;
}

TEST(Engine, RefusesAnInputItWasNotPreparedFor) {
  const FoldedVanillaNet<float> network({.widths = {9, 17}, .strides = {2}, .classes = 7});
  const Engine engine = prepare(network, {.batch = 1, .height = 24, .width = 24, .channels = 3});
  Workspace<float> workspace = engine.workspace();
  for (const Shape& shape : {Shape{.batch = 2, .height = 24, .width = 24, .channels = 3},
                             Shape{.batch = 1, .height = 23, .width = 24, .channels = 3},
                             Shape{.batch = 1, .height = 24, .width = 24, .channels = 4}, Shape{.batch = 0}}) {
    const std::string message = test::error_of([&] { engine.run(Tensor<float>(shape), workspace); });
    EXPECT_EQ(message, "this engine was prepared for (N 1, H 24, W 24, C 3) and was given " + to_string(shape));
  }
}

// A workspace in which the maps or the scratch memory would not fit must never be written to.
TEST(Engine, RefusesAWorkspaceThatIsNotItsOwn) {
  const FoldedVanillaNet<float> network({.widths = {9, 17}, .strides = {2}, .classes = 7});
  const Shape shape{.batch = 1, .height = 24, .width = 24, .channels = 3};
  const Engine engine = prepare(network, shape, {.keep_features = true});
  const Tensor<float> in(shape);
  const auto expect_refused = [&](Workspace<float>& workspace, std::string_view which) {
    EXPECT_EQ(test::error_of([&] { engine.run(in, workspace); }), "this workspace was made by another engine") << which;
    EXPECT_EQ(test::error_of([&] { engine.features(workspace); }), "this workspace was made by another engine")
        << which;
  };
  Workspace<float> own = engine.workspace();
  EXPECT_NO_THROW(engine.run(in, own));
  Workspace<float> of_another_shape =
      engine.prepared_for({.batch = 1, .height = 48, .width = 24, .channels = 3}).workspace();
  expect_refused(of_another_shape, "another shape");
  Workspace<float> of_two_threads = prepare(network, shape, {.threads = 2, .keep_features = true}).workspace();
  expect_refused(of_two_threads, "two threads");
  Workspace<float> more_maps(own.size(), own.size(), std::make_unique<ThreadPool>(1));  // no place for scratch memory
  expect_refused(more_maps, "another division");
  Workspace<float> more_threads(own.size(), own.maps_size(),
                                std::make_unique<ThreadPool>(2));  // no place for the second one's scratch memory
  expect_refused(more_threads, "more threads");
  const Workspace<float> moved = std::move(own);
  expect_refused(own, "moved from");
  EXPECT_EQ(moved.size() * 4, engine.workspace_bytes());
}

TEST(Prepare, RefusesShapesThatTheNetworkCannotTake) {
  const FoldedVanillaNet<float> network({.widths = {9, 17}, .strides = {2}, .classes = 7});
  EXPECT_EQ(test::error_of([&] { prepare(network, {.batch = 1, .height = 24, .width = 24, .channels = 4}); }),
            "a convolution of 3 channels was given 4");
  EXPECT_NE(test::error_of([&] {
              prepare(network, {.batch = 1, .height = 7, .width = 24, .channels = 3});
            }).find("too small"),
            std::string::npos);
  EXPECT_THROW(prepare(network, {.batch = 0, .height = 24, .width = 24, .channels = 3}), Error);
  EXPECT_THROW(prepare(network, {.batch = 1, .height = 0, .width = 24, .channels = 3}), Error);
  EXPECT_THROW(prepare(network, {.batch = 1, .height = 24, .width = -1, .channels = 3}), Error);
  const Index huge = Index{1} << 40;
  EXPECT_THROW(prepare(network, {.batch = huge, .height = huge, .width = huge, .channels = 3}), Error);
  EXPECT_THROW(prepare(network, {.batch = 1, .height = huge, .width = huge / 4, .channels = 3}), Error);
}

TEST(Prepare, RefusesNumbersOfThreadsThatAreNone) {
  const FoldedVanillaNet<float> network({.widths = {9, 17}, .strides = {2}, .classes = 7});
  const Shape shape{.batch = 1, .height = 24, .width = 24, .channels = 3};
  EXPECT_THROW(prepare(network, shape, {.threads = 0}), Error);
  EXPECT_THROW(prepare(network, shape, {.threads = -3}), Error);
  EXPECT_THROW(prepare(network, shape, {.threads = std::numeric_limits<Index>::max()}), Error);
}

TEST(Engine, RefusesAProgramWithoutOperations) {
  EXPECT_THROW(Engine(std::make_shared<const Program<float>>(best_isa()), {.batch = 1}, {}), Error);
}

}  // namespace
}  // namespace plainnet
