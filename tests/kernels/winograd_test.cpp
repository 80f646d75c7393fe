#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include <gtest/gtest.h>

#include "support/compare.hpp"
#include "support/executors.hpp"
#include "support/isas.hpp"
#include "support/winograd_rows.hpp"

namespace plainnet::kernels {
namespace {

template <class T>
class WinogradOf : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(WinogradOf, Scalars);

TYPED_TEST(WinogradOf, GivesAnImageOfABatchTheBitsItHasAlone) {
  using T = TypeParam;
  test::Random random(3);
  ThreadPool pool(2);
  for (const auto& [channels, out_channels] : {std::pair<Index, Index>{60, 20}, {200, 128}}) {
    const WinogradRow row{
        {.batch = 3, .height = 9, .width = 7, .channels = channels}, out_channels, Padding(0, 1, 1, 2), 2};
    const WinogradWeights<T> weights(row, random);
    const Tensor<T> in = random.map<T>(row.in);
    Shape one_image = row.in;
    one_image.batch = 1;
    for (ConvolutionMethod method : winograd_methods) {
      for (Isa isa : test::supported_isas()) {
        const PackedWinograd<T> packed = weights.pack(row, method, isa);
        const Tensor<T> all = run_winograd<T>(in, packed, {}, pool);
        for (Index n = 0; n < 3; ++n) {
          Tensor<T> image(one_image);
          std::copy_n(in.view().pixel(n, 0, 0), one_image.elements(), image.data());
          const Tensor<T> alone = run_winograd<T>(image, packed, {}, pool);
          EXPECT_TRUE(test::same_bits<T>(TensorView<const T>(all.view().pixel(n, 0, 0), alone.shape()), alone.view()))
              << to_string(row) << ", " << to_string(isa) << ", " << to_string(method) << ", image " << n;
        }
      }
    }
  }
}

// Threads that take whole portions of a group, whole groups, and tiles of several portions and groups.
TYPED_TEST(WinogradOf, GivesTheSameBitsForEveryNumberOfThreads) {
  using T = TypeParam;
  test::Random random(11);
  ThreadPool one(1);
  int whole_portions = 0, others = 0;
  for (const auto& [height, width, channels, out_channels, groups] : {std::array<Index, 5>{18, 18, 128, 24, 1},
                                                                      {25, 22, 128, 24, 1},
                                                                      {25, 22, 128, 96, 1},
                                                                      {16, 16, 256, 48, 2},
                                                                      {18, 15, 384, 144, 6},
                                                                      {18, 15, 200, 128, 2}}) {
    const WinogradRow row{.in = {1, height, width, channels}, .out_channels = out_channels, .groups = groups};
    const WinogradWeights<T> weights(row, random);
    const Tensor<T> in = random.map<T>(row.in);
    for (Isa isa : test::supported_isas()) {
      for (ConvolutionMethod method : winograd_methods) {
        const PackedWinograd<T> packed = weights.pack(row, method, isa);
        const Tensor<T> expected = run_winograd(in, packed, {}, one);
        const WinogradPortions portions = packed.portions(packed.group_tiles(expected.shape()));
        for (Index threads : {2, 3, 4}) {
          const bool is_whole = !packed.keeps_taps && portions.count > 1 && groups * portions.count % threads == 0 &&
                                portions.are_equal();
          (is_whole ? whole_portions : others) += 1;
          ThreadPool pool(threads);
          EXPECT_TRUE(test::same_bits(run_winograd(in, packed, {}, pool), expected))
              << to_string(row) << ", " << to_string(isa) << ", " << to_string(method) << ", " << threads << " threads";
        }
      }
    }
  }
  EXPECT_GT(whole_portions, 0);
  EXPECT_GT(others, 0);
}

// The first case by the definition, the second by inner products, the NaN in the last portion of terms.
TYPED_TEST(WinogradOf, SpreadsNaNOnlyToTilesThatSeeIt) {
  using T = TypeParam;
  test::Random random(4);
  ThreadPool pool(1);
  for (const auto& [channels, out_channels] : {std::pair<Index, Index>{9, 19}, {150, 64}}) {
    const WinogradRow row{{.batch = 1, .height = 10, .width = 13, .channels = channels}, out_channels};
    const WinogradWeights<T> weights(row, random);
    Tensor<T> in = random.map<T>(row.in);
    in(0, 2, 9, channels - 4) = std::numeric_limits<T>::quiet_NaN();
    for (ConvolutionMethod method : winograd_methods) {
      const Index tile = tile_of(method);
      const Index stride = stride_of(method);
      const Index side = (tile - 1) * stride + 3;
      for (Isa isa : test::supported_isas()) {
        const Tensor<T> out = run_winograd<T>(in, weights.pack(row, method, isa), {}, pool);
        for (Index y = 0; y < out.shape().height; ++y) {
          for (Index x = 0; x < out.shape().width; ++x) {
            SCOPED_TRACE(concatenate(to_string(isa), ", ", to_string(method), ", ", channels, ": ", y, ", ", x));
            const Index top = y / tile * tile * stride - 1,
                        left = x / tile * tile * stride - 1;  // what its tile sees first
            const bool sees = top <= 2 && 2 < top + side && left <= 9 && 9 < left + side;
            const bool is_in_window = std::abs(y * stride - 2) <= 1 && std::abs(x * stride - 9) <= 1;
            ASSERT_TRUE(!is_in_window || std::isnan(out(0, y, x, out_channels - 1)));
            ASSERT_TRUE(sees || std::isfinite(out(0, y, x, 0)));
          }
        }
      }
    }
  }
}

// Where products of float do; not where sums are to be in shorter portions.
TEST(Winograd, TakesInnerProductsForTilesOf2x2) {
  const std::vector<float> weight(128 * 128 * 9);
  const auto method = [&](ConvolutionMethod of, Index channels, Index out_channels, Index groups, Isa isa) {
    const Window window{.kernel = 3, .stride = stride_of(of)};
    return pack_winograd<float>(weight.data(), nullptr, channels, out_channels, window, groups, of, isa).method;
  };
  using enum ConvolutionMethod;
  for (Isa isa : test::supported_isas()) {
    const MatmulMethod expected = isa >= Isa::zen4 ? MatmulMethod::inner_products : MatmulMethod::definition;
    EXPECT_EQ(method(winograd_2x2, 128, 64, 1, isa), expected) << to_string(isa);
    EXPECT_EQ(method(winograd_2x2_stride_2, 64, 128, 1, isa), expected) << to_string(isa);
    EXPECT_EQ(method(winograd_2x2, 128, 128, 2, isa), MatmulMethod::definition) << to_string(isa) << ", too few";
    EXPECT_EQ(method(winograd_2x2, 128, 48, 1, isa), MatmulMethod::definition) << to_string(isa) << ", no whole panels";
    EXPECT_EQ(method(winograd_4x4, 128, 64, 1, isa), MatmulMethod::definition) << to_string(isa);
    EXPECT_EQ(method(winograd_4x4_of_taps, 128, 64, 1, isa), MatmulMethod::definition) << to_string(isa);
  }
}

TEST(Winograd, TransformsWholeBlocksOfTilesAtATime) {
  for (Isa isa : all_isas) {
    for (const auto& [tile, stride] : {std::pair<Index, Index>{2, 1}, {4, 1}, {2, 2}}) {
      for (Index channels : {1, 16, 128, 1000, 100000}) {
        for (MatmulMethod method : {MatmulMethod::definition, MatmulMethod::inner_products}) {
          PackedWinograd<float> packed;
          packed.isa = isa;
          packed.tile = tile;
          packed.method = method;
          packed.window.stride = stride;
          packed.in_channels = channels;
          const Index block = method == MatmulMethod::inner_products ? 10 : isa >= Isa::avx512 ? 14 : 6;
          EXPECT_EQ(packed.tiles_in_cache() % block, 0) << channels;
          EXPECT_GE(packed.tiles_in_cache(), 16) << channels;
          EXPECT_LE(packed.tiles_in_cache(), winograd_most_tiles) << channels;
        }
      }
    }
  }
}

// Every tile once, as many at a time as there is room for.
TEST(Winograd, CutsTilesIntoPortionsOfBlocksAlike) {
  for (Index rows : {6, 14}) {
    for (Index most : {2, 3, 6}) {
      for (Index tiles = 1; tiles <= 300; ++tiles) {
        SCOPED_TRACE(concatenate(tiles, " tiles, blocks of ", rows, ", at most ", most));
        const WinogradPortions portions(tiles, rows, most);
        Index end = 0;
        for (Index i = 0; i < portions.count; ++i) {
          const Range part = portions(i);
          ASSERT_EQ(part.begin, end);
          ASSERT_GT(part.size(), 0);
          ASSERT_LE(part.size(), most * rows);
          end = part.end;
        }
        ASSERT_EQ(end, tiles);
      }
    }
  }
  const auto sizes = [](const WinogradPortions& portions) {
    std::vector<Index> all;
    for (Index i = 0; i < portions.count; ++i) all.push_back(portions(i).size());
    return all;
  };
  EXPECT_EQ(sizes({16, 14, 3}), (std::vector<Index>{16}));
  EXPECT_EQ(sizes({64, 14, 3}), (std::vector<Index>{39, 25}));  // blocks of 13, 13, 13, 13, 12
  EXPECT_EQ(sizes({64, 14, 2}), (std::vector<Index>{26, 26, 12}));
  EXPECT_FALSE(WinogradPortions(64, 14, 2).are_equal());
  EXPECT_EQ(sizes({75, 14, 3}), (std::vector<Index>{39, 36}));  // six blocks of 13 or 12
  EXPECT_TRUE(WinogradPortions(75, 14, 3).are_equal());
  EXPECT_EQ(sizes({30, 14, 1}), (std::vector<Index>{14, 14, 2}));  // none alike
}

// Groups of several panels; in the first case the last of them has columns to spare, which are zeros.
TYPED_TEST(WinogradOf, PacksTheSameWhoeverPacksWhichPanels) {
  using T = TypeParam;
  test::Random random(10);
  for (const WinogradRow& row : {WinogradRow{.in = {1, 8, 8, 10}, .out_channels = 142, .groups = 2},
                                 WinogradRow{.in = {1, 8, 8, 200}, .out_channels = 192, .groups = 2}}) {
    const WinogradWeights<T> weights(row, random);
    for (Isa isa : test::supported_isas()) {
      for (ConvolutionMethod method : winograd_methods) {
        SCOPED_TRACE(concatenate(to_string(isa), ", ", to_string(method), ": ", to_string(row)));
        const PackedWinograd<T> expected = weights.pack(row, method, isa);
        const Index width = matmul_panel_columns<T>(isa);
        const Index spare = expected.group_panels() * width - expected.group_out();
        ASSERT_EQ(spare > 0, row.out_channels == 142);
        const Index zeros = std::count(expected.weights.begin(), expected.weights.end(), T{0});
        EXPECT_EQ(zeros, spare * row.groups * expected.panel_size() / width);
        ThreadPool three(3);
        test::InOrder only_last(4, {3});
        for (Executor* pool : {static_cast<Executor*>(&three), static_cast<Executor*>(&only_last)}) {
          const PackedWinograd<T> packed = weights.pack(row, method, isa, *pool);
          EXPECT_TRUE(packed.weights == expected.weights);
          EXPECT_TRUE(packed.bias == expected.bias);
        }
      }
    }
  }
}

TEST(Winograd, RefusesWindowsOfAnotherMethod) {
  using enum ConvolutionMethod;
  const float weight[9] = {};
  const Window one{.kernel = 3}, two{.kernel = 3, .stride = 2};
  for (const std::pair<ConvolutionMethod, Window>& row : {std::pair{direct, one},
                                                          {winograd_2x2, two},
                                                          {winograd_4x4, two},
                                                          {winograd_2x2_stride_2, one},
                                                          {winograd_2x2, Window{.kernel = 1}}}) {
    const std::string message =
        test::error_of([&] { pack_winograd<float>(weight, nullptr, 1, 1, row.second, 1, row.first, Isa::baseline); });
    EXPECT_NE(message.find("window"), std::string::npos) << message;
  }
}

// One packed convolution for maps of even and odd extents, which SAME pads differently where the stride is 2.
TYPED_TEST(WinogradOf, PadsEachMapByTheSameRule) {
  using T = TypeParam;
  test::Random random(13);
  ThreadPool pool(2);
  for (ConvolutionMethod method : winograd_methods) {
    const WinogradRow row{.in = {1, 8, 8, 99}, .out_channels = 64};
    const WinogradWeights<T> weights(row, random);
    const Window same{.kernel = 3, .stride = stride_of(method), .same = true};
    const auto pack = [&](const Window& window) {
      return pack_winograd(weights.weight.data(), weights.bias.data(), 99, 64, window, 1, method, best_isa());
    };
    const PackedWinograd<T> packed = pack(same);
    for (const auto& [height, width] : {std::pair<Index, Index>{8, 8}, {9, 8}, {8, 5}, {11, 7}}) {
      const Tensor<T> in = random.map<T>({1, height, width, 99});
      const Tensor<T> expected = run_winograd<T>(in, pack(padded_for(in.shape(), same)), {}, pool);
      EXPECT_TRUE(test::same_bits(run_winograd<T>(in, packed, {}, pool), expected))
          << to_string(method) << ": " << height << "x" << width;
    }
  }
}

// Taps in every run give the bits that weights transformed beforehand give.
TYPED_TEST(WinogradOf, GivesTheSameBitsWheneverWeightsAreTransformed) {
  using T = TypeParam;
  test::Random random(12);
  ThreadPool pool(2);
  for (const WinogradRow& row : winograd_rows()) {
    const WinogradWeights<T> weights(row, random);
    const Tensor<T> in = random.map<T>(row.in);
    for (Isa isa : test::supported_isas()) {
      const PackedWinograd<T> before = weights.pack(row, ConvolutionMethod::winograd_4x4, isa);
      const PackedWinograd<T> in_run = weights.pack(row, ConvolutionMethod::winograd_4x4_of_taps, isa);
      EXPECT_EQ(in_run.weights.size() * 4, before.weights.size());
      EXPECT_TRUE(test::same_bits(run_winograd<T>(in, in_run, {}, pool), run_winograd<T>(in, before, {}, pool)))
          << to_string(isa) << ": " << to_string(row);
    }
  }
}

}  // namespace
}  // namespace plainnet::kernels
