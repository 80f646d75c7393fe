// Numbers that are none, infinities and denormal numbers in a picture.

#include <array>
#include <cfenv>
#include <chrono>
#include <limits>

#include <gtest/gtest.h>

#include "plainnet/classifier.hpp"
#include "support/compare.hpp"
#include "support/isas.hpp"
#include "trust/narrow_networks.hpp"

namespace plainnet::test {
namespace {

constexpr float nan = std::numeric_limits<float>::quiet_NaN();
constexpr float infinity = std::numeric_limits<float>::infinity();

/// Calls check(network, picture, isa) for every network, size of picture and instruction set.
template <class Check>
void for_each_case(Check&& check) {
  for (const NarrowNetwork& network : narrow_networks()) {
    for (const Shape& picture : network.pictures) {
      for (const Isa isa : supported_isas()) {
        SCOPED_TRACE(concatenate(network.name, ", ", to_string(picture), ", ", to_string(isa)));
        check(network, picture, isa);
        if (testing::Test::HasFailure()) return;
      }
    }
  }
}

/// The corners, the edges' middles and the middle of a picture: borders have code of their own, and a window of stride
/// 2 may leave the last row or column out.
std::vector<std::pair<Index, Index>> places(const Shape& picture) {
  std::vector<std::pair<Index, Index>> all;
  for (const Index y : {Index{0}, picture.height / 2, picture.height - 1}) {
    for (const Index x : {Index{0}, picture.width / 2, picture.width - 1}) all.emplace_back(y, x);
  }
  return all;
}

Tensor<float> with_pixel(const Shape& picture, std::pair<Index, Index> place, float value) {
  Tensor<float> in = Random(1).map<float>(picture);
  in(0, place.first, place.second, 1) = value;
  return in;
}

// NaN reaches all logits, unless no window sees its pixel: VanillaNet's stem leaves out up to three rows and columns.
TEST(SpecialValues, NaNInAPictureMakesAllLogitsNaN) {
  long unseen = 0;
  for_each_case([&](const NarrowNetwork& network, const Shape& picture, Isa isa) {
    const Engine engine = network.prepare(picture, {.isa = isa});
    for (const auto& place : places(picture)) {
      const bool is_seen = std::isnan(network.forward(with_pixel(picture, place, nan)).data()[0]);
      unseen += !is_seen;
      EXPECT_TRUE(is_seen || place.first == picture.height - 1 || place.second == picture.width - 1);
      const Tensor<float> logits = run_alone(engine, with_pixel(picture, place, nan));
      for (Index c = 0; c < logits.shape().channels; ++c) {
        EXPECT_EQ(std::isnan(logits.data()[c]), is_seen)
            << "logit " << c << " of " << place.first << ", " << place.second;
      }
    }
  });
  EXPECT_GT(unseen, 0);
}

// An infinity may become NaN (∞ − ∞, 0 · ∞) or, as −∞ before a ReLU, nothing at all; where the readable network, in
// double, has no finite number, the engine has none either.
TEST(SpecialValues, InfinityNeverBecomesAFiniteLogitThatMathematicsDoesNotGive) {
  long not_finite = 0;
  for_each_case([&](const NarrowNetwork& network, const Shape& picture, Isa isa) {
    const Engine engine = network.prepare(picture, {.isa = isa});
    for (const auto& place : places(picture)) {
      for (const float value : {infinity, -infinity}) {
        const Tensor<float> in = with_pixel(picture, place, value);
        const Tensor<double> expected = network.forward(in);
        const Tensor<float> logits = run_alone(engine, in);
        for (Index c = 0; c < logits.shape().channels; ++c) {
          if (std::isfinite(expected.data()[c])) continue;
          ++not_finite;
          EXPECT_FALSE(std::isfinite(logits.data()[c]))
              << value << " at " << place.first << ", " << place.second << ": logit " << c << " is " << logits.data()[c]
              << ", in double " << expected.data()[c];
        }
      }
    }
  });
  EXPECT_GT(not_finite, 1000);
}

TEST(SpecialValues, NaNAndInfinityStayInTheImageOfABatchThatHasThem) {
  for_each_case([&](const NarrowNetwork& network, const Shape& picture, Isa isa) {
    const Engine engine = network.prepare(batch_of(picture, 3), {.threads = 2, .isa = isa});
    const Tensor<float> good = Random(2).map<float>(batch_of(picture, 3));
    const Tensor<float> expected = run_alone(engine, good);
    const Index classes = expected.shape().channels;
    for (const float value : {nan, infinity}) {
      Tensor<float> bad = good;
      bad(1, 3, 5, 0) = value;
      const Tensor<float> logits = run_alone(engine, bad);
      for (const Index n : {0, 2}) {
        const Shape one{.channels = classes};
        EXPECT_TRUE(same_bits<float>({logits.data() + n * classes, one}, {expected.data() + n * classes, one})) << n;
      }
      for (Index c = 0; c < classes; ++c) EXPECT_FALSE(std::isfinite(logits.data()[classes + c])) << c;
    }
  });
}

TEST(SpecialValues, NoProbabilityIsMadeOfALogitThatIsNone) {
  for (const std::vector<float>& logits : {std::vector<float>{1, nan, 2}, {nan, 1}, {infinity, 1}, {-infinity}}) {
    for (const float probability : softmax(logits)) EXPECT_TRUE(std::isnan(probability));
  }
  EXPECT_EQ(softmax(std::vector<float>{-infinity, 3}), (std::vector<float>{0, 1}));
}

/// A picture of random numbers, every third of them times 2^-130.
Tensor<float> with_denormals(const Shape& shape, float factor) {
  Tensor<float> in = Random(3).map<float>(shape);
  for (Index i = 0; i < shape.elements(); i += 3) in.data()[i] *= factor;
  return in;
}

TEST(SpecialValues, LogitsOfAPictureWithDenormalNumbersAreRightToRounding) {
  for_each_case([&](const NarrowNetwork& network, const Shape& picture, Isa isa) {
    const Tensor<float> in = with_denormals(picture, 0x1p-130f);
    ASSERT_NE(in.data()[3], 0.0f);
    const Tensor<double> expected = network.forward(in);
    const Tensor<float> logits = run_alone(network.prepare(picture, {.isa = isa}), in);
    EXPECT_TRUE(near_everywhere<float>(logits.view(), to_reference(expected),
                                       rounding_error<float>(3000, largest_magnitude(expected))));
  });
}

/// A convolution and its engine's result where all weights are `weight`.
Tensor<float> convolved(const Tensor<float>& in, float weight, const EngineOptions& options) {
  Conv2d<float> conv({.in_channels = 3, .out_channels = 5, .window = {.kernel = 3}, .bias = false});
  std::fill(conv.weight.begin(), conv.weight.end(), weight);
  const auto program = std::make_shared<Program<float>>(options.isa);
  program->append(conv);
  return run_alone(Engine(program, in.shape(), options), in);
}

// On every thread: with a large weight, what is not taken for zero would show.
TEST(SpecialValues, DenormalNumbersCountAsZeros) {
  if (!RunArithmetic::is_settable) GTEST_SKIP() << "nothing is set on this machine";
  const Tensor<float> large = Random(4).map<float>({1, 40, 40, 3}, 0x1p99, 0x1p100);
  const Tensor<float> small = Random(4).map<float>(large.shape(), 0x1p-130, 0x1p-128);
  const Tensor<float> smallest_normal = Random(4).map<float>(large.shape(), 0x1p-126, 0x1p-125);
  const auto zeros = [](const Tensor<float>& map) {
    return std::count(map.data(), map.data() + map.shape().elements(), 0.0f);
  };
  for (const Isa isa : supported_isas()) {
    for (const Index threads : {1, 2, 3}) {
      const EngineOptions options{.threads = threads, .isa = isa};
      const Index all = 38 * 38 * 5;
      EXPECT_EQ(zeros(convolved(small, 0x1p100f, options)), all) << to_string(isa) << ", of the picture";
      EXPECT_EQ(zeros(convolved(large, 0x1p-130f, options)), all) << to_string(isa) << ", of the weights";
      EXPECT_EQ(zeros(convolved(smallest_normal, 0x1p-10f, options)), all) << to_string(isa) << ", of the result";
      EXPECT_EQ(zeros(convolved(smallest_normal, 1.0f, options)), 0) << to_string(isa) << ", not denormal";
    }
  }
}

/// The time of the shortest of many runs of each engine, in turns, so that both meet the machine in the same state.
std::array<double, 2> shortest_seconds(const std::array<Engine, 2>& engines,
                                       const std::array<Tensor<float>, 2>& inputs) {
  std::array<Workspace<float>, 2> workspaces{engines[0].workspace(), engines[1].workspace()};
  std::array<double, 2> shortest{1e9, 1e9};
  for (int run = 0; run < 50; ++run) {
    for (const std::size_t i : {0, 1}) {
      const auto start = std::chrono::steady_clock::now();
      engines[i].run(inputs[i], workspaces[i]);
      const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
      shortest[i] = std::min(shortest[i], seconds.count());
    }
  }
  return shortest;
}

// Of a picture, and of all maps, to which no bias is added; of the weights.
TEST(SpecialValues, DenormalNumbersTakeNoRunMoreThanTwiceAsLong) {
  if (!RunArithmetic::is_settable) GTEST_SKIP() << "nothing is set on this machine";
  const Shape picture{.batch = 1, .height = 40, .width = 40, .channels = 16};
  const Tensor<float> normal = Random(5).map<float>(picture);
  const Tensor<float> denormal = Random(5).map<float>(picture, 0x1p-130, 0x1p-128);
  for (const Isa isa : supported_isas()) {
    const auto engine = [&](double size_of_weights) {
      const auto program = std::make_shared<Program<float>>(isa);
      for (int layer = 0; layer < 4; ++layer) {
        Conv2d<float> conv({.in_channels = 16, .out_channels = 16, .window = {.kernel = 3}, .bias = false});
        Random(6).fill(conv.weight, -size_of_weights, size_of_weights);
        program->append(conv);
      }
      return Engine(program, picture, {.isa = isa});
    };
    const Engine usual = engine(0.125);
    const auto [of_normal, of_picture] = shortest_seconds({usual, usual}, {normal, denormal});
    EXPECT_LT(of_picture, 2 * of_normal) << to_string(isa);
    const auto [of_usual, of_weights] = shortest_seconds({usual, engine(0x1p-128)}, {normal, normal});
    EXPECT_LT(of_weights, 2 * of_usual) << to_string(isa);
  }
}

/// How the thread that makes it rounds, and whether it knows denormal numbers.
struct Settings {
  int rounding = std::fegetround();
  bool flushes = [] {
    volatile float small = 0x1p-126f;
    return small / 2 == 0.0f;
  }();
  bool operator==(const Settings&) const = default;
};

TEST(SpecialValues, TheArithmeticThatACallerHasSetNeitherMattersNorChanges) {
  if (!RunArithmetic::is_settable) GTEST_SKIP() << "nothing is set on this machine";
  for_each_case([&](const NarrowNetwork& network, const Shape& picture, Isa isa) {
    const Tensor<float> in = with_denormals(picture, 0x1p-130f);
    for (const Index threads : {1, 2}) {
      const Engine engine = network.prepare(picture, {.threads = threads, .isa = isa});
      const Tensor<float> expected = run_alone(engine, in);
      std::fesetround(FE_UPWARD);
      const Settings before;
      Workspace<float> workspace = engine.workspace();  // whose threads begin with what their maker has set
      Settings of_hook;
      const auto logits = engine.run(in, workspace, [&](Index, Index) noexcept {
        of_hook = Settings();
        return true;
      });
      const Settings after;
      std::fesetround(FE_TONEAREST);
      EXPECT_TRUE(same_bits<float>(*logits, expected)) << threads << " threads";
      EXPECT_EQ(before.rounding, FE_UPWARD);
      EXPECT_FALSE(before.flushes);
      EXPECT_TRUE(after == before);
      EXPECT_TRUE(of_hook == before);
    }
  });
}

#if defined(__GLIBC__) && defined(__x86_64__)
TEST(SpecialValues, ARunDoesNotTrapWhereItsCallerHasAskedForTraps) {
  const NarrowNetwork network = narrow_networks().front();
  const Shape& picture = network.pictures.front();
  const Tensor<float> in = with_pixel(picture, {8, 8}, infinity);  // ∞ − ∞ in the first convolution
  const Engine engine = network.prepare(picture, {.threads = 2});
  const Tensor<float> expected = run_alone(engine, in);
  const int before = feenableexcept(FE_INVALID | FE_DIVBYZERO | FE_OVERFLOW);
  Workspace<float> workspace = engine.workspace();
  const TensorView<const float> logits = engine.run(in, workspace);
  const int after = fegetexcept();
  fedisableexcept(FE_ALL_EXCEPT);
  EXPECT_TRUE(same_bits<float>(logits, expected));
  EXPECT_EQ(before, 0);
  EXPECT_EQ(after, FE_INVALID | FE_DIVBYZERO | FE_OVERFLOW);
}
#endif

}  // namespace
}  // namespace plainnet::test
