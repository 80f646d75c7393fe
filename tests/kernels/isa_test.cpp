#include <optional>
#include <string>

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

// zen4 and zen5 are for AMD's cores; others that can run them are faster without.
TEST(BestIsa, IsTheLastThatIsSupportedOrAmongThoseWithAvx512ThatOfTheCore) {
  EXPECT_EQ(best_isa(), is_supported(Isa::avx512) ? detail::best_isa_with_avx512() : test::supported_isas().back());
#if PLAINNET_X86
  EXPECT_TRUE(__builtin_cpu_is("amd") ? detail::best_isa_with_avx512() >= Isa::zen4
                                      : detail::best_isa_with_avx512() == Isa::avx512);
#endif
}

TEST(BestIsa, OfAmdsCoresIsByTheirFamilyAndModel) {
  EXPECT_EQ(detail::isa_of_amd(0x00a10f11), Isa::zen4);  // EPYC of 2022, Genoa
  EXPECT_EQ(detail::isa_of_amd(0x00a60f12), Isa::zen4);  // Ryzen 7000, Raphael
  EXPECT_EQ(detail::isa_of_amd(0x00b00f21), Isa::zen5);  // EPYC of 2024, Turin
  EXPECT_EQ(detail::isa_of_amd(0x00b40f40), Isa::zen5);  // Ryzen 9000, Granite Ridge
  EXPECT_EQ(detail::isa_of_amd(0x00b20f40), Isa::zen4);  // Strix Point, vectors in halves
  EXPECT_EQ(detail::isa_of_amd(0x00b60f00), Isa::zen4);  // Krackan Point
  EXPECT_EQ(detail::isa_of_amd(0x00b70f00), Isa::zen5);  // Strix Halo
}

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

class ChosenIsa : public testing::Test {
 protected:
  void SetUp() override {
    if (const char* name = std::getenv("PLAINNET_ISA")) before_ = name;
  }
  void TearDown() override {
    if (before_) {
      setenv("PLAINNET_ISA", before_->c_str(), 1);
    } else {
      unsetenv("PLAINNET_ISA");
    }
  }

 private:
  std::optional<std::string> before_;
};

TEST_F(ChosenIsa, IsWhatTheEnvironmentNames) {
  for (Isa isa : test::supported_isas()) {
    setenv("PLAINNET_ISA", std::string(to_string(isa)).c_str(), 1);
    EXPECT_EQ(chosen_isa(), isa);
  }
  setenv("PLAINNET_ISA", "sse9", 1);
  EXPECT_NE(test::error_of([] { chosen_isa(); }).find("unknown instruction set 'sse9'"), std::string::npos);
}

TEST_F(ChosenIsa, IsTheBestWhereTheEnvironmentNamesNone) {
  unsetenv("PLAINNET_ISA");
  EXPECT_EQ(chosen_isa(), best_isa());
  setenv("PLAINNET_ISA", "", 1);
  EXPECT_EQ(chosen_isa(), best_isa());
}

}  // namespace
}  // namespace plainnet
