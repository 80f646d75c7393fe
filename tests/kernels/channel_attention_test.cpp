#include <array>
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "plainnet/core/thread_pool.hpp"
#include "plainnet/kernels/channel_attention.hpp"
#include "support/compare.hpp"
#include "support/isas.hpp"
#include "support/random.hpp"

namespace plainnet::kernels {
namespace {

template <class T>
class ChannelGatesOf : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(ChannelGatesOf, Scalars);

constexpr std::array<std::array<Index, 3>, 5> sizes = {{{1, 1, 1}, {1, 3, 5}, {3, 2, 4}, {4, 1, 1}, {2, 5, 1}}};

TYPED_TEST(ChannelGatesOf, MultiplyChannelsAndAreAddedTo) {
  using T = TypeParam;
  test::Random random(1);
  ThreadPool one(1), two(2), three(3);
  for (Index channels = 1; channels <= 35; ++channels) {
    for (const auto& [batch, height, width] : sizes) {
      const Shape shape{batch, height, width, channels};
      const Tensor<T> in = random.map<T>(shape, -2, 2);
      const Tensor<T> residual = random.map<T>(shape, -2, 2);
      const Tensor<T> gates = random.map<T>({.batch = batch, .channels = channels}, 0, 1);
      const T gain = static_cast<T>(random.uniform(-2, 2));
      const test::Map expected = test::reference_sum(
          test::reference_gated(test::to_reference(in), test::to_reference(gates), static_cast<double>(gain)),
          test::to_reference(residual));
      const double tolerance = test::rounding_error<T>(3, 2 * 2 + 2);
      for (const Isa isa : test::supported_isas()) {
        Tensor<T> first(shape);
        add_gated<T>(in, gates.data(), gain, residual.data(), first.view(), isa, one);
        ASSERT_TRUE(test::near_everywhere(first, expected, tolerance)) << to_string(isa) << ", " << to_string(shape);
        for (ThreadPool* pool : {&two, &three}) {
          Tensor<T> out(shape);
          add_gated<T>(in, gates.data(), gain, residual.data(), out.view(), isa, *pool);
          ASSERT_TRUE(test::same_bits(out, first))
              << to_string(isa) << ", " << to_string(shape) << ", " << pool->size() << " threads";
        }
        // In place of either.
        Tensor<T> over_in = in;
        add_gated<T>(over_in.view(), gates.data(), gain, residual.data(), over_in.view(), isa, three);
        ASSERT_TRUE(test::same_bits(over_in, first)) << to_string(isa) << ", " << to_string(shape);
        Tensor<T> over_residual = residual;
        add_gated<T>(in, gates.data(), gain, over_residual.data(), over_residual.view(), isa, three);
        ASSERT_TRUE(test::same_bits(over_residual, first)) << to_string(isa) << ", " << to_string(shape);
      }
    }
  }
}

TYPED_TEST(ChannelGatesOf, WriteNothingBehindTheirPart) {
  using T = TypeParam;
  for (const Isa isa : test::supported_isas()) {
    for (const Index channels : {1, 3, 7, 9, 17}) {
      const std::vector<T> ones(static_cast<std::size_t>(2 * channels), T{1});
      std::vector<T> out(static_cast<std::size_t>(2 * channels + 1), T{-7});
      add_gated_part<T>(isa, ones.data(), ones.data(), T{2}, ones.data(), 2, channels, out.data());
      for (Index i = 0; i < 2 * channels; ++i) ASSERT_EQ(out[static_cast<std::size_t>(i)], T{3}) << to_string(isa);
      ASSERT_EQ(out.back(), T{-7}) << to_string(isa) << ", " << channels << " channels";
    }
  }
}

TYPED_TEST(ChannelGatesOf, LetNaNThroughWhereItStands) {
  using T = TypeParam;
  const Index channels = 19;
  ThreadPool pool(1);
  for (const Isa isa : test::supported_isas()) {
    for (const Index c : {0, 18}) {  // in a vector, and after the last whole one
      Tensor<T> in({.batch = 1, .height = 2, .width = 1, .channels = channels});
      Tensor<T> gates({.channels = channels});
      in(0, 1, 0, c) = std::numeric_limits<T>::quiet_NaN();
      Tensor<T> out(in.shape());
      const Tensor<T> zeros(in.shape());
      add_gated<T>(in, gates.data(), T{1}, zeros.data(), out.view(), isa, pool);
      for (Index i = 0; i < 2 * channels; ++i) {
        ASSERT_EQ(std::isnan(out.data()[i]), i == channels + c) << to_string(isa) << ", element " << i;
      }
    }
  }
}

TYPED_TEST(ChannelGatesOf, ComeFromTheMeansOfNeighbours) {
  using T = TypeParam;
  test::Random random(2);
  for (const Index channels : {1, 2, 3, 5, 16, 35, 200}) {
    for (const Index taps : {1, 3, 5, 7}) {
      const Tensor<T> means = random.map<T>({.channels = channels}, -3, 3);
      Parameter<T> weight({taps});
      random.fill(weight, 0.2, 1);
      const test::Map expected = test::reference_each(
          test::reference_along_channels(test::to_reference(means), test::Numbers(weight)), test::reference_sigmoid);
      for (const Isa isa : test::supported_isas()) {
        Tensor<T> gates({.channels = channels});
        gates_of_neighbours<T>(means.data(), channels, weight.data(), taps, gates.data(), isa);
        // A sigmoid's slope is at most 1/4; its own error is 4e-7 in float.
        const double tolerance = (sizeof(T) == 4 ? 4e-7 : test::rounding_error<T>(4, 1.0)) +
                                 test::rounding_error<T>(taps, static_cast<double>(3 * taps)) / 4;
        ASSERT_TRUE(test::near_everywhere(gates, expected, tolerance))
            << to_string(isa) << ", " << channels << " channels, " << taps << " taps";
      }
    }
  }
}

}  // namespace
}  // namespace plainnet::kernels
