#include <cstdint>
#include <cstring>
#include <filesystem>
#include <numeric>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plainnet/io/safetensors.hpp"

#if __has_include(<sys/resource.h>)
#include <csignal>
#include <sys/resource.h>
#endif

#include <gtest/gtest.h>

#include "io/error_message.hpp"
#include "io/safetensors_bytes.hpp"
#include "io/temporary_folder.hpp"
#include "support/data.hpp"
#include "support/golden_rule.hpp"

namespace plainnet::test {
namespace {

/// {"x": {dtype, shape, data_offsets}} with 8 bytes of data.
std::string file_with(std::string_view dtype, std::string_view shape, std::string_view offsets) {
  return file_of(concatenate(R"({"x":{"dtype":)", dtype, R"(,"shape":)", shape, R"(,"data_offsets":)", offsets, "}}"),
                 "01234567");
}

std::string why_refused(std::string_view file, const SafetensorsLimits& limits = {}) {
  return error_of([&] { parse(file, limits); });
}

void expect_refused(std::string_view file, std::string_view reason) {
  const std::string message = why_refused(file);
  EXPECT_NE(message.find(reason), message.npos) << "expected \"" << reason << "\", found \"" << message << "\"";
  EXPECT_TRUE(message.starts_with("test: ")) << message;
}

// Rules 1 to 3: the length of the header.

TEST(SafetensorsRules, AFileHasAtLeastEightBytes) {
  for (std::size_t size = 0; size < 8; ++size) {
    expect_refused(std::string(size, '\0'), concatenate(size, " bytes; expected at least 8"));
  }
  expect_refused(std::string(8, '\0'), "the header does not begin with '{'");
  EXPECT_EQ(parse(file_of("{}")).size(), 0);
}

TEST(SafetensorsRules, TheHeaderKeepsToTheLimit) {
  SafetensorsLimits limits;
  limits.header_bytes = 10;
  EXPECT_EQ(parse(file_of("{}        "), limits).size(), 0);
  EXPECT_NE(why_refused(file_of("{}         "), limits).find("a header of 11 bytes; at most 10"), std::string::npos);
}

TEST(SafetensorsRules, NoLimitRaisesTheHeaderAboveThatOfTheFormat) {
  SafetensorsLimits limits;
  limits.header_bytes = std::uint64_t(-1);
  std::string file = file_of("{}");
  const std::uint64_t size = 100'000'001;
  std::memcpy(file.data(), &size, 8);
  EXPECT_NE(why_refused(file, limits).find("at most 100000000"), std::string::npos);
}

TEST(SafetensorsRules, ALyingHeaderLengthIsRefused) {
  for (const std::uint64_t size :
       {std::uint64_t{3}, std::uint64_t{1000}, std::uint64_t{1} << 24, (std::uint64_t{1} << 24) + 1,
        std::uint64_t{1} << 32, std::uint64_t{1} << 63, std::uint64_t(-1), std::uint64_t(-8), std::uint64_t(-7)}) {
    std::string file = file_of("{}");
    std::memcpy(file.data(), &size, 8);
    expect_refused(file, concatenate("a header of ", size, " bytes"));
  }
}

TEST(SafetensorsRules, ForeignFilesAreNamed) {
  expect_refused("PK\x03\x04 and so on", "not a safetensors file but a zip archive; a PyTorch checkpoint?");
  expect_refused("\x80\x02\x8a\x0al\xfc\x9c\x46\xf9 and so on", "a Python pickle");
  expect_refused("version https://git-lfs.github.com/spec/v1\noid sha256:0", "a Git LFS pointer");
  expect_refused("<!DOCTYPE html><html>", "a web page");
  expect_refused("", "0 bytes; expected at least 8; not a safetensors file, or truncated?");
}

// Rules 4 to 6: the text of the header.

TEST(SafetensorsRules, NamesAndMetadataAreUtf8) {
  EXPECT_EQ(parse(file_of("{\"\u00e9\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}}", "x")).size(), 1);
  expect_refused(file_of("{\"\xC3(\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}}", "x"), "not UTF-8");
  expect_refused(file_of("{\"__metadata__\":{\"a\":\"\xFF\"}}"), "byte 30: not UTF-8");
  expect_refused(file_of("{}\xC3\xA9"), "expected nothing but spaces");
}

TEST(SafetensorsRules, NamesAndMetadataHaveNoControlCharacters) {
  for (const std::string_view text : {R"(a\u0000b)", R"(a\nb)", "a\x01z", "a\x7F", R"(\u009b31m)"}) {
    const std::string name(text);
    const std::string control = "control character";
    expect_refused(file_of("{\"" + name + R"(":{"dtype":"U8","shape":[],"data_offsets":[0,1]}})", "x"), control);
    expect_refused(file_of(R"({"__metadata__":{")" + name + R"(":"value"}})"), control);
    expect_refused(file_of(R"({"__metadata__":{"key":")" + name + R"("}})"), control);
  }
}

TEST(SafetensorsRules, AZeroByteIsNotTheEndOfTheHeader) {
  expect_refused(file_of(std::string_view("{}\0\0\0\0\0\0", 8)), "byte 10: expected nothing but spaces");
  expect_refused(file_of(std::string_view("{\0}", 3)), "byte 9: expected");
}

TEST(SafetensorsRules, TheHeaderBeginsWithABraceAndEndsWithSpacesOnly) {
  EXPECT_EQ(parse(file_of("{ \t\r\n }      ")).size(), 0);
  expect_refused(file_of(" {}"), "byte 8: the header does not begin with '{'");
  expect_refused(file_of("\xEF\xBB\xBF{}"), "byte 8: the header does not begin with '{'");
  expect_refused(file_of("[]"), "byte 8: the header does not begin with '{'");
  expect_refused(file_of("{}\n"), "byte 10: expected nothing but spaces");
  expect_refused(file_of("{} \t"), "byte 11: expected nothing but spaces");
  expect_refused(file_of("{}x"), "byte 10: expected nothing but spaces");
}

TEST(SafetensorsRules, TheHeaderIsExactlyOneObject) {
  expect_refused(file_of("{}{}"), "byte 10: expected nothing but spaces");
  expect_refused(file_of("{},{}"), "byte 10: expected nothing but spaces");
  expect_refused(file_of("{"), "byte 9: expected a string, found the end");
  expect_refused(file_of("{\"x\""), "expected ':', found the end");
  expect_refused(file_of("{,}"), "byte 9: expected a string");
  expect_refused(file_of(R"({"__metadata__":{},})"), "expected a string, found \"}\"");
  expect_refused(file_of("{}}"), "expected nothing but spaces");
  expect_refused(file_of("{x:1}"), "expected a string");
  expect_refused(file_of("{/*comment*/}"), "expected a string");
}

TEST(SafetensorsRules, NoKeyOccursTwice) {
  const std::string x = R"("x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})";
  expect_refused(file_of("{" + x + "," + x + "}"), "the key \"x\" occurs twice");
  const std::string disguised = R"("\u0078":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})";
  expect_refused(file_of("{" + x + "," + disguised + "}"), "the key \"x\" occurs twice");
  expect_refused(file_of(R"({"__metadata__":{},"__metadata__":{}})"), "the key \"__metadata__\" occurs twice");
  expect_refused(file_of(R"({"__metadata__":{"a":"1","a":"1"}})"),
                 "\"__metadata__\", byte 40: the key \"a\" occurs twice");
  expect_refused(file_of(R"({"x":{"dtype":"U8","dtype":"U8","shape":[0],"data_offsets":[0,0]}})"),
                 "the key \"dtype\" occurs twice");
  expect_refused(file_of(R"({"x":{"dtype":"U8","shape":[0],"shape":[0],"data_offsets":[0,0]}})"),
                 "the key \"shape\" occurs twice");
  expect_refused(file_of(R"({"x":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"data_offsets":[0,0]}})"),
                 "the key \"data_offsets\" occurs twice");
}

// Rule 7: metadata.

TEST(SafetensorsRules, MetadataMapsStringsToStrings) {
  const StateDict tensors = parse(file_of(R"({"__metadata__":{"format":"pt","quote\"":"back\\slash"}})"));
  EXPECT_EQ(tensors.metadata, (std::map<std::string, std::string>{{"format", "pt"}, {"quote\"", "back\\slash"}}));
  EXPECT_EQ(tensors.size(), 0);
  for (const std::string_view value : {"1", "null", "true", "[]", "{}", "{\"b\":\"c\"}", "1.5"}) {
    expect_refused(file_of(concatenate(R"({"__metadata__":{"a":)", value, "}}")), "expected a string");
  }
  for (const std::string_view value : {"1", "null", "\"text\"", "[]", "[\"a\",\"b\"]"}) {
    expect_refused(file_of(concatenate(R"({"__metadata__":)", value, "}")), "\"__metadata__\", byte 24: expected '{'");
  }
}

// Rule 8: an entry.

TEST(SafetensorsRules, AnEntryHasExactlyItsThreeKeysInAnyOrder) {
  EXPECT_EQ(parse(file_of(R"({"x":{"data_offsets":[0,4],"shape":[4],"dtype":"U8"}})", "abcd")).size(), 1);
  expect_refused(file_of(R"({"x":{"shape":[0],"data_offsets":[0,0]}})"), "has no dtype");
  expect_refused(file_of(R"({"x":{"dtype":"U8","data_offsets":[0,0]}})"), "has no shape");
  expect_refused(file_of(R"({"x":{"dtype":"U8","shape":[0]}})"), "has no data_offsets");
  expect_refused(file_of(R"({"x":{}})"), "\"x\"");
  expect_refused(file_of(R"({"x":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"strides":[1]}})"),
                 "unknown key \"strides\"");
  expect_refused(file_of(R"({"x":{"dtype":"U8","shape":[0],"offsets":[0,0]}})"), "unknown key \"offsets\"");
  for (const std::string_view value : {"1", "null", "\"text\"", "[]", "false"}) {
    expect_refused(file_of(concatenate("{\"x\":", value, "}")), "\"x\", byte 13: expected '{'");
  }
}

TEST(SafetensorsRules, TheValuesOfAnEntryHaveTheirKinds) {
  EXPECT_EQ(parse(file_with("\"F32\"", "[2]", "[0,8]")).size(), 1);
  for (const std::string_view bad : {"1", "null", "[]", "{}", "[\"F32\"]"}) {
    expect_refused(file_with(bad, "[2]", "[0,8]"), "\"x\", byte 22: expected a string");
  }
  for (const std::string_view bad : {"2", "null", "\"2\"", "{}", "{\"0\":2}"}) {
    expect_refused(file_with("\"F32\"", bad, "[0,8]"), "expected '['");
  }
  for (const std::string_view bad : {"8", "null", "\"[0,8]\"", "{}"}) {
    expect_refused(file_with("\"F32\"", "[2]", bad), "expected '['");
  }
  expect_refused(file_with("\"F32\"", "[2]", "[]"), "expected an integer");
  expect_refused(file_with("\"F32\"", "[2]", "[0]"), "expected ','");
  expect_refused(file_with("\"F32\"", "[2]", "[0,8,8]"), "expected ']'");
  expect_refused(file_with("\"F32\"", "[2,]", "[0,8]"), "expected an integer");
  expect_refused(file_with("\"F32\"", "[[2]]", "[0,8]"), "expected an integer");
}

TEST(SafetensorsRules, EveryDtypeOfTheFormatIsListedAndNoOther) {
  for (const NumberFormatInfo& row : number_formats) {
    const Index count = 64 / row.bits;
    if (64 % row.bits != 0) continue;  // six bits: below
    const StateDict tensors = parse(file_with(concatenate('"', row.name, '"'), concatenate('[', count, ']'), "[0,8]"));
    EXPECT_EQ(tensors.at("x").format, row.format);
  }
  EXPECT_EQ(parse(file_of(R"({"x":{"dtype":"F6_E2M3","shape":[4],"data_offsets":[0,3]}})", "abc")).size(), 1);
  for (const std::string_view bad : {"F31", "f32", "", "F32 ", "float32", "F128"}) {
    expect_refused(file_with(concatenate('"', bad, '"'), "[2]", "[0,8]"), concatenate("unknown dtype \"", bad, '"'));
  }
}

TEST(SafetensorsRules, AnUnreadableDtypeIsAnErrorOnlyWhenTheTensorIsWanted) {
  const StateDict tensors = parse(file_of(R"({"c":{"dtype":"C64","shape":[1],"data_offsets":[0,8]},)"
                                          R"("u":{"dtype":"U8","shape":[1],"data_offsets":[8,9]}})",
                                          "01234567x"));
  EXPECT_EQ(tensors.at("u").values<std::uint8_t>()[0], 'x');
  EXPECT_THROW(tensors.at("c").values<float>(), Error);
}

// Rule 9: numbers.

TEST(SafetensorsRules, NumbersAreUnsignedIntegersOf64Bits) {
  for (const std::string_view bad : {"-2", "-0", "2.0", "2e0", "02", "+2", "\"2\"", "null", "true",
                                     "18446744073709551616", "1000000000000000000000000000000", "1e999", "0x2"}) {
    const std::string in_shape = why_refused(file_with("\"F32\"", concatenate('[', bad, ']'), "[0,8]"));
    EXPECT_NE(in_shape.find("\"x\", byte "), in_shape.npos) << bad << in_shape;
    EXPECT_NE(why_refused(file_with("\"F32\"", "[2]", concatenate('[', bad, ",8]"))), "") << bad;
    EXPECT_NE(why_refused(file_with("\"F32\"", "[2]", concatenate("[0,", bad, ']'))), "") << bad;
  }
  expect_refused(file_with("\"F32\"", "[18446744073709551615]", "[0,8]"), "a dimension of 18446744073709551615");
}

// Rules 10 and 11: offsets and sizes of one tensor.

TEST(SafetensorsRules, OffsetsRunForwardsInsideTheFile) {
  expect_refused(file_with("\"F32\"", "[2]", "[8,0]"), "data_offsets run backwards, from 8 to 0");
  expect_refused(
      file_with("\"F32\"", "[3]", "[0,12]"),
      "ends outside the file: the tensors need 12 bytes after the header, the file has 8; truncated download?");
  expect_refused(file_with("\"F32\"", "[2]", "[18446744073709551607,18446744073709551615]"), "ends outside the file");
}

TEST(SafetensorsRules, TheShapeNeedsAsManyBytesAsTheOffsetsHold) {
  expect_refused(file_with("\"F32\"", "[1]", "[0,8]"), "F32 (1) needs 4 bytes, but data_offsets from 0 to 8 hold 8");
  expect_refused(file_with("\"F64\"", "[2]", "[0,8]"), "F64 (2) needs 16 bytes");
  expect_refused(file_with("\"F4\"", "[15]", "[0,8]"), "needs an impossible number of bytes");
  expect_refused(file_with("\"F4\"", "[17]", "[0,8]"), "needs an impossible number of bytes");
}

TEST(SafetensorsRules, ProductsThatOverflow64BitsAreRefused) {
  for (const std::string_view shape : {"[4294967296,4294967296]", "[9223372036854775807,9223372036854775807]",
                                       "[9223372036854775807,2,1]", "[2305843009213693952,8]", "[576460752303423488]",
                                       "[1152921504606846976]", "[65536,65536,65536,65536,65536,65536,65536,65536]"}) {
    expect_refused(file_with("\"F32\"", shape, "[0,8]"), "needs an impossible number of bytes");
  }
  // 2^62 · 32 bits wrap around to 2^67 = 0 (mod 2^64).
  expect_refused(file_with("\"F32\"", "[4611686018427387904]", "[0,0]"), "needs an impossible number of bytes");
}

// Rule 12: all tensors together.

std::string two_tensors(std::string_view a, std::string_view b, std::string_view data) {
  return file_of(concatenate(R"({"a":{"dtype":"U8","shape":)", a, R"(},"b":{"dtype":"U8","shape":)", b, "}}"), data);
}

TEST(SafetensorsRules, TensorsFillTheFileWithoutHolesOrOverlaps) {
  const auto file = [](std::string_view a, std::string_view b) { return two_tensors(a, b, "01234567"); };
  EXPECT_EQ(parse(file(R"([4],"data_offsets":[0,4])", R"([4],"data_offsets":[4,8])")).size(), 2);
  EXPECT_EQ(parse(file(R"([4],"data_offsets":[4,8])", R"([4],"data_offsets":[0,4])")).size(), 2);  // in any order
  expect_refused(file(R"([3],"data_offsets":[1,4])", R"([4],"data_offsets":[4,8])"),
                 "the 1 bytes before tensor \"a\" belong to no tensor");
  expect_refused(file(R"([3],"data_offsets":[0,3])", R"([4],"data_offsets":[4,8])"),
                 "the 1 bytes before tensor \"b\" belong to no tensor");
  expect_refused(file(R"([4],"data_offsets":[0,4])", R"([3],"data_offsets":[4,7])"), "1 bytes follow the last tensor");
  expect_refused(file(R"([4],"data_offsets":[0,4])", R"([5],"data_offsets":[3,8])"), "tensors \"a\" and \"b\" overlap");
  expect_refused(file(R"([8],"data_offsets":[0,8])", R"([8],"data_offsets":[0,8])"), "tensors \"a\" and \"b\" overlap");
  expect_refused(file(R"([8],"data_offsets":[0,8])", R"([2],"data_offsets":[3,5])"), "tensors \"a\" and \"b\" overlap");
  expect_refused(file(R"([8],"data_offsets":[0,8])", R"([0],"data_offsets":[3,3])"), "tensors \"a\" and \"b\" overlap");
  expect_refused(file_of("{}", "x"), "1 bytes follow the last tensor");
}

TEST(SafetensorsRules, AFileThatWasCutSaysHowMuchIsMissing) {
  expect_refused(two_tensors(R"([4],"data_offsets":[0,4])", R"([400],"data_offsets":[4,404])", "01234"),
                 "tensor \"b\" ends outside the file: the tensors need 404 bytes after the header, the file has 5; "
                 "truncated download?");
}

// Rules 13 and 14: ranks, limits.

TEST(SafetensorsRules, RankZeroAndZeroExtentsAreLegal) {
  const StateDict scalar = parse(file_with("\"F64\"", "[]", "[0,8]"));
  EXPECT_EQ(scalar.at("x").extents.rank(), 0u);
  EXPECT_EQ(scalar.at("x").values<double>().size(), 1u);
  const StateDict empty =
      parse(two_tensors(R"([3,0,2],"data_offsets":[8,8])", R"([8],"data_offsets":[0,8])", "01234567"));
  EXPECT_EQ(empty.at("a").extents, (Extents{3, 0, 2}));
  EXPECT_TRUE(empty.at("a").values<float>().empty());
  EXPECT_EQ(parse(two_tensors(R"([0],"data_offsets":[0,0])", R"([0],"data_offsets":[0,0])", "")).size(), 2);
  // An empty tensor begins where another does, and may be listed before it or after it.
  EXPECT_EQ(parse(two_tensors(R"([8],"data_offsets":[0,8])", R"([0],"data_offsets":[0,0])", "01234567")).size(), 2);
  EXPECT_EQ(parse(two_tensors(R"([0],"data_offsets":[0,0])", R"([8],"data_offsets":[0,8])", "01234567")).size(), 2);
}

TEST(SafetensorsRules, RanksAreLimited) {
  EXPECT_EQ(parse(file_with("\"U8\"", "[1,1,1,1,1,1,1,8]", "[0,8]")).at("x").extents.rank(), 8u);
  expect_refused(file_with("\"U8\"", "[1,1,1,1,1,1,1,1,8]", "[0,8]"), "more than 8 dimensions");
  SafetensorsLimits limits;
  limits.rank = 2;
  EXPECT_NE(why_refused(file_with("\"U8\"", "[2,2,2]", "[0,8]"), limits).find("more than 2 dimensions"),
            std::string::npos);
  limits.rank = 100;  // more than Extents can hold
  EXPECT_NE(why_refused(file_with("\"U8\"", "[1,1,1,1,1,1,1,1,8]", "[0,8]"), limits), "");
}

std::string many_tensors(std::size_t count) {
  std::string header;
  for (std::size_t i = 0; i < count; ++i) {
    header += concatenate(header.empty() ? '{' : ',', '"', i, R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})");
  }
  return file_of(header + "}");
}

TEST(SafetensorsRules, TheNumberOfTensorsIsLimited) {
  SafetensorsLimits limits;
  EXPECT_EQ(limits.tensors, 100'000u);
  limits.tensors = 2;
  EXPECT_EQ(parse(many_tensors(2), limits).size(), 2);
  EXPECT_NE(why_refused(many_tensors(3), limits).find("more than 2 tensors"), std::string::npos);
}

TEST(SafetensorsRules, MetadataEntriesAreLimited) {
  SafetensorsLimits limits;
  limits.metadata_entries = 1;
  EXPECT_EQ(parse(file_of(R"({"__metadata__":{"a":"b"}})"), limits).metadata.size(), 1u);
  EXPECT_NE(why_refused(file_of(R"({"__metadata__":{"a":"b","c":"d"}})"), limits).find("more than 1 entries"),
            std::string::npos);
}

TEST(SafetensorsRules, NamesAreLimited) {
  const auto file = [](std::size_t size) {
    return file_of("{\"" + std::string(size, 'n') + R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})");
  };
  EXPECT_EQ(parse(file(512)).size(), 1);
  expect_refused(file(513), "a name of 513 bytes; at most 512 are accepted");
  EXPECT_LT(why_refused(file(1'000'000)).size(), 300u);
}

TEST(SafetensorsRules, NestingIsRefusedAsItOpens) {
  for (const std::string_view opening : {"{\"a\":", "["}) {
    std::string nest;
    for (int i = 0; i < 1'000'000; ++i) nest += opening;
    expect_refused(file_of("{\"x\":" + nest), "expected");
    expect_refused(file_of("{\"x\":{\"shape\":" + nest), "expected");
    expect_refused(file_of("{\"x\":{\"shape\":[" + nest), "expected an integer");
    expect_refused(file_of("{\"__metadata__\":" + nest), "expected");
  }
}

TEST(SafetensorsRules, TotalBytesAreLimited) {
  SafetensorsLimits limits;
  limits.total_bytes = 8;
  EXPECT_EQ(parse(file_with("\"F32\"", "[2]", "[0,8]"), limits).size(), 1);
  limits.total_bytes = 7;
  EXPECT_NE(why_refused(file_with("\"F32\"", "[2]", "[0,8]"), limits).find("8 bytes of tensors; at most 7"),
            std::string::npos);
}

// Reading.

TEST(Safetensors, DataOnAnOddAddressIsRead) {
  for (std::size_t padding = 0; padding < 8; ++padding) {
    const double values[] = {1.0 / 3, -1e300};
    const std::string_view data(reinterpret_cast<const char*>(values), sizeof(values));
    const std::string header = R"({"x":{"dtype":"F64","shape":[2],"data_offsets":[0,16]}})" + std::string(padding, ' ');
    const StateDict tensors = parse(file_of(header, data));
    const auto read = tensors.at("x").values<double>();
    EXPECT_EQ(read[0], values[0]);
    EXPECT_EQ(read[1], values[1]);
  }
}

TEST(Safetensors, NanAndInfinityAreData) {
  const float values[] = {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()};
  const std::string_view data(reinterpret_cast<const char*>(values), sizeof(values));
  const StateDict tensors = parse(file_of(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", data));
  EXPECT_TRUE(std::isnan(tensors.at("x").values<float>()[0]));
}

TEST(Safetensors, TheTensorsKeepTheFileMappedAndCopiesToo) {
  const TemporaryFolder folder;
  write_text(folder / "x", file_with("\"U8\"", "[8]", "[0,8]"));
  StoredTensor tensor;
  {
    const StateDict copy = StateDict(open_safetensors(folder / "x"));
    tensor = copy.at("x");
  }
  EXPECT_EQ(tensor.values<std::uint8_t>()[7], '7');
}

TEST(Safetensors, ErrorsNameTheFile) {
  const TemporaryFolder folder;
  write_text(folder / "bad.safetensors", "{}");
  write_text(folder / "empty.safetensors", "");
  for (const char* name : {"bad.safetensors", "empty.safetensors", "missing.safetensors", "."}) {
    const std::string message = error_of([&] { open_safetensors(folder / name); });
    EXPECT_TRUE(message.starts_with((folder / name).string() + ": ")) << message;
  }
}

TEST(Safetensors, CheckpointsWrittenByPyTorchHoldTheirNumbers) {
  const StateDict wide = open_safetensors(data("checkpoints/float32.safetensors"));
  EXPECT_EQ(wide.size(), 89);
  EXPECT_EQ(wide.metadata.at("format"), "pt");
  EXPECT_EQ(wide.source, data("checkpoints/float32.safetensors").string());
  const StateDict half = open_safetensors(data("checkpoints/float16.safetensors"));
  const StateDict bfloat = open_safetensors(data("checkpoints/bfloat16.safetensors"));
  for (const auto& [name, tensor] : wide) {
    if (tensor.format == NumberFormat::i64) {
      EXPECT_EQ(tensor.extents.rank(), 0u) << name;
      continue;
    }
    Parameter<float> expected(tensor.extents);
    fill(expected, name, 7);
    const auto values = tensor.values<float>();
    ASSERT_TRUE(std::equal(values.begin(), values.end(), expected.begin())) << name;
    // What PyTorch rounded to 16 bits is what encode() makes.
    for (const StateDict* narrow : {&half, &bfloat}) {
      const StoredTensor& found = narrow->at(name);
      const StoredTensor made = store(expected, found.format);
      ASSERT_EQ(found.extents, tensor.extents) << name;
      ASSERT_TRUE(std::equal(found.bytes.begin(), found.bytes.end(), made.bytes.begin(), made.bytes.end())) << name;
    }
  }
}

// Writing.

StateDict example() {
  StateDict tensors;
  Parameter<float> weight(Extents{2, 3});
  std::iota(weight.begin(), weight.end(), 1.0f);
  tensors.add("weight", store(weight));
  tensors.add("pixels \"\\\u20ac", store<std::uint8_t>({3}, std::vector<std::uint8_t>{7, 8, 9}));
  tensors.add("double", store<double>({}, std::vector<double>{0.1}));
  tensors.add("half", store(weight, NumberFormat::bf16));
  tensors.add("nothing", store(Parameter<float>(Extents{0, 4})));
  tensors.metadata = {{"format", "pt"}, {"a \"key\"", "a \\ value"}};
  return tensors;
}

TEST(WriteSafetensors, WhatIsWrittenIsReadBack) {
  const TemporaryFolder folder;
  const StateDict written = example();
  write_safetensors(folder / "x", written);
  const StateDict read = open_safetensors(folder / "x");
  EXPECT_EQ(read.metadata, written.metadata);
  ASSERT_EQ(read.size(), written.size());
  auto found = read.begin();
  for (const auto& [name, tensor] : written) {
    EXPECT_EQ(found->name, name);
    EXPECT_EQ(found->tensor.format, tensor.format);
    EXPECT_EQ(found->tensor.extents, tensor.extents);
    EXPECT_TRUE(
        std::equal(found->tensor.bytes.begin(), found->tensor.bytes.end(), tensor.bytes.begin(), tensor.bytes.end()));
    ++found;
  }
}

TEST(WriteSafetensors, HeaderAndTensorsAreAligned) {
  const TemporaryFolder folder;
  write_safetensors(folder / "x", example());
  const std::string file = read_text(folder / "x");
  std::uint64_t header = 0;
  std::memcpy(&header, file.data(), 8);
  EXPECT_EQ(header % 8, 0u);
  const MappedFile mapped(folder / "x");
  const StateDict tensors = parse_safetensors(mapped.bytes());
  for (const auto& [name, tensor] : tensors) {
    const auto position = tensor.bytes.data() - mapped.bytes().data();
    EXPECT_EQ(position % (info(tensor.format).bits / 8), 0) << name;
  }
}

TEST(WriteSafetensors, NoTensorsAreAFileToo) {
  const TemporaryFolder folder;
  write_safetensors(folder / "x", StateDict());
  EXPECT_EQ(read_text(folder / "x"), file_of("{}      "));
  EXPECT_EQ(open_safetensors(folder / "x").size(), 0);
}

TEST(WriteSafetensors, AFileMayReplaceTheOneItIsReadFrom) {
  const TemporaryFolder folder;
  write_safetensors(folder / "x", example());
  const std::string before = read_text(folder / "x");
  write_safetensors(folder / "x", open_safetensors(folder / "x"));
  EXPECT_EQ(read_text(folder / "x"), before);
}

TEST(WriteSafetensors, WhatNoReaderAcceptsIsNotWritten) {
  const TemporaryFolder folder;
  write_text(folder / "x", "old");
  const auto refuses = [&](const StateDict& tensors) {
    const std::string message = error_of([&] { write_safetensors(folder / "x", tensors); });
    EXPECT_TRUE(message.starts_with((folder / "x").string())) << message;
  };
  for (const std::string& name : {std::string("__metadata__"), std::string("a\nb"), std::string("a\0b", 3),
                                  std::string("\xC3("), std::string(513, 'n')}) {
    StateDict tensors;
    tensors.add(name, store(Parameter<float>(Extents{1})));
    refuses(tensors);
  }
  StateDict tensors = example();
  tensors.metadata["key"] = "a\nb";
  refuses(tensors);
  EXPECT_EQ(read_text(folder / "x"), "old");
  EXPECT_EQ(folder.entries(), 1);
}

#if __has_include(<sys/resource.h>)
TEST(WriteSafetensors, AFullDiskLeavesTheOldFileIntact) {
  const TemporaryFolder folder;
  write_safetensors(folder / "x", example());
  const std::string before = read_text(folder / "x");
  StateDict large;
  large.add("large", store(Parameter<float>(Extents{100'000})));
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &limit), 0);
  auto* const handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{10'000, limit.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string message = error_of([&] { write_safetensors(folder / "x", large); });
  ::setrlimit(RLIMIT_FSIZE, &limit);
  std::signal(SIGXFSZ, handler);
  EXPECT_NE(message.find("cannot be written"), message.npos) << message;
  EXPECT_EQ(read_text(folder / "x"), before);
  EXPECT_EQ(folder.entries(), 1);
}
#endif

}  // namespace
}  // namespace plainnet::test
