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

TYPED_TEST(ProgramOf, RunsMeanPoolingThatLeavesPaddingOut) {
  using T = TypeParam;
  test::Random random(6);
  int compared = 0;
  for (const test::PoolingRow& row : test::pooling_rows()) {
    const Padding& p = row.window.padding;
    const bool sees_padding_alone =
        std::max(p.top, p.bottom) >= row.window.kernel.height || std::max(p.left, p.right) >= row.window.kernel.width;
    if (row.window.dilation != Extent2D{1} || sees_padding_alone) continue;
    const AvgPool2d<T> pool(row.window, /*count_include_pad=*/false);
    const Tensor<T> in = random.map<T>(row.in, 1, 2);
    const Index terms = row.window.kernel.height * row.window.kernel.width;
    for (Isa isa : test::supported_isas()) {
      const Tensor<T> out = run(pool, in, isa);
      ASSERT_TRUE(test::near_everywhere(out, pool.forward(in), 2 * test::rounding_error<T>(terms + 1, 2.0)))
          << to_string(isa) << ": " << to_string(row);
      ASSERT_TRUE(test::same_bits(run(pool, in, isa, 3), out)) << to_string(isa) << ": " << to_string(row);
    }
    ++compared;
  }
  EXPECT_GT(compared, 40);
}

TYPED_TEST(ProgramOf, PadsAsEachMapDemandsWherePaddingIsSame) {
  using T = TypeParam;
  test::Random random(7);
  for (const Index kernel : {1, 2, 3}) {
    for (const Index stride : {1, 2, 3}) {
      for (const auto& [height, width] : {std::pair<Index, Index>{6, 8}, {7, 9}, {5, 4}}) {
        const Window window{.kernel = kernel, .stride = stride, .same = true};
        Conv2d<T> conv({.in_channels = 6, .out_channels = 18, .window = window, .groups = 2});
        random.fill_network(conv);
        const Tensor<T> in = random.map<T>({.batch = 2, .height = height, .width = width, .channels = 6});
        const AvgPool2d<T> mean(window, /*count_include_pad=*/false);
        for (Isa isa : test::supported_isas()) {
          SCOPED_TRACE(concatenate(to_string(isa), ": kernel ", kernel, ", stride ", stride, ", ", height, "x", width));
          const double tolerance = 2 * test::rounding_error<T>(30, std::sqrt(3.0 * 27) + 1);
          ASSERT_TRUE(test::near_everywhere(run(conv, in, isa), conv.forward(in), tolerance));
          ASSERT_TRUE(test::near_everywhere(run(mean, in, isa), mean.forward(in), tolerance));
          ASSERT_TRUE(test::same_bits(run(MaxPool2d<T>(window), in, isa), MaxPool2d<T>(window).forward(in)));
        }
      }
    }
  }
}

/// What a program of these convolutions computes, all of five channels on maps of one size.
template <class T>
struct Branches {
  std::vector<Conv2d<T>> convs;

  explicit Branches(test::Random& random) {
    for (int i = 0; i < 7; ++i) {
      convs.emplace_back(Conv2dSizes{.in_channels = 5, .out_channels = 5, .window = {.kernel = 3, .padding = 1}});
      random.fill_network(convs.back());
    }
  }

  /// Value 1 is read by the next step, by a step later, and added at the end; the input is read a second time too.
  std::shared_ptr<const Program<T>> program(Isa isa) const {
    auto program = std::make_shared<Program<T>>(isa);
    program->append(convs[0]);  // 1
    program->append(convs[1]);  // 2
    program->read(1);
    program->append(convs[2]);          // 3, of 1
    program->append(convs[3]);          // 4, of 3
    program->append_onto(2, convs[4]);  // 5 = of 4, onto 2
    program->name_feature("fifth");
    program->read(0);
    program->append_onto(5, convs[5]);  // 6 = of the input, onto 5
    program->append_onto(1, convs[6]);  // 7 = of 6, onto 1
    return program;
  }

  Tensor<T> forward(const Tensor<T>& in) const {
    const auto sum = [](Tensor<T> a, const Tensor<T>& b) {
      a.matrix() += b.matrix();
      return a;
    };
    const Tensor<T> first = convs[0].forward(in);
    const Tensor<T> second = convs[1].forward(first);
    const Tensor<T> fourth = convs[3].forward(convs[2].forward(first));
    const Tensor<T> fifth = sum(convs[4].forward(fourth), second);
    const Tensor<T> sixth = sum(convs[5].forward(in), fifth);
    return sum(convs[6].forward(sixth), first);
  }
};

TYPED_TEST(ProgramOf, KeepsValuesThatAreReadAgain) {
  using T = TypeParam;
  test::Random random(8);
  const Branches<T> branches(random);
  const Tensor<T> in = random.map<T>({.batch = 2, .height = 7, .width = 5, .channels = 5});
  const Tensor<T> expected = branches.forward(in);
  for (Isa isa : test::supported_isas()) {
    for (const Index threads : {1, 3}) {
      for (const bool keep_features : {false, true}) {
        const BasicEngine<T> engine(branches.program(isa), in.shape(),
                                    {.threads = threads, .isa = isa, .keep_features = keep_features});
        Workspace<T> workspace = engine.workspace();
        const double tolerance = test::rounding_error<T>(5 * 46, test::largest_magnitude(expected) + 10);
        for (int i = 0; i < 2; ++i) {
          EXPECT_TRUE(test::near_everywhere<T>(engine.run(in, workspace), test::to_reference(expected), tolerance))
              << to_string(isa) << ", run " << i;
        }
      }
    }
  }
}

TEST(Program, SaysWhichValuesItsStepsReadAndAdd) {
  test::Random random(9);
  const auto program = Branches<float>(random).program(Isa::baseline);
  std::vector<std::pair<Index, Index>> steps;
  for (const auto& step : program->steps()) steps.emplace_back(step.input, step.residual.value_or(-1));
  EXPECT_EQ(steps, (std::vector<std::pair<Index, Index>>{{0, -1}, {1, -1}, {1, -1}, {3, -1}, {4, 2}, {0, 5}, {6, 1}}));
  EXPECT_EQ(program->last_value(), 7);
  EXPECT_EQ(program->features().at(0).value, 5);
}

// 1 lives to the end, beside two values at a time: no place for all seven is needed, and three do not do.
TEST(Program, NeedsMemoryForWhatIsReadAgainAndNoMore) {
  test::Random random(10);
  const auto program = Branches<float>(random).program(Isa::baseline);
  const BasicEngine<float> engine(program, {.batch = 1, .height = 16, .width = 16, .channels = 5},
                                  {.isa = Isa::baseline});
  EXPECT_EQ(engine.workspace().maps_size(), 4 * 16 * 16 * 5);
}

TEST(Program, RefusesToAddValuesOfOtherShapesOrOfLaterSteps) {
  const Shape in{.batch = 1, .height = 8, .width = 8, .channels = 5};
  const Conv2d<float> conv({.in_channels = 5, .out_channels = 5});
  const Conv2d<float> halve({.in_channels = 5, .out_channels = 5, .window = {.stride = 2}});
  const auto message = [&](const auto& build) {
    auto program = std::make_shared<Program<float>>(Isa::baseline);
    program->append(conv);
    build(*program);
    return test::error_of([&] { BasicEngine<float>(program, in, {.isa = Isa::baseline}); });
  };
  EXPECT_EQ(message([&](auto& program) { program.append_onto(1, halve); }),
            "a step adds a value to one of another shape");
  EXPECT_EQ(message([&](auto& program) { program.append_onto(2, conv); }), "step 1 reads a value that comes later");
  EXPECT_EQ(message([&](auto& program) { program.append_onto(-1, conv); }), "step 1 reads a value that comes later");
  EXPECT_EQ(message([&](auto& program) {
              program.read(2);
              program.append(conv);
            }),
            "step 1 reads a value that comes later");
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
  EXPECT_THROW(program.append(AvgPool2d<float>(Window{.kernel = 2, .dilation = 2}, false)), Error);
  EXPECT_THROW(program.append(AvgPool2d<float>(Window{.kernel = 2, .padding = 2}, false)), Error);
  EXPECT_EQ(test::error_of([&] { program.append(AvgPool2d<float>(Window{.kernel = 2, .padding = 1})); }),
            "the engine has no mean pooling that counts padding");
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
