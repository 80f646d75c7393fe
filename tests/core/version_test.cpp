#include <gtest/gtest.h>

#include "plainnet/core/error.hpp"
#include "plainnet/core/version.hpp"

namespace plainnet {
namespace {

TEST(Version, IsThatOfTheMacros) {
  EXPECT_EQ(version(), concatenate(PLAINNET_VERSION_MAJOR, '.', PLAINNET_VERSION_MINOR, '.', PLAINNET_VERSION_PATCH));
}

}  // namespace
}  // namespace plainnet
