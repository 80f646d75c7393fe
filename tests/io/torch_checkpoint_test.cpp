#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "io/error_message.hpp"
#include "io/temporary_folder.hpp"
#include "io/torch_bytes.hpp"
#include "plainnet/io/safetensors.hpp"
#include "plainnet/io/torch_checkpoint.hpp"
#include "support/data.hpp"

namespace plainnet::test {
namespace {

void expect_refused(std::string_view file, std::string_view reason, const TorchOptions& options = {}) {
  const std::string message = error_of([&] { parse_torch(file, options); });
  EXPECT_NE(message.find(reason), message.npos) << "expected \"" << reason << "\", found \"" << message << "\"";
  EXPECT_TRUE(message.starts_with("test: ")) << message;
}

std::vector<float> values(const StateDict& tensors, std::string_view name) {
  const AlignedVector<float> numbers = tensors.at(name).values<float>();
  return {numbers.begin(), numbers.end()};
}

/// The numbers 0, 1, …, 11 in storage "0".
const Storages twelve = {{"0", floats({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11})}};

/// A file with one tensor "x" in those twelve numbers.
std::string file_with(std::int64_t offset, const std::vector<std::int64_t>& size,
                      const std::vector<std::int64_t>& stride) {
  return archive_of(ordered({{"x", tensor(storage("0", 12), offset, size, stride)}}), twelve);
}
std::vector<float> gathered(std::int64_t offset, const std::vector<std::int64_t>& size,
                            const std::vector<std::int64_t>& stride) {
  const StateDict tensors = parse_torch(file_with(offset, size, stride));
  EXPECT_EQ(tensors.at("x").extents.rank(), size.size());
  for (std::size_t i = 0; i < size.size(); ++i) EXPECT_EQ(tensors.at("x").extents[i], size[i]);
  return values(tensors, "x");
}

/// What real PyTorch wrote.

struct Published {
  const char* file;
  const char* reference;
  const char* entry;
};

class PublishedCheckpoint : public testing::TestWithParam<Published> {};

TEST_P(PublishedCheckpoint, HoldsTheTensorsOfItsSafetensorsFile) {
  const auto [file, reference_file, entry] = GetParam();
  const StateDict reference = open_safetensors(data("checkpoints") / reference_file);
  const StateDict tensors = open_torch_checkpoint(data("checkpoints") / file);
  EXPECT_EQ(tensors.entry, entry);
  EXPECT_EQ(tensors.source, (data("checkpoints") / file).string());
  EXPECT_EQ(tensors.size(), reference.size());
  for (const auto& [name, expected] : reference) {
    const StoredTensor* const found = tensors.find(name);
    ASSERT_NE(found, nullptr) << name;
    EXPECT_EQ(found->format, expected.format) << name;
    EXPECT_EQ(found->extents, expected.extents) << name;
    ASSERT_EQ(found->bytes.size(), expected.bytes.size()) << name;
    EXPECT_EQ(std::memcmp(found->bytes.data(), expected.bytes.data(), expected.bytes.size()), 0) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(All, PublishedCheckpoint,
                         testing::Values(Published{"plain_state_dict.pth", "float32.safetensors", ""},
                                         Published{"legacy_format.pth.tar", "float32.safetensors", ""},
                                         Published{"training_run_with_ema.pth", "float32.safetensors", "model_ema"},
                                         Published{"data_parallel.pth.tar", "float32.safetensors", "state_dict"},
                                         Published{"views_and_strides.pth", "float32.safetensors", ""},
                                         Published{"half.pth", "float16.safetensors", ""},
                                         Published{"bfloat16.pth", "bfloat16.safetensors", ""}),
                         [](const auto& published) {
                           const std::string name = published.param.file;
                           return name.substr(0, name.find('.'));
                         });

TEST(TorchCheckpoint, TakesTheEntryThatIsAskedFor) {
  const auto path = data("checkpoints/training_run_with_ema.pth");
  const StateDict averaged = open_torch_checkpoint(path);
  const StateDict last = open_torch_checkpoint(path, {.key = "model"});
  EXPECT_EQ(last.entry, "model");
  EXPECT_EQ(last.size(), averaged.size());
  EXPECT_NE(values(last, "stem1.0.weight"), values(averaged, "stem1.0.weight"));
  const std::string message = error_of([&] { open_torch_checkpoint(path, {.key = "ema"}); });
  EXPECT_NE(message.find("has no entry \"ema\"; these are dictionaries of tensors: model, model_ema"), message.npos)
      << message;
  EXPECT_NE(error_of([&] { open_torch_checkpoint(path, {.key = "epoch"}); }).find("is an integer without tensors"),
            std::string::npos);
}

TEST(TorchCheckpoint, RowMajorTensorsAreNotCopied) {
  for (const std::string& file : {file_with(3, {2, 3}, {3, 1}), file_with(3, {1, 6, 1}, {77, 1, 77})}) {
    const auto [bytes, owner] = exact_copy(file);
    const StateDict tensors = parse_torch_checkpoint(bytes, "test", {}, owner);
    const std::span<const std::byte> found = tensors.at("x").bytes;
    EXPECT_GE(found.data(), bytes.data());
    EXPECT_LE(found.data() + found.size(), bytes.data() + bytes.size());
    EXPECT_EQ(tensors.at("x").owner, owner);
  }
}

TEST(TorchCheckpoint, TensorsOutliveEverythingElse) {
  StoredTensor viewed, copied;
  {
    const StateDict tensors = open_torch_checkpoint(data("checkpoints/views_and_strides.pth"));
    viewed = tensors.at("stem1.0.weight");
    copied = parse_torch(file_with(0, {4, 3}, {1, 4})).at("x");
  }
  EXPECT_EQ(viewed.values<float>().size(), 1536u);
  EXPECT_EQ(copied.values<float>()[1], 4.0f);
}

TEST(TorchTensors, LieInTheirStorageWithOffsetsAndStrides) {
  using Floats = std::vector<float>;
  EXPECT_EQ(gathered(0, {2, 3}, {3, 1}), (Floats{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(gathered(6, {2, 3}, {3, 1}), (Floats{6, 7, 8, 9, 10, 11}));
  EXPECT_EQ(gathered(1, {2, 3}, {6, 2}), (Floats{1, 3, 5, 7, 9, 11}));
  EXPECT_EQ(gathered(0, {3, 2}, {1, 3}), (Floats{0, 3, 1, 4, 2, 5}));
  EXPECT_EQ(gathered(2, {2, 2, 3}, {0, 3, 1}), (Floats{2, 3, 4, 5, 6, 7, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(gathered(11, {2, 3}, {0, 0}), (Floats{11, 11, 11, 11, 11, 11}));
  EXPECT_EQ(gathered(0, {2, 3, 2}, {1, 4, 2}), (Floats{0, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9, 11}));
  EXPECT_EQ(gathered(7, {}, {}), (Floats{7}));
  EXPECT_EQ(gathered(0, {1, 12, 1}, {999, 1, 999}), (Floats{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}));
  EXPECT_EQ(gathered(5, {1, 1, 2}, {1LL << 62, 1LL << 62, 3}), (Floats{5, 8}));
  EXPECT_EQ(gathered(99, {0}, {1}), Floats{});
  EXPECT_EQ(gathered(0, {3, 0, 2}, {0, 2, 1}), Floats{});
  EXPECT_EQ(gathered(1, {1, 1, 1, 1, 1, 1, 1, 2}, {1, 1, 1, 1, 1, 1, 1, 5}), (Floats{1, 6}));
}

TEST(TorchTensors, MayNotReachOutsideTheirStorage) {
  struct Row {
    std::int64_t offset;
    std::vector<std::int64_t> size, stride;
  };
  constexpr std::int64_t huge = std::int64_t{1} << 62;
  constexpr std::int64_t most = 0x7FFFFFFFFFFFFFFF;
  for (const auto& [offset, size, stride] : std::vector<Row>{
           {12, {}, {}},
           {0, {13}, {1}},
           {1, {12}, {1}},
           {0, {2}, {12}},
           {0, {2, 2}, {11, 1}},
           {0, {3, 2}, {huge, 1}},
           {0, {5}, {huge}},  // 4 · 2^62 is 0 in 64 bits
           {huge, {1}, {1}},
           {most, {1}, {1}},
           {most, {2}, {most}},
           {1, {3}, {most}},
           {0, {5, 5}, {most, most}},
           {0, {std::int64_t{1} << 57}, {1}},
       }) {
    expect_refused(file_with(offset, size, stride), "tensor \"x\": (");
    expect_refused(file_with(offset, size, stride), " reaches outside its storage of 12 numbers");
  }
  expect_refused(file_with(0, {huge, huge}, {0, 0}), "its size (4611686018427387904, 4611686018427387904) overflows");
  expect_refused(file_with(0, {huge, huge, 0}, {0, 0, 0}), "overflows");
  expect_refused(file_with(0, {most}, {0}), "overflows");
}

TEST(TorchTensors, HaveNaturalNumbersForAllSizes) {
  expect_refused(file_with(-1, {1}, {1}), "tensor \"x\": the storage offset is -1, not a natural number");
  expect_refused(file_with(0, {-1}, {1}), "the extent is -1");
  expect_refused(file_with(4, {2}, {-1}), "the stride is -1");
  expect_refused(file_with(0, {1, 1}, {1}), "2 extents and 1 strides");
  expect_refused(file_with(0, std::vector<std::int64_t>(9, 1), std::vector<std::int64_t>(9, 1)),
                 "more than 8 dimensions");
  const std::string rebuild = global("torch._utils", "_rebuild_tensor_v2");
  const auto with = [&](const std::vector<std::string>& arguments) {
    return archive_of(ordered({{"x", call(rebuild, arguments)}}), twelve);
  };
  const std::string twelve_floats = storage("0", 12);
  expect_refused(with({}), "tensor \"x\": torch._utils._rebuild_tensor_v2 with 0 arguments, too few");
  expect_refused(with({twelve_floats, integer(0), integers({1})}), "with 3 arguments, too few");
  expect_refused(with({"N", integer(0), integers({1}), integers({1})}), "its storage is None");
  expect_refused(with({twelve_floats, "N", integers({1}), integers({1})}), "the storage offset is None");
  expect_refused(with({twelve_floats, "\x88", integers({1}), integers({1})}), "the storage offset is a boolean");
  expect_refused(with({twelve_floats, integer(0), "]", integers({1})}), "the size is a list, not a tuple");
  expect_refused(with({storage("0", 12, "QInt8Storage"), integer(0), integers({1}), integers({1})}),
                 "its storage is not one that plainnet reads: torch.QInt8Storage");
  const std::string odd = call(global("torch", "FloatStorage"), {});
  expect_refused(with({tuple({text("storage"), odd, text("0"), text("cpu"), integer(12)}) + "Q", integer(0),
                       integers({1}), integers({1})}),
                 "its storage is not one that plainnet reads");
  expect_refused(with({storage("0", -12), integer(0), integers({1}), integers({1})}), "the storage size is -12");
  expect_refused(with({storage("0", 1LL << 61), integer(0), integers({1}), integers({1})}), "overflows");
}

TEST(TorchTensors, ComeInEveryFormat) {
  struct Row {
    const char* storage;
    NumberFormat format;
    std::string bytes;  // the numbers 1 and 2
  };
  for (const auto& [type, format, bytes] : std::vector<Row>{
           {"DoubleStorage", NumberFormat::f64, bytes_of(1.0) + bytes_of(2.0)},
           {"FloatStorage", NumberFormat::f32, floats({1, 2})},
           {"HalfStorage", NumberFormat::f16, u16(0x3C00) + u16(0x4000)},
           {"BFloat16Storage", NumberFormat::bf16, u16(0x3F80) + u16(0x4000)},
           {"LongStorage", NumberFormat::i64, u64(1) + u64(2)},
           {"IntStorage", NumberFormat::i32, u32(1) + u32(2)},
           {"ShortStorage", NumberFormat::i16, u16(1) + u16(2)},
           {"CharStorage", NumberFormat::i8, "\1\2"},
           {"ByteStorage", NumberFormat::u8, "\1\2"},
       }) {
    const std::string both = tensor(storage("0", 2, type), 0, {2}, {1});
    const std::string swapped = tensor(storage("0", 2, type), 0, {2, 2}, {1, 0});
    const std::string last = tensor(storage("0", 2, type), 1, {}, {});
    const std::string value = ordered({{"both", both}, {"swapped", swapped}, {"last", last}});
    for (const std::string& file :
         {archive_of(value, {{"0", bytes}}), stream_of(value, {{"0", bytes}}, bytes.size() / 2)}) {
      const StateDict tensors = parse_torch(file);
      EXPECT_EQ(tensors.at("both").format, format);
      EXPECT_EQ(values(tensors, "both"), (std::vector<float>{1, 2})) << type;
      EXPECT_EQ(values(tensors, "swapped"), (std::vector<float>{1, 1, 2, 2})) << type;
      EXPECT_EQ(values(tensors, "last"), (std::vector<float>{2})) << type;
      EXPECT_EQ(tensors.at("last").extents.rank(), 0u);
    }
  }
  const StateDict truth = parse_torch(archive_of(ordered({{"x", tensor(storage("0", 2, "BoolStorage"), 0, {2}, {1})}}),
                                                 {{"0", std::string("\0\1", 2)}}));
  EXPECT_EQ(truth.at("x").format, NumberFormat::boolean);
}

TEST(TorchTensors, AreMadeInOtherWaysToo) {
  const std::string data = storage("0", 12);
  const auto utility = [](std::string_view name) { return global("torch._utils", name); };
  const std::string old = call(utility("_rebuild_tensor"), {data, integer(2), integers({2}), integers({1})});
  const std::string parameter = call(utility("_rebuild_parameter"), {old, "\x88", ordered({})});
  const std::string untyped =
      tuple({text("storage"), global("torch.storage", "UntypedStorage"), text("0"), text("cpu"), integer(48)}) + "Q";
  const std::string third = call(utility("_rebuild_tensor_v3"), {untyped, integer(3), integers({2}), integers({1}),
                                                                 "\x89", ordered({}), global("torch", "float32")});
  const std::string sized = call(utility("_rebuild_tensor"),
                                 {data, integer(5), call(global("torch", "Size"), {integers({2})}), integers({1})});
  const StateDict tensors = parse_torch(
      archive_of(ordered({{"old", old}, {"parameter", parameter}, {"third", third}, {"sized", sized}}), twelve));
  EXPECT_EQ(values(tensors, "old"), (std::vector<float>{2, 3}));
  EXPECT_EQ(values(tensors, "parameter"), (std::vector<float>{2, 3}));
  EXPECT_EQ(values(tensors, "third"), (std::vector<float>{3, 4}));
  EXPECT_EQ(values(tensors, "sized"), (std::vector<float>{5, 6}));
  expect_refused(archive_of(ordered({{"x", call(utility("_rebuild_parameter"), {"N"})}}), twelve),
                 "a parameter of None");
  const std::string unknown = call(utility("_rebuild_tensor_v3"), {untyped, integer(0), integers({2}), integers({1}),
                                                                   "\x89", ordered({}), global("torch", "float4")});
  expect_refused(archive_of(ordered({{"x", unknown}}), twelve), "the number format torch.float4 is not known");
}

TEST(TorchEntries, TheBestIsChosen) {
  const auto value = [](std::int64_t offset) {
    return dictionary({{"x", tensor(storage("0", 12), offset, {1}, {1})}});
  };
  const auto chosen = [&](const Items& items, const std::string& key = {}) {
    const StateDict tensors = parse_torch(archive_of(dictionary(items), twelve), {.key = key});
    return tensors.entry + " " + std::to_string(static_cast<int>(values(tensors, "x")[0]));
  };
  const std::string none = "N";
  EXPECT_EQ(
      chosen({{"model", value(1)}, {"state_dict", value(2)}, {"model_ema", value(3)}, {"state_dict_ema", value(4)}}),
      "state_dict_ema 4");
  EXPECT_EQ(chosen({{"model", value(1)}, {"state_dict", value(2)}, {"model_ema", value(3)}}), "model_ema 3");
  EXPECT_EQ(chosen({{"model", value(1)}, {"state_dict", value(2)}, {"model_ema", none}}), "state_dict 2");
  EXPECT_EQ(chosen({{"model", value(1)}, {"state_dict", dictionary({})}}), "model 1");
  EXPECT_EQ(chosen({{"x", tensor(storage("0", 12), 5, {1}, {1})}, {"model", none}}), " 5");
  EXPECT_EQ(chosen({{"model", value(1)}, {"other", value(6)}}, "other"), "other 6");
  EXPECT_EQ(chosen({{"a", dictionary({{"b", value(7)}})}}, "a.b"), "a.b 7");
  EXPECT_EQ(chosen({{"a.b", value(8)}, {"a", dictionary({{"b", value(7)}})}}, "a.b"), "a.b 8");
  EXPECT_EQ(chosen({{"a", dictionary({{"b.c", value(9)}})}}, "a.b.c"), "a.b.c 9");
}

TEST(TorchEntries, AFileWithoutTensorsSaysWhatItHolds) {
  const std::string weights = dictionary({{"x", tensor(storage("0", 12), 0, {1}, {1})}});
  expect_refused(archive_of(dictionary({{"net", weights}, {"run", dictionary({{"net", weights}})}}), twelve),
                 "holds no tensors under a name; these are dictionaries of tensors: net, run.net");
  expect_refused(archive_of(dictionary({{"net", weights}}), twelve), "has no entry \"a.b\"; these are", {.key = "a.b"});
  expect_refused(archive_of(dictionary({{"net", weights}}), twelve), "has no entry \"net.y\"", {.key = "net.y"});
  expect_refused(archive_of(dictionary({{"net", weights}}), twelve), "the entry \"net.x\" is a call without tensors",
                 {.key = "net.x"});
  expect_refused(archive_of("}"), "holds no tensors under a name");
  expect_refused(archive_of("N"), "holds no tensors under a name, but None");
  expect_refused(archive_of("](" + integer(1) + "e"), "holds no tensors under a name, but a list");
  expect_refused(archive_of(global("models", "Net") + ")\x81" + dictionary({}) + "b"),
                 "an object: the result of models.Net, which is not called; save the state_dict() of a module");
}

TEST(TorchNames, PrefixesThatAllHaveAreRemoved) {
  const auto names = [](const std::vector<std::string>& before) {
    Items items;
    for (const std::string& name : before) items.emplace_back(name, tensor(storage("0", 12), 0, {1}, {1}));
    std::string after;
    for (const auto& [name, tensor] : parse_torch(archive_of(ordered(items), twelve))) after += name + ";";
    return after;
  };
  EXPECT_EQ(names({"module.a", "module.b"}), "a;b;");
  EXPECT_EQ(names({"_orig_mod.a", "_orig_mod.b"}), "a;b;");
  EXPECT_EQ(names({"module._orig_mod.a"}), "a;");
  EXPECT_EQ(names({"_orig_mod.module.a"}), "a;");
  EXPECT_EQ(names({"module.a", "b"}), "module.a;b;");
  EXPECT_EQ(names({"module.", "module.b"}), "module.;module.b;");
  EXPECT_EQ(names({"modules.a"}), "modules.a;");
  EXPECT_EQ(names({"module.module.a", "module.module.b"}), "a;b;");
  EXPECT_EQ(names({"module.module.a", "module.b"}), "module.a;b;");
}

TEST(TorchNames, AreOneTensorsAloneWithoutTheirPrefixesToo) {
  const std::string x = tensor(storage("0", 12), 0, {1}, {1});
  for (const char* prefix : {"", "module.", "_orig_mod.module."}) {
    const std::string a = std::string(prefix) + "a", b = std::string(prefix) + "b";
    expect_refused(archive_of(ordered({{a, x}, {b, x}, {a, x}}), twelve), "two tensors are called \"a\"");
  }
}

TEST(TorchNames, AreTextsThatCanBePrinted) {
  const auto named = [](const std::string& key) {
    return archive_of("}(" + key + tensor(storage("0", 12), 0, {1}, {1}) + "u", twelve);
  };
  EXPECT_EQ(parse_torch(named(text("\xC3\xA9\"\\ x"))).begin()->name, "\xC3\xA9\"\\ x");
  expect_refused(named(text("a\nb")), "control character");
  expect_refused(named(text(std::string(1, '\0'))), "control character");
  expect_refused(named(text("\xFF")), "not UTF-8");
  expect_refused(named(integer(3)), "a tensor has an integer for a name");
  TorchOptions options;
  options.limits.name_bytes = 3;
  EXPECT_EQ(parse_torch(named(text("abc")), options).size(), 1);
  expect_refused(named(text("abcd")), "a name of 4 bytes; at most 3", options);
}

TEST(TorchValues, PlainDataBesideTensorsIsLeftOut) {
  const std::string x = tensor(storage("0", 12), 0, {1}, {1});
  const StateDict tensors = parse_torch(archive_of(
      ordered({{"x", x}, {"a", "N"}, {"b", integer(1)}, {"c", "]"}, {"d", "}"}, {"e", global("torch", "float32")}}),
      twelve));
  EXPECT_EQ(tensors.size(), 1);
  expect_refused(archive_of(ordered({{"x", x}, {"y", call(global("os", "system"), {text("ls")})}}), twelve),
                 "\"y\" is the result of os.system, which is not called; expected a tensor");
}

TEST(TorchStorages, OnlyThoseOfTheChosenEntryAreLookedAt) {
  const std::string wanted = dictionary({{"x", tensor(storage("0", 12), 0, {12}, {1})}});
  const std::string broken = dictionary({{"y", tensor(storage("1", 1000), 0, {1000}, {1})},
                                         {"z", tensor(storage("2", 1, "QInt8Storage"), 0, {7}, {-1})}});
  const std::string file = archive_of(dictionary({{"model", wanted}, {"optimizer", broken}}), twelve);
  EXPECT_EQ(parse_torch(file).size(), 1);
  expect_refused(file, "torch.QInt8Storage", {.key = "optimizer"});
}

TEST(TorchArchive, TheSizeOfAStorageIsWhatThePickleSays) {
  for (const std::int64_t count : {0, 1, 11, 13, 1 << 30}) {
    const std::string file = archive_of(ordered({{"x", tensor(storage("0", count), 0, {1}, {0})}}), twelve);
    const std::string message = error_of([&] { parse_torch(file); });
    EXPECT_NE(message.find(count == 0 ? "reaches outside its storage of 0" : "storage \"test/data/0\" is of 48 bytes"),
              message.npos)
        << message;
  }
  expect_refused(archive_of(ordered({{"x", tensor(storage("0", 12, "HalfStorage"), 0, {1}, {1})}}), twelve),
                 "is of 48 bytes; the pickle says 12 numbers of F16, 24 bytes");
  expect_refused(archive_of(ordered({{"x", tensor(storage("9", 12), 0, {1}, {1})}}), twelve),
                 "has no storage \"test/data/9\"");
}

TEST(TorchArchive, HasOneFolderAndAKnownVersion) {
  const std::string pickle = pickle_of(ordered({{"x", tensor(storage("0", 12), 0, {1}, {1})}}));
  const auto with = [&](const ZipEntry& more) {
    return zip_of({{"a/data.pkl", pickle}, {"a/data/0", twelve[0].second}, more});
  };
  for (const char* version : {"1", "3\n", "10\n"}) EXPECT_EQ(parse_torch(with({"a/version", version})).size(), 1);
  EXPECT_EQ(parse_torch(with({"a/byteorder", "little"})).size(), 1);
  EXPECT_EQ(parse_torch(with({"a/.data/serialization_id", "123"})).size(), 1);
  for (const char* version : {"", "0", "11", "x"})
    expect_refused(with({"a/version", version}), "of PyTorch's file format");
  expect_refused(with({"a/byteorder", "big"}), "big-endian");
  expect_refused(with({"b/version", "3"}), "entry \"b/version\" is not in the one folder");
  expect_refused(with({"version", "3"}), "entry \"version\" is not in the one folder");
  expect_refused(with({"a/constants.pkl", ""}), "a TorchScript archive");
  expect_refused(zip_of({{"a/x", "1"}}), "a zip archive without a/data.pkl");
  expect_refused(zip_of({}), "an empty zip archive");
  expect_refused(zip_of({{"a/data.pkl", pickle + "x"}}), "1 bytes after the end of the pickle");
  TorchOptions options;
  options.limits.pickle.bytes = pickle.size() - 1;
  expect_refused(with({"a/version", "3"}), "at most ", options);
}

TEST(TorchStream, StoragesFollowInTheOrderOfTheirKeys) {
  const std::string value =
      ordered({{"b", tensor(storage("second", 2), 0, {2}, {1})}, {"a", tensor(storage("first", 3), 1, {2}, {1})}});
  const Storages storages = {{"first", floats({1, 2, 3})}, {"second", floats({4, 5})}};
  const StateDict tensors = parse_torch(stream_of(value, storages));
  EXPECT_EQ(values(tensors, "a"), (std::vector<float>{2, 3}));
  EXPECT_EQ(values(tensors, "b"), (std::vector<float>{4, 5}));
}

TEST(TorchStream, HasViewsOfStorages) {
  const auto view = [](std::int64_t begin, std::int64_t count) {
    const std::string seen = tuple({text("v"), integer(begin), integer(count)});
    return tuple({text("storage"), global("torch", "FloatStorage"), text("0"), text("cpu"), integer(12), seen}) + "Q";
  };
  const auto file = [&](std::int64_t begin, std::int64_t count, std::int64_t offset, std::int64_t size) {
    return stream_of(ordered({{"x", tensor(view(begin, count), offset, {size}, {1})}}), twelve);
  };
  EXPECT_EQ(values(parse_torch(file(4, 3, 1, 2)), "x"), (std::vector<float>{5, 6}));
  expect_refused(file(4, 3, 1, 3), "reaches outside its storage of 3 numbers");
  expect_refused(file(10, 3, 0, 1), "a view of 3 numbers from 10 in a storage of 12");
  expect_refused(file(13, 0, 0, 1), "a view of 0 numbers from 13");
}

TEST(TorchStream, MayHoldModulesBesideTheirWeights) {
  const std::string code =
      tuple({text("module"), global("models", "Net"), text("net.py"), text("class Net: ...")}) + "Q";
  const std::string module = code + ")\x81" + dictionary({{"_parameters", "}"}}) + "b";
  const std::string weights = ordered({{"x", tensor(storage("0", 12), 0, {12}, {1})}});
  EXPECT_EQ(parse_torch(stream_of(dictionary({{"model", module}, {"state_dict", weights}}), twelve)).entry,
            "state_dict");
  expect_refused(stream_of(module), "the result of models.Net, which is not called");
}

TEST(TorchStream, RefusesWhatDoesNotAddUp) {
  const std::string value = ordered({{"x", tensor(storage("0", 12), 0, {12}, {1})}});
  const std::string file = stream_of(value, twelve);
  EXPECT_EQ(parse_torch(file).size(), 1);
  expect_refused(pickle_of("N"), "without the magic number");
  expect_refused(pickle_of("\x8A\x0A\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x18"), "without the magic number");
  std::string changed = file;
  changed.replace(file.find("M" + u16(1001)), 3, "M" + u16(1002));
  expect_refused(changed, "not the version 1001");
  changed = file;
  changed.replace(file.find("little_endian") + 13, 1, "\x89");
  expect_refused(changed, "not written on a little-endian machine");
  expect_refused(file + "x", "1 bytes follow the last storage");
  expect_refused(file.substr(0, file.size() - 1), "of 48 bytes ends outside the file");
  changed = file;
  changed[file.size() - 56] = 11;
  expect_refused(changed, "storage \"0\" is of 11 numbers; the pickle says 12");
  expect_refused(stream_of(value, {{"1", twelve[0].second}}), "has no storage \"0\"");
  expect_refused(stream_of(value, {twelve[0], twelve[0]}), "two storages are called \"0\"");
  expect_refused(stream_of(ordered({{"x", tensor(storage("0", 12), 0, {1}, {1})},
                                    {"y", tensor(storage("0", 24, "HalfStorage"), 0, {1}, {1})}}),
                           twelve),
                 "two sizes or formats of storage \"0\"");
  // Behind a storage whose size nobody knows, nothing can be found; before it, all.
  const Storages two = {twelve[0], {"1", "\1\2"}};
  const std::string odd = tensor(storage("1", 2, "QInt8Storage"), 0, {1}, {1});
  const std::string both = dictionary({{"model", value}, {"other", dictionary({{"y", odd}})}});
  EXPECT_EQ(parse_torch(stream_of(both, two)).size(), 1);
  expect_refused(stream_of(both, {two[1], two[0]}),
                 "storage \"0\" lies behind one of a kind that plainnet does not know");
}

}  // namespace
}  // namespace plainnet::test
