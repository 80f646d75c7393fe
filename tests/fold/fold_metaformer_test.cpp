// Folded MetaFormers against the trained ones they were folded from, with random numbers everywhere.

#include <gtest/gtest.h>

#include "plainnet/fold/fold.hpp"
#include "plainnet/networks/parameters.hpp"
#include "support/compare.hpp"
#include "support/random.hpp"

namespace plainnet {
namespace {

constexpr Shape picture{.batch = 2, .height = 64, .width = 64, .channels = 3};

/// Odd channels, one head of attention that is as wide as they are or wider, every stage of another size.
MetaFormerConfig config_of(const std::string& mixers, MetaFormerGeneration generation, MetaFormerCode code) {
  return {.depths = {1, 2, 1, 1},
          .widths = {5, 7, 33, 13},
          .mixers = mixers,
          .generation = generation,
          .norm_over = mixers.find_first_of("ac") == mixers.npos ? NormOver::map : NormOver::channels,
          .mlp_head = generation == MetaFormerGeneration::baselines,
          .position_stage = generation == MetaFormerGeneration::first ? 2 : -1,
          .code = code,
          .classes = 11,
          .size = 64};
}

template <class T>
PublishedMetaFormer<T> random_network(const MetaFormerConfig& config, std::uint64_t seed) {
  PublishedMetaFormer<T> network(config);
  test::Random(seed).fill_network(network);
  return network;
}

/// Both forms round; what a sum of some hundred terms loses is multiplied by the depth of the network.
template <class T>
double network_tolerance(const Tensor<T>& map) {
  return test::rounding_error<T>(3000, test::largest_magnitude(map));
}

template <class T, class Trained, class Folded>
void expect_same(const Trained& trained, const Folded& folded) {
  const Tensor<T> in = test::Random(99).map<T>(picture);
  std::vector<std::pair<std::string, Tensor<T>>> maps;
  const Tensor<T> expected = trained.forward(in, [&](std::string_view name, TensorView<const T> map) {
    Tensor<T> copy(map.shape());
    std::copy_n(map.data(), map.shape().elements(), copy.data());
    maps.emplace_back(name, std::move(copy));
  });
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

template <class T>
class FoldMetaFormerOf : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(FoldMetaFormerOf, Scalars);

TYPED_TEST(FoldMetaFormerOf, GivesTheSameLogitsAndFeatures) {
  std::uint64_t seed = 1;
  for (const auto generation : {MetaFormerGeneration::first, MetaFormerGeneration::baselines}) {
    for (const auto code : {MetaFormerCode::poolformer, MetaFormerCode::metaformer, MetaFormerCode::timm}) {
      for (const std::string mixers : {"pifr", "ppaa", "ccaa", "ciap"}) {
        SCOPED_TRACE(
            concatenate(mixers, ", generation ", static_cast<int>(generation), ", code ", static_cast<int>(code)));
        const auto trained = random_network<TypeParam>(config_of(mixers, generation, code), ++seed);
        const auto folding = fold(trained);
        expect_same<TypeParam>(trained, folding.network);
        EXPECT_LT(count_parameters(folding.network), count_parameters(trained));
      }
    }
  }
}

// StarReLU's bias is divided by its scale, which may be nothing.
TEST(FoldMetaFormer, KeepsAStarReluWithoutScale) {
  for (const double scale : {0.0, 1e-40, -1e-3}) {
    SCOPED_TRACE(scale);
    auto trained =
        random_network<double>(config_of("cccc", MetaFormerGeneration::baselines, MetaFormerCode::metaformer), 50);
    for_each_parameter(trained, [&](const std::string& name, Parameter<double>& parameter, ParameterKind) {
      if (name.ends_with("act1.scale")) parameter[0] = scale;
    });
    expect_same<double>(trained, fold(trained).network);
  }
}

TEST(FoldMetaFormer, SaysWhatItMerged) {
  const auto merges_of = [](const std::string& mixers, MetaFormerGeneration generation) {
    std::map<std::string, Index> counts;
    for (const Merge& merge :
         fold(random_network<float>(config_of(mixers, generation, MetaFormerCode::timm), 7)).merges) {
      counts[merge.rule] = merge.count;
    }
    return counts;
  };
  const auto name = [](std::string_view rule) { return std::string(rule); };
  EXPECT_EQ(merges_of("pppa", MetaFormerGeneration::first),
            (std::map<std::string, Index>{{name(mixer_scales_into_one), 4},
                                          {name(norm_into_linear), 1 + 5 + 1},  // attention, MLPs, head
                                          {name(layer_scale_into_linear), 1 + 5},
                                          {name(attention_scale_into_query), 1}}));
  EXPECT_EQ(merges_of("ccra", MetaFormerGeneration::baselines),
            (std::map<std::string, Index>{{name(norm_into_downsampling), 3},
                                          {name(norm_before_mixer), 1},
                                          {name(norm_into_linear), 3 + 1 + 5 + 2},
                                          {name(star_relu_into_depthwise), 3},
                                          {name(star_relu_into_linear), 5},
                                          {name(attention_scale_into_query), 1}}));
}

// Folded mixers hold what is needed and nothing else.
TEST(FoldMetaFormer, LeavesAPoolingMixerOneFactorPerChannel) {
  const auto folded =
      fold(random_network<float>(config_of("pipi", MetaFormerGeneration::first, MetaFormerCode::timm), 9)).network;
  const auto& pool = std::get<AffineMixer<PoolMixer<float>>>(folded.stages[0].blocks[0].token_mixer.choice());
  EXPECT_FALSE(pool.shift);
  EXPECT_FALSE(pool.after);
  const auto& identity = std::get<AffineMixer<Identity<float>>>(folded.stages[1].blocks[0].token_mixer.choice());
  EXPECT_TRUE(identity.shift);
  EXPECT_FALSE(identity.after);
}

/// A mixer that neither lets a scale through nor forgets a constant: neighbouring channels are multiplied.
struct ProductMixer {
  using Scalar = double;

  Parameter<double> weight{{1}};

  Shape output_shape(const Shape& in) const { return in; }
  Count macs(const Shape& in) const { return in.elements(); }
  Tensor<double> forward(TensorView<const double> in) const {
    Tensor<double> out(in.shape());
    for (Index p = 0; p < in.matrix().rows(); ++p) {
      for (Index c = 0; c < in.shape().channels; ++c) {
        out.matrix()(p, c) = weight[0] * in.matrix()(p, c) * in.matrix()(p, (c + 1) % in.shape().channels);
      }
    }
    return out;
  }
  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("weight", self.weight);
  }
};

TEST(FoldMetaFormer, FoldsAroundAMixerOfTheUsersOwn) {
  using Network = MetaFormer<ProductMixer, PoolMixer<double>>;
  for (const auto generation : {MetaFormerGeneration::first, MetaFormerGeneration::baselines}) {
    const auto make_mixer = [](const MetaFormerConfig&, std::size_t stage) -> Network::Mixer {
      if (stage % 2 == 0) return ProductMixer{};
      return PoolMixer<double>{};
    };
    Network trained(config_of("xpxp", generation, MetaFormerCode::timm), make_mixer);
    test::Random(8).fill_network(trained);
    const auto folding = fold(trained);
    expect_same<double>(trained, folding.network);
    const auto& folded = std::get<AffineMixer<ProductMixer>>(folding.network.stages[0].blocks[0].token_mixer.choice());
    EXPECT_EQ(folded.after.has_value(), generation == MetaFormerGeneration::first);
  }
}

}  // namespace
}  // namespace plainnet
