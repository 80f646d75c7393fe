// Engines of NFNets against the folded networks that they were made of.

#include <gtest/gtest.h>

#include "plainnet/engine/engine.hpp"
#include "plainnet/networks/parameters.hpp"
#include "support/compare.hpp"
#include "support/isas.hpp"
#include "support/random.hpp"
#include "support/small_nfnets.hpp"

namespace plainnet {
namespace {

template <class T>
FoldedNfNet<T> random_network(const NfNetConfig& config) {
  FoldedNfNet<T> network(config);
  test::Random(3).fill_network(network);
  return network;
}

template <class T>
Tensor<T> copy_of(TensorView<const T> map) {
  Tensor<T> copy(map.shape());
  std::copy_n(map.data(), map.shape().elements(), copy.data());
  return copy;
}

template <class T>
Tensor<T> run(const BasicEngine<T>& engine, TensorView<const T> in) {
  Workspace<T> workspace = engine.workspace();
  return copy_of(engine.run(in, workspace));
}

template <class T>
class NfNetEngineOf : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(NfNetEngineOf, Scalars);

TYPED_TEST(NfNetEngineOf, IsTheFoldedNetwork) {
  using T = TypeParam;
  for (const auto& [name, config] : test::small_nfnets()) {
    const auto network = random_network<T>(config);
    for (const Shape& picture : test::small_pictures(config)) {
      const Tensor<T> in = test::Random(4).map<T>(picture);
      std::vector<std::pair<std::string, Tensor<T>>> maps;
      const Tensor<T> expected = network.forward(
          in, [&](std::string_view stage, TensorView<const T> map) { maps.emplace_back(stage, copy_of(map)); });
      const auto tolerance = [](const Tensor<T>& map) {
        return test::rounding_error<T>(3000, test::largest_magnitude(map));
      };
      for (const Isa isa : test::supported_isas()) {
        SCOPED_TRACE(concatenate(name, ", ", to_string(picture), ", ", to_string(isa)));
        const auto engine = prepare(network, in.shape(), {.isa = isa, .keep_features = true});
        EXPECT_EQ(engine.macs(), network.macs(in.shape()));
        EXPECT_EQ(engine.output_shape(), expected.shape());
        Workspace<T> workspace = engine.workspace();
        const TensorView<const T> logits = engine.run(in, workspace);
        EXPECT_TRUE(test::near_everywhere<T>(logits, test::to_reference(expected), tolerance(expected)));
        const auto features = engine.features(workspace);
        ASSERT_EQ(features.size(), maps.size());
        for (std::size_t i = 0; i < maps.size(); ++i) {
          EXPECT_EQ(features[i].first, maps[i].first);
          EXPECT_TRUE(test::near_everywhere<T>(features[i].second, test::to_reference(maps[i].second),
                                               tolerance(maps[i].second)))
              << maps[i].first;
        }
        // Where nothing is kept, memory is used again.
        EXPECT_TRUE(test::same_bits(run<T>(prepare(network, in.shape(), {.isa = isa}), in.view()), copy_of(logits)));
        if (testing::Test::HasFailure()) return;
      }
    }
  }
}

/// One network of each attention in each convention, and one whose maps end within a vector and a unit of 64.
std::vector<NfNetConfig> some_networks() {
  std::vector<NfNetConfig> configs;
  for (const bool is_deepmind : {false, true}) {
    for (const NfAttention attention : {NfAttention::none, NfAttention::squeeze_excite, NfAttention::efficient}) {
      configs.push_back(test::small_nfnet(is_deepmind));
      configs.back().attention = attention;
    }
  }
  configs.push_back(test::small_nfnet());
  configs.back().widths = {70, 130, 67};
  configs.back().activation = NfActivation::silu;
  configs.back().stem_widths = {64};
  configs.back().stem = NfStem::pooled_7x7;
  return configs;
}

TEST(NfNetEngine, GivesTheSameBitsForAnyBatchAndAnyNumberOfThreads) {
  for (const NfNetConfig& config : some_networks()) {
    const auto network = random_network<float>(config);
    const Shape one = test::small_pictures(config, 1).front();
    const Index pixels = one.elements();
    const Tensor<float> images = test::Random(5).map<float>({4, one.height, one.width, one.channels});
    for (const Isa isa : test::supported_isas()) {
      SCOPED_TRACE(concatenate("attention ", static_cast<int>(config.attention), ", ", to_string(isa)));
      Tensor<float> one_by_one({.batch = 4, .channels = 11});
      const auto engine_of_one = prepare(network, one, {.isa = isa});
      for (Index n = 0; n < 4; ++n) {
        const Tensor<float> logits =
            run<float>(engine_of_one, TensorView<const float>(images.data() + n * pixels, one));
        std::copy_n(logits.data(), 11, one_by_one.data() + 11 * n);
      }
      for (Index batch = 1; batch <= 4; ++batch) {
        for (const Index threads : {1, 2, 3}) {
          const Shape shape{batch, one.height, one.width, one.channels};
          const auto engine = prepare(network, shape, {.threads = threads, .isa = isa});
          const TensorView<const float> expected(one_by_one.data(), {.batch = batch, .channels = 11});
          EXPECT_TRUE(test::same_bits<float>(run<float>(engine, TensorView<const float>(images.data(), shape)).view(),
                                             expected))
              << batch << " images, " << threads << " threads";
        }
      }
    }
  }
}

TEST(NfNetEngine, IsTheSameOfANetworkThatIsGivenUpAndFreesItsParameters) {
  for (const NfNetConfig& config : some_networks()) {
    auto network = random_network<float>(config);
    const Shape picture = test::small_pictures(config).front();
    const Tensor<float> in = test::Random(6).map<float>(picture);
    const Index parameters = count_parameters(network);
    const Tensor<float> expected = run<float>(prepare(network, picture), in.view());
    EXPECT_EQ(count_parameters(network), parameters);  // it is kept
    EXPECT_TRUE(test::same_bits(run<float>(prepare(network, picture), in.view()), expected));
    const auto engine = prepare(std::move(network), picture);
    for_each_parameter(network, [](const std::string& name, const auto& parameter, ParameterKind) {
      EXPECT_EQ(parameter.size(), 0) << name;
      EXPECT_EQ(parameter.begin(), parameter.end()) << name;
    });
    EXPECT_TRUE(test::same_bits(run<float>(engine, in.view()), expected));
  }
}

TEST(NfNetEngine, RefusesOtherChannels) {
  const auto network = random_network<float>(test::small_nfnet());
  EXPECT_EQ(test::error_of([&] { prepare(network, Shape{1, 32, 32, 4}); }), "a convolution of 3 channels was given 4");
}

}  // namespace
}  // namespace plainnet
