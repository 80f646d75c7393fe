// The same bits for every number of threads and every run; across instruction sets, within a bound.

#include <gtest/gtest.h>

#include "plainnet/model.hpp"
#include "support/compare.hpp"
#include "support/isas.hpp"
#include "trust/narrow_networks.hpp"

namespace plainnet::test {
namespace {

TEST(Determinism, EveryNumberOfThreadsAndEveryRunGivesTheSameBits) {
  for (const NarrowNetwork& network : narrow_networks()) {
    for (const Shape& picture : network.pictures) {
      const Tensor<float> in = Random(1).map<float>(batch_of(picture, 2));
      const Tensor<float> other = Random(2).map<float>(in.shape());
      for (const Isa isa : supported_isas()) {
        const Tensor<float> expected = run_one_by_one(network, in, {.isa = isa});
        for (const Index threads : {1, 2, 3, 5}) {
          SCOPED_TRACE(concatenate(network.name, ", ", to_string(picture), ", ", to_string(isa), ", ", threads));
          const Engine engine = network.prepare(in.shape(), {.threads = threads, .isa = isa});
          Workspace<float> workspace = engine.workspace();
          for (int run = 0; run < 3; ++run) {
            ASSERT_TRUE(same_bits<float>(engine.run(in, workspace), expected)) << "run " << run;
            engine.run(other, workspace);  // what it leaves in the workspace
          }
        }
      }
    }
  }
}

/// What the logits of two instruction sets may be apart by. They add up the same terms in another order, and with fma
/// round less often. A norm or a softmax multiplies what came before by one over a deviation, which is now and then
/// small. The largest seen: 3 ε without norms, in a thousand comparisons, 170 ε with, in five thousand of 270 networks.
double bound(bool has_norms, double largest_logit) {
  return rounding_error<float>(has_norms ? 256 : 16, largest_logit);
}

TEST(Determinism, InstructionSetsDifferByNoMoreThanTheBound) {
  for (const NarrowNetwork& network : narrow_networks()) {
    for (const Shape& picture : network.pictures) {
      const Engine first = network.prepare(picture, {.isa = Isa::baseline});
      for (const Isa isa : supported_isas()) {
        const Engine other = network.prepare(picture, {.isa = isa});
        for (std::uint64_t seed = 0; seed < 20; ++seed) {
          const Tensor<float> in = Random(seed).map<float>(picture);
          const Tensor<float> expected = run_alone(first, in);
          EXPECT_TRUE(
              near_everywhere(run_alone(other, in), expected, bound(network.has_norms, largest_magnitude(expected))))
              << network.name << ", " << to_string(picture) << ", " << to_string(isa) << ", picture " << seed;
        }
      }
    }
  }
}

// The same of weights that were trained.
TEST(Determinism, InstructionSetsAgreeOnTheDigitsModel) {
  const Model model = open_model(std::filesystem::path(PLAINNET_MODELS) / "digits/digits.safetensors");
  std::visit(
      [&](const auto& network) {
        const Shape picture = model.variant().input_shape();
        const Engine first = prepare(network, picture, {.isa = Isa::baseline});
        for (const Isa isa : supported_isas()) {
          const Engine other = prepare(network, picture, {.isa = isa});
          for (std::uint64_t seed = 0; seed < 20; ++seed) {
            const Tensor<float> in = Random(seed).map<float>(picture);
            const Tensor<float> expected = run_alone(first, in);
            EXPECT_TRUE(near_everywhere(run_alone(other, in), expected, bound(false, largest_magnitude(expected))))
                << to_string(isa) << ", picture " << seed;
          }
        }
      },
      load_folded<float>(model));
}

}  // namespace
}  // namespace plainnet::test
