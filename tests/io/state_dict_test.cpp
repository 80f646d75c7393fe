#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "io/error_message.hpp"
#include "plainnet/io/state_dict.hpp"

namespace plainnet::test {
namespace {

Parameter<float> counting(const Extents& extents) {
  Parameter<float> parameter(extents);
  for (Index i = 0; i < parameter.size(); ++i) parameter[i] = static_cast<float>(i);
  return parameter;
}

TEST(StateDict, KeepsTheOrderAndFindsByName) {
  StateDict tensors;
  for (const char* name : {"z", "a", "m"}) tensors.add(name, store(counting({2})));
  std::string order;
  for (const auto& [name, tensor] : tensors) order += name;
  EXPECT_EQ(order, "zam");
  EXPECT_EQ(tensors.size(), 3);
  ASSERT_NE(tensors.find("m"), nullptr);
  EXPECT_EQ(tensors.find("m")->extents, Extents{2});
  EXPECT_EQ(tensors.find("b"), nullptr);
  EXPECT_EQ(&tensors.at("a"), tensors.find("a"));
}

TEST(StateDict, AMissingNameIsAnErrorThatNamesTheSource) {
  StateDict tensors;
  tensors.source = "weights.safetensors";
  EXPECT_EQ(error_of([&] { tensors.at("x"); }), "weights.safetensors: has no tensor \"x\"");
  tensors.add("input", store(counting({1})));
  EXPECT_EQ(error_of([&] { tensors.at("x"); }), "weights.safetensors: has no tensor \"x\"; its first is \"input\"");
}

TEST(StateDict, RefusesASecondTensorOfTheSameName) {
  StateDict tensors;
  tensors.add("x", store(counting({1})));
  EXPECT_EQ(error_of([&] { tensors.add("x", store(counting({2}))); }), "memory: two tensors are called \"x\"");
  EXPECT_EQ(tensors.size(), 1);
  EXPECT_EQ(tensors.at("x").extents, Extents{1});
}

TEST(StateDict, RefusesBytesThatDoNotFitTheExtents) {
  StateDict tensors;
  StoredTensor tensor = store(counting({2, 3}));
  tensor.extents = {2, 4};
  EXPECT_THROW(tensors.add("x", tensor), Error);
  tensor.extents = {Index{1} << 62, 8};
  EXPECT_THROW(tensors.add("x", tensor), Error);
  EXPECT_EQ(tensors.size(), 0);
}

TEST(StateDict, CopiesShareTheNumbersAndOutliveTheOriginal) {
  auto original = std::make_unique<StateDict>();
  original->add("x", store(counting({4})));
  const StateDict copy = *original;
  EXPECT_EQ(copy.at("x").bytes.data(), original->at("x").bytes.data());
  const StoredTensor tensor = copy.at("x");
  original.reset();
  EXPECT_EQ(copy.at("x").values<float>()[3], 3.0f);
  EXPECT_EQ(tensor.values<double>()[3], 3.0);
}

TEST(StoredTensor, IsACopyThatTheParameterDoesNotReach) {
  Parameter<float> parameter = counting({2, 2});
  const StoredTensor copy = store(parameter);
  const StoredTensor view = view_of(parameter);
  parameter[3] = 100;
  EXPECT_EQ(copy.values<float>()[3], 3.0f);
  EXPECT_EQ(view.values<float>()[3], 100.0f);
  EXPECT_EQ(copy.format, NumberFormat::f32);
  EXPECT_EQ(copy.extents, (Extents{2, 2}));
}

TEST(StoredTensor, StoresInTheFormatAskedFor) {
  const StoredTensor half = store(counting({3}), NumberFormat::f16);
  EXPECT_EQ(half.bytes.size(), 6u);
  EXPECT_EQ(half.values<double>()[2], 2.0);
  const std::vector<std::uint8_t> pixels = {1, 2, 3};
  EXPECT_EQ(store<std::uint8_t>({3}, pixels).format, NumberFormat::u8);
  EXPECT_EQ(store(Parameter<double>(Extents{1})).format, NumberFormat::f64);
  EXPECT_THROW(store<std::uint8_t>({4}, pixels), Error);
}

TEST(StoredTensor, RankZeroIsOneNumberAndAZeroExtentIsNone) {
  const std::vector<std::int64_t> one = {42};
  StateDict tensors;
  tensors.add("scalar", store<std::int64_t>({}, one));
  tensors.add("empty", store(Parameter<float>(Extents{0, 5})));
  EXPECT_EQ(tensors.at("scalar").values<std::int64_t>()[0], 42);
  EXPECT_TRUE(tensors.at("empty").values<float>().empty());
}

}  // namespace
}  // namespace plainnet::test
