#include <cstdint>
#include <limits>

#include <gtest/gtest.h>

#include "plainnet/core/error.hpp"
#include "support/compare.hpp"

namespace plainnet {
namespace {

TEST(Concatenate, TakesStringsCharactersAndNumbers) {
  EXPECT_EQ(concatenate("a ", std::string("b "), std::string_view("c"), ' ', -3, ' ', std::size_t{4}), "a b c -3 4");
  EXPECT_EQ(concatenate(), "");
}

struct Percent {
  int value;
};
std::string to_string(const Percent& percent) { return std::to_string(percent.value) + " %"; }

TEST(Concatenate, TakesWhateverHasAToString) { EXPECT_EQ(concatenate("half is ", Percent{50}), "half is 50 %"); }

TEST(Concatenate, TellsTheKindsOfNumbersApart) {
  EXPECT_EQ(concatenate(std::numeric_limits<std::uint64_t>::max(), ' ', std::numeric_limits<std::int64_t>::min(), ' ',
                        0.5f, ' ', static_cast<unsigned char>(7)),
            "18446744073709551615 -9223372036854775808 0.500000 7");
}

TEST(Require, ThrowsTheMessageOnlyWhenTheConditionFails) {
  EXPECT_NO_THROW(require(true, "not built"));
  EXPECT_EQ(test::error_of([] { require(1 > 2, "found ", 1, ", expected ", 2); }), "found 1, expected 2");
  EXPECT_EQ(test::error_of([] { fail("no"); }), "no");
}

TEST(Error, IsARuntimeError) { EXPECT_THROW(fail("no"), std::runtime_error); }

}  // namespace
}  // namespace plainnet
