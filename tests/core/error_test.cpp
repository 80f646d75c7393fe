#include <gtest/gtest.h>

#include "plainnet/core/error.hpp"
#include "support/compare.hpp"

namespace plainnet {
namespace {

TEST(Concatenate, TakesStringsCharactersAndNumbers) {
  EXPECT_EQ(concatenate("a ", std::string("b "), std::string_view("c"), ' ', -3, ' ', std::size_t{4}), "a b c -3 4");
  EXPECT_EQ(concatenate(), "");
}

TEST(Require, ThrowsTheMessageOnlyWhenTheConditionFails) {
  EXPECT_NO_THROW(require(true, "not built"));
  EXPECT_EQ(test::error_of([] { require(1 > 2, "found ", 1, ", expected ", 2); }), "found 1, expected 2");
  EXPECT_EQ(test::error_of([] { fail("no"); }), "no");
}

TEST(Error, IsARuntimeError) { EXPECT_THROW(fail("no"), std::runtime_error); }

}  // namespace
}  // namespace plainnet
