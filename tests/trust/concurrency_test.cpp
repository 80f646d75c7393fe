// Engines shared by threads: the bits of each answer are those it has alone, whatever the others run, cancel or make.
// A program of its own, to be built with the thread sanitizer too (preset tsan).

#include <array>
#include <atomic>
#include <latch>
#include <map>
#include <optional>
#include <thread>

#include <gtest/gtest.h>

#include "plainnet/classifier.hpp"
#include "support/compare.hpp"
#include "trust/narrow_networks.hpp"

namespace plainnet::test {
namespace {

constexpr int threads_at_once = 8;

/// Calls task(thread) on eight threads that begin together; the messages of those that found something wrong.
template <class Task>
void on_eight_threads(Task&& task) {
  std::array<std::string, threads_at_once> wrong;
  std::latch all_here(threads_at_once);
  std::vector<std::thread> threads;
  for (int t = 0; t < threads_at_once; ++t) {
    threads.emplace_back([&, t] {
      all_here.arrive_and_wait();
      wrong[static_cast<std::size_t>(t)] = task(t);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& message : wrong) EXPECT_EQ(message, "");
}

/// An engine, two inputs and what it answers.
struct Subject {
  std::string name;
  Engine engine;
  std::array<Tensor<float>, 2> inputs;
  std::array<Tensor<float>, 2> expected;
};

/// Every network for two sizes of picture, batches of 1 and 3, and 1, 2 and 3 threads. The answers are those of one
/// image at a time on one thread, before any other thread runs.
std::vector<Subject> subjects() {
  std::vector<Subject> all;
  Random random(1);
  for (const NarrowNetwork& network : narrow_networks()) {
    for (const Shape& picture : network.pictures) {
      for (const Index batch : {1, 3}) {
        const Shape shape = batch_of(picture, batch);
        const std::array inputs = {random.map<float>(shape), random.map<float>(shape)};
        const std::array expected = {run_one_by_one(network, inputs[0]), run_one_by_one(network, inputs[1])};
        for (const Index threads : {1, 2, 3}) {
          all.push_back({concatenate(network.name, ", ", to_string(shape), ", ", threads, " threads"),
                         network.prepare(shape, {.threads = threads}), inputs, expected});
        }
      }
    }
  }
  return all;
}

/// The workspaces of one thread, made when they are first needed, on pools that it shares with no other.
class Workspaces {
 public:
  Workspace<float>& of(const Subject& subject) {
    auto& place = workspaces_[&subject];
    if (!place) {
      const auto threads = static_cast<std::size_t>(subject.engine.options().threads);
      place.emplace(subject.engine.workspace(pools_[threads - 1]));
    }
    return *place;
  }

 private:
  std::array<ThreadPool, 3> pools_{ThreadPool(1), ThreadPool(2), ThreadPool(3)};
  std::map<const Subject*, std::optional<Workspace<float>>> workspaces_;
};

/// Runs up to a step that the hook ends it at; whether it ended there, and all steps before were reported in order.
bool is_cancelled(const Subject& subject, const Tensor<float>& in, Workspace<float>& workspace, Index at) {
  Index next = 0;
  bool in_order = true;
  const auto result = subject.engine.run(in, workspace, [&](Index done, Index all) noexcept {
    in_order = in_order && done == next && all == subject.engine.step_count();
    ++next;
    return done < at;
  });
  return !result && in_order && next == at + 1;
}

TEST(Concurrency, TenThousandRunsOnEightThreadsHaveTheBitsThatTheyHaveAlone) {
  const std::vector<Subject> all = subjects();
  std::atomic<int> runs = 0;
  std::atomic<int> cancelled = 0;
  on_eight_threads([&](int thread) -> std::string {
    Workspaces workspaces;
    Random random(static_cast<std::uint64_t>(100 + thread));
    for (int i = 0; i < 10'000 / threads_at_once; ++i) {
      const Subject& subject = all[static_cast<std::size_t>(random.integer(0, static_cast<Index>(all.size()) - 1))];
      Workspace<float>& workspace = workspaces.of(subject);
      const std::size_t which = random.coin() ? 1 : 0;
      if (i % 8 == 0) {
        const Index at = random.integer(0, subject.engine.step_count());
        if (!is_cancelled(subject, subject.inputs[1 - which], workspace, at)) return subject.name + ": not cancelled";
        ++cancelled;
      }
      const auto same =
          same_bits<float>(subject.engine.run(subject.inputs[which], workspace), subject.expected[which].view());
      if (!same) return concatenate(subject.name, ", run ", i, ": ", same.message());
      ++runs;
    }
    return "";
  });
  EXPECT_EQ(runs, 10'000);
  EXPECT_GE(cancelled, 1'000);
}

// Workspaces with threads of their own, engines for other shapes and copies, made while others run.
TEST(Concurrency, EnginesAndWorkspacesAreMadeWhileOthersRun) {
  const std::vector<NarrowNetwork> networks = narrow_networks();
  struct Shared {
    Engine engine;
    Tensor<float> in;
    Tensor<float> expected;
  };
  std::vector<Shared> all;
  for (const NarrowNetwork& network : networks) {
    const Shape shape = batch_of(network.pictures.back(), 2);
    const Tensor<float> in = Random(2).map<float>(shape);
    all.push_back({network.prepare(network.pictures.back(), {.threads = 2}), in, run_one_by_one(network, in)});
  }
  on_eight_threads([&](int thread) -> std::string {
    for (std::size_t i = 0; i < 3 * all.size(); ++i) {
      const Shared& shared = all[(i + static_cast<std::size_t>(thread)) % all.size()];
      const Engine engine = Engine(shared.engine).prepared_for(shared.in.shape());
      const auto same = same_bits(run_alone(engine, shared.in), shared.expected);
      if (!same) return concatenate("run ", i, ": ", same.message());
    }
    return "";
  });
}

TEST(Concurrency, EightThreadsShareAClassifier) {
  const auto folder = std::filesystem::path(PLAINNET_MODELS) / "digits";
  const Classifier classifier(folder / "digits.safetensors", {.threads = 2});
  const auto picture = [](int i) {
    Image image(40, 40);
    Random random(static_cast<std::uint64_t>(i));
    for (std::uint8_t& value : image.pixels) value = static_cast<std::uint8_t>(random.integer(0, 255));
    return image;
  };
  std::vector<std::vector<Prediction>> expected;
  for (int i = 0; i < 4; ++i) expected.push_back(classifier.classify(picture(i)));
  on_eight_threads([&](int thread) -> std::string {
    for (int i = thread; i < thread + 8; ++i) {
      const std::vector<Prediction> found = classifier.classify(picture(i % 4));
      const std::vector<Prediction>& wanted = expected[static_cast<std::size_t>(i % 4)];
      for (std::size_t k = 0; k < wanted.size(); ++k) {
        if (found[k].index != wanted[k].index || found[k].probability != wanted[k].probability) return "another answer";
      }
    }
    return "";
  });
}

}  // namespace
}  // namespace plainnet::test
