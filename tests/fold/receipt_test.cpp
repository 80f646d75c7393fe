#include <limits>

#include <gtest/gtest.h>

#include "plainnet/fold/receipt.hpp"
#include "support/compare.hpp"
#include "support/random.hpp"

namespace plainnet {
namespace {

const VanillaNetConfig config{.widths = {5, 7, 9}, .strides = {2, 1}, .classes = 11, .act_num = 1};
constexpr Shape input{.batch = 1, .height = 32, .width = 32, .channels = 3};
constexpr Shape probe{.batch = 2, .height = 16, .width = 24, .channels = 3};

TEST(MakeReceipt, SaysWhatFoldingSavesAndThatItChangesNothing) {
  VanillaNet<float> trained(config);
  test::Random(1).fill_network(trained);
  const auto folding = fold(trained);
  const FoldReceipt receipt = make_receipt(before_folding(trained, input, probe), folding);
  EXPECT_EQ(receipt.parameters_before, count_parameters(trained));
  EXPECT_EQ(receipt.parameters_after, count_parameters(folding.network));
  EXPECT_LT(receipt.parameters_after, receipt.parameters_before);
  EXPECT_EQ(receipt.macs_before, trained.macs(input));
  EXPECT_EQ(receipt.macs_after, folding.network.macs(input));
  EXPECT_LT(receipt.macs_after, receipt.macs_before);
  EXPECT_EQ(receipt.input, input);
  EXPECT_EQ(receipt.probe, probe);
  EXPECT_EQ(receipt.merges.size(), folding.merges.size());
  const Tensor<float> logits = trained.forward(probe_input<float>(probe));
  EXPECT_EQ(receipt.largest_logit, test::largest_magnitude(logits));
  EXPECT_GT(receipt.largest_logit, 0.0);
  EXPECT_LE(receipt.largest_difference, test::rounding_error<float>(1000, receipt.largest_logit));
}

TEST(MakeReceipt, ShowsADifference) {
  VanillaNet<float> trained(config);
  test::Random(2).fill_network(trained);
  auto folding = fold(trained);
  for_each_parameter(folding.network, [](const std::string& name, Parameter<float>& parameter, ParameterKind) {
    if (name == "cls.2.bias") parameter[3] += 0.5f;
  });
  EXPECT_NEAR(make_receipt(before_folding(trained, input, probe), folding).largest_difference, 0.5, 0.001);
}

TEST(MakeReceipt, HidesNoNaN) {
  VanillaNet<float> trained(config);
  test::Random(3).fill_network(trained);
  auto folding = fold(trained);
  for_each_parameter(folding.network, [](const std::string& name, Parameter<float>& parameter, ParameterKind) {
    if (name == "cls.2.bias") parameter[3] = std::numeric_limits<float>::quiet_NaN();
  });
  EXPECT_TRUE(std::isnan(make_receipt(before_folding(trained, input, probe), folding).largest_difference));
}

TEST(ProbeInput, IsNoiseBetweenMinusOneAndOne) {
  const Tensor<float> noise = probe_input<float>(probe);
  EXPECT_TRUE(test::same_bits(noise, probe_input<float>(probe)));
  const auto values = noise.matrix().array();
  EXPECT_GE(values.minCoeff(), -1.0f);
  EXPECT_LT(values.maxCoeff(), 1.0f);
  // Of 2304 uniform numbers: mean 0 ± 0.012, standard deviation 1/√3; five deviations.
  EXPECT_NEAR(values.mean(), 0.0, 5 * 0.012);
  EXPECT_NEAR(std::sqrt(values.square().mean()), std::sqrt(1.0 / 3.0), 0.05);
  EXPECT_TRUE(test::same_bits(Tensor<double>(noise), probe_input<double>(probe)));
}

}  // namespace
}  // namespace plainnet
