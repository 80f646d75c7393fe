#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "plainnet/kernels/vector_math.hpp"
#include "support/isas.hpp"
#include "support/random.hpp"

namespace plainnet::kernels {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();

/// Floats of every size and sign: all whose bits are a multiple of 4099, which is prime, and a dense grid from −20
/// to 20.
const std::vector<float>& sweep() {
  static const std::vector<float> values = [] {
    std::vector<float> all = {0.0f, -0.0f, 1e-45f, -1e-45f, 1e-38f, -1e-38f, 3e38f, -3e38f};
    for (std::uint64_t bits = 0; bits < (std::uint64_t{1} << 32); bits += 4099) {
      const float value = std::bit_cast<float>(static_cast<std::uint32_t>(bits));
      if (std::isfinite(value)) all.push_back(value);
    }
    for (int i = -200000; i <= 200000; ++i) all.push_back(static_cast<float>(i) * 1e-4f);
    return all;
  }();
  return values;
}

template <class T>
std::vector<T> run(Activation activation, const std::vector<T>& in, T slope, Isa isa) {
  std::vector<T> out(in.size());
  activate<T>(in.data(), static_cast<Index>(in.size()), activation, slope, out.data(), isa);
  return out;
}

template <class T>
std::vector<T> run_exponential(const std::vector<T>& in, Isa isa) {
  std::vector<T> out(in.size());
  exponential<T>(in.data(), static_cast<Index>(in.size()), out.data(), isa);
  return out;
}

template <class T>
std::vector<T> run_power_of_two(const std::vector<T>& in, Isa isa) {
  std::vector<T> out(in.size());
  power_of_two<T>(in.data(), static_cast<Index>(in.size()), out.data(), isa);
  return out;
}

double exact_gelu(double x) { return x * std::erfc(-x / std::sqrt(2.0)) / 2; }

TEST(VectorMath, GeluIsWithinItsBound) {
  for (Isa isa : test::supported_isas()) {
    const std::vector<float> found = run(Activation::gelu, sweep(), 0.0f, isa);
    const double bound = isa >= Isa::avx512 ? 1.2e-7 : 4e-7;
    double worst = 0;
    for (std::size_t i = 0; i < found.size(); ++i) {
      const double x = static_cast<double>(sweep()[i]);
      const double difference = std::abs(static_cast<double>(found[i]) - exact_gelu(x));
      // The smallest subnormal is what rounding a result below 2^-126 costs.
      ASSERT_LE(difference, bound * std::abs(x) + 1.5e-45) << to_string(isa) << ", x " << x << ": " << found[i];
      if (std::abs(x) > 1e-30) worst = std::max(worst, difference / std::abs(x));
    }
    RecordProperty(std::string(to_string(isa)), std::to_string(worst * 1e9));
  }
}

TEST(VectorMath, GeluOfTheLargeIsTheIdentityOrZero) {
  for (Isa isa : test::supported_isas()) {
    const std::vector<float> found =
        run(Activation::gelu, {6.0f, 1e20f, infinity, -6.0f, -1e20f, nan, -infinity}, 0.0f, isa);
    EXPECT_EQ(found[0], 6.0f) << to_string(isa);
    EXPECT_EQ(found[1], 1e20f) << to_string(isa);
    EXPECT_EQ(found[2], infinity) << to_string(isa);
    EXPECT_EQ(found[3], 0.0f) << to_string(isa);
    EXPECT_EQ(found[4], 0.0f) << to_string(isa);
    EXPECT_TRUE(std::isnan(found[5])) << to_string(isa);
    EXPECT_TRUE(std::isnan(found[6])) << to_string(isa);
  }
}

TEST(VectorMath, ExponentialIsWithinItsBound) {
  for (Isa isa : test::supported_isas()) {
    const std::vector<float> found = run_exponential(sweep(), isa);
    for (std::size_t i = 0; i < found.size(); ++i) {
      const double x = static_cast<double>(sweep()[i]);
      const double expected = std::exp(x);
      if (x < -87.33) {
        ASSERT_TRUE(found[i] >= 0 && found[i] <= 0x1.02p-126f) << to_string(isa) << ", x " << x;
      } else if (x < 88.37) {
        ASSERT_LE(std::abs(static_cast<double>(found[i]) - expected), 4e-7 * expected) << to_string(isa) << ", x " << x;
      } else if (x > 88.38) {
        ASSERT_EQ(found[i], infinity) << to_string(isa) << ", x " << x;
      }
    }
    const std::vector<float> special = run_exponential<float>({0.0f, -0.0f, infinity, -infinity, nan, -87.7f}, isa);
    EXPECT_EQ(special[0], 1.0f) << to_string(isa);
    EXPECT_EQ(special[1], 1.0f) << to_string(isa);
    EXPECT_EQ(special[2], infinity) << to_string(isa);
    EXPECT_EQ(special[3], 0.0f) << to_string(isa);
    EXPECT_TRUE(std::isnan(special[4])) << to_string(isa);
    EXPECT_EQ(special[5], 0.0f) << to_string(isa);
  }
}

TEST(VectorMath, PowerOfTwoIsWithinItsBound) {
  std::vector<float> in;
  for (float x : sweep()) {
    if (x <= 0) in.push_back(x);
  }
  for (Isa isa : test::supported_isas()) {
    const std::vector<float> found = run_power_of_two(in, isa);
    double worst = 0;
    for (std::size_t i = 0; i < found.size(); ++i) {
      const double x = static_cast<double>(in[i]);
      const double expected = std::exp2(x);
      if (x < -126) {
        ASSERT_TRUE(found[i] >= 0 && found[i] <= 0x1.02p-126f) << to_string(isa) << ", x " << x;
      } else {
        const double error = std::abs(static_cast<double>(found[i]) - expected) / expected;
        ASSERT_LE(error, 3e-7) << to_string(isa) << ", x " << x;
        worst = std::max(worst, error);
      }
    }
    RecordProperty(std::string(to_string(isa)), std::to_string(worst * 1e9));
    const std::vector<float> special =
        run_power_of_two<float>({0.0f, -0.0f, -infinity, nan, -126.6f, -1.0f, -126.0f}, isa);
    EXPECT_EQ(special[0], 1.0f) << to_string(isa);
    EXPECT_EQ(special[1], 1.0f) << to_string(isa);
    EXPECT_EQ(special[2], 0.0f) << to_string(isa);
    EXPECT_TRUE(std::isnan(special[3])) << to_string(isa);
    EXPECT_EQ(special[4], 0.0f) << to_string(isa);
    EXPECT_EQ(special[5], 0.5f) << to_string(isa);
    EXPECT_EQ(special[6], 0x1p-126f) << to_string(isa);
  }
}

TEST(VectorMath, SigmoidIsWithinItsBound) {
  for (Isa isa : test::supported_isas()) {
    const std::vector<float> found = run(Activation::sigmoid, sweep(), 0.0f, isa);
    for (std::size_t i = 0; i < found.size(); ++i) {
      const double x = static_cast<double>(sweep()[i]);
      ASSERT_LE(std::abs(static_cast<double>(found[i]) - 1 / (1 + std::exp(-x))), 4e-7)
          << to_string(isa) << ", x " << x;
    }
    const std::vector<float> special = run(Activation::sigmoid, {infinity, -infinity, nan}, 0.0f, isa);
    EXPECT_EQ(special[0], 1.0f) << to_string(isa);
    EXPECT_EQ(special[1], 0.0f) << to_string(isa);
    EXPECT_TRUE(std::isnan(special[2])) << to_string(isa);
  }
}

TEST(VectorMath, SiluIsWithinItsBound) {
  for (Isa isa : test::supported_isas()) {
    const std::vector<float> found = run(Activation::silu, sweep(), 0.0f, isa);
    for (std::size_t i = 0; i < found.size(); ++i) {
      const double x = static_cast<double>(sweep()[i]);
      // The smallest subnormal is what rounding a result below 2^-126 costs.
      ASSERT_LE(std::abs(static_cast<double>(found[i]) - x / (1 + std::exp(-x))), 4e-7 * std::abs(x) + 1.5e-45)
          << to_string(isa) << ", x " << x << ": " << found[i];
    }
    const std::vector<float> special =
        run(Activation::silu, {20.0f, 1e20f, infinity, -100.0f, -1e20f, 0.0f, nan, -infinity}, 0.0f, isa);
    EXPECT_EQ(special[0], 20.0f) << to_string(isa);
    EXPECT_EQ(special[1], 1e20f) << to_string(isa);
    EXPECT_EQ(special[2], infinity) << to_string(isa);
    EXPECT_EQ(special[3], 0.0f) << to_string(isa);
    EXPECT_EQ(special[4], 0.0f) << to_string(isa);
    EXPECT_EQ(special[5], 0.0f) << to_string(isa);
    EXPECT_TRUE(std::isnan(special[6])) << to_string(isa);
    EXPECT_TRUE(std::isnan(special[7])) << to_string(isa);  // as in PyTorch
  }
}

TEST(VectorMath, ReluIsExact) {
  const auto expect = [](const auto& in, Isa isa) {
    using T = typename std::decay_t<decltype(in)>::value_type;
    const std::vector<T> found = run(Activation::relu, in, T{0.5}, isa);
    for (std::size_t i = 0; i < in.size(); ++i) ASSERT_EQ(found[i], in[i] > 0 ? in[i] : 0) << to_string(isa);
    const T large = std::numeric_limits<T>::infinity();
    const std::vector<T> special =
        run(Activation::relu, {-large, large, std::numeric_limits<T>::quiet_NaN()}, T{0}, isa);
    EXPECT_EQ(special[0], T{0}) << to_string(isa);
    EXPECT_EQ(special[1], large) << to_string(isa);
    EXPECT_TRUE(std::isnan(special[2])) << to_string(isa);
  };
  for (Isa isa : test::supported_isas()) {
    expect(sweep(), isa);
    expect(std::vector<double>(sweep().begin(), sweep().end()), isa);
  }
}

TEST(VectorMath, LeakyAndSquaredReluAreExact) {
  for (Isa isa : test::supported_isas()) {
    const std::vector<float> leaky = run(Activation::leaky_relu, sweep(), 0.25f, isa);
    const std::vector<float> squared = run(Activation::squared_relu, sweep(), 0.0f, isa);
    const std::vector<float> same = run(Activation::none, sweep(), 0.0f, isa);
    for (std::size_t i = 0; i < sweep().size(); ++i) {
      const float x = sweep()[i];
      ASSERT_EQ(leaky[i], x < 0 ? 0.25f * x : x) << to_string(isa);
      ASSERT_EQ(squared[i], x < 0 ? 0.0f : x * x) << to_string(isa);
      ASSERT_EQ(same[i], x) << to_string(isa);
    }
    EXPECT_TRUE(std::isnan(run(Activation::squared_relu, {nan}, 0.0f, isa)[0])) << to_string(isa);
  }
}

TEST(VectorMath, DoubleIsAsExactAsTheStandardLibrary) {
  test::Random random(1);
  std::vector<double> in(1003);
  random.fill(in.data(), in.data() + in.size(), -12, 12);
  std::vector<double> not_positive;
  for (double x : in) not_positive.push_back(std::min(x, 0.0));
  constexpr double epsilon = std::numeric_limits<double>::epsilon();
  for (Isa isa : test::supported_isas()) {
    const std::vector<double> gelu = run(Activation::gelu, in, 0.0, isa);
    const std::vector<double> sigmoid = run(Activation::sigmoid, in, 0.0, isa);
    const std::vector<double> silu = run(Activation::silu, in, 0.0, isa);
    const std::vector<double> exponential = run_exponential(in, isa);
    const std::vector<double> power_of_two = run_power_of_two(not_positive, isa);
    for (std::size_t i = 0; i < in.size(); ++i) {
      const double x = in[i];
      ASSERT_NEAR(gelu[i], exact_gelu(x), 4 * epsilon * std::abs(x)) << to_string(isa);
      ASSERT_NEAR(sigmoid[i], 1 / (1 + std::exp(-x)), 4 * epsilon) << to_string(isa);
      ASSERT_NEAR(silu[i], x / (1 + std::exp(-x)), 4 * epsilon * std::abs(x)) << to_string(isa);
      ASSERT_NEAR(exponential[i], std::exp(x), 2 * epsilon * std::exp(x)) << to_string(isa);
      ASSERT_NEAR(power_of_two[i], std::exp2(not_positive[i]), 2 * epsilon) << to_string(isa);
    }
  }
}

TEST(VectorMath, AnElementHasTheSameBitsWhereverItStands) {
  for (Isa isa : test::supported_isas()) {
    for (Activation activation : {Activation::relu, Activation::leaky_relu, Activation::gelu, Activation::squared_relu,
                                  Activation::sigmoid, Activation::silu}) {
      for (std::size_t count = 1; count <= 70; ++count) {
        const std::vector<float> all(count, -0.7654321f);
        const std::vector<float> out = run(activation, all, 0.3f, isa);
        for (float value : out) ASSERT_EQ(value, run(activation, {all[0]}, 0.3f, isa)[0]) << to_string(isa);
      }
    }
  }
}

}  // namespace
}  // namespace plainnet::kernels
