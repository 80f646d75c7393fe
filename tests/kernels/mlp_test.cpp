#include <gtest/gtest.h>

#include "plainnet/core/thread_pool.hpp"
#include "plainnet/kernels/mlp.hpp"
#include "plainnet/kernels/normalization.hpp"
#include "plainnet/kernels/normalized_rows.hpp"
#include "support/compare.hpp"
#include "support/isas.hpp"
#include "support/random.hpp"

namespace plainnet::kernels {
namespace {

template <class T>
struct Layers {
  MlpSizes<T> sizes;
  AlignedVector<T> in, weight1, bias1, weight2, bias2, scale;

  Layers(const MlpSizes<T>& sizes_, test::Random& random) : sizes(sizes_) {
    const auto fill = [&](AlignedVector<T>& values, Index count) {
      values.resize(static_cast<std::size_t>(count));
      random.fill(values.data(), values.data() + count, -1, 1);
    };
    fill(in, sizes.rows * sizes.inputs);
    fill(weight1, sizes.inputs * sizes.hidden);
    fill(bias1, sizes.hidden);
    fill(weight2, sizes.hidden * sizes.outputs);
    fill(bias2, sizes.outputs);
    fill(scale, sizes.outputs);
  }

  PackedMatrix<T> first(Isa isa) const {
    return pack_matrix<T, T>({weight1.data(), sizes.inputs, sizes.hidden, 1, sizes.inputs}, bias1.data(), isa,
                             callers_thread(), matmul_method<T>(isa, sizes.inputs, sizes.hidden));
  }
  PackedMatrix<T> second(Isa isa) const {
    return pack_matrix<T, T>({weight2.data(), sizes.hidden, sizes.outputs, 1, sizes.hidden}, bias2.data(), isa,
                             callers_thread(), matmul_method<T>(isa, sizes.hidden, sizes.outputs));
  }
};

/// Small ones, one that is fused for few threads only, one that is fused for three, and three for inner products, of
/// which one is fused, and one has too few rows to share out.
template <class T>
std::vector<MlpSizes<T>> all_sizes() {
  return {{1, 5, 7, 3},         {50, 33, 70, 33},    {700, 24, 400, 24}, {2200, 24, 200, 24},
          {224, 512, 512, 512}, {2600, 64, 128, 64}, {20, 128, 416, 64}};
}

template <class T>
class FusedMlpOf : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(FusedMlpOf, Scalars);

// To the bit, so that it is of no consequence which of the ways an engine takes.
TYPED_TEST(FusedMlpOf, IsOneProductAfterTheOther) {
  using T = TypeParam;
  test::Random random(1);
  ThreadPool one(1);
  int fused = 0, apart = 0;
  for (const MlpSizes<T>& sizes : all_sizes<T>()) {
    const Layers<T> layers(sizes, random);
    const auto residual = layers.in;  // of the shape of the result where there is one
    const bool adds = sizes.inputs == sizes.outputs;
    for (Isa isa : test::supported_isas()) {
      const PackedMatrix<T> first = layers.first(isa);
      const PackedMatrix<T> second = layers.second(isa);
      const MatrixRows<T> rows(layers.in.data(), sizes.inputs);
      const auto by = Normalization<T>::of_pixels(static_cast<T>(1e-5));
      const NormalizedRows<T> normalized(layers.in.data(), sizes.inputs, sizes.inputs, by);
      for (const RowSource<T>* source :
           {static_cast<const RowSource<T>*>(&rows), static_cast<const RowSource<T>*>(&normalized)}) {
        const Epilogue<T> epilogue{.residual = adds ? residual.data() : nullptr,
                                   .residual_stride = sizes.outputs,
                                   .residual_scale = adds ? layers.scale.data() : nullptr};
        AlignedVector<T> hidden(static_cast<std::size_t>(sizes.rows * sizes.hidden));
        AlignedVector<T> expected(static_cast<std::size_t>(sizes.rows * sizes.outputs));
        AlignedVector<T> scratch(
            static_cast<std::size_t>(std::max(matmul_scratch<T>(sizes.inputs), matmul_scratch<T>(sizes.hidden))));
        multiply<T>(*source, sizes.rows, first, {.activation = Activation::gelu}, hidden.data(), sizes.hidden,
                    scratch.data(), one);
        multiply<T>(MatrixRows<T>(hidden.data(), sizes.hidden), sizes.rows, second, epilogue, expected.data(),
                    sizes.outputs, scratch.data(), one);
        for (Index threads : {1, 2, 3}) {
          SCOPED_TRACE(concatenate(to_string(isa), ", ", sizes.rows, " rows, ", threads, " threads"));
          (sizes.is_fused(threads) ? fused : apart) += 1;
          ThreadPool pool(threads);
          AlignedVector<T> memory(static_cast<std::size_t>(sizes.scratch(threads)));
          AlignedVector<T> out(expected.size());
          mlp<T>(*source, sizes, first, Activation::gelu, second, epilogue, out.data(), sizes.outputs, memory.data(),
                 pool);
          ASSERT_EQ(out, expected);
        }
      }
    }
  }
  EXPECT_GT(fused, 0);
  EXPECT_GT(apart, 0);
}

TYPED_TEST(FusedMlpOf, WritesOverItsRows) {
  using T = TypeParam;
  test::Random random(2);
  for (const MlpSizes<T>& sizes : all_sizes<T>()) {
    if (sizes.inputs != sizes.outputs) continue;
    const Layers<T> layers(sizes, random);
    const PackedMatrix<T> first = layers.first(best_isa());
    const PackedMatrix<T> second = layers.second(best_isa());
    for (Index threads : {1, 3}) {
      ThreadPool pool(threads);
      AlignedVector<T> memory(static_cast<std::size_t>(sizes.scratch(threads)));
      AlignedVector<T> map = layers.in;
      AlignedVector<T> beside(map.size());
      for (AlignedVector<T>* out : {&beside, &map}) {
        const NormalizedRows<T> rows(map.data(), sizes.inputs, sizes.inputs,
                                     Normalization<T>::of_pixels(static_cast<T>(1e-5)));
        const Epilogue<T> epilogue{.residual = map.data(), .residual_stride = sizes.outputs};
        mlp<T>(rows, sizes, first, Activation::squared_relu, second, epilogue, out->data(), sizes.outputs,
               memory.data(), pool);
      }
      ASSERT_EQ(map, beside) << sizes.rows << " rows, " << threads << " threads";
    }
  }
}

TEST(FusedMlp, IsFusedWhereTheHiddenMapIsLargeAndTheWeightsAreNot) {
  EXPECT_TRUE((MlpSizes<float>{56 * 56, 64, 256, 64}.is_fused(2)));
  EXPECT_TRUE((MlpSizes<float>{28 * 28, 128, 512, 128}.is_fused(2)));
  EXPECT_FALSE((MlpSizes<float>{14 * 14, 320, 1280, 320}.is_fused(1)));
  EXPECT_FALSE((MlpSizes<float>{7 * 7, 512, 2048, 512}.is_fused(1)));
  EXPECT_FALSE((MlpSizes<float>{28 * 28, 128, 512, 128}.is_fused(16)));  // too few rows for each
}

}  // namespace
}  // namespace plainnet::kernels
