#include <algorithm>
#include <functional>
#include <memory>
#include <numeric>
#include <vector>

#include <gtest/gtest.h>

#include "plainnet/core/parameter.hpp"
#include "support/compare.hpp"

namespace plainnet {
namespace {

TEST(Parameter, StartsWithZeros) {
  const Parameter<float> parameter({2, 3, 4});
  EXPECT_EQ(parameter.extents(), (Extents{2, 3, 4}));
  EXPECT_EQ(parameter.size(), 24);
  for (float value : parameter) EXPECT_EQ(value, 0.0f);
  for (Index size : {1000, 1 << 20, (1 << 20) + 1}) {  // small, and large from memory that was used before
    std::fill_n(std::make_unique<float[]>(static_cast<std::size_t>(size)).get(), size, 1.0f);
    for (int again = 0; again < 2; ++again) {
      Parameter<float> zeros({size});
      EXPECT_EQ(std::count(zeros.begin(), zeros.end(), 0.0f), size);
      std::fill(zeros.begin(), zeros.end(), 1.0f);
    }
  }
}

TEST(Parameter, IsAMatrixOfItsFirstExtentByTheRest) {
  Parameter<float> parameter({2, 3, 4});
  std::iota(parameter.begin(), parameter.end(), 0.0f);
  EXPECT_EQ(parameter.matrix().rows(), 2);
  EXPECT_EQ(parameter.matrix().cols(), 12);
  EXPECT_EQ(parameter.matrix()(1, 2), 14.0f);
  parameter.matrix()(1, 3) = -1.0f;
  EXPECT_EQ(parameter[15], -1.0f);
}

TEST(Parameter, OfRankOneIsAColumn) {
  const Parameter<float> parameter({5});
  EXPECT_EQ(parameter.matrix().rows(), 5);
  EXPECT_EQ(parameter.matrix().cols(), 1);
}

TEST(Parameter, OfRankZeroIsOneNumber) {
  Parameter<double> parameter{Extents{}};
  EXPECT_EQ(parameter.size(), 1);
  EXPECT_EQ(parameter.matrix().rows(), 1);
  EXPECT_EQ(parameter.matrix().cols(), 1);
}

TEST(Parameter, MayBeEmpty) {
  for (const Extents& extents : {Extents{0}, Extents{0, 3}, Extents{3, 0}}) {
    const Parameter<float> parameter(extents);
    EXPECT_EQ(parameter.size(), 0) << to_string(extents);
    EXPECT_EQ(parameter.matrix().size(), 0) << to_string(extents);
  }
  EXPECT_EQ(Parameter<float>().size(), 0);
}

TEST(Parameter, CopiesAreIndependent) {
  Parameter<float> original({3});
  Parameter<float> copy = original;
  copy[1] = 2.0f;
  EXPECT_EQ(original[1], 0.0f);
  original = copy;
  copy[1] = 3.0f;
  EXPECT_EQ(original[1], 2.0f);
}

TEST(Parameter, SharesNumbersUntilItIsWritten) {
  const auto numbers = std::make_shared<std::vector<float>>(std::vector<float>{0, 1, 2, 3, 4, 5});
  Parameter<float> parameter({2, 3}, std::shared_ptr<const float>(numbers, numbers->data()));
  EXPECT_EQ(numbers.use_count(), 2);
  EXPECT_EQ(parameter.size(), 6);
  const Parameter<float>& read = parameter;
  EXPECT_EQ(read.data(), numbers->data());
  EXPECT_EQ(read[4], 4.0f);
  EXPECT_EQ(read.matrix()(1, 2), 5.0f);
  EXPECT_EQ(read.end() - read.begin(), 6);
  EXPECT_TRUE(parameter.is_shared());

  const Parameter<float> copy = parameter;
  EXPECT_EQ(copy.data(), numbers->data());
  parameter[4] = -4.0f;
  EXPECT_FALSE(parameter.is_shared());
  EXPECT_EQ((*numbers)[4], 4.0f);
  EXPECT_EQ(copy[4], 4.0f);
  EXPECT_TRUE(std::equal(parameter.begin(), parameter.end(), std::vector<float>{0, 1, 2, 3, -4, 5}.begin()));
  EXPECT_EQ(parameter.extents(), (Extents{2, 3}));
  EXPECT_EQ(numbers.use_count(), 2);
}

TEST(Parameter, WhateverMayWriteCopiesFirst) {
  const std::vector<double> numbers{1, 2};
  using Shared = Parameter<double>;
  const std::vector<std::function<void(Shared&)>> writers{[](Shared& p) { p.own(); },
                                                          [](Shared& p) { *p.data() = 7; },
                                                          [](Shared& p) { p[0] = 7; },
                                                          [](Shared& p) { *p.begin() = 7; },
                                                          [](Shared& p) { *(p.end() - 1) = 7; },
                                                          [](Shared& p) { p.matrix()(1, 0) = 7; }};
  for (std::size_t i = 0; i < writers.size(); ++i) {
    Shared parameter({2}, std::shared_ptr<const double>(std::shared_ptr<void>(), numbers.data()));
    ASSERT_TRUE(parameter.is_shared());
    writers[i](parameter);
    EXPECT_FALSE(parameter.is_shared()) << i;
    EXPECT_EQ(parameter.size(), 2) << i;
    EXPECT_EQ(numbers, (std::vector<double>{1, 2})) << i;
  }
}

TEST(Parameter, RefusesMoreElementsThanCanBeCounted) {
  EXPECT_THROW(Parameter<float>({Index{1} << 32, Index{1} << 32}), Error);
}

}  // namespace
}  // namespace plainnet
