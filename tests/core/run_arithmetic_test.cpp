#include <cfenv>
#include <cstdint>

#include <gtest/gtest.h>

#include "plainnet/core/bit_cast.hpp"
#include "plainnet/core/run_arithmetic.hpp"
#include "plainnet/core/thread_pool.hpp"

namespace plainnet {
namespace {

/// The bits, since a comparison may itself take a denormal number for zero.
std::uint32_t bits_of_product(float a, float b) {
  volatile float factor = a, other = b;
  const volatile float product = factor * other;
  return detail::bit_cast<std::uint32_t>(static_cast<float>(product));
}

TEST(RunArithmetic, TakesDenormalOperandsAndResultsForZerosAsLongAsItLives) {
  if (!RunArithmetic::is_settable) GTEST_SKIP() << "nothing is set on this machine";
  {
    const RunArithmetic arithmetic;
    EXPECT_EQ(bits_of_product(0x1p-126f, 0.5f), 0u);     // the result
    EXPECT_EQ(bits_of_product(0x1p-130f, 0x1p20f), 0u);  // an operand
    EXPECT_EQ(bits_of_product(0x1p-126f, 1.0f), 0x00800000u);
    { const RunArithmetic another; }
    EXPECT_EQ(bits_of_product(0x1p-126f, 0.5f), 0u) << "after another has ended";
  }
  EXPECT_EQ(bits_of_product(0x1p-126f, 0.5f), 0x00400000u);
  EXPECT_NE(bits_of_product(0x1p-130f, 0x1p20f), 0u);
}

#if defined(__SSE2__)
TEST(RunArithmetic, LeavesNoTraceInTheFlagsOfExceptions) {
  std::feclearexcept(FE_ALL_EXCEPT);
  {
    const RunArithmetic arithmetic;
    bits_of_product(0x1p100f, 0x1p100f);
  }
  EXPECT_EQ(std::fetestexcept(FE_OVERFLOW), 0);
  bits_of_product(0x1p100f, 0x1p100f);
  EXPECT_NE(std::fetestexcept(FE_OVERFLOW), 0);
  std::feclearexcept(FE_ALL_EXCEPT);
}
#endif

TEST(RunExecutor, ComputesSoOnEveryThreadOfAnother) {
  if (!RunArithmetic::is_settable) GTEST_SKIP() << "nothing is set on this machine";
  ThreadPool pool(3);
  RunExecutor executor(pool);
  ASSERT_EQ(executor.size(), 3);
  std::uint32_t bits[3] = {1, 1, 1};
  executor.run([&](Index i) { bits[i] = bits_of_product(0x1p-126f, 0.5f); });
  for (const std::uint32_t found : bits) EXPECT_EQ(found, 0u);
  pool.run([&](Index i) { bits[i] = bits_of_product(0x1p-126f, 0.5f); });
  for (const std::uint32_t found : bits) EXPECT_EQ(found, 0x00400000u);
}

}  // namespace
}  // namespace plainnet
