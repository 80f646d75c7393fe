// Engines of MetaFormers against the folded networks that they were made of.

#include <gtest/gtest.h>

#include "plainnet/engine/engine.hpp"
#include "plainnet/networks/folded_metaformer.hpp"
#include "support/compare.hpp"
#include "support/isas.hpp"
#include "support/random.hpp"

namespace plainnet {
namespace {

/// Odd channels, every stage of another size and mixer, images that are not square where the mixers allow it.
MetaFormerConfig config_of(const std::string& mixers, MetaFormerGeneration generation, MetaFormerCode code) {
  return {.depths = {1, 2, 1, 1},
          .widths = {5, 19, 33, 13},
          .mixers = mixers,
          .generation = generation,
          .norm_over = mixers.find_first_of("ac") == mixers.npos ? NormOver::map : NormOver::channels,
          .mlp_head = generation == MetaFormerGeneration::baselines,
          .position_stage = mixers.find_first_of("fr") != mixers.npos ? 2 : -1,
          .code = code,
          .classes = 11,
          .size = 96};
}

template <class T>
PublishedFoldedMetaFormer<T> random_network(const MetaFormerConfig& config) {
  PublishedFoldedMetaFormer<T> network(config);
  test::Random(3).fill_network(network);
  return network;
}

Shape picture_of(const MetaFormerConfig& config, Index batch) {
  return {.batch = batch, .height = 96, .width = config.position_stage >= 0 ? 96 : 75, .channels = 3};
}

const std::vector<std::string> all_mixers = {"pifr", "ppaa", "ccaa", "ciap", "ppff"};

template <class T>
class MetaFormerEngineOf : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(MetaFormerEngineOf, Scalars);

TYPED_TEST(MetaFormerEngineOf, IsTheFoldedNetwork) {
  using T = TypeParam;
  for (const auto generation : {MetaFormerGeneration::first, MetaFormerGeneration::baselines}) {
    for (const auto code : {MetaFormerCode::poolformer, MetaFormerCode::timm}) {
      for (const std::string& mixers : all_mixers) {
        const MetaFormerConfig config = config_of(mixers, generation, code);
        const auto network = random_network<T>(config);
        const Tensor<T> in = test::Random(4).map<T>(picture_of(config, 2));
        std::vector<std::pair<std::string, Tensor<T>>> maps;
        const Tensor<T> expected = network.forward(in, [&](std::string_view name, TensorView<const T> map) {
          Tensor<T> copy(map.shape());
          std::copy_n(map.data(), map.shape().elements(), copy.data());
          maps.emplace_back(name, std::move(copy));
        });
        const auto tolerance = [](const Tensor<T>& map) {
          return test::rounding_error<T>(3000, test::largest_magnitude(map));
        };
        for (const Isa isa : test::supported_isas()) {
          SCOPED_TRACE(concatenate(mixers, ", generation ", static_cast<int>(generation), ", code ",
                                   static_cast<int>(code), ", ", to_string(isa)));
          const auto engine = prepare(network, in.shape(), {.isa = isa, .keep_features = true});
          EXPECT_EQ(engine.macs(), network.macs(in.shape()));
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
        }
      }
    }
  }
}

// A network that is given up is freed as it is packed, its blocks and its head.
TEST(MetaFormerEngine, TakesANetworkThatIsGivenUp) {
  for (const std::string& mixers : all_mixers) {
    const MetaFormerConfig config = config_of(mixers, MetaFormerGeneration::baselines, MetaFormerCode::timm);
    auto network = random_network<float>(config);
    const Tensor<float> in = test::Random(6).map<float>(picture_of(config, 1));
    const auto expected = prepare(network, in.shape());
    const auto engine = prepare(std::move(network), in.shape());
    Workspace<float> workspace = engine.workspace();
    Workspace<float> other = expected.workspace();
    EXPECT_TRUE(test::same_bits<float>(engine.run(in, workspace), expected.run(in, other))) << mixers;
    Index left = 0;
    const auto count = [&](const std::string&, const auto& parameter, ParameterKind) { left += parameter.size(); };
    for (const auto& stage : network.stages) {
      for (const auto& block : stage.blocks) for_each_parameter(block, count);
    }
    for_each_parameter(network.head.fc, count);
    EXPECT_EQ(left, 0) << mixers;
  }
}

TEST(MetaFormerEngine, GivesTheSameBitsForAnyBatchAndAnyNumberOfThreads) {
  for (const auto generation : {MetaFormerGeneration::first, MetaFormerGeneration::baselines}) {
    for (const std::string& mixers : all_mixers) {
      const MetaFormerConfig config = config_of(mixers, generation, MetaFormerCode::timm);
      const auto network = random_network<float>(config);
      const Tensor<float> batch = test::Random(5).map<float>(picture_of(config, 4));
      const Index pixels = batch.shape().elements() / 4;
      for (const Isa isa : test::supported_isas()) {
        SCOPED_TRACE(concatenate(mixers, ", ", to_string(isa)));
        Tensor<float> one_by_one({.batch = 4, .channels = 11});
        for (Index n = 0; n < 4; ++n) {
          const auto engine = prepare(network, picture_of(config, 1), {.isa = isa});
          Workspace<float> workspace = engine.workspace();
          const TensorView<const float> image(batch.data() + n * pixels, engine.input_shape());
          std::copy_n(engine.run(image, workspace).data(), 11, one_by_one.data() + 11 * n);
        }
        for (const Index threads : {1, 2, 3}) {
          const auto engine = prepare(network, batch.shape(), {.threads = threads, .isa = isa});
          Workspace<float> workspace = engine.workspace();
          EXPECT_TRUE(test::same_bits<float>(engine.run(batch, workspace), one_by_one)) << threads << " threads";
        }
      }
    }
  }
}

TEST(MetaFormerEngine, RefusesASizeThatItsMixersDoNotAllow) {
  const MetaFormerConfig config = config_of("pifr", MetaFormerGeneration::baselines, MetaFormerCode::timm);
  const auto network = random_network<float>(config);
  for (const Index side : {95, 97, 128}) {
    if (side == 95) continue;  // the same maps
    EXPECT_NE(test::error_of([&] {
                prepare(network, Shape{1, side, 128, 3});
              }).find("works at one size of image only"),
              std::string::npos);
  }
}

}  // namespace
}  // namespace plainnet
