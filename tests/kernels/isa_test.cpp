#include <gtest/gtest.h>

#include "plainnet/kernels/isa.hpp"
#include "support/compare.hpp"
#include "support/isas.hpp"

namespace plainnet {
namespace {

TEST(Isa, BaselineRunsEverywhere) { EXPECT_TRUE(is_supported(Isa::baseline)); }

TEST(Isa, EachNeedsTheOneBeforeIt) {
  for (std::size_t i = 1; i < all_isas.size(); ++i) {
    EXPECT_TRUE(!is_supported(all_isas[i]) || is_supported(all_isas[i - 1])) << to_string(all_isas[i]);
  }
}

TEST(BestIsa, IsTheLastThatIsSupported) { EXPECT_EQ(best_isa(), test::supported_isas().back()); }

TEST(IsaNamed, FindsWhatThisMachineHas) {
  for (Isa isa : all_isas) {
    if (is_supported(isa)) {
      EXPECT_EQ(isa_named(to_string(isa)), isa);
    } else {
      EXPECT_NE(test::error_of([&] { isa_named(to_string(isa)); }).find("this machine has no"), std::string::npos);
    }
  }
}

TEST(IsaNamed, RefusesOtherNames) {
  EXPECT_NE(test::error_of([] { isa_named("sse9"); }).find("unknown instruction set 'sse9'"), std::string::npos);
  EXPECT_THROW(isa_named(""), Error);
  EXPECT_THROW(isa_named("AVX2"), Error);
}

}  // namespace
}  // namespace plainnet
