// NFNets as trained against the same networks as plain loops, and what their configurations say.

#include <gtest/gtest.h>

#include "plainnet/networks/nfnet.hpp"
#include "plainnet/networks/parameters.hpp"
#include "support/compare.hpp"
#include "support/random.hpp"
#include "support/reference_nfnet.hpp"
#include "support/small_nfnets.hpp"

namespace plainnet {
namespace {

template <class T>
class NfNetOf : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(NfNetOf, Scalars);

TYPED_TEST(NfNetOf, IsThePublishedNetwork) {
  using T = TypeParam;
  std::uint64_t seed = 0;
  for (const auto& [name, config] : test::small_nfnets()) {
    NfNet<T> network(config);
    test::Random random(++seed);
    random.fill_network(network);
    const test::ReferenceNfNet reference(network);
    for (const Shape& picture : test::small_pictures(config, /*batch=*/1)) {
      SCOPED_TRACE(concatenate(name, ", ", to_string(picture)));
      const Tensor<T> in = random.map<T>(picture);
      std::vector<test::Map> stages;
      const test::Map expected = reference.forward(test::to_reference(in), stages);
      // What a sum of some hundred terms loses is multiplied by the depth of the network.
      const auto tolerance = [](const test::Map& map) {
        return test::rounding_error<T>(3000, test::largest_magnitude(map));
      };
      std::size_t next = 0;
      const Tensor<T> logits = network.forward(in, [&](std::string_view stage, TensorView<const T> map) {
        ASSERT_LT(next, stages.size());
        EXPECT_EQ(stage, concatenate("stages.", next));
        EXPECT_TRUE(test::near_everywhere<T>(map, stages[next], tolerance(stages[next]))) << stage;
        ++next;
      });
      EXPECT_EQ(next, stages.size());
      EXPECT_TRUE(test::near_everywhere(logits, expected, tolerance(expected)));
      EXPECT_EQ(network.output_shape(picture), logits.shape());
      if (testing::Test::HasFailure()) return;
    }
  }
}

// All zero but the gains: nothing is added to a shortcut, and every convolution gives its bias.
TEST(NfNet, BeginsWithGainsOfOneAndNothingElse) {
  const NfNet<float> network(test::small_nfnet());
  for_each_parameter(network, [](const std::string& name, const auto& parameter, ParameterKind kind) {
    EXPECT_EQ(kind, ParameterKind::learned);
    for (const float value : parameter) EXPECT_EQ(value, name.ends_with(".gain") ? 1.0f : 0.0f) << name;
  });
}

TEST(NfNet, CountsMultiplyAddsOfConvolutionsGatesAndHead) {
  // One block of each kind on a map of 6×5 pixels, worked out by hand: stem 12×10 → 6×5, halved 3×3 (both odd ends
  // are kept).
  NfNetConfig config{.depths = {1, 1},
                     .widths = {16, 32},
                     .is_deepmind = true,
                     .stem_widths = {4, 8},
                     .group_width = 8,
                     .final_width = 10,
                     .classes = 7};
  const NfNet<float> network(config);
  const Index stem = 12 * 10 * (3 * 9 * 4) + 6 * 5 * (4 * 9 * 8);
  const Index first = 30 * (8 * 16 + 8 * 8 + 2 * (8 * 9 * 8) + 8 * 16) + 2 * 16 * 8;
  const Index second = 30 * 16 * 16 + 9 * (16 * 32 + 2 * (8 * 9 * 16) + 16 * 32) + 2 * 32 * 16;
  EXPECT_EQ(network.macs({.batch = 1, .height = 24, .width = 20, .channels = 3}),
            stem + first + second + 9 * 32 * 10 + 10 * 7);
  EXPECT_EQ(network.macs({.batch = 3, .height = 24, .width = 20, .channels = 3}),
            3 * (stem + first + second + 9 * 32 * 10 + 10 * 7));
}

// The numbers of deepmind-research/nfnets: γ² · Var(act(x)) = 1 for standard normal x.
TEST(NfNetConfig, GammaKeepsTheVariance) {
  const auto variance_of = [](auto act) {
    double mean = 0.0, square = 0.0;
    for (int i = -120000; i < 120000; ++i) {  // ±12 deviations
      const double x = (i + 0.5) * 1e-4;
      const double weight = std::exp(-x * x / 2) / std::sqrt(2 * 3.14159265358979324) * 1e-4;
      mean += weight * act(x);
      square += weight * act(x) * act(x);
    }
    return square - mean * mean;
  };
  // They come from experiments on a million numbers, so that three digits agree.
  const auto expect = [&](NfActivation activation, auto act) {
    EXPECT_NEAR(activation_gamma(activation), 1.0 / std::sqrt(variance_of(act)), 4e-3);
  };
  expect(NfActivation::relu, [](double x) { return x < 0 ? 0 : x; });
  expect(NfActivation::gelu, [](double x) { return x * std::erfc(-x / std::sqrt(2.0)) / 2; });
  expect(NfActivation::silu, [](double x) { return x / (1 + std::exp(-x)); });
}

TEST(NfNetConfig, CutsBottlenecksToWholeGroups) {
  const auto block_of = [](Index width, Index group_width, double bottleneck, bool whole_groups) {
    NfNetConfig config;
    config.group_width = group_width;
    config.bottleneck = bottleneck;
    config.whole_groups = whole_groups;
    const NfBlockSizes block = config.block(3, width, 1, 1.0);
    return std::pair(block.middle_channels, block.groups);
  };
  using Sizes = std::pair<Index, Index>;
  EXPECT_EQ(block_of(256, 128, 0.5, true), (Sizes{128, 1}));
  EXPECT_EQ(block_of(1536, 128, 0.5, true), (Sizes{768, 6}));
  EXPECT_EQ(block_of(384, 128, 0.5, true), (Sizes{128, 1}));   // the released code of the widened networks
  EXPECT_EQ(block_of(384, 128, 0.5, false), (Sizes{192, 1}));  // and their published counts
  EXPECT_EQ(block_of(768, 128, 0.5, false), (Sizes{384, 3}));
  EXPECT_EQ(block_of(600, 128, 0.5, false), (Sizes{304, 2}));
  EXPECT_EQ(block_of(784, 128, 0.5, false), (Sizes{384, 3}));  // 392 channels are not three groups
  EXPECT_EQ(block_of(256, 64, 0.25, true), (Sizes{64, 1}));
  EXPECT_EQ(block_of(1536, 64, 0.25, true), (Sizes{384, 6}));
  EXPECT_EQ(block_of(2048, 0, 0.25, true), (Sizes{512, 1}));  // dense
  EXPECT_EQ(block_of(21, 8, 0.5, true), (Sizes{16, 2}));      // 10.5: 8 would be less than nine tenths
  EXPECT_EQ(block_of(10, 8, 0.1, true), (Sizes{8, 1}));
}

TEST(NfNetConfig, RefusesWhatIsNoNetwork) {
  const auto message = [](const auto& change) {
    NfNetConfig config = test::small_nfnet();
    change(config);
    return test::error_of([&] { NfNet<float> network(config); });
  };
  EXPECT_NO_THROW(NfNet<float>{test::small_nfnet()});
  EXPECT_EQ(message([](auto& c) { c.widths.pop_back(); }),
            "an NFNet needs a depth and a width for each stage; found 3 depths and 2 widths");
  EXPECT_EQ(message([](auto& c) { c.depths.clear(), c.widths.clear(); }),
            "an NFNet needs a depth and a width for each stage; found 0 depths and 0 widths");
  const std::string positive = "an NFNet needs positive depths, widths, classes and input channels";
  EXPECT_EQ(message([](auto& c) { c.depths[1] = 0; }), positive);
  EXPECT_EQ(message([](auto& c) { c.widths[1] = -1; }), positive);
  EXPECT_EQ(message([](auto& c) { c.stem_widths[1] = 0; }), positive);
  EXPECT_EQ(message([](auto& c) { c.classes = 0; }), positive);
  EXPECT_EQ(message([](auto& c) { c.in_channels = 0; }), positive);
  EXPECT_EQ(message([](auto& c) { c.final_width = -1; }), positive);
  EXPECT_EQ(message([](auto& c) { c.group_width = -8; }), positive);
  EXPECT_EQ(message([](auto& c) { c.stem_widths = {8}; }),
            "an NFNet's stem has one convolution before its pool, or at least two; found 1");
  EXPECT_EQ(message([](auto& c) { c.stem = NfStem::pooled_7x7; }),
            "an NFNet's stem has one convolution before its pool, or at least two; found 4");
  EXPECT_EQ(message([](auto& c) { c.bottleneck = 0; }), "an NFNet's bottleneck and reduction are positive parts");
  EXPECT_EQ(message([](auto& c) { c.reduction = -1; }), "an NFNet's bottleneck and reduction are positive parts");
}

TEST(NfNet, RefusesOtherChannels) {
  const NfNet<float> network(test::small_nfnet());
  EXPECT_EQ(test::error_of([&] { network.output_shape({.batch = 1, .height = 32, .width = 32, .channels = 4}); }),
            "a convolution of 3 channels was given 4");
}

}  // namespace
}  // namespace plainnet
