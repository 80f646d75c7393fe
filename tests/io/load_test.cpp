#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "io/error_message.hpp"
#include "io/temporary_folder.hpp"
#include "plainnet/io/load.hpp"
#include "plainnet/io/safetensors.hpp"
#include "support/golden_rule.hpp"

namespace plainnet::test {
namespace {

template <class T>
struct Norm {
  using Scalar = T;

  Parameter<T> weight, running_mean;

  explicit Norm(Index channels) : weight(Extents{channels}), running_mean(Extents{channels}) {}

  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("weight", self.weight);
    visitor("running_mean", self.running_mean, ParameterKind::statistic);
  }
};

/// Three parameters: conv.weight, norm.weight and norm.running_mean.
template <class T>
struct Network {
  using Scalar = T;

  Parameter<T> weight;
  Norm<T> norm;

  explicit Network(Index classes = 4, Index kernel = 3) : weight(Extents{classes, 2, kernel, kernel}), norm(classes) {}

  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("conv.weight", self.weight);
    visitor("norm", self.norm);
  }
};

/// Its folded form.
template <class T>
struct Folded {
  using Scalar = T;

  Parameter<T> weight, bias;

  explicit Folded(Index classes = 4) : weight(Extents{classes, 2, 3, 3}), bias(Extents{classes}) {}

  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("conv.weight", self.weight);
    visitor("conv.bias", self.bias);
  }
};

/// Many parameters, called 0, 1, …
struct Long {
  using Scalar = float;

  std::vector<Parameter<float>> parameters;

  explicit Long(std::size_t count) : parameters(count, Parameter<float>(Extents{1})) {}

  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    for (std::size_t i = 0; i < self.parameters.size(); ++i) visitor("p" + std::to_string(i), self.parameters[i]);
  }
};

template <class Net>
Net filled(Net network, std::uint64_t seed = 0) {
  fill_network(network, seed);
  return network;
}

template <class A, class B>
bool same(const Parameter<A>& a, const Parameter<B>& b) {
  return a.extents() == b.extents() && std::equal(a.begin(), a.end(), b.begin());
}

/// The tensors of a dict under other names, without those whose new name is empty.
template <class Rename>
StateDict renamed(const StateDict& tensors, Rename&& rename) {
  StateDict result;
  result.source = tensors.source;
  for (const auto& [name, tensor] : tensors) {
    if (const std::string new_name = rename(name); !new_name.empty()) result.add(new_name, tensor);
  }
  return result;
}

template <class Net>
std::string why_refused(Net& network, const StateDict& tensors, const LoadOptions& options = {}) {
  return error_of([&] { load(network, tensors, options); });
}

void expect_contains(const std::string& message, std::string_view part) {
  EXPECT_NE(message.find(part), message.npos) << "expected \"" << part << "\" in\n" << message;
}

TEST(Load, FillsEveryParameterByName) {
  const auto source = filled(Network<float>());
  Network<float> network;
  const LoadReport report = load(network, to_state_dict(source));
  EXPECT_TRUE(same(network.weight, source.weight));
  EXPECT_TRUE(same(network.norm.weight, source.norm.weight));
  EXPECT_TRUE(same(network.norm.running_mean, source.norm.running_mean));
  EXPECT_EQ(report.parameters, 3);
  EXPECT_EQ(report.formats, std::vector{NumberFormat::f32});
  EXPECT_TRUE(report.non_finite.empty());
}

TEST(Load, ConvertsEveryFloatingFormatToTheScalarOfTheNetwork) {
  const auto source = filled(Network<double>());
  for (const NumberFormat format : {NumberFormat::f64, NumberFormat::f32, NumberFormat::f16, NumberFormat::bf16}) {
    StateDict tensors;
    tensors.add("norm.running_mean", store(source.norm.running_mean, format));
    tensors.add("norm.weight", store(source.norm.weight, format));
    tensors.add("conv.weight", store(source.weight, format));
    Network<float> narrow;
    Network<double> wide;
    EXPECT_EQ(load(narrow, tensors).formats, std::vector{format});
    load(wide, tensors);
    const auto expected = store(source.weight, format).template values<double>();
    for (Index i = 0; i < source.weight.size(); ++i) {
      EXPECT_EQ(wide.weight[i], expected[static_cast<std::size_t>(i)]);
      EXPECT_EQ(narrow.weight[i], static_cast<float>(expected[static_cast<std::size_t>(i)]));
    }
  }
}

TEST(Load, ReportsTheFormatsMet) {
  const Network<float> source;
  StateDict tensors;
  tensors.add("conv.weight", store(source.weight, NumberFormat::f16));
  tensors.add("norm.weight", store(source.norm.weight));
  tensors.add("norm.running_mean", store(source.norm.running_mean));
  Network<float> network;
  EXPECT_EQ(load(network, tensors).formats, (std::vector{NumberFormat::f16, NumberFormat::f32}));
}

TEST(Load, LeavesCountersOfBatchesAside) {
  StateDict tensors = to_state_dict(Network<float>());
  tensors.add("norm.num_batches_tracked", store<std::int64_t>({}, std::vector<std::int64_t>{42}));
  Network<float> network;
  EXPECT_EQ(load(network, tensors).parameters, 3);
}

TEST(Load, NamesAllThatDoesNotFitInOneErrorAndChangesNothing) {
  StateDict tensors;
  tensors.source = "weights.safetensors";
  tensors.add("conv.weight", store(Parameter<float>(Extents{4, 2, 1, 1})));
  tensors.add("norm.weight", store<std::int64_t>({4}, std::vector<std::int64_t>(4)));
  tensors.add("extra.weight", store(Parameter<float>(Extents{5})));
  const auto original = filled(Network<float>());
  Network<float> network = original;
  const std::string message = why_refused(network, tensors);
  EXPECT_TRUE(
      message.starts_with("weights.safetensors: does not fit the network, tensors 1 misshapen, "
                          "1 not floating-point, 1 missing, 1 unexpected: "))
      << message;
  expect_contains(message, "\n  misshapen: conv.weight (4, 2, 3, 3), the file has (4, 2, 1, 1)");
  expect_contains(message, "\n  not floating-point: norm.weight, the file has I64");
  expect_contains(message, "\n  missing: norm.running_mean (4)");
  expect_contains(message, "\n  unexpected: extra.weight (5)");
  EXPECT_TRUE(same(network.weight, original.weight));
  EXPECT_TRUE(same(network.norm.weight, original.norm.weight));
}

TEST(Load, EachFaultAloneIsRefused) {
  const StateDict good = to_state_dict(Network<float>());
  Network<float> network;
  const auto without = [&](std::string_view absent) {
    return renamed(good, [&](const std::string& name) { return name == absent ? "" : name; });
  };
  EXPECT_EQ(why_refused(network, good), "");
  expect_contains(why_refused(network, without("norm.weight")), "1 missing");
  StateDict extra = good;
  extra.add("extra", store(Parameter<float>(Extents{1})));
  expect_contains(why_refused(network, extra), "1 unexpected");
  StateDict shaped = without("norm.weight");
  shaped.add("norm.weight", store(Parameter<float>(Extents{2, 2})));
  expect_contains(why_refused(network, shaped), "1 misshapen");
  StateDict complex = without("norm.weight");
  const std::vector<std::byte> bytes(4 * 8);
  complex.add("norm.weight", {NumberFormat::c64, {4}, bytes, nullptr});
  expect_contains(why_refused(network, complex), "norm.weight, the file has C64");
}

// The weight of a linear layer and that of a 1x1 convolution are the same numbers in the same order.
TEST(Load, ExtentsOfOneAtTheEndMakeNoDifference) {
  const StateDict good = to_state_dict(Network<float>());
  for (const Extents& extents : {Extents{4, 1}, Extents{4, 1, 1}}) {
    StateDict reshaped =
        renamed(good, [](const std::string& name) { return name == "norm.weight" ? std::string() : name; });
    Parameter<float> numbers(extents);
    numbers[2] = 7;
    reshaped.add("norm.weight", store(numbers));
    Network<float> network;
    load(network, reshaped);
    EXPECT_EQ(to_state_dict(network).at("norm.weight").values<float>()[2], 7.0f);
  }
  StateDict leading = renamed(good, [](const std::string& name) { return name == "norm.weight" ? "" : name; });
  leading.add("norm.weight", store(Parameter<float>(Extents{1, 4})));
  Network<float> network;
  expect_contains(why_refused(network, leading), "1 misshapen");
}

TEST(Load, LongListsAreShortened) {
  Long network(1000);
  StateDict tensors;
  for (int i = 500; i < 1500; ++i) tensors.add(concatenate("p", i), store(Parameter<float>(Extents{1})));
  const std::string message = why_refused(network, tensors);
  expect_contains(message, "500 missing, 500 unexpected");
  expect_contains(message, "\n  missing: p9 (1)\n  ... and 490 more\n  unexpected: p1000 (1)");
  EXPECT_EQ(std::count(message.begin(), message.end(), '\n'), 22);
  const std::string empty = why_refused(network, StateDict());
  EXPECT_EQ(std::count(empty.begin(), empty.end(), '\n'), 21);
  expect_contains(empty, "the file has no tensors");
}

TEST(Load, SaysTheLikelyCause) {
  Network<float> network;
  Folded<float> folded;
  const StateDict good = to_state_dict(network);
  const auto with_prefix = [&](const std::string& prefix) {
    return renamed(good, [&](const std::string& name) { return prefix + name; });
  };
  expect_contains(
      why_refused(network, with_prefix("module.")),
      R"(every name in the file begins with "module.": remove that prefix (torch.nn.DataParallel adds it))");
  expect_contains(why_refused(network, with_prefix("backbone.net.")), R"(begins with "backbone.net.": remove)");
  expect_contains(why_refused(network, to_state_dict(folded)), "the file holds a folded (deploy) form");
  expect_contains(why_refused(folded, good), "the file holds the trained form");
  expect_contains(why_refused(network, to_state_dict(Network<float>(10))),
                  "the file has 10 where the network has 4: another number of classes");
  expect_contains(why_refused(network, to_state_dict(Network<float>(4, 5))),
                  "the file has 5 where the network has 3: another kernel size (act_num)?");
  expect_contains(why_refused(network, to_state_dict(Long(3))), "another kind of network?");
  StateDict extra = good;
  extra.add("stages.9.weight", store(Parameter<float>(Extents{1})));
  expect_contains(why_refused(network, extra), "exported from another variant?");
}

TEST(Load, NamesOfTheFileAreMadePrintable) {
  StateDict tensors = to_state_dict(Network<float>());
  tensors.add("evil\x1B[2J", store(Parameter<float>(Extents{1})));
  Network<float> network;
  expect_contains(why_refused(network, tensors), "unexpected: evil\\x1b[2J (1)");
}

TEST(Load, NamesEveryTensorWithANanOrAnInfinity) {
  for (const double bad : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(),
                           -std::numeric_limits<double>::infinity()}) {
    for (const NumberFormat format : {NumberFormat::f64, NumberFormat::f32, NumberFormat::f16, NumberFormat::bf16}) {
      Parameter<double> weight(Extents{4, 2, 3, 3});
      weight[weight.size() - 1] = bad;
      StateDict tensors;
      tensors.add("conv.weight", store(weight, format));
      tensors.add("norm.weight", store(Parameter<float>(Extents{4})));
      tensors.add("norm.running_mean", store(Parameter<float>(Extents{4})));
      Network<float> narrow;
      Network<double> wide;
      EXPECT_EQ(load(narrow, tensors).non_finite, std::vector<std::string>{"conv.weight"});
      EXPECT_EQ(load(wide, tensors).non_finite, std::vector<std::string>{"conv.weight"});
      EXPECT_EQ(std::isnan(wide.weight[71]), std::isnan(bad));

      Network<float> strict = filled(Network<float>());
      const Network<float> before = strict;
      expect_contains(why_refused(strict, tensors, {.reject_non_finite = true}),
                      "NaN or infinity in 1 tensors, first in conv.weight");
      EXPECT_TRUE(same(strict.weight, before.weight));
    }
  }
}

TEST(Load, FindsANanAnywhereInALongTensor) {
  for (const Index position : {0, 4095, 4096, 9999}) {
    Long network(1);
    network.parameters[0] = Parameter<float>(Extents{10'000});
    StateDict tensors = to_state_dict(network);
    network.parameters[0][position] = std::numeric_limits<float>::quiet_NaN();
    const StateDict bad = to_state_dict(network);
    EXPECT_EQ(load(network, bad).non_finite.size(), 1u) << position;
    EXPECT_TRUE(load(network, tensors).non_finite.empty());
  }
}

TEST(Load, ADoubleBeyondTheLargestFloatIsReportedForAFloatNetworkOnly) {
  StateDict tensors;
  Parameter<double> weight(Extents{4, 2, 3, 3});
  weight[0] = 1e300;
  tensors.add("conv.weight", store(weight));
  tensors.add("norm.weight", store(Parameter<float>(Extents{4})));
  tensors.add("norm.running_mean", store(Parameter<float>(Extents{4})));
  Network<float> narrow;
  Network<double> wide;
  EXPECT_EQ(load(narrow, tensors).non_finite.size(), 1u);
  EXPECT_TRUE(load(wide, tensors).non_finite.empty());
}

TEST(Load, LargestAndSmallestNumbersAreFinite) {
  Long network(1);
  network.parameters[0] = Parameter<float>(Extents{4});
  network.parameters[0][0] = std::numeric_limits<float>::max();
  network.parameters[0][1] = std::numeric_limits<float>::lowest();
  network.parameters[0][2] = std::numeric_limits<float>::denorm_min();
  network.parameters[0][3] = -0.0f;
  const StateDict tensors = to_state_dict(network);
  EXPECT_TRUE(load(network, tensors).non_finite.empty());
  EXPECT_TRUE(std::signbit(network.parameters[0][3]));
}

TEST(Load, SharesWhatTheFileHoldsAsTheNetworkDoes) {
  const auto source = filled(Network<float>());
  StateDict tensors;
  tensors.add("conv.weight", store(source.weight));
  tensors.add("norm.weight", store(source.norm.weight, NumberFormat::f64));
  tensors.add("norm.running_mean", store(source.norm.running_mean));
  Network<float> network;
  const LoadReport report = load(network, tensors, {.share = true});
  EXPECT_EQ(report.formats, (std::vector{NumberFormat::f32, NumberFormat::f64}));
  EXPECT_TRUE(network.weight.is_shared());
  EXPECT_FALSE(network.norm.weight.is_shared());
  EXPECT_EQ(static_cast<const void*>(std::as_const(network).weight.data()), tensors.at("conv.weight").bytes.data());
  tensors = {};  // the network keeps what it shares
  EXPECT_TRUE(same(network.weight, source.weight));
  EXPECT_TRUE(same(network.norm.weight, source.norm.weight));

  Network<float> copied;
  load(copied, to_state_dict(source));
  EXPECT_FALSE(copied.weight.is_shared());
}

TEST(Load, CopiesWhatLiesOnAnOddAddressOrHasNoOwner) {
  const auto source = filled(Network<float>());
  const StoredTensor stored = store(source.weight);
  const auto shifted = std::make_shared<std::vector<std::byte>>(stored.bytes.size() + 1);
  std::copy(stored.bytes.begin(), stored.bytes.end(), shifted->begin() + 1);
  StateDict tensors;
  tensors.add("conv.weight", {NumberFormat::f32, stored.extents, std::span(*shifted).subspan(1), shifted});
  tensors.add("norm.weight", view_of(source.norm.weight));
  tensors.add("norm.running_mean", store(source.norm.running_mean));
  Network<float> network;
  load(network, tensors, {.share = true});
  EXPECT_FALSE(network.weight.is_shared());
  EXPECT_FALSE(network.norm.weight.is_shared());
  EXPECT_TRUE(network.norm.running_mean.is_shared());
  EXPECT_TRUE(same(network.weight, source.weight));
  EXPECT_TRUE(same(network.norm.weight, source.norm.weight));
}

TEST(Load, FindsANanInWhatItShares) {
  for (const Index position : {0, 31, 32, 9999}) {
    Long network(1);
    network.parameters[0] = Parameter<float>(Extents{10'000});
    network.parameters[0][position] = -std::numeric_limits<float>::quiet_NaN();
    EXPECT_EQ(load(network, to_state_dict(network), {.share = true}).non_finite.size(), 1u) << position;
    network.parameters[0][position] = std::numeric_limits<float>::lowest();
    EXPECT_TRUE(load(network, to_state_dict(network), {.share = true}).non_finite.empty()) << position;
  }
}

// Pages that were read come back from the file, so what is forgotten too early is only slow, never wrong.
TEST(Load, SharesThePagesOfAFileUntilTheLastParameterIsGone) {
  const TemporaryFolder folder;
  const auto source = filled(Network<float>(), 3);
  write_safetensors(folder / "file", to_state_dict(source));
  Network<float> network;
  load(network, open_safetensors(folder / "file"), {.share = true});
  EXPECT_TRUE(network.weight.is_shared());
  write_safetensors(folder / "file", to_state_dict(filled(Network<float>(), 4)));  // by a rename: another file
  network.norm.weight = {};
  EXPECT_TRUE(same(network.weight, source.weight));
  EXPECT_TRUE(same(network.norm.running_mean, source.norm.running_mean));
}

TEST(ToStateDict, KeepsNamesExtentsAndNumbersThroughAFile) {
  const TemporaryFolder folder;
  const auto source = filled(Network<double>(), 3);
  write_safetensors(folder / "copied", to_state_dict(source));
  write_safetensors(folder / "viewed", view_state_dict(source));
  EXPECT_EQ(read_text(folder / "copied"), read_text(folder / "viewed"));
  const StateDict tensors = open_safetensors(folder / "copied");
  EXPECT_EQ(tensors.begin()->name, "conv.weight");
  EXPECT_EQ(tensors.at("norm.running_mean").format, NumberFormat::f64);
  Network<double> network;
  load(network, tensors);
  EXPECT_TRUE(same(network.weight, source.weight));
}

TEST(CopyParameters, ConvertsBetweenScalarTypes) {
  const auto source = filled(Network<float>(), 5);
  Network<double> wide;
  copy_parameters(source, wide);
  EXPECT_TRUE(same(wide.weight, source.weight));
  EXPECT_TRUE(same(wide.norm.running_mean, source.norm.running_mean));
  Network<float> back;
  copy_parameters(wide, back);
  EXPECT_TRUE(same(back.weight, source.weight));
  Network<float> other(5);
  EXPECT_THROW(copy_parameters(source, other), Error);
}

TEST(ListParameters, GivesNamesAndExtentsInOrder) {
  const auto list = list_parameters(Network<float>());
  ASSERT_EQ(list.size(), 3u);
  EXPECT_EQ(list[0].name, "conv.weight");
  EXPECT_EQ(list[0].extents, (Extents{4, 2, 3, 3}));
  EXPECT_EQ(list[2].name, "norm.running_mean");
}

}  // namespace
}  // namespace plainnet::test
