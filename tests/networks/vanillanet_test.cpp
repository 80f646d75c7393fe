#include <gtest/gtest.h>

#include "plainnet/networks/parameters.hpp"
#include "plainnet/networks/vanillanet.hpp"
#include "support/compare.hpp"
#include "support/random.hpp"

namespace plainnet {
namespace {

using test::Map;
using test::Numbers;

static_assert(Layer<VanillaNet<float>, float> && Layer<FoldedVanillaNet<float>, float>, "A network is a layer too.");

const VanillaNetConfig narrow{.widths = {5, 7, 9}, .strides = {2, 1}, .classes = 11, .act_num = 1};
constexpr Shape picture{.batch = 2, .height = 25, .width = 18, .channels = 3};

Map convolve(const Map& in, const Conv2d<double>& conv) {
  return test::reference_convolution(in, Numbers(conv.weight), Numbers(*conv.bias), conv.out_channels(), conv.window(),
                                     1);
}
Map normalize(const Map& in, const BatchNorm2d<double>& norm) {
  return test::reference_batch_norm(in, Numbers(norm.weight), Numbers(norm.bias), Numbers(norm.running_mean),
                                    Numbers(norm.running_var), 1e-6);
}
Map activate(const Map& in, const SeriesActivation<double>& act, Index n) {
  return normalize(test::reference_series(in, Numbers(act.weight), Numbers(), n), act.bn);
}

/// The paper's figure, layer by layer.
std::vector<Map> reference_maps(const VanillaNet<double>& network, const Map& in) {
  const VanillaNetConfig& config = network.config();
  const double slope = network.slope();
  Map x = normalize(convolve(in, network.stem1.get<0>()), network.stem1.get<1>());
  x = test::reference_leaky_relu(x, slope);
  x = normalize(convolve(x, network.stem2.get<0>()), network.stem2.get<1>());
  x = activate(x, network.stem2.get<2>(), config.act_num);
  std::vector<Map> maps = {x};
  for (std::size_t i = 0; i < network.stages.size(); ++i) {
    const VanillaBlock<double>& block = network.stages[i];
    x = normalize(convolve(x, block.conv1.get<0>()), block.conv1.get<1>());
    x = test::reference_leaky_relu(x, slope);
    x = normalize(convolve(x, block.conv2.get<0>()), block.conv2.get<1>());
    if (config.strides[i] > 1) {
      const Index side = config.adaptive_pools.empty() ? 0 : config.adaptive_pools[i];
      x = side > 0 ? test::reference_adaptive_max_pool(x, side, side)
                   : test::reference_max_pool(x, Window{.kernel = config.strides[i], .stride = config.strides[i]});
    }
    x = activate(x, block.act, config.act_num);
    maps.push_back(x);
  }
  x = test::reference_global_mean(x);
  x = normalize(convolve(x, network.cls1.get<2>()), network.cls1.get<3>());
  x = test::reference_leaky_relu(x, slope);
  maps.push_back(convolve(x, network.cls2.get<0>()));
  return maps;
}

// A few hundred roundings of sums whose terms are a few times larger than what they add up to.
double network_tolerance(const Map& map) { return test::rounding_error<double>(1000, test::largest_magnitude(map)); }

TEST(VanillaNet, IsTheNetworkOfThePaper) {
  const std::vector<VanillaNetConfig> configs = {
      narrow,
      {.widths = {3, 5, 5, 8}, .strides = {2, 3, 1}, .classes = 4, .act_num = 3},
      {.widths = {4, 6, 6}, .strides = {2, 1}, .adaptive_pools = {3, 7}, .classes = 5, .act_num = 2},
      {.widths = {4, 6, 6}, .strides = {2, 2}, .adaptive_pools = {0, 2}, .classes = 5, .act_num = 0, .in_channels = 1},
  };
  test::Random random(1);
  for (const VanillaNetConfig& config : configs) {
    for (double slope : {0.0, 0.3, 1.0}) {
      SCOPED_TRACE(concatenate(config.widths.size() - 1, " blocks, act_num ", config.act_num, ", slope ", slope));
      VanillaNet<double> network(config, slope);
      random.fill_network(network);
      const Tensor<double> in =
          random.map<double>({.batch = 2, .height = 25, .width = 30, .channels = config.in_channels});
      const std::vector<Map> expected = reference_maps(network, test::to_reference(in));
      std::vector<std::string> names;
      const Tensor<double> logits = network.forward(in, [&](std::string_view name, TensorView<const double> map) {
        const Map& reference = expected.at(names.size());
        EXPECT_TRUE(test::near_everywhere(map, reference, network_tolerance(reference))) << name;
        names.emplace_back(name);
      });
      EXPECT_TRUE(test::near_everywhere(logits, expected.back(), network_tolerance(expected.back())));
      ASSERT_EQ(names.size() + 1, expected.size());
      EXPECT_EQ(names[0], "stem");
      for (std::size_t i = 1; i < names.size(); ++i) EXPECT_EQ(names[i], concatenate("stages.", i - 1));
      EXPECT_EQ(network.output_shape(in.shape()), logits.shape());
    }
  }
}

TEST(VanillaNet, CountsItsMultiplyAdds) {
  // 25 × 18 pixels: 6 × 4 after the stem, 3 × 2 after the first block, all of it twice.
  const Index stem = 24 * (5 * 3 * 16 + 5 * 5 + 5 * 9);
  const Index block1 = 24 * (5 * 5 + 5 * 7) + 6 * 7 * 9;
  const Index block2 = 6 * (7 * 7 + 7 * 9 + 9 * 9);
  EXPECT_EQ(VanillaNet<float>(narrow).macs(picture), 2 * (stem + block1 + block2 + 9 * 11 + 11 * 11));
}

TEST(FoldedVanillaNet, CountsItsMultiplyAdds) {
  const Index stem = 24 * (5 * 3 * 16 + 5 * 9);
  const Index block1 = 24 * 5 * 7 + 6 * 7 * 9;
  const Index block2 = 6 * (7 * 9 + 9 * 9);
  EXPECT_EQ(FoldedVanillaNet<float>(narrow).macs(picture), 2 * (stem + block1 + block2 + 9 * 11));
  // At another slope both convolutions are still there.
  const Index pairs = 24 * (5 * 5 + 5 * 5) + 6 * 7 * 7 + 11 * 11;
  EXPECT_EQ(FoldedVanillaNet<float>(narrow, 0.5).macs(picture), 2 * (stem + block1 + block2 + 9 * 11 + pairs));
}

TEST(FoldedVanillaNet, KeepsTheConvolutionsOfAPairApartAtAnotherSlope) {
  const FoldedVanillaNet<float> network(narrow, 0.5);
  std::string names;
  for_each_parameter(network, [&](const std::string& name, const auto& p, ParameterKind) {
    if (p.extents().rank() == 4) names += concatenate(name, to_string(p.extents()), " ");
  });
  EXPECT_EQ(names,
            "stem.0.0.weight(5, 3, 4, 4) stem.0.2.weight(5, 5, 1, 1) stem.1.weight(5, 1, 3, 3) "
            "stages.0.conv.0.weight(5, 5, 1, 1) stages.0.conv.2.weight(7, 5, 1, 1) stages.0.act.weight(7, 1, 3, 3) "
            "stages.1.conv.0.weight(7, 7, 1, 1) stages.1.conv.2.weight(9, 7, 1, 1) stages.1.act.weight(9, 1, 3, 3) "
            "cls.2.0.weight(11, 9, 1, 1) cls.2.2.weight(11, 11, 1, 1) ");
}

template <class Network>
class NetworkOf : public testing::Test {};
using Networks = testing::Types<VanillaNet<float>, FoldedVanillaNet<float>>;
TYPED_TEST_SUITE(NetworkOf, Networks);

TYPED_TEST(NetworkOf, CopiesAreIndependent) {
  test::Random random(2);
  for (double slope : {1.0, 0.5}) {
    TypeParam network(narrow, slope);
    random.fill_network(network);
    const Tensor<float> in = random.map<float>(picture);
    const Tensor<float> before = network.forward(in);
    TypeParam copy = network;
    EXPECT_TRUE(test::same_bits(copy.forward(in), before));
    random.fill_network(network);
    EXPECT_TRUE(test::same_bits(copy.forward(in), before));
    EXPECT_FALSE(test::same_bits(network.forward(in), before));
    network = copy;
    random.fill_network(copy);
    EXPECT_TRUE(test::same_bits(network.forward(in), before));
    EXPECT_EQ(network.config(), narrow);
    EXPECT_EQ(network.slope(), slope);
  }
}

TYPED_TEST(NetworkOf, RunsEachImageOfABatchAsIfAlone) {
  test::Random random(3);
  TypeParam network(narrow);
  random.fill_network(network);
  const Tensor<float> both = random.map<float>(picture);
  const Tensor<float> logits = network.forward(both);
  for (Index n = 0; n < 2; ++n) {
    Shape one = picture;
    one.batch = 1;
    Tensor<float> image(one);
    std::copy_n(both.view().pixel(n, 0, 0), one.elements(), image.data());
    const Map expected = test::to_reference(network.forward(image));
    const TensorView<const float> row(logits.view().pixel(n, 0, 0), {.channels = 11});
    // Eigen sums in another order for another number of rows.
    EXPECT_TRUE(
        test::near_everywhere(row, expected, test::rounding_error<float>(1000, test::largest_magnitude(expected))));
  }
}

TYPED_TEST(NetworkOf, RefusesPicturesItCannotTake) {
  const TypeParam network(narrow);
  EXPECT_EQ(
      test::error_of([&] { network.forward(Tensor<float>({.batch = 1, .height = 25, .width = 18, .channels = 4})); }),
      "a convolution of 3 channels was given 4");
  const Shape tiny{.batch = 1, .height = 3, .width = 18, .channels = 3};
  EXPECT_EQ(test::error_of([&] { network.output_shape(tiny); }),
            "a map of 3x18 is too small for a 4x4 window: use a larger image");
  const Shape small{.batch = 1, .height = 7, .width = 18, .channels = 3};  // a row after the stem, none after a stride
  const std::string message = "a map of 1x4 is too small for a 2x2 window: use a larger image";
  EXPECT_EQ(test::error_of([&] { network.output_shape(small); }), message);
  EXPECT_EQ(test::error_of([&] { network.macs(small); }), message);
  EXPECT_EQ(test::error_of([&] { network.forward(Tensor<float>(small)); }), message);
  const Shape least{.batch = 1, .height = 8, .width = 8, .channels = 3};
  EXPECT_EQ(network.forward(Tensor<float>(least)).shape(), (Shape{.channels = 11}));
}

TYPED_TEST(NetworkOf, RefusesConfigurationsThatAreNone) {
  const auto with = [](auto change) {
    VanillaNetConfig config = narrow;
    change(config);
    return test::error_of([&] { TypeParam network(config); });
  };
  EXPECT_NE(with([](auto& c) { c.widths.pop_back(); }).find("found 2 widths and 2 strides"), std::string::npos);
  EXPECT_NE(with([](auto& c) { c.strides.clear(); }), "");
  EXPECT_NE(with([](auto& c) { c.widths.clear(); }), "");
  EXPECT_NE(with([](auto& c) { c.adaptive_pools = {3}; }).find("adaptive pools"), std::string::npos);
  EXPECT_NE(with([](auto& c) { c.classes = 0; }), "");
  EXPECT_NE(with([](auto& c) { c.act_num = -1; }), "");
  EXPECT_NE(with([](auto& c) { c.in_channels = 0; }), "");
  EXPECT_NE(with([](auto& c) { c.widths[1] = 0; }), "");
  EXPECT_NE(with([](auto& c) { c.strides[0] = 0; }), "");
  EXPECT_NE(with([](auto& c) { c.strides[1] = -2; }), "");
  EXPECT_NE(with([](auto& c) { c.adaptive_pools = {-1, 0}; }), "");
}

TEST(VanillaNetConfig, OverlapsTheStemWhereBlocksPoolAdaptively) {
  EXPECT_EQ(narrow.stem_window(), (Window{.kernel = 4, .stride = 4}));
  VanillaNetConfig config = narrow;
  config.adaptive_pools = {3, 0};
  EXPECT_EQ(config.stem_window(), (Window{.kernel = 4, .stride = 3, .padding = 1}));
}

}  // namespace
}  // namespace plainnet
