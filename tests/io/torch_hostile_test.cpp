// What a damaged or malicious PyTorch checkpoint can do: nothing but cause an Error.

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#if __has_include(<sys/mman.h>)
#include <sys/mman.h>
#include <unistd.h>
#endif

#include <gtest/gtest.h>

#include "io/error_message.hpp"
#include "io/temporary_folder.hpp"
#include "io/torch_bytes.hpp"
#include "plainnet/io/torch_checkpoint.hpp"
#include "support/data.hpp"
#include "support/processor_time.hpp"

namespace plainnet::test {
namespace {

/// Refused with this reason, and in little time.
void expect_refused(std::string_view file, std::string_view reason, const TorchOptions& options = {}) {
  const auto copy = exact_copy(file);
  std::string message;
  const double seconds = processor_seconds(
      [&] { message = error_of([&] { parse_torch_checkpoint(copy.first, "test", options, copy.second); }); });
  EXPECT_NE(message.find(reason), message.npos) << "expected \"" << reason << "\", found \"" << message << "\"";
  EXPECT_LT(message.size(), 500u);
  EXPECT_LT(seconds, 2.0) << message;  // at most 0.1 without a sanitizer
}

const Storages two_storages = {{"0", floats({0, 1, 2, 3, 4, 5})}, {"1", floats({6, 7})}};

std::string small_value() {
  return dictionary(
      {{"model", ordered({{"a", tensor(storage("0", 6), 0, {2, 3}, {3, 1})},
                          {"b", tensor(storage("0", 6), 1, {2, 2}, {1, 2})},
                          {"c", tensor(storage("1", 2), 1, {}, {})}})},
       {"epoch", integer(300)},
       {"args", global("argparse", "Namespace") + ")\x81" + dictionary({{"lr", "G?P\x62M\xD2\xF1\xA9\xFC"}}) + "b"}});
}

TEST(HostileTorch, CallsAreNotMade) {
  const TemporaryFolder folder;
  const std::string command = "touch " + (folder / "was-here").string();
  for (const char* module : {"posix", "os", "nt"}) {
    const std::string system = call(global(module, "system"), {text(command)});
    for (const std::string& file : {archive_of(system), stream_of(system)}) {
      expect_refused(file, ".system, which is not called");
    }
    for (const std::string& value : {dictionary({{"model", system}}), ordered({{"w", system}})}) {
      expect_refused(archive_of(value), "holds no tensors under a name");
    }
    // Beside the tensors it does no harm; among them it is none.
    const std::string weights = dictionary({{"w", tensor(storage("0", 6), 0, {1}, {1})}});
    EXPECT_EQ(parse_torch(archive_of(dictionary({{"args", system}, {"model", weights}}), two_storages)).size(), 1);
    expect_refused(archive_of(dictionary({{"w", tensor(storage("0", 6), 0, {1}, {1})}, {"v", system}}), two_storages),
                   "\"v\" is the result of");
  }
  const std::string evaluate = call(global("builtins", "eval"), {text("exit()")});
  expect_refused(archive_of(call(evaluate, {integer(1)})), "the result of builtins.eval, which is not called");
  EXPECT_EQ(folder.entries(), 0);
}

TEST(HostileTorch, CallsAmongTheArgumentsOfATensorAreRefused) {
  const std::string system = call(global("os", "system"), {text("ls")});
  const auto with = [&](const std::string& data, const std::string& offset, const std::string& size) {
    return archive_of(ordered({{"x", call(global("torch._utils", "_rebuild_tensor_v2"),
                                          {data, offset, size, integers({1}), "\x89", ordered({})})}}),
                      two_storages);
  };
  expect_refused(with(system, integer(0), integers({1})), "tensor \"x\": its storage is an object");
  expect_refused(with(storage("0", 6), system, integers({1})), "tensor \"x\": the storage offset is an object");
  expect_refused(with(storage("0", 6), integer(0), system), "tensor \"x\": the size is an object");
}

TEST(HostileTorch, NestsAndMemosAreBounded) {
  expect_refused(archive_of(std::string(5'000'000, '(')), "nested deeper than 64 levels");
  expect_refused(archive_of(")" + std::string(5'000'000, '\x85')), "nested deeper than 64 levels");
  expect_refused(stream_of(")" + std::string(5'000'000, '\x85')), "nested deeper than 64 levels");
  std::string memo = "N";
  for (std::uint64_t i = 0; i < 2'000'000; ++i) memo += "r" + u32(i);
  expect_refused(archive_of(memo), "LONG_BINPUT: memo entry 100000; at most 100000");
  expect_refused(archive_of("Nr" + u32(0xFFFFFFFF)), "LONG_BINPUT: memo entry 4294967295");
}

TEST(HostileTorch, StridesOfZeroDoNotFillTheMemory) {
  const auto bomb = [](const std::vector<std::int64_t>& size) {
    return archive_of(ordered({{"x", tensor(storage("0", 6), 0, size, std::vector<std::int64_t>(size.size(), 0))}}),
                      two_storages);
  };
  expect_refused(bomb({1 << 30}), "tensor \"x\" (1073741824): with its strides it takes 4294967296 bytes");
  expect_refused(bomb({1 << 15, 1 << 15, 1 << 15}), "more than 68719476736 bytes of tensors");
  expect_refused(bomb({std::int64_t{1} << 60}), "overflows");
  // Many that are not large.
  Items items;
  for (int i = 0; i < 1000; ++i) {
    items.emplace_back("t" + std::to_string(i), tensor(storage("0", 6), 0, {20'000}, {0}));
  }
  expect_refused(archive_of(ordered(items), two_storages), "all such tensors more than ");
  // As much as is allowed.
  TorchOptions options;
  options.limits.expansion_bytes = 1000;
  const std::string file = bomb({2, 200});
  EXPECT_EQ(parse_torch(file, options).at("x").values<float>().size(), 400u);
  expect_refused(bomb({2, 1000}), "with its strides it takes 8000 bytes", options);
}

TEST(HostileTorch, OverlappingEntriesAreRefused) {
  // Both storages at one place: 42 bytes into the directory's entry of the second.
  std::string file = archive_of(small_value(), two_storages);
  std::size_t first = file.find("PK\x01\x02");
  first = file.find("PK\x01\x02", first + 1);  // behind that of the pickle
  const std::size_t second = file.find("PK\x01\x02", first + 1);
  file.replace(second + 42, 4, file.substr(first + 42, 4));
  expect_refused(file, "overlaps the next entry");
}

TEST(HostileTorch, SizesThatLieAreRefused) {
  const std::string huge = ordered({{"x", tensor(storage("0", 1LL << 40), 0, {1LL << 40}, {1})}});
  TorchOptions options;
  options.limits.total_bytes = std::uint64_t{1} << 50;
  expect_refused(archive_of(huge, two_storages), "more than 68719476736 bytes of tensors");
  expect_refused(archive_of(huge, two_storages), "is of 24 bytes; the pickle says", options);
  expect_refused(stream_of(huge, two_storages), "ends outside the file", options);
}

TEST(HostileTorch, KeysThatOccurTwiceAreRefused) {
  const std::string x = tensor(storage("0", 6), 0, {1}, {1});
  expect_refused(archive_of(ordered({{"x", x}, {"x", x}}), two_storages), "two tensors are called \"x\"");
  expect_refused(
      archive_of(dictionary({{"model", dictionary({{"x", x}})}, {"model", dictionary({{"x", x}})}}), two_storages),
      "the key \"model\" occurs twice");
}

TEST(HostileTorch, ManyKeysOfOneDictionaryAreExplainedQuickly) {
  // 20 000 names for a dictionary of 20 000 names for a dictionary.
  std::string inner = "}(", outer = "}(";
  for (int i = 0; i < 20'000; ++i) inner += text(std::to_string(i)) + "h\1";
  for (int i = 0; i < 20'000; ++i) outer += text(std::to_string(i)) + "h\2";
  expect_refused(archive_of(dictionary({{"a", "}q\1"}, {"b", inner + "uq\2"}, {"c", outer + "u"}})),
                 "holds no tensors under a name");
}

TEST(HostileTorch, ErrorsCanBePrinted) {
  const std::string odd = "\x1B[31m\xFF\n";
  for (const std::string& file :
       {archive_of(call(global("m\x1B", "\xFF"), {})),
        archive_of(ordered({{odd, tensor(storage("9", 6), 0, {9}, {9})}})),
        archive_of(ordered({{"x", tensor(storage(odd, 6), 0, {1}, {1})}})), zip_of({{odd, ""}, {odd, ""}})}) {
    const std::string message = error_of([&] { parse_torch(file); });
    EXPECT_NE(message, "");
    EXPECT_TRUE(std::all_of(message.begin(), message.end(), [](char c) { return c >= ' ' && c <= '~'; })) << message;
  }
}

// Small files that make a careless reader do the same large thing often. Each took from ten seconds to hours.

const std::string one_tensor = tensor(storage("0", 6), 0, {1}, {1});

/// So many names for what the memo has under 1.
std::string names(std::size_t count) {
  std::string bytes;
  for (std::size_t i = 0; i < count; ++i) bytes += text(std::to_string(i)) + "h\1";
  return bytes;
}

TEST(HostileTorch, ReferencesThatShareALargeTupleAreRefusedQuickly) {
  std::string value = "(" + std::string(250'000, 'N') + "tq\1(";
  for (int i = 0; i < 200'000; ++i) value += "h\1Q";
  value += "t\x86";
  expect_refused(stream_of(value, two_storages), "holds no tensors under a name, but a tuple");
  expect_refused(archive_of(value, two_storages), "holds no tensors under a name, but a tuple");
}

TEST(HostileTorch, NamesThatShareALargeCallAreRefusedQuickly) {
  const std::string call = global("torch._utils", "_rebuild_tensor_v2") + "(" + storage("0", 6) + integer(0) +
                           integers({1}) + integers({1}) + std::string(300'000, 'N') + "tRq\1";
  expect_refused(archive_of("}(" + text("a") + call + names(25'000) + "u", two_storages), "arguments, too many");
}

TEST(HostileTorch, TensorsThatShareAStorageReadItsHeaderOnce) {
  std::string extra;
  for (int i = 0; i < 16'000; ++i) extra += u16(0xFFFF) + u16(0);
  const std::string value = "}(" + text("a") + one_tensor + "q\1" + names(25'000);
  std::vector<ZipEntry> entries = {{"test/data.pkl", pickle_of(value + "u")},
                                   {.name = "test/data/0", .data = two_storages[0].second, .extra = extra}};
  const double seconds = processor_seconds([&] { EXPECT_EQ(parse_torch(zip_of(entries)).size(), 25'001); });
  EXPECT_LT(seconds, 2.0);  // 0.06; 3 if every tensor reads it
}

TEST(HostileTorch, AllIsLookedForBeforeNumbersAreCopied) {
  // Otherwise 60 MB come first, which nothing limits to the time that an Error may take.
  const std::string large = tensor(storage("0", 24, "ByteStorage"), 0, {60 << 20}, {0});
  for (const auto& [last, reason] :
       {std::pair{"x", "two tensors are called \"x\""}, std::pair{"y", "has no storage \"test/data/9\""}}) {
    const std::string file =
        archive_of(ordered({{"x", large}, {last, tensor(storage("9", 6), 0, {1}, {1})}}), two_storages);
    const double seconds = processor_seconds([&, &why = reason] { expect_refused(file, why); });
    EXPECT_LT(seconds, 0.1) << reason;  // 0.0001; 0.3 with the copy
  }
}

TEST(HostileTorch, CountsAreLimited) {
  TorchOptions options;
  options.limits.tensors = 3;
  options.limits.storages = 1;
  const std::string four = "}(" + text("a") + one_tensor + "q\1" + names(3) + "u";
  const std::string stream = stream_of(ordered({{"x", one_tensor}}), {two_storages[0]});
  expect_refused(archive_of(four, {two_storages[0]}), "more than 3 tensors", options);
  expect_refused(stream_of(four, two_storages), "2 storages; at most 1 are accepted", options);
  EXPECT_EQ(parse_torch(stream, options).size(), 1);
  expect_refused(archive_of(four, two_storages), " bytes; at most 200 are accepted",
                 {.limits = {.zip = {.directory_bytes = 200}}});
}

#if __has_include(<sys/mman.h>)

TEST(HostileTorch, NumbersThatNobodyAsksForAreNotRead) {
  // The optimizer's numbers lie on pages that end the program when they are read.
  const std::string wanted = dictionary({{"x", tensor(storage("0", 6), 0, {6}, {1})}});
  const std::string other = dictionary({{"y", tensor(storage("1", 100'000), 0, {100'000}, {1})}});
  const std::string value = dictionary({{"model", wanted}, {"optimizer", other}});
  const Storages storages = {{"0", two_storages[0].second}, {"1", std::string(400'000, 'o')}, {"2", "tail"}};
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  for (const std::string& file : {archive_of(value, storages), stream_of(value, {storages[0], storages[1]})}) {
    void* const memory = ::mmap(nullptr, file.size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(memory, MAP_FAILED);
    std::memcpy(memory, file.data(), file.size());
    const std::size_t begin = (file.find("oooooooo") + page - 1) / page * page;
    const std::size_t end = (file.rfind("oooooooo") + 8) / page * page;
    ASSERT_GT(end - begin, 300'000u);
    ASSERT_EQ(::mprotect(static_cast<char*>(memory) + begin, end - begin, PROT_NONE), 0);
    const auto bytes = std::as_bytes(std::span(static_cast<const char*>(memory), file.size()));
    const StateDict tensors = parse_torch_checkpoint(bytes, "test");
    EXPECT_EQ(tensors.at("x").values<float>()[5], 5.0f);
    ::munmap(memory, file.size());
  }
}

#endif

// Damage: every truncation and every change of one byte.

using Contents = std::map<std::string, std::pair<std::string, std::string>>;  // shape and bytes by name

Contents contents_of(const StateDict& tensors) {
  Contents result;
  for (const auto& [name, tensor] : tensors) {
    result[name] = {concatenate(name_of(tensor.format), " ", tensor.extents),
                    std::string(detail::as_text(tensor.bytes))};
  }
  return result;
}

/// Nothing if the file is refused.
Contents read_contents(const std::string& file, const TorchOptions& options = {}) {
  Contents result;
  const std::string message = error_of([&] { result = contents_of(parse_torch(file, options)); });
  EXPECT_EQ(message.empty(), !result.empty());
  EXPECT_TRUE(std::all_of(message.begin(), message.end(), [](char c) { return c >= ' ' && c <= '~'; })) << message;
  return result;
}

TEST(DamagedTorch, EveryTruncationIsRefused) {
  for (const std::string& file : {archive_of(small_value(), two_storages), stream_of(small_value(), two_storages)}) {
    EXPECT_EQ(read_contents(file).size(), 3u);
    for (std::size_t size = 0; size < file.size(); ++size) {
      ASSERT_TRUE(read_contents(file.substr(0, size)).empty()) << size;
    }
  }
}

TEST(DamagedTorch, EveryTruncationOfAPublishedFileIsRefused) {
  for (const char* name : {"half.pth", "legacy_format.pth.tar"}) {
    const std::string file = read_text(data("checkpoints") / name);
    std::mt19937 random(1);
    for (int i = 0; i < 300; ++i) {
      const std::size_t size = i < 100 ? file.size() - 1 - static_cast<std::size_t>(i) : random() % file.size();
      ASSERT_TRUE(read_contents(file.substr(0, size)).empty()) << name << " " << size;
    }
  }
}

TEST(DamagedTorch, EveryChangeOfOneByteOfAnArchiveIsRefusedOrReadRight) {
  // The pickle has a checksum, the numbers have one that is not looked at: they may change.
  const std::string file = archive_of(small_value(), two_storages);
  const Contents expected = read_contents(file);
  std::vector<bool> is_number(file.size());
  for (const auto& [key, bytes] : two_storages) {
    const std::size_t begin = file.find(bytes, file.find("test/data/" + key));
    std::fill_n(is_number.begin() + static_cast<std::ptrdiff_t>(begin), bytes.size(), true);
  }
  int accepted = 0;
  for (std::size_t position = 0; position < file.size(); ++position) {
    for (int byte = 0; byte < 256 && !is_number[position]; ++byte) {
      std::string changed = file;
      changed[position] = static_cast<char>(byte);
      const Contents found = read_contents(changed);
      if (found.empty()) continue;
      ++accepted;
      ASSERT_EQ(found, expected) << "byte " << position << " is " << byte;
    }
  }
  EXPECT_GT(accepted, 1000);
}

/// Whether every tensor is made of the file's own numbers, in a size that the file could mean.
void expect_harmless(const Contents& found, const std::string& file) {
  for (const auto& [name, tensor] : found) {
    EXPECT_LE(tensor.second.size(), file.size() + (std::size_t{64} << 20)) << name;
  }
}

TEST(DamagedTorch, EveryChangeOfOneByteOfAPickleIsRefusedOrHarmless) {
  // Without a checksum, a changed name or stride passes for what was meant; but it is one tensor's, and the others must
  // be right. No byte of this pickle describes two tensors, except where a byte turns into one that skips a tensor.
  const std::string archive = archive_of(small_value(), two_storages, {.has_checksums = false});
  const std::string stream = stream_of(small_value(), two_storages);
  const Contents expected = read_contents(archive);
  EXPECT_EQ(read_contents(stream), expected);
  for (const std::string& file : {archive, stream}) {
    const std::size_t begin = file.find("\x80\x02}(");
    const std::size_t end = file.find("bu.", begin) + 3;  // BUILD, SETITEMS, STOP
    std::map<std::string, int> kinds;
    for (std::size_t position = begin; position < end; ++position) {
      for (int byte = 0; byte < 256; ++byte) {
        std::string changed = file;
        changed[position] = static_cast<char>(byte);
        const Contents found = read_contents(changed, {.key = "model"});
        expect_harmless(found, file);
        if (found.empty()) {
          ++kinds["refused"];
          continue;
        }
        std::size_t same = 0;
        for (const auto& [name, tensor] : expected) {
          const auto twin = found.find(name);
          same += twin != found.end() && twin->second == tensor;
        }
        ++kinds[found == expected ? "right" : "other"];
        ASSERT_GE(same + 1, found.size() == 3 ? 3u : 2u) << "byte " << position - begin << " is " << byte;
      }
    }
    EXPECT_GT(kinds["refused"], 10'000);
    EXPECT_GT(kinds["right"], 1000);
    EXPECT_GT(kinds["other"], 100);
  }
}

TEST(DamagedTorch, RandomDamageIsRefusedOrHarmless) {
  std::mt19937 random(1);
  const auto below = [&](std::size_t count) { return random() % count; };
  for (const bool is_archive : {true, false}) {
    const std::string file = is_archive ? archive_of(small_value(), two_storages, {.has_checksums = false})
                                        : stream_of(small_value(), two_storages);
    int accepted = 0;
    for (int i = 0; i < 20'000; ++i) {
      std::string changed = file;
      for (std::size_t edits = 1 + below(3); edits > 0; --edits) {
        const std::size_t from = below(file.size());
        const std::string piece = file.substr(from, 1 + below(20));
        changed.replace(below(changed.size()), below(2) ? piece.size() : below(20), piece);
      }
      const Contents found = read_contents(changed);
      expect_harmless(found, file);
      accepted += !found.empty();
    }
    EXPECT_GT(accepted, is_archive ? 0 : 10);
  }
}

/// How many bytes differ; a large number if names or shapes do.
std::size_t differing_bytes(const Contents& a, const Contents& b) {
  constexpr std::size_t many = 1'000'000;
  if (a.size() != b.size()) return many;
  std::size_t count = 0;
  for (auto i = a.begin(), j = b.begin(); i != a.end(); ++i, ++j) {
    if (i->first != j->first || i->second.first != j->second.first) return many;
    const std::string &x = i->second.second, &y = j->second.second;
    for (std::size_t k = 0; k < x.size(); ++k) count += x[k] != y[k];
  }
  return count;
}

TEST(DamagedTorch, PublishedFilesAreRefusedOrReadRight) {
  for (const char* name : {"training_run_with_ema.pth", "legacy_format.pth.tar", "views_and_strides.pth"}) {
    const std::string file = read_text(data("checkpoints") / name);
    const Contents expected = read_contents(file);
    std::mt19937 random(1);
    for (int i = 0; i < 300; ++i) {
      std::string changed = file;
      // The pickles lie at the front, the directory of an archive at the end.
      const std::size_t from_end = random() % 10'000;
      const std::size_t position = i % 2 ? file.size() - 1 - from_end : random() % 10'000;
      changed[position] = static_cast<char>(random() % 256);
      const Contents found = read_contents(changed);
      expect_harmless(found, file);
      // Only the numbers have no checksum that is looked at.
      const bool has_checksum = !std::string_view(name).starts_with("legacy");
      if (has_checksum && !found.empty()) {
        ASSERT_LE(differing_bytes(found, expected), 1u) << name << " byte " << position;
      }
    }
  }
}

}  // namespace
}  // namespace plainnet::test
