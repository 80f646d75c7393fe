// Memory that runs out while a network is loaded, folded, prepared or written, and a disk that is full: an exception
// and nothing else. Each allocation fails in turn, once alone and once with all that follow it.

#include <csignal>
#include <new>
#include <string>
#include <sys/resource.h>

#include <gtest/gtest.h>

#include "alloc/counted_new.hpp"
#include "io/temporary_folder.hpp"
#include "plainnet/engine/engine.hpp"
#include "plainnet/model.hpp"
#include "support/data.hpp"
#include "support/random.hpp"
#include "support/small_nfnets.hpp"

namespace plainnet::test {
namespace {

namespace fs = std::filesystem;

/// What became of a try; a plain value, so that nothing is allocated to tell it.
enum class Outcome { success, bad_alloc, error, other };

template <class Action>
Outcome outcome_of(Action& action, long failing, bool all_after) {
  Outcome outcome = Outcome::other;
  allocations.fail_at(failing, all_after);
  try {
    action();
    outcome = Outcome::success;
  } catch (const std::bad_alloc&) {
    outcome = Outcome::bad_alloc;
  } catch (const Error&) {
    outcome = Outcome::error;
  } catch (...) {
  }
  allocations.fail_no_more();
  return outcome;
}

/// Runs action() with its first allocation failing, then its second, until none is left to fail. Each time it must end
/// as it does with memory enough, `usual`, or throw std::bad_alloc, leave as much memory in use as before, and what
/// check(outcome) says. Returns how many of them threw std::bad_alloc.
template <class Action, class Check>
long fail_each(Action&& action, Check&& check, Outcome usual = Outcome::success) {
  EXPECT_EQ(outcome_of(action, 1L << 60, false), usual);  // makes the tables that are made once and stay
  const long needed = allocations_of([&] { outcome_of(action, 1L << 60, false); });
  check(usual);
  long failed = 0;
  for (const bool all_after : {false, true}) {
    for (long n = 1; n <= needed; ++n) {
      const long before = allocations.live;
      const Outcome outcome = outcome_of(action, n, all_after);
      const long left = allocations.live - before;
      if (outcome == Outcome::bad_alloc) ++failed;
      EXPECT_TRUE(outcome == usual || outcome == Outcome::bad_alloc) << "allocation " << n << " of " << needed;
      EXPECT_EQ(left, 0) << "allocation " << n << " of " << needed;
      check(outcome);
      if (testing::Test::HasFailure()) return failed;
    }
  }
  EXPECT_EQ(outcome_of(action, needed + 1, true), usual);
  return failed;
}
template <class Action>
long fail_each(Action&& action) {
  return fail_each(action, [](Outcome) {});
}

fs::path checkpoint(std::string_view name) { return data("checkpoints") / name; }

Model open(const fs::path& path) { return open_model(path, {.variant = "vanillanet_test"}); }

// First of all, since it is about what a program makes once: the table of variants.
TEST(AllocationFailure, InTheFirstUseOfTheLibraryIsNoHindranceToTheSecond) {
  const fs::path path = checkpoint("float32.safetensors");
  auto action = [&] { open(path); };
  for (long n = 1; n <= 100'000; ++n) {
    const Outcome outcome = outcome_of(action, n, true);
    ASSERT_TRUE(outcome == Outcome::success || outcome == Outcome::bad_alloc) << n;
    if (outcome == Outcome::success) break;
  }
  EXPECT_EQ(open(path).tensors.size(), 89u);
  EXPECT_GE(variants().size(), 50u);
}

class AllocationFailureInAFile : public testing::TestWithParam<const char*> {};

TEST_P(AllocationFailureInAFile, IsAnExceptionOfOpeningIt) {
  const fs::path path = checkpoint(GetParam());
  EXPECT_GT(fail_each([&] { open(path); }), 100);
}

TEST_P(AllocationFailureInAFile, IsAnExceptionOfLoadingAndFoldingIt) {
  const Model model = open(checkpoint(GetParam()));
  EXPECT_GT(fail_each([&] { load_folded<float>(model, {.threads = 2}); }), 10);
}

// safetensors; PyTorch's zip archive and the stream before it; tensors that must be copied; 16 bits; a folded form.
INSTANTIATE_TEST_SUITE_P(All, AllocationFailureInAFile,
                         testing::Values("float32.safetensors", "plain_state_dict.pth", "legacy_format.pth.tar",
                                         "views_and_strides.pth", "bfloat16.safetensors", "deploy_form.pth"),
                         [](const auto& row) {
                           std::string name = row.param;
                           for (char& c : name) c = c == '.' ? '_' : c;
                           return name;
                         });

/// Loads, folds and prepares a network of random weights, and makes a workspace of three threads.
template <class Network>
void expect_clean_failures(Network network, const Shape& input) {
  Random(1).fill_network(network);
  const StateDict tensors = to_state_dict(network);
  EXPECT_GT(fail_each([&] { load(network, tensors); }), 10);
  EXPECT_GT(fail_each([&] { fold(network, {.threads = 2}); }), 10);
  EXPECT_GT(fail_each([&] { fold(Network(network)); }), 10);
  const auto folded = fold(network).network;
  EXPECT_GT(fail_each([&] { prepare(folded, input, {.threads = 3, .keep_features = true}).workspace(); }), 10);
  EXPECT_GT(fail_each([&] { prepare(decltype(folded)(folded), input); }), 10);
}

TEST(AllocationFailure, IsAnExceptionOfEveryStepToAVanillaNet) {
  constexpr Shape input{.batch = 1, .height = 40, .width = 40, .channels = 3};
  expect_clean_failures(VanillaNet<float>({.widths = {5, 9}, .strides = {2}, .classes = 7}), input);
  expect_clean_failures(
      VanillaNet<float>({.widths = {5, 9, 6}, .strides = {2, 1}, .adaptive_pools = {5, 0}, .classes = 7}, 0.5), input);
}

TEST(AllocationFailure, IsAnExceptionOfEveryStepToAMetaFormer) {
  for (const std::string mixers : {"pifr", "ccaa"}) {
    const MetaFormerConfig config{.depths = {1, 1, 1, 1},
                                  .widths = {5, 9, 8, 6},
                                  .mixers = mixers,
                                  .generation = MetaFormerGeneration::baselines,
                                  .norm_over = mixers == "ccaa" ? NormOver::channels : NormOver::map,
                                  .mlp_head = true,
                                  .position_stage = mixers == "ccaa" ? -1 : 1,
                                  .classes = 7,
                                  .size = 64};
    expect_clean_failures(PublishedMetaFormer<float>(config), {1, 64, 64, 3});
  }
}

TEST(AllocationFailure, IsAnExceptionOfEveryStepToAnNfNet) {
  for (const NfAttention attention : {NfAttention::squeeze_excite, NfAttention::efficient}) {
    NfNetConfig config = small_nfnet();
    config.attention = attention;
    expect_clean_failures(NfNet<float>(config), {1, 25, 38, 3});
  }
}

// From 4 MB on, memory comes from mmap().
TEST(AllocationFailure, IsAnExceptionForLargeWeightsToo) {
  FoldedVanillaNet<float> network({.widths = {4, 1024, 1024}, .strides = {1, 1}, .classes = 2, .act_num = 0});
  EXPECT_GT(fail_each([&] { prepare(network, {1, 16, 16, 3}); }), 10);
  StateDict tensors = to_state_dict(network);
  EXPECT_GT(fail_each([&] { load(network, tensors); }), 10);
}

/// A folded network, a file that is to be replaced by it, and what that holds.
struct Writing {
  TemporaryFolder folder;
  fs::path path = folder / "out.safetensors";
  std::string old = "the old file";
  FoldedVanillaNet<float> network{VanillaNetConfig{.widths = {5, 9}, .strides = {2}, .classes = 7}};

  Writing() {
    Random(2).fill_network(network);
    write_text(path, old);
  }
  void operator()() const { write_safetensors(path, folded_state_dict(network, "vanillanet_test")); }

  void expect_untouched() const {
    EXPECT_EQ(read_text(path), old);
    EXPECT_EQ(folder.entries(), 1);
  }
  void expect_written() const {
    EXPECT_EQ(open_checkpoint(path).size(), to_state_dict(network).size());
    EXPECT_EQ(folder.entries(), 1);
  }
};

TEST(AllocationFailure, LeavesNoHalfWrittenFile) {
  const Writing write;
  const long failed = fail_each(write, [&](Outcome outcome) {
    outcome == Outcome::success ? write.expect_written() : write.expect_untouched();
    write_text(write.path, write.old);
  });
  EXPECT_GT(failed, 10);
}

/// Limits the size of files that this program may write, which is how a disk looks that is full after so many bytes.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(std::uintmax_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{static_cast<rlim_t>(bytes), before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int);
};

std::string message_of(const Writing& write, std::uintmax_t limit) {
  const FileSizeLimit full(limit);
  try {
    write();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(FullDisk, IsAnErrorWhereverItEndsAndTheOldFileStays) {
  const Writing write;
  write();
  const std::uintmax_t size = fs::file_size(write.path);
  write_text(write.path, write.old);
  for (const std::uintmax_t limit : {std::uintmax_t{0}, std::uintmax_t{7}, std::uintmax_t{100}, size / 2, size - 1}) {
    const std::string message = message_of(write, limit);
    EXPECT_NE(message.find(write.path.string() + ": cannot be written: "), message.npos) << limit << ": " << message;
    write.expect_untouched();
  }
  EXPECT_EQ(message_of(write, size), "");
  write.expect_written();
}

TEST(FullDisk, LeavesNothingWhereMemoryIsShortTooNotEvenForTheMessage) {
  const Writing write;
  const FileSizeLimit full(100);
  EXPECT_GT(fail_each(
                write, [&](Outcome) { write.expect_untouched(); }, Outcome::error),
            10);
}

}  // namespace
}  // namespace plainnet::test
