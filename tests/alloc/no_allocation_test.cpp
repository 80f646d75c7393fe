// A run of an engine allocates nothing.

#include <atomic>
#include <cstdlib>
#include <new>

#include <gtest/gtest.h>

#include "alloc/counted_new.hpp"
#include "plainnet/core/thread_pool.hpp"
#include "plainnet/engine/engine.hpp"
#include "support/isas.hpp"
#include "support/random.hpp"
#include "support/small_nfnets.hpp"

namespace plainnet {
namespace {

using test::allocations_of;

TEST(OperatorNew, IsCountedInEveryForm) {
  // Called by name: a compiler may leave out a new-expression whose result nobody uses.
  const auto count = [](auto... arguments) {
    return allocations_of([&] { ::operator delete(::operator new(8, arguments...)); }) +
           allocations_of([&] { ::operator delete[](::operator new[](8, arguments...)); });
  };
  EXPECT_EQ(count(), 2);
  EXPECT_EQ(count(std::align_val_t{64}), 2);
  EXPECT_EQ(allocations_of([] { ::operator delete(::operator new(8, std::nothrow)); }), 1);
  EXPECT_EQ(allocations_of([] { ::operator delete[](::operator new[](8, std::nothrow)); }), 1);
  EXPECT_EQ(allocations_of([] { AlignedVector<float> vector(100); }), 1);
  EXPECT_EQ(allocations_of([] { AlignedVector<float> vector(2'000'000); }), 1);  // by mmap()
  EXPECT_EQ(allocations_of([] {}), 0);
}

/// Runs a network of random weights three times, in each way in which an engine can be prepared.
template <class Network>
void expect_no_allocations(Network network, const Shape& input) {
  test::Random random(1);
  random.fill_network(network);
  const Tensor<float> in = random.map<float>(input);
  for (Isa isa : test::supported_isas()) {
    for (Index threads : {1, 2}) {
      for (bool keep_features : {false, true}) {
        SCOPED_TRACE(concatenate(to_string(isa), ", ", threads, " threads"));
        const Engine engine = prepare(network, input, {.threads = threads, .isa = isa, .keep_features = keep_features});
        Workspace<float> workspace = engine.workspace();
        for (int run = 0; run < 3; ++run) {
          EXPECT_EQ(allocations_of([&] { engine.run(in, workspace); }), 0) << "run " << run;
          EXPECT_EQ(allocations_of([&] { engine.run(in, workspace, [](Index, Index) noexcept { return true; }); }), 0);
        }
      }
    }
  }
}

// Networks that use every kind of operation.

TEST(Engine, AllocatesNothingInARunOfAVanillaNet) {
  constexpr Shape input{.batch = 2, .height = 64, .width = 72, .channels = 3};
  const auto expect = [&](const VanillaNetConfig& config, double slope) {
    expect_no_allocations(FoldedVanillaNet<float>(config, slope), input);
  };
  expect({.widths = {9, 17, 20}, .strides = {2, 1}, .classes = 7}, 1.0);
  expect({.widths = {9, 17, 20}, .strides = {2, 1}, .classes = 7, .act_num = 1}, 0.5);
  expect({.widths = {9, 17, 20}, .strides = {2, 2}, .adaptive_pools = {5, 2}, .classes = 7}, 1.0);
  expect({.widths = {64, 128, 256}, .strides = {2, 2}, .classes = 100}, 1.0);
}

TEST(Engine, AllocatesNothingInARunOfAMetaFormer) {
  for (const auto over : {NormOver::map, NormOver::channels}) {
    for (const std::string mixers : {"pifr", "ccaa"}) {
      const MetaFormerConfig config{.depths = {1, 1, 1, 1},
                                    .widths = {9, 17, 20, 40},
                                    .mixers = mixers,
                                    .generation = MetaFormerGeneration::baselines,
                                    .norm_over = over,
                                    .mlp_head = true,
                                    .position_stage = 1,
                                    .classes = 7,
                                    .size = 64};
      expect_no_allocations(PublishedFoldedMetaFormer<float>(config), {2, 64, 64, 3});
    }
  }
}

TEST(Engine, AllocatesNothingInARunOfAnNfNet) {
  for (const bool is_deepmind : {false, true}) {
    for (const NfAttention attention : {NfAttention::none, NfAttention::squeeze_excite, NfAttention::efficient}) {
      NfNetConfig config = test::small_nfnet(is_deepmind);
      config.attention = attention;
      if (attention == NfAttention::none) config.stem = NfStem::pooled_7x7, config.stem_widths = {13};
      expect_no_allocations(FoldedNfNet<float>(config), {2, 25, 38, 3});
    }
  }
}

TEST(ThreadPool, AllocatesNothingInARun) {
  ThreadPool pool(4);
  std::atomic<Index> sum = 0;
  EXPECT_EQ(allocations_of([&] {
              for (int run = 0; run < 20; ++run) pool.run([&](Index i) { sum += i; });
            }),
            0);
  EXPECT_EQ(sum, 20 * 6);
}

}  // namespace
}  // namespace plainnet
