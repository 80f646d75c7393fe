#include <gtest/gtest.h>

#include "plainnet/model.hpp"
#include "support/compare.hpp"
#include "support/random.hpp"

namespace plainnet {
namespace {

const VanillaNetConfig& narrow() { return std::get<VanillaNetConfig>(variant_named("vanillanet_test").config); }

constexpr Shape picture{.batch = 1, .height = 64, .width = 64, .channels = 3};

VanillaNet<float> random_network(double slope = 1.0) {
  VanillaNet<float> network(narrow(), slope);
  test::Random(1).fill_network(network);
  return network;
}

Tensor<float> run(const AnyFolded<float>& network, const Tensor<float>& in) {
  return std::visit([&](const auto& folded) { return folded.forward(in); }, network);
}

double tolerance(const Tensor<float>& logits) {
  return test::rounding_error<float>(1000, test::largest_magnitude(logits));
}

TEST(OpenModel, TellsTheVariantItsFormAndItsSlope) {
  const VanillaNet<float> network = random_network();
  const Model trained = open_model(to_state_dict(network));
  EXPECT_EQ(trained.variant().name, "vanillanet_test");
  EXPECT_FALSE(trained.is_folded());
  EXPECT_EQ(trained.slope, 1.0);
  EXPECT_EQ(trained.classes(), 10);
  const Model folded = open_model(folded_state_dict(fold(network).network, "vanillanet_test"));
  EXPECT_TRUE(folded.is_folded());
  EXPECT_FALSE(folded.recognized.keeps_activations);
  EXPECT_EQ(folded.slope, 1.0);
}

TEST(OpenModel, TakesTheSlopeOfACheckpointWithItsTensors) {
  StateDict tensors = to_state_dict(random_network());
  tensors.metadata["plainnet.activation_slope"] = "0.375";
  EXPECT_EQ(open_model(tensors).slope, 0.375);
  EXPECT_EQ(open_model(tensors, {.slope = 0.5}).slope, 0.5);
  for (const char* bad : {"", "half", "0.5x", "nan", "2", "-0.5"}) {
    tensors.metadata["plainnet.activation_slope"] = bad;
    EXPECT_THROW(open_model(tensors), Error) << "'" << bad << "'";
  }
}

TEST(OpenModel, RefusesSlopesThatAreNone) {
  const StateDict tensors = to_state_dict(random_network());
  EXPECT_NO_THROW(open_model(tensors, {.slope = 0.0}));
  EXPECT_THROW(open_model(tensors, {.slope = 1.5}), Error);
  EXPECT_THROW(open_model(tensors, {.slope = -0.1}), Error);
  EXPECT_THROW(open_model(tensors, {.slope = std::nan("")}), Error);
}

TEST(OpenModel, RefusesASlopeThatAFoldedFileContradicts) {
  const StateDict merged = folded_state_dict(fold(random_network()).network, "vanillanet_test");
  EXPECT_NO_THROW(open_model(merged, {.slope = 1.0}));
  EXPECT_NE(test::error_of([&] { open_model(merged, {.slope = 0.5}); }).find("was folded at slope 1"),
            std::string::npos);

  StateDict kept = folded_state_dict(fold(random_network(0.5)).network, "vanillanet_test");
  EXPECT_EQ(open_model(kept).slope, 0.5);
  EXPECT_EQ(open_model(kept, {.slope = 0.25}).slope, 0.25);
  EXPECT_NE(test::error_of([&] { open_model(kept, {.slope = 1.0}); }).find("which a slope of 1 contradicts"),
            std::string::npos);
  kept.metadata.erase("plainnet.activation_slope");
  EXPECT_NE(test::error_of([&] { open_model(kept); }).find("neither the file nor you say their slope"),
            std::string::npos);
  EXPECT_EQ(open_model(kept, {.slope = 0.25}).slope, 0.25);
}

TEST(LoadTrained, GivesTheNetworkBack) {
  const VanillaNet<float> network = random_network(0.25);
  const Tensor<float> in = test::Random(2).map<float>(picture);
  LoadReport report;
  const Model model = open_model(to_state_dict(network), {.slope = 0.25});
  const auto loaded = load_trained<float>(model, &report);
  EXPECT_TRUE(test::same_bits(std::get<VanillaNet<float>>(loaded).forward(in), network.forward(in)));
  EXPECT_EQ(report.parameters, to_state_dict(network).size());
  EXPECT_EQ(std::get<VanillaNet<double>>(load_trained<double>(model)).slope(), 0.25);
}

TEST(LoadTrained, RefusesAFoldedFile) {
  const Model model = open_model(folded_state_dict(fold(random_network()).network, "vanillanet_test"));
  EXPECT_NE(test::error_of([&] { load_trained<float>(model); }).find("holds the folded form"), std::string::npos);
}

TEST(LoadFolded, FoldsWhatIsNotYetFolded) {
  for (double slope : {1.0, 0.5}) {
    const VanillaNet<float> network = random_network(slope);
    const Tensor<float> in = test::Random(3).map<float>(picture);
    const Tensor<float> expected = network.forward(in);
    LoadReport report;
    const Tensor<float> of_trained =
        run(load_folded<float>(open_model(to_state_dict(network), {.slope = slope}), {.threads = 2}, &report), in);
    EXPECT_TRUE(test::near_everywhere(of_trained, expected, tolerance(expected))) << slope;
    EXPECT_GT(report.parameters, 0);
    const StateDict file = folded_state_dict(fold(network).network, "vanillanet_test");
    EXPECT_TRUE(test::same_bits(run(load_folded<float>(open_model(file)), in), of_trained)) << slope;
  }
}

template <class Network>
std::pair<Index, Index> shared_and_all(const Network& network) {
  std::pair<Index, Index> counts;
  for_each_parameter(network, [&](const std::string&, const auto& parameter, ParameterKind) {
    counts.first += parameter.is_shared() ? 1 : 0;
    counts.second += 1;
  });
  return counts;
}

// A network of its own, even where folding passes a parameter on as it is; only who asks for it shares the file's
// memory.
TEST(LoadFolded, SharesNothingWithTheFileUnlessAsked) {
  const auto check = [](const StateDict& file) {
    const Model model = open_model(file);
    const AnyFolded<float> own = load_folded<float>(model);
    const AnyFolded<float> shared = load_folded<float>(model, {}, nullptr, {.share = true});
    std::visit([](const auto& network) { EXPECT_EQ(shared_and_all(network).first, 0); }, own);
    const auto [some, all] = std::visit([](const auto& network) { return shared_and_all(network); }, shared);
    EXPECT_GT(some, 0);
    EXPECT_TRUE(!model.is_folded() || some == all);
    const StateDict left = std::visit([](const auto& network) { return to_state_dict(network); }, own);
    const StateDict right = std::visit([](const auto& network) { return to_state_dict(network); }, shared);
    ASSERT_EQ(left.size(), right.size());
    for (const auto& [name, tensor] : left) {
      EXPECT_TRUE(std::ranges::equal(tensor.bytes, right.at(name).bytes)) << name;
    }
  };
  const VanillaNet<float> network = random_network();
  check(folded_state_dict(fold(network).network, "vanillanet_test"));
  AnyTrained<float> nfnet = make_trained<float>(variant_named("eca_nfnet_l0").config, 1.0);
  std::visit(
      [&](auto& trained) {
        test::Random(2).fill_network(trained);
        check(to_state_dict(trained));
      },
      nfnet);
}

TEST(FoldedStateDict, SaysWhatShapesDoNotTell) {
  const StateDict merged = folded_state_dict(fold(random_network()).network, "vanillanet_test");
  EXPECT_EQ(merged.metadata.at("plainnet.model"), "vanillanet_test");
  EXPECT_EQ(merged.metadata.at("format"), "pt");
  EXPECT_FALSE(merged.metadata.contains("plainnet.activation_slope"));
  // The shortest text that gives the number back.
  const StateDict kept = folded_state_dict(fold(random_network(0.1)).network, "vanillanet_test");
  EXPECT_EQ(kept.metadata.at("plainnet.activation_slope"), "0.1");
  const double odd = std::nextafter(1.0 / 3.0, 1.0);
  EXPECT_EQ(open_model(folded_state_dict(fold(random_network(odd)).network, "vanillanet_test")).slope, odd);
}

}  // namespace
}  // namespace plainnet
