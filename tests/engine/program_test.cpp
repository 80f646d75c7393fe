// Layers as an engine runs them, against the same layers as they read.

#include <gtest/gtest.h>

#include "plainnet/engine/engine.hpp"
#include "plainnet/engine/program.hpp"
#include "support/compare.hpp"
#include "support/convolution_rows.hpp"
#include "support/isas.hpp"
#include "support/pooling_rows.hpp"
#include "support/random.hpp"

namespace plainnet {
namespace {

template <class T, class L>
std::shared_ptr<const Program<T>> program_of(const L& layer, Isa isa) {
  auto program = std::make_shared<Program<T>>(isa);
  program->append(layer);
  return program;
}

/// Runs one layer as a program; the number of its multiply-adds and the shape of its result are as the layer says.
template <class T, class L>
Tensor<T> run(const L& layer, const Tensor<T>& in, Isa isa, Index threads = 1) {
  const BasicEngine<T> engine(program_of<T>(layer, isa), in.shape(), {.threads = threads, .isa = isa});
  EXPECT_EQ(engine.macs(), layer.macs(in.shape()));
  EXPECT_EQ(engine.output_shape(), layer.output_shape(in.shape()));
  Workspace<T> workspace = engine.workspace();
  const TensorView<const T> out = engine.run(in, workspace);
  Tensor<T> copy(out.shape());
  std::copy_n(out.data(), out.shape().elements(), copy.data());
  return copy;
}

template <class T>
class ProgramOf : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(ProgramOf, Scalars);

TYPED_TEST(ProgramOf, RunsAnyConvolution) {
  using T = TypeParam;
  test::Random random(1);
  for (const test::ConvolutionRow& row : test::convolution_rows()) {
    Conv2d<T> conv({row.in.channels, row.out_channels, row.window, row.groups, row.bias});
    random.fill_network(conv);
    const Tensor<T> in = random.map<T>(row.in);
    const test::Map expected = test::to_reference(conv.forward(in));
    // Weights are at most √3 / √terms, inputs at most 1; both sides round.
    const double terms = static_cast<double>(conv.weight.size() / row.out_channels);
    const double tolerance = 2 * test::rounding_error<T>(static_cast<Index>(terms) + 3, std::sqrt(3 * terms) + 1);
    for (Isa isa : test::supported_isas()) {
      ASSERT_TRUE(test::near_everywhere(run(conv, in, isa), expected, tolerance))
          << to_string(isa) << ": " << to_string(row);
    }
  }
}

TYPED_TEST(ProgramOf, RunsMaxPoolingWithPaddingAndRounding) {
  using T = TypeParam;
  test::Random random(2);
  int compared = 0;
  for (const test::PoolingRow& row : test::pooling_rows()) {
    const Padding& p = row.window.padding;
    const bool sees_padding_alone =
        std::max(p.top, p.bottom) >= row.window.kernel.height || std::max(p.left, p.right) >= row.window.kernel.width;
    if (row.window.dilation != Extent2D{1} || sees_padding_alone) continue;
    const MaxPool2d<T> pool(row.window);
    const Tensor<T> in = random.map<T>(row.in, -2, -1);
    for (Isa isa : test::supported_isas()) {
      for (Index threads : {1, 3}) {
        ASSERT_TRUE(test::same_bits(run(pool, in, isa, threads), pool.forward(in)))
            << to_string(isa) << ": " << to_string(row);
      }
    }
    ++compared;
  }
  EXPECT_GT(compared, 40);
}

TYPED_TEST(ProgramOf, RunsAdaptiveMaxPooling) {
  using T = TypeParam;
  test::Random random(3);
  for (Extent2D size : {Extent2D{1}, Extent2D{3, 5}, Extent2D{7}, Extent2D{19, 2}}) {
    const AdaptiveMaxPool2d<T> pool(size);
    const Tensor<T> in = random.map<T>({.batch = 2, .height = 11, .width = 4, .channels = 21}, -2, -1);
    for (Isa isa : test::supported_isas()) {
      ASSERT_TRUE(test::same_bits(run(pool, in, isa, 2), pool.forward(in))) << to_string(isa) << ", " << size.height;
    }
  }
}

TYPED_TEST(ProgramOf, RunsGlobalPoolingAndSeriesActivations) {
  using T = TypeParam;
  test::Random random(4);
  const Tensor<T> in = random.map<T>({.batch = 2, .height = 6, .width = 5, .channels = 21});
  FoldedSeriesActivation<T> act(21, 2);
  random.fill_network(act);
  for (Isa isa : test::supported_isas()) {
    EXPECT_TRUE(test::near_everywhere(run(GlobalAvgPool2d<T>{}, in, isa), GlobalAvgPool2d<T>{}.forward(in),
                                      2 * test::rounding_error<T>(32, 1.0)));
    // 25 weights of at most √3 / 5, and a bias.
    EXPECT_TRUE(test::near_everywhere(run(act, in, isa), act.forward(in),
                                      2 * test::rounding_error<T>(26, 5 * std::sqrt(3.0) + 1)));
  }
}

TYPED_TEST(ProgramOf, RunsTheActivationBetweenTwoConvolutions) {
  using T = TypeParam;
  test::Random random(5);
  using Pair = Sequential<Conv2d<T>, LeakyRelu<T>, Conv2d<T>>;
  const Tensor<T> in = random.map<T>({.batch = 2, .height = 6, .width = 5, .channels = 3});
  for (double slope : {0.0, 0.3, 1.0}) {
    Pair pair(Conv2d<T>({.in_channels = 3, .out_channels = 13, .window = {.kernel = 3, .padding = 1}}),
              LeakyRelu<T>(slope), Conv2d<T>({.in_channels = 13, .out_channels = 9}));
    random.fill_network(pair);
    for (Isa isa : test::supported_isas()) {
      const Tensor<T> out = run(pair, in, isa);
      EXPECT_TRUE(test::near_everywhere(out, pair.forward(in), test::rounding_error<T>(27 + 13, 20.0))) << slope;
      EXPECT_TRUE(test::same_bits(run(OneOf<Conv2d<T>, Pair>(pair), in, isa), out)) << slope;
    }
  }
}

TEST(Program, LeavesTheIdentityOut) {
  Program<float> program(Isa::baseline);
  program.append(Identity<float>{});
  EXPECT_TRUE(program.steps().empty());
  program.append(Sequential(GlobalAvgPool2d<float>{}, Identity<float>{}));
  EXPECT_EQ(program.steps().size(), 1u);
}

TEST(Program, NamesTheOutputOfItsLastOperation) {
  Program<float> program(Isa::baseline);
  EXPECT_NE(test::error_of([&] { program.name_feature("stem"); }).find("stem"), std::string::npos);
  program.append(GlobalAvgPool2d<float>{});
  program.name_feature("mean");
  ASSERT_EQ(program.features().size(), 1u);
  EXPECT_EQ(program.features()[0].name, "mean");
  EXPECT_EQ(program.features()[0].value, 1);
}

TEST(Program, RefusesPoolingThatItHasNot) {
  Program<float> program(Isa::baseline);
  EXPECT_THROW(program.append(MaxPool2d<float>(Window{.kernel = 2, .dilation = 2})), Error);
  EXPECT_THROW(program.append(MaxPool2d<float>(Window{.kernel = 2, .padding = 2})), Error);
  EXPECT_THROW(program.append(MaxPool2d<float>(Window{.kernel = {3, 2}, .padding = {0, 0, 0, 2}})), Error);
  EXPECT_NO_THROW(program.append(MaxPool2d<float>(Window{.kernel = 2, .padding = 1})));
}

TEST(Program, RefusesAnInstructionSetThatThisMachineHasNot) {
  for (Isa isa : all_isas) {
    if (is_supported(isa)) {
      EXPECT_EQ(Program<float>(isa).isa(), isa);
    } else {
      EXPECT_THROW(Program<float>{isa}, Error);
    }
  }
}

}  // namespace
}  // namespace plainnet
