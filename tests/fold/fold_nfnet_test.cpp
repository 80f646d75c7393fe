// Folded NFNets against the trained ones they were folded from, with random numbers everywhere.

#include <map>

#include <gtest/gtest.h>

#include "plainnet/fold/fold.hpp"
#include "plainnet/networks/parameters.hpp"
#include "support/compare.hpp"
#include "support/random.hpp"
#include "support/small_nfnets.hpp"

namespace plainnet {
namespace {

template <class T>
NfNet<T> random_network(const NfNetConfig& config, std::uint64_t seed) {
  NfNet<T> network(config);
  test::Random(seed).fill_network(network);
  return network;
}

/// Both forms round; what a sum of some hundred terms loses is multiplied by the depth of the network.
template <class T>
double network_tolerance(const Tensor<T>& map) {
  return test::rounding_error<T>(3000, test::largest_magnitude(map));
}

template <class T>
void expect_same(const NfNet<T>& trained, const FoldedNfNet<T>& folded) {
  for (const Shape& picture : test::small_pictures(trained.config())) {
    SCOPED_TRACE(to_string(picture));
    const Tensor<T> in = test::Random(99).map<T>(picture);
    std::vector<std::pair<std::string, Tensor<T>>> maps;
    const Tensor<T> expected = trained.forward(in, [&](std::string_view name, TensorView<const T> map) {
      Tensor<T> copy(map.shape());
      std::copy_n(map.data(), map.shape().elements(), copy.data());
      maps.emplace_back(name, std::move(copy));
    });
    EXPECT_EQ(maps.size(), trained.stages.size());
    std::size_t next = 0;
    const Tensor<T> logits = folded.forward(in, [&](std::string_view name, TensorView<const T> map) {
      ASSERT_LT(next, maps.size());
      const auto& [expected_name, expected_map] = maps[next++];
      EXPECT_EQ(name, expected_name);
      EXPECT_TRUE(test::near_everywhere<T>(map, test::to_reference(expected_map), network_tolerance(expected_map)))
          << name;
    });
    EXPECT_EQ(next, maps.size());
    EXPECT_TRUE(test::near_everywhere(logits, expected, network_tolerance(expected)));
    EXPECT_GT(test::largest_magnitude(expected), 0.01);
    EXPECT_EQ(folded.config(), trained.config());
    EXPECT_EQ(folded.output_shape(picture), expected.shape());
    EXPECT_EQ(folded.macs(picture), trained.macs(picture));
  }
}

template <class T>
class FoldNfNetOf : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(FoldNfNetOf, Scalars);

TYPED_TEST(FoldNfNetOf, GivesTheSameLogitsAndFeatures) {
  std::uint64_t seed = 0;
  for (const auto& [name, config] : test::small_nfnets()) {
    SCOPED_TRACE(name);
    const auto trained = random_network<TypeParam>(config, ++seed);
    const auto folding = fold(trained);
    expect_same<TypeParam>(trained, folding.network);
    EXPECT_LT(count_parameters(folding.network), count_parameters(trained));
    if (testing::Test::HasFailure()) return;
  }
}

// An untrained network's blocks add nothing to their shortcuts, and one whose gains are zero adds its biases alone.
TYPED_TEST(FoldNfNetOf, TakesGainsOfZero) {
  for (const bool is_deepmind : {false, true}) {
    for (const std::string zero : {"skipinit_gain", "conv3.gain"}) {
      SCOPED_TRACE(concatenate(zero, is_deepmind ? ", deepmind" : ", timm"));
      auto trained = random_network<TypeParam>(test::small_nfnet(is_deepmind), 50);
      for_each_parameter(trained, [&](const std::string& name, auto& parameter, ParameterKind) {
        if (name.ends_with(zero)) std::fill(parameter.begin(), parameter.end(), TypeParam{0});
      });
      expect_same<TypeParam>(trained, fold(trained).network);
    }
  }
}

TEST(FoldNfNet, SaysWhatItMerged) {
  const auto merges_of = [](const NfNetConfig& config) {
    std::map<std::string, Index> counts;
    for (const Merge& merge : fold(random_network<float>(config, 7)).merges) counts[merge.rule] = merge.count;
    return counts;
  };
  const auto name = [](std::string_view rule) { return std::string(rule); };
  // Four blocks of four convolutions, three of them with a shortcut that changes the map.
  EXPECT_EQ(merges_of(test::small_nfnet(true)),
            (std::map<std::string, Index>{{name(standardization_into_weights), 4 + 4 * 4 + 3 + 1},
                                          {name(activation_gain_into_weights), 3 + 4 * 4 + 3 + 1},
                                          {name(beta_into_weights), 4 + 3},
                                          {name(alpha_into_gates), 4}}));
  NfNetConfig config = test::small_nfnet(false);
  config.attention = NfAttention::none;
  config.second_3x3 = false;
  config.final_width = 0;
  EXPECT_EQ(merges_of(config), (std::map<std::string, Index>{{name(standardization_into_weights), 4 + 4 * 3 + 3},
                                                             {name(beta_into_weights), 4 + 3},
                                                             {name(alpha_into_convolution), 4}}));
}

TEST(FoldNfNet, MakesOneFactorOfTheNumbersAfterTheGates) {
  const auto trained = random_network<double>(test::small_nfnet(), 8);
  const auto folded = fold(trained).network;
  for (std::size_t i = 0; i < trained.stages.size(); ++i) {
    for (std::size_t j = 0; j < trained.stages[i].size(); ++j) {
      const double skip = (*trained.stages[i][j].skipinit_gain)[0];
      EXPECT_NE(skip, 0.0);
      EXPECT_NEAR(folded.stages[i][j].attn_last->gain[0], 2.0 * 0.2 * skip, 0x1p-52 * 2 * std::abs(skip));
    }
  }
}

template <class Network>
void expect_same_parameters(const Network& found, const Network& expected) {
  using T = typename Network::Scalar;
  std::vector<std::pair<std::string, std::vector<T>>> all;
  for_each_parameter(expected, [&](const std::string& name, const auto& parameter, ParameterKind) {
    all.emplace_back(name, std::vector<T>(parameter.begin(), parameter.end()));
  });
  std::size_t next = 0;
  for_each_parameter(found, [&](const std::string& name, const auto& parameter, ParameterKind) {
    ASSERT_LT(next, all.size());
    EXPECT_EQ(name, all[next].first);
    EXPECT_EQ(std::vector<T>(parameter.begin(), parameter.end()), all[next].second) << name;
    ++next;
  });
  EXPECT_EQ(next, all.size());
}

TEST(FoldNfNet, LeavesANetworkThatIsKeptAsItWas) {
  for (const bool is_deepmind : {false, true}) {
    const auto trained = random_network<float>(test::small_nfnet(is_deepmind), 9);
    const auto before = trained;
    const auto folded = fold(trained).network;
    expect_same_parameters(trained, before);
    const Tensor<float> in = test::Random(10).map<float>({.batch = 1, .height = 33, .width = 32, .channels = 3});
    EXPECT_TRUE(test::same_bits(trained.forward(in), before.forward(in)));
    expect_same_parameters(fold(trained).network, folded);
  }
}

TEST(FoldNfNet, TakesThePlaceInMemoryOfANetworkThatIsGivenUp) {
  for (const NfAttention attention : {NfAttention::none, NfAttention::squeeze_excite, NfAttention::efficient}) {
    NfNetConfig config = test::small_nfnet();
    config.attention = attention;
    auto trained = random_network<float>(config, 11);
    const auto expected = fold(trained).network;
    std::map<std::string, const float*> places;
    for_each_parameter(trained, [&](const std::string& name, const auto& parameter, ParameterKind) {
      places[name] = parameter.data();
    });
    const auto folded = fold(std::move(trained)).network;
    expect_same_parameters(folded, expected);
    for_each_parameter(folded, [&](const std::string& name, const auto& parameter, ParameterKind) {
      if (name.ends_with("attn_last.gain")) return;  // there was none
      EXPECT_EQ(parameter.data(), places[name]) << name;
    });
  }
}

TEST(FoldedNfNet, HasTheNamesAndExtentsOfAFoldedOneFromItsConfiguration) {
  for (const auto& [name, config] : test::small_nfnets()) {
    SCOPED_TRACE(name);
    const auto extents_of = [](const auto& network) {
      std::vector<std::pair<std::string, Extents>> all;
      for_each_parameter(network, [&](const std::string& parameter_name, const auto& parameter, ParameterKind) {
        all.emplace_back(parameter_name, parameter.extents());
      });
      return all;
    };
    EXPECT_EQ(extents_of(FoldedNfNet<float>(config)), extents_of(fold(NfNet<float>(config)).network));
  }
}

}  // namespace
}  // namespace plainnet
