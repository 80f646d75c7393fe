#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "support/golden_rule.hpp"

namespace plainnet::test {
namespace {

struct Case {
  std::string name;
  Extents extents;
  std::uint64_t seed;
  std::string_view rule;
  std::vector<std::pair<Index, double>> samples;  // position, value by the rule in NumPy
};

// clang-format off
const Case cases[] = {
    {"stem1.0.weight", {32, 3, 4, 4}, 7, "weight",
     {{0, 0x1.4279cp-5}, {1, -0x1.58aab4p-3}, {768, 0x1.b73484p-3}, {1535, 0x1.e1f74p-4}}},
    {"stages.0.conv2.1.weight", {64}, 0, "scale",
     {{0, 0x1.12b67p+0}, {1, 0x1.85f5ep-1}, {32, 0x1.88c8acp-1}, {63, 0x1.bb0c48p-1}}},
    {"stages.0.conv2.1.bias", {64}, 0, "bias",
     {{0, 0x1.93c13p-4}, {1, -0x1.1f249p-4}, {32, -0x1.3726p-7}, {63, -0x1.3e3d8p-7}}},
    {"stages.0.act.bn.running_mean", {13}, 7, "mean",
     {{0, -0x1.ec17cp-5}, {1, -0x1.a1c45p-5}, {6, -0x1.1ffe64p-3}, {12, 0x1.88dfp-8}}},
    {"stages.0.act.bn.running_var", {13}, 7, "var",
     {{0, 0x1.5e8a36p-1}, {1, 0x1.e5fbfp-1}, {6, 0x1.4e6a86p+0}, {12, 0x1.79c52ap+0}}},
    {"stages.0.act.bn.num_batches_tracked", {}, 7, "zero", {{0, 0.0}}},
    {"network.4.0.token_mixer.random_matrix", {49, 49}, 3, "mixing",
     {{0, 0x1.7e494ep-8}, {1, 0x1.02d5dcp-7}, {1200, 0x1.7002c6p-9}, {2400, 0x1.192702p-6}}},
    {"network.0.0.layer_scale_1", {64}, 0, "small",
     {{0, 0x1.3c716p-1}, {1, 0x1.b1305ep-2}, {32, 0x1.9908e6p-2}, {63, 0x1.09569ap-2}}},
    {"stages.2.blocks.0.layer_scale1.scale", {64}, 0, "small",
     {{0, 0x1.25077ap-2}, {1, 0x1.57fa74p-1}, {32, 0x1.4fbb44p-2}, {63, 0x1.2a7222p-2}}},
    {"stages.2.blocks.0.res_scale2.scale", {64}, 0, "scale",
     {{0, 0x1.eff10cp-1}, {1, 0x1.037fc2p+0}, {32, 0x1.fd51aap-1}, {63, 0x1.24078cp+0}}},
    {"stages.0.0.skipinit_gain", {}, 0, "small", {{0, 0x1.e9195cp-2}}},
    {"stages.0.0.conv1.gain", {64, 1, 1, 1}, 0, "scale",
     {{0, 0x1.08c612p+0}, {1, 0x1.0eabcp+0}, {32, 0x1.171898p+0}, {63, 0x1.eee9e4p-1}}},
    {"pos_embed", {1, 14, 14, 8}, 0, "bias",
     {{0, -0x1.bd884cp-5}, {1, 0x1.8c6p-10}, {784, 0x1.1e4bdcp-4}, {1567, -0x1.7c925ap-5}}},
    {"stages.0.blocks.0.mlp.act.scale", {1}, std::uint64_t{1} << 63, "scale", {{0, 0x1.8b753cp-1}}},
};
// clang-format on

TEST(GoldenRule, GivesTheNumbersOfTheReferenceScript) {
  for (const Case& c : cases) {
    EXPECT_EQ(golden_rule_for(c.name, c.extents.rank()), c.rule) << c.name;
    Parameter<float> parameter(c.extents);
    fill(parameter, c.name, c.seed);
    Parameter<double> wide(c.extents);
    fill(wide, c.name, c.seed, c.rule);
    for (const auto& [position, value] : c.samples) {
      EXPECT_EQ(parameter[position], value) << c.name << " at " << position;
      EXPECT_EQ(wide[position], value) << c.name << " at " << position;
    }
  }
}

TEST(GoldenRule, TheImageIsThatOfTheReferenceScript) {
  const Tensor<float> image = golden_image(2, 40, 33, 7);
  EXPECT_EQ(image(0, 0, 0, 0), -0x1.0069ep-2f);
  EXPECT_EQ(image(0, 17, 16, 2), 0x1.60d7ap-2f);
  EXPECT_EQ(image(1, 39, 32, 1), -0x1.8c922p-4f);
  EXPECT_EQ(image(1, 16, 15, 0), -0x1.d1f61p-1f);
  double sum = 0;
  double magnitudes = 0;
  for (Index i = 0; i < image.shape().elements(); ++i) {
    sum += image.data()[i];
    magnitudes += std::abs(image.data()[i]);
  }
  EXPECT_NEAR(sum, -814.5432221889496, 1e-9);
  EXPECT_NEAR(magnitudes, 5758.630890727043, 1e-9);
}

TEST(GoldenRule, UnknownRulesAreRefused) {
  Parameter<float> parameter(Extents{3});
  EXPECT_THROW(fill(parameter, "x", 0, "weights"), Error);
}

}  // namespace
}  // namespace plainnet::test
