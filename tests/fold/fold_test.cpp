// Folded networks against the trained ones they were folded from, with random statistics and nothing left at a value
// behind which an error could hide.

#include <limits>

#include <gtest/gtest.h>

#include "plainnet/core/thread_pool.hpp"
#include "plainnet/fold/fold.hpp"
#include "plainnet/networks/parameters.hpp"
#include "support/compare.hpp"
#include "support/random.hpp"

namespace plainnet {
namespace {

using test::Numbers;

/// Every rule is used; channels are odd, so that none is a multiple of a vector; some stages have the same sizes, so
/// that one could be taken for another.
VanillaNetConfig config_of(Index act_num, bool padded_stem) {
  VanillaNetConfig config{.widths = {5, 7, 7, 7, 13}, .strides = {2, 1, 2, 1}, .classes = 11, .act_num = act_num};
  if (padded_stem) config.adaptive_pools = {5, 0, 3, 0};
  return config;
}

template <class T>
VanillaNet<T> random_network(const VanillaNetConfig& config, double slope, std::uint64_t seed) {
  VanillaNet<T> network(config, slope);
  test::Random(seed).fill_network(network);
  return network;
}

template <class Network>
AlignedVector<typename Network::Scalar> numbers_of(const Network& network) {
  AlignedVector<typename Network::Scalar> numbers;
  for_each_parameter(network, [&](const std::string&, const auto& parameter, ParameterKind) {
    numbers.insert(numbers.end(), parameter.begin(), parameter.end());
  });
  return numbers;
}

template <class T>
class FoldOf : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(FoldOf, Scalars);

// Both forms round; a network of this depth multiplies an early rounding some ten times, and the longest sums have
// 81 terms of the size of their result.
template <class T>
double network_tolerance(const Tensor<T>& map) {
  return test::rounding_error<T>(1000, test::largest_magnitude(map));
}

TYPED_TEST(FoldOf, GivesTheSameLogitsAndFeatures) {
  using T = TypeParam;
  std::uint64_t seed = 1;
  for (Index act_num : {0, 1, 2, 3, 4}) {
    for (double slope : {1.0, 0.5, 0.0}) {
      for (bool padded_stem : {false, true}) {
        SCOPED_TRACE(concatenate("act_num ", act_num, ", slope ", slope, padded_stem ? ", padded stem" : ""));
        const VanillaNet<T> trained = random_network<T>(config_of(act_num, padded_stem), slope, ++seed);
        const FoldedVanillaNet<T> folded = fold(trained).network;
        const Tensor<T> in = test::Random(++seed).map<T>({.batch = 2, .height = 31, .width = 45, .channels = 3});
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
        EXPECT_EQ(folded.config(), trained.config());
        EXPECT_EQ(folded.slope(), slope);
      }
    }
  }
}

TYPED_TEST(FoldOf, LeavesTheOriginalAsItIs) {
  for (double slope : {1.0, 0.5}) {
    const auto trained = random_network<TypeParam>(config_of(2, true), slope, 5);
    const auto before = numbers_of(trained);
    const auto folding = fold(trained);
    EXPECT_EQ(numbers_of(trained), before);
    EXPECT_GT(count_parameters(folding.network), 0);
  }
}

TYPED_TEST(FoldOf, OfWhatIsNoLongerNeededGivesItsMemoryBack) {
  using T = TypeParam;
  for (double slope : {1.0, 0.5}) {
    auto trained = random_network<T>(config_of(2, false), slope, 6);
    const auto expected = numbers_of(fold(trained).network);
    EXPECT_EQ(numbers_of(fold(std::move(trained)).network), expected) << slope;
    for (const VanillaBlock<T>& block : trained.stages) {
      EXPECT_EQ(block.conv1.template get<0>().weight.size(), 0) << slope;
      EXPECT_EQ(block.conv2.template get<0>().weight.size(), 0) << slope;
    }
  }
}

TYPED_TEST(FoldOf, DoesNotDependOnTheNumberOfThreads) {
  for (double slope : {1.0, 0.5}) {
    VanillaNetConfig config = config_of(1, false);
    config.widths = {37, 61, 61, 90, 128};
    const auto trained = random_network<TypeParam>(config, slope, 6);
    const auto expected = numbers_of(fold(trained).network);
    for (Index threads : {2, 3}) {
      EXPECT_EQ(numbers_of(fold(trained, {.threads = threads}).network), expected) << threads << " threads";
    }
  }
}

// One rounding for each parameter, that of the result: what double algebra promises to a float network.
TEST(Fold, RoundsAFloatNetworkOnce) {
  VanillaNet<float> trained = random_network<float>(config_of(3, true), 1.0, 7);
  VanillaNet<double> exact(trained.config(), 1.0);
  {
    std::vector<double> numbers;
    for_each_parameter(trained, [&](const std::string&, const auto& p, ParameterKind) {
      numbers.insert(numbers.end(), p.begin(), p.end());
    });
    auto next = numbers.begin();
    for_each_parameter(exact, [&](const std::string&, auto& p, ParameterKind) {
      for (double& value : p) value = *next++;
    });
  }
  const auto rounded = numbers_of(fold(trained).network);
  const auto expected = numbers_of(fold(exact).network);
  ASSERT_EQ(rounded.size(), expected.size());
  for (std::size_t i = 0; i < rounded.size(); ++i) EXPECT_EQ(rounded[i], static_cast<float>(expected[i])) << i;
}

TEST(Fold, KeepsThePairsOfConvolutionsAtASlopeThatIsNotQuiteOne) {
  const double slope = std::nextafter(1.0, 0.0);
  const auto trained = random_network<double>(config_of(1, false), slope, 8);
  const FoldedVanillaNet<double> folded = fold(trained).network;
  using Pair = Sequential<Conv2d<double>, LeakyRelu<double>, Conv2d<double>>;
  EXPECT_TRUE(std::holds_alternative<Pair>(folded.stem.get<0>().choice()));
  for (const auto& stage : folded.stages) EXPECT_TRUE(std::holds_alternative<Pair>(stage.conv.choice()));
  EXPECT_TRUE(std::holds_alternative<Pair>(folded.cls.get<2>().choice()));
}

TEST(Fold, HasTheSizesOfAFoldedNetworkMadeByItself) {
  for (double slope : {1.0, 0.5}) {
    const VanillaNetConfig config = config_of(2, true);
    const FoldedVanillaNet<float> folded = fold(VanillaNet<float>(config, slope)).network;
    const FoldedVanillaNet<float> made(config, slope);
    std::string found, expected;
    const auto list_in = [](std::string& text) {
      return
          [&](const std::string& name, const auto& p, ParameterKind) { text += name + to_string(p.extents()) + " "; };
    };
    for_each_parameter(folded, list_in(found));
    for_each_parameter(made, list_in(expected));
    EXPECT_EQ(found, expected);
    const Shape picture{.batch = 1, .height = 31, .width = 45, .channels = 3};
    EXPECT_EQ(folded.macs(picture), made.macs(picture));
    EXPECT_EQ(folded.output_shape(picture), made.output_shape(picture));
  }
}

Index count_of(const std::vector<Merge>& merges, std::string_view part) {
  Index count = 0;
  for (const Merge& merge : merges) count += merge.rule.find(part) != std::string::npos ? merge.count : 0;
  return count;
}

TEST(Fold, CountsWhatItMerges) {
  // Stem, four blocks, head: a pair of convolutions each; two batch norms in all pairs but the head's, one there; a
  // series activation in all but the head.
  const auto merged = fold(VanillaNet<float>(config_of(1, false), 1.0)).merges;
  EXPECT_EQ(count_of(merged, "batch norm into its convolution"), 11);
  EXPECT_EQ(count_of(merged, "batch norm into its series activation"), 5);
  EXPECT_EQ(count_of(merged, "1x1 convolution into one"), 6);
  EXPECT_EQ(merged.size(), 3u);
  const auto kept = fold(VanillaNet<float>(config_of(1, false), 0.5)).merges;
  EXPECT_EQ(count_of(kept, "batch norm into its convolution"), 11);
  EXPECT_EQ(count_of(kept, "batch norm into its series activation"), 5);
  EXPECT_EQ(kept.size(), 2u);
}

TEST(FoldRules, PutABatchNormIntoItsConvolution) {
  test::Random random(9);
  ThreadPool pool;
  for (Index groups : {1, 3}) {
    for (bool bias : {false, true}) {
      SCOPED_TRACE(concatenate(groups, " groups", bias ? ", bias" : ""));
      const Window window{.kernel = {3, 2}, .stride = 2, .dilation = {1, 2}, .padding = {1, 0, 2, 1}};
      Conv2d<double> conv({.in_channels = 6, .out_channels = 9, .window = window, .groups = groups, .bias = bias});
      BatchNorm2d<double> norm(9, 0.01);
      random.fill_network(conv);
      random.fill_network(norm);
      FoldContext context{pool};
      const Conv2d<double> folded = fold(conv, norm, context);
      const Tensor<double> in = random.map<double>({.batch = 1, .height = 7, .width = 8, .channels = 6});
      const Tensor<double> expected = norm.forward(conv.forward(in));
      const double tolerance = test::rounding_error<double>(6 * 6 + 6, test::largest_magnitude(expected) + 10);
      EXPECT_TRUE(test::near_everywhere(folded.forward(in), expected, tolerance));
      ASSERT_TRUE(folded.bias.has_value());
    }
  }
}

// The slope is what decides; the window, strides and padding of the first convolution stay.
TEST(FoldRules, MergeA1x1ConvolutionIntoAnyConvolutionBeforeIt) {
  test::Random random(10);
  ThreadPool pool;
  for (bool bias : {false, true}) {
    const Window window{.kernel = {3, 2}, .stride = {1, 2}, .dilation = {2, 1}, .padding = {1, 0, 2, 1}};
    Conv2d<double> conv1({.in_channels = 4, .out_channels = 9, .window = window, .bias = bias});
    Conv2d<double> conv2({.in_channels = 9, .out_channels = 5, .bias = bias});
    BatchNorm2d<double> norm1(9, 0.01);
    BatchNorm2d<double> norm2(5, 0.02);
    random.fill_network(conv1);
    random.fill_network(conv2);
    random.fill_network(norm1);
    random.fill_network(norm2);
    const Tensor<double> in = random.map<double>({.batch = 1, .height = 7, .width = 8, .channels = 4});
    for (double slope : {1.0, 0.25}) {
      SCOPED_TRACE(concatenate("slope ", slope, bias ? ", bias" : ""));
      const LeakyRelu<double> act(slope);
      FoldContext context{pool};
      const FoldedConv<double> two_norms = fold(conv1, norm1, act, conv2, norm2, context);
      const FoldedConv<double> one_norm = fold(conv1, norm1, act, conv2, context);
      const Tensor<double> end = conv2.forward(act.forward(norm1.forward(conv1.forward(in))));
      const Tensor<double> normalized_end = norm2.forward(end);
      const auto tolerance = [](const Tensor<double>& map) {
        return test::rounding_error<double>(4 * 6 + 9 + 12, test::largest_magnitude(map) + 10);
      };
      EXPECT_TRUE(test::near_everywhere(one_norm.forward(in), end, tolerance(end)));
      EXPECT_TRUE(test::near_everywhere(two_norms.forward(in), normalized_end, tolerance(normalized_end)));
      EXPECT_EQ(std::holds_alternative<Conv2d<double>>(two_norms.choice()), slope == 1.0);
      EXPECT_EQ(std::holds_alternative<Conv2d<double>>(one_norm.choice()), slope == 1.0);
    }
  }
}

TEST(FoldRules, RefuseToMergeWhatIsNotOneConvolution) {
  ThreadPool pool;
  FoldContext context{pool};
  const LeakyRelu<float> act(1.0);
  const BatchNorm2d<float> norm(6, 1e-6);
  const Conv2d<float> pointwise({.in_channels = 6, .out_channels = 6});
  const Conv2d<float> wide({.in_channels = 6, .out_channels = 6, .window = {.kernel = 3, .padding = 1}});
  const Conv2d<float> strided({.in_channels = 6, .out_channels = 6, .window = {.stride = 2}});
  const Conv2d<float> grouped({.in_channels = 6, .out_channels = 6, .groups = 2});
  EXPECT_NO_THROW(fold(wide, norm, act, pointwise, norm, context));
  for (const Conv2d<float>& second : {wide, strided, grouped}) {
    EXPECT_NE(test::error_of([&] { fold(pointwise, norm, act, second, norm, context); }).find("only a 1x1"),
              std::string::npos);
  }
  EXPECT_THROW(fold(grouped, norm, act, pointwise, context), Error);
  const Conv2d<float> of_another_width({.in_channels = 7, .out_channels = 6});
  EXPECT_THROW(fold(pointwise, norm, act, of_another_width, context), Error);
  EXPECT_THROW(fold(pointwise, BatchNorm2d<float>(7, 1e-6), context), Error);
}

}  // namespace
}  // namespace plainnet
