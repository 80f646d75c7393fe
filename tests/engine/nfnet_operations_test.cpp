// The operations of NFNets one by one.

#include <gtest/gtest.h>

#include "plainnet/core/thread_pool.hpp"
#include "plainnet/engine/nfnet_operations.hpp"
#include "plainnet/engine/packing.hpp"
#include "support/compare.hpp"
#include "support/isas.hpp"
#include "support/random.hpp"

namespace plainnet {
namespace {

/// Runs an operation in just the scratch memory that it asks for: what lies behind stays as it was.
template <class T>
Tensor<T> run(const Operation<T>& operation, const Tensor<T>& in, const Tensor<T>& residual, Index threads) {
  constexpr Index guard = 1 << 17;
  constexpr T mark = T{-77};
  ThreadPool pool(threads);
  const Index size = operation.scratch(in.shape(), threads);
  AlignedVector<T> scratch(static_cast<std::size_t>(size + guard), mark);
  Tensor<T> out(operation.output_shape(in.shape()));
  operation.run(in, residual.data(), out.view(), scratch.data(), pool);
  for (Index i = size; i < size + guard; ++i) {
    EXPECT_EQ(scratch[static_cast<std::size_t>(i)], mark) << i - size << " behind the end of " << size;
    if (testing::Test::HasFailure()) break;
  }
  return out;
}

template <class T>
class NfNetOperationOf : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(NfNetOperationOf, Scalars);

// With 400 images a product uses all of its scratch memory.
TYPED_TEST(NfNetOperationOf, AddsAGatedMapInTheScratchMemoryThatItAsksFor) {
  using T = TypeParam;
  test::Random random(1);
  for (const Index channels : {5, 21, 70}) {
    SqueezeExcite<T> squeeze(channels, channels / 2 + 1);
    EfficientChannelAttention<T> efficient(channels);
    random.fill_network(squeeze);
    random.fill_network(efficient);
    for (const Index batch : {1, 3, 400}) {
      const Shape shape{.batch = batch, .height = 2, .width = 1, .channels = channels};
      const Tensor<T> in = random.map<T>(shape, -2, 2);
      const Tensor<T> residual = random.map<T>(shape, -2, 2);
      const T gain = static_cast<T>(-1.5);
      const auto expected = [&](const auto& layer) {
        return test::reference_sum(
            test::reference_each(test::to_reference(layer.forward(in)), [](double x) { return -1.5 * x; }),
            test::to_reference(residual));
      };
      // Gates are between 0 and 1, and 4e-7 away where a float's sigmoid is not that of the library.
      const double tolerance = 3 * (4e-7 * (sizeof(T) == 4 ? 1 : 0) + test::rounding_error<T>(3 * channels, 2.0));
      for (const Isa isa : test::supported_isas()) {
        const SqueezeExciteOperation<T> squeezing(detail::pack_linear(squeeze.fc1, isa),
                                                  detail::pack_linear(squeeze.fc2, isa), gain);
        const EfficientAttentionOperation<T> convolving(detail::numbers_of(efficient.weight), gain, isa);
        EXPECT_EQ(squeezing.macs(shape), squeeze.macs(shape));
        EXPECT_EQ(convolving.macs(shape), efficient.macs(shape));
        for (const Index threads : {1, 3}) {
          SCOPED_TRACE(concatenate(to_string(shape), ", ", to_string(isa), ", ", threads, " threads"));
          ASSERT_TRUE(test::near_everywhere(run<T>(squeezing, in, residual, threads), expected(squeeze), tolerance));
          ASSERT_TRUE(test::near_everywhere(run<T>(convolving, in, residual, threads), expected(efficient), tolerance));
          if (testing::Test::HasFailure()) return;
        }
      }
    }
  }
}

TYPED_TEST(NfNetOperationOf, ActivatesMapsOfAnySizeInAnyNumberOfThreads) {
  using T = TypeParam;
  test::Random random(2);
  for (const Index elements : {1, 63, 64, 65, 128, 200}) {
    const Tensor<T> in = random.map<T>({.channels = elements}, -3, 3);
    const test::Map expected =
        test::reference_each(test::to_reference(in), [](double x) { return x * test::reference_sigmoid(x); });
    for (const Isa isa : test::supported_isas()) {
      const ActivationOperation<T> operation(kernels::Activation::silu, isa);
      const Tensor<T> first = run<T>(operation, in, in, 1);
      EXPECT_TRUE(test::near_everywhere(first, expected, sizeof(T) == 4 ? 4e-7 * 3 : test::rounding_error<T>(4, 3.0)));
      for (const Index threads : {2, 3, 5}) {
        EXPECT_TRUE(test::same_bits(run<T>(operation, in, in, threads), first))
            << elements << " elements, " << to_string(isa) << ", " << threads << " threads";
      }
    }
  }
}

TEST(SqueezeExciteOperation, RefusesOtherChannels) {
  const SqueezeExcite<float> layer(6, 4);
  const SqueezeExciteOperation<float> operation(detail::pack_linear(layer.fc1, Isa::baseline),
                                                detail::pack_linear(layer.fc2, Isa::baseline), 1.0f);
  EXPECT_EQ(test::error_of([&] { operation.output_shape({.channels = 5}); }),
            "a squeeze-excite of 6 channels was given 5");
}

}  // namespace
}  // namespace plainnet
