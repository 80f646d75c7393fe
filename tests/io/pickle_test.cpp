#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "io/error_message.hpp"
#include "io/torch_bytes.hpp"
#include "plainnet/io/pickle.hpp"
#include "support/processor_time.hpp"

namespace plainnet::test {
namespace {

using namespace std::string_literals;

constexpr std::string_view known[] = {"torch.known"};

/// What a value is, in Python's notation, calls as NAME!(...).
std::string show(const PickleTree& tree, PickleId id) {
  const auto list = [&](std::string_view open, std::string_view close) {
    std::string text;
    for (const PickleId item : tree.items(id)) text += (text.empty() ? "" : ",") + show(tree, item);
    return concatenate(open, text, close);
  };
  switch (tree.kind(id)) {
    case PickleKind::none: return "None";
    case PickleKind::boolean: return tree.integer(id) == 1 ? "True" : "False";
    case PickleKind::integer: return std::to_string(tree.integer(id));
    case PickleKind::long_integer: return concatenate("long of ", tree.text(id).size());
    case PickleKind::real: return std::to_string(tree.real(id));
    case PickleKind::text: return concatenate("'", tree.text(id), "'");
    case PickleKind::tuple: return list("(", ")");
    case PickleKind::list: return list("[", "]");
    case PickleKind::dictionary: return list("{", "}");
    case PickleKind::set: return "set()";
    case PickleKind::global: return tree.global_name(id);
    case PickleKind::call: return list("call<", ">");
    case PickleKind::opaque: return list("opaque<", ">");
    case PickleKind::persistent: return list("ref<", ">");
  }
  return "?";
}

PickleTree parse_bytes(std::string_view pickle, const PickleLimits& limits = {}) {
  const auto [bytes, owner] = exact_copy(pickle);
  detail::ByteCursor cursor(bytes, "test", 1000);
  return parse_pickle(cursor, known, limits);
}

/// The value that a pickle's body leaves on the stack.
std::string run(const std::string& body, const PickleLimits& limits = {}) {
  const auto [bytes, owner] = exact_copy(pickle_of(body));
  detail::ByteCursor cursor(bytes, "test");
  const PickleTree tree = parse_pickle(cursor, known, limits);
  EXPECT_EQ(cursor.left(), 0u);
  return show(tree, tree.root());
}

void expect_refused(const std::string& pickle, std::string_view reason, const PickleLimits& limits = {}) {
  const std::string message = error_of([&] { parse_bytes(pickle, limits); });
  EXPECT_NE(message.find(reason), message.npos) << "expected \"" << reason << "\", found \"" << message << "\"";
  EXPECT_TRUE(message.starts_with("test: byte 1")) << message;
}
void expect_body_refused(const std::string& body, std::string_view reason, const PickleLimits& limits = {}) {
  expect_refused(pickle_of(body), reason, limits);
}

TEST(Pickle, ReadsPlainValues) {
  EXPECT_EQ(run("N"), "None");
  EXPECT_EQ(run("\x88"), "True");
  EXPECT_EQ(run("\x89"), "False");
  EXPECT_EQ(run("K\xFF"), "255");
  EXPECT_EQ(run("M\xFF\xFF"), "65535");
  EXPECT_EQ(run("J\xFE\xFF\xFF\xFF"), "-2");
  EXPECT_EQ(run("\x8A\x00"s), "0");
  EXPECT_EQ(run("\x8A\x01\xFF"), "-1");
  EXPECT_EQ(run("\x8A\x02\xFF\x00"s), "255");
  EXPECT_EQ(run("\x8A\x08\x00\x00\x00\x00\x00\x00\x00\x80"s), "-9223372036854775808");
  EXPECT_EQ(run("\x8A\x09\x00\x00\x00\x00\x00\x00\x00\x80\x00"s), "long of 9");
  EXPECT_EQ(run("G\x3F\xF8\x00\x00\x00\x00\x00\x00"s), "1.500000");
  EXPECT_EQ(run("X\x03\x00\x00\x00"s + "a\nb"), "'a\nb'");
  EXPECT_EQ(run("U\x02xy"), "'xy'");
  EXPECT_EQ(run("\x8F"), "set()");
}

TEST(Pickle, ReadsContainers) {
  EXPECT_EQ(run(")"), "()");
  EXPECT_EQ(run("K\1\x85"), "(1)");
  EXPECT_EQ(run("K\1K\2\x86"), "(1,2)");
  EXPECT_EQ(run("K\1K\2K\3\x87"), "(1,2,3)");
  EXPECT_EQ(run("(K\1K\2K\3K\4t"), "(1,2,3,4)");
  EXPECT_EQ(run("(t"), "()");
  EXPECT_EQ(run("]K\1aK\2a(K\3K\4e(e"), "[1,2,3,4]");
  EXPECT_EQ(run("}K\1K\2s(K\3K\4K\5K\6u"), "{1,2,3,4,5,6}");
  EXPECT_EQ(run("](K\1](K\2ee"), "[1,[2]]");
}

TEST(Pickle, SharesValuesThroughTheMemo) {
  EXPECT_EQ(run("]q\0h\0h\0\x87"s), "([],[],[])");
  EXPECT_EQ(run("K\7r\x10\x27\0\0j\x10\x27\0\0\x86"s), "(7,7)");
  // Items that come later are seen through every name.
  EXPECT_EQ(run("]q\0h\0K\1a\x86"s), "([1],[1])");
}

TEST(Pickle, MakesOrderedDictionariesAndNotesAllElseDown) {
  const std::string make = global("collections", "OrderedDict");
  EXPECT_EQ(run(make + ")R"), "{}");
  EXPECT_EQ(run(make + ")\x81"), "{}");
  EXPECT_EQ(run(make + ")R(K\1K\2u"), "{1,2}");
  EXPECT_EQ(run(make + "](K\1K\2\x86](K\3K\4ee\x85R"), "{1,2,3,4}");  // as Python 2 wrote it
  EXPECT_EQ(run(make + ")R}K\1K\2sb"), "{}");                         // attributes, such as _metadata, are dropped
  EXPECT_EQ(run(global("torch", "known") + "K\1\x85R"), "call<torch.known,(1)>");
  EXPECT_EQ(run(global("torch", "known") + "K\1\x85R}b"), "call<torch.known,(1)>");
  EXPECT_EQ(run(global("torch", "know") + "K\1\x85R"), "opaque<torch.know,(1)>");
  EXPECT_EQ(run(global("torch", "knowno") + ")\x81}b"), "opaque<torch.knowno,()>");
  EXPECT_EQ(run("(K\1K\2tQ"), "ref<(1,2)>");
  EXPECT_EQ(run("(K\1" + global("a", "B") + "tQ)\x81"), "opaque<ref<(1,a.B)>,()>");
}

TEST(Pickle, NeverExecutes) {
  // os.system("…"), and on what that returned: a call, items, elements, a state.
  const std::string system = global("posix", "system") + text("touch /tmp/plainnet-was-here") + "\x85R";
  EXPECT_EQ(run(system), "opaque<posix.system,('touch /tmp/plainnet-was-here')>");
  EXPECT_EQ(run(system + ")R"), "opaque<opaque<posix.system,('touch /tmp/plainnet-was-here')>,()>");
  EXPECT_EQ(run(system + "(K\1K\2uK\1K\2sK\3a(K\4eNb"), "opaque<posix.system,('touch /tmp/plainnet-was-here')>");
  const std::string module = "(K\1" + global("a", "B") + "tQ";
  for (const auto& [body, name] : {std::pair{system + ")R", "posix.system"}, {module + ")\x81", "a.B"}}) {
    const auto [bytes, owner] = exact_copy(pickle_of(body));
    detail::ByteCursor cursor(bytes, "test");
    const PickleTree tree = parse_pickle(cursor, known);
    EXPECT_EQ(tree.global_name(tree.root()), name);
  }
}

TEST(Pickle, TellsWhereAValueWasMade) {
  const PickleTree tree = parse_bytes(pickle_of("(K\1K\2t"));
  EXPECT_EQ(tree.offset(tree.root()), 1007u);
  EXPECT_EQ(tree.offset(tree.items(tree.root())[1]), 1005u);
}

TEST(Pickle, LeavesTheCursorBehindItself) {
  const std::string file = pickle_of("K\1") + pickle_of("K\2");
  const auto [bytes, owner] = exact_copy(file);
  detail::ByteCursor cursor(bytes, "test");
  EXPECT_EQ(parse_pickle(cursor).integer(0), 1);
  EXPECT_EQ(parse_pickle(cursor).integer(0), 2);
  EXPECT_EQ(cursor.left(), 0u);
}

TEST(PickleRefusals, OtherProtocolsAndOperations) {
  expect_refused("", "a pickle needs 1 bytes, 0 are left");
  expect_refused("K\1.", "byte 1000: BININT1: a pickle begins with PROTO");
  expect_refused("\x80\x04N.", "byte 1000: PROTO: protocol 4");
  expect_body_refused("\x94",
                      "byte 1002: 0x94: not an operation that torch.save writes; was it told to use pickle_prot");
  expect_body_refused("i", "byte 1002: 0x69: not an operation");  // INST
  for (int code = 0; code < 256; ++code) {
    const std::string body(1, static_cast<char>(code));
    if (body.find_first_of("N\x88\x89)]}\x8F.") == 0) continue;
    EXPECT_NE(error_of([&] { parse_bytes(pickle_of(body)); }), "") << code;
  }
}

TEST(PickleRefusals, WhatTheStackDoesNotHold) {
  expect_body_refused("", "STOP: the stack has 0 values and 0 marks");
  expect_body_refused("NN", "STOP: the stack has 2 values");
  expect_body_refused("N(", "STOP: the stack has 1 values and 1 marks");
  for (const char* body : {"t", "e", "u", "]K\1e", "}K\1K\1u"}) expect_body_refused(body, "there is no MARK");
  for (const char* body : {"\x85", "N\x86", "NN\x87", "a", "Na", "s", "NNs", "R", "NR", "b", "Nb", "Q", "\x81"}) {
    expect_body_refused(body, "needs ");
  }
  // Nothing reaches below a mark.
  expect_body_refused("N(\x85", "TUPLE1: needs 1 values, the stack has 0");
  expect_body_refused("](Na", "APPEND: needs 2 values, the stack has 1");
  expect_body_refused("}((NNuN", "SETITEMS: needs 3 values, the stack has 2");
  expect_body_refused("N(q\1", "BINPUT: needs 1 values, the stack has 0");
}

TEST(PickleRefusals, WhatTheMemoDoesNotHold) {
  expect_body_refused("h\1", "BINGET: there is no memo entry 1");
  expect_body_refused("Nq\2h\1", "there is no memo entry 1");
  expect_body_refused("Nr\xFF\xFF\xFF\xFF", "LONG_BINPUT: memo entry 4294967295; at most 100000");
  expect_body_refused("j\xFF\xFF\xFF\xFF", "LONG_BINGET: there is no memo entry 4294967295");
}

TEST(PickleRefusals, ItemsOnWhatTakesNone) {
  // An item set on something else than a dictionary corrupted memory in PyTorch (CVE-2026-24747).
  for (const std::string& target :
       {"N"s, "K\1"s, text("x"), ")"s, "]"s, "\x8F"s, global("a", "b"), global("torch", "known") + ")R", "(K\1tQ"s}) {
    expect_body_refused(target + "NNs", "not a dictionary");
    expect_body_refused(target + "(NNu", "not a dictionary");
    expect_body_refused("(" + target + "(NNut", "not a dictionary");
  }
  expect_body_refused("}Na", "APPEND: the target is a dictionary, not a list");
  expect_body_refused(")(Ne", "APPENDS: the target is a tuple, not a list");
  expect_body_refused("}(Nu", "SETITEMS: a key without a value");
  expect_body_refused("]Nb", "BUILD: the target is a list, which has no state");
  expect_body_refused("K\1Nb", "BUILD: the target is an integer");
}

TEST(PickleRefusals, CallsOfWhatIsNoFunction) {
  expect_body_refused("N)R", "REDUCE: None cannot be called");
  expect_body_refused(text("os.system") + ")R", "a text cannot be called");
  expect_body_refused(global("torch", "known") + ")R)R", "a call cannot be called");
  expect_body_refused(global("a", "b") + "]R", "the arguments are a list, not a tuple");
  expect_body_refused(global("a", "b") + "}\x81", "NEWOBJ: the arguments are a dictionary");
  expect_body_refused("NQ", "BINPERSID: a reference is a tuple, not None");
  expect_body_refused(global("collections", "OrderedDict") + "NN\x86R", "an OrderedDict of 2 arguments");
  expect_body_refused(global("collections", "OrderedDict") + "]Na\x85R", "something else than pairs");
  expect_refused("\x80\x02" + "cos"s, "the module of a GLOBAL does not end");
  expect_refused("\x80\x02" + "cos\nsystem"s, "the name of a GLOBAL does not end");
  expect_refused("\x80\x02" + "c"s + std::string(600, 'x') + "\n\n.", "does not end within 512 bytes");
}

TEST(PickleRefusals, EveryTruncation) {
  const std::string pickle = pickle_of(ordered({{"a", integer(300)},
                                                {"b", "\x8A\x01\x01"},
                                                {"c", "J\1\1\1\1"},
                                                {"d", "G12345678q\1"},
                                                {"e", tensor(storage("0", 1), 0, {1}, {1})}}));
  EXPECT_EQ(error_of([&] { parse_bytes(pickle); }), "");
  for (std::size_t size = 0; size < pickle.size(); ++size) {
    ASSERT_NE(error_of([&] { parse_bytes(pickle.substr(0, size)); }), "") << size;
  }
}

TEST(PickleLimits, EachIsKept) {
  EXPECT_EQ(run("K\1K\2\x86", {.bytes = 8}), "(1,2)");
  expect_body_refused("K\1K\2\x86", "more than 7 bytes", {.bytes = 7});
  EXPECT_EQ(run("K\1K\2\x86", {.operations = 5}), "(1,2)");
  expect_body_refused("K\1K\2\x86", "more than 4 operations", {.operations = 4});
  EXPECT_EQ(run("K\1K\2\x86", {.values = 3}), "(1,2)");
  expect_body_refused("K\1K\2\x86", "more than 2 values", {.values = 2});
  EXPECT_EQ(run("K\1K\2\x86", {.items = 2}), "(1,2)");
  expect_body_refused("K\1K\2\x86", "more than 1 items", {.items = 1});
  EXPECT_EQ(run("K\1K\2\x86", {.stack = 2}), "(1,2)");
  expect_body_refused("K\1K\2\x86", "more than 1 values on the stack", {.stack = 1});
  EXPECT_EQ(run("Nq\1", {.memo = 2}), "None");
  expect_body_refused("Nq\1", "memo entry 1; at most 1 are", {.memo = 1});
  EXPECT_EQ(run(")\x85\x85", {.nesting = 2}), "((()))");
  expect_body_refused(")\x85\x85", "nested deeper than 1 levels", {.nesting = 1});
  EXPECT_EQ(run("((tt", {.nesting = 2}), "(())");
  expect_body_refused("((tt", "nested deeper than 1 levels", {.nesting = 1});
}

TEST(PickleLimits, ADeepNestIsNoDanger) {
  for (const std::string& nest : {std::string(1'000'000, '('), ")"s + std::string(1'000'000, '\x85')}) {
    expect_body_refused(nest, "nested deeper than 64 levels");
  }
  // A list that holds itself, made deeper and deeper through the memo.
  EXPECT_NE(error_of([] { run("]q\0h\0a"s + std::string(200, '\x85')); }), "");
  EXPECT_EQ(error_of([] { parse_bytes(pickle_of("]q\0h\0a"s)); }), "");
}

TEST(PickleLimits, BombsAreRefusedQuickly) {
  const std::size_t size = (std::size_t{10} << 20) - 100;
  std::string copies = "](" + std::string(500'000, 'N') + "eq\1\x85q\2" + global("collections", "OrderedDict") + "q\3";
  while (copies.size() < size) copies += "h\3h\2R";
  std::string globals;
  while (globals.size() < size) globals += "cx\ny\n";
  std::string calls = global("x", "y") + "q\1)q\2";
  while (calls.size() < size) calls += "h\1h\2R";
  std::string grown = "](";
  for (int i = 0; i < 400'000; ++i) grown += "NN\x86";
  grown += "eq\1\x85q\2" + global("collections", "OrderedDict") + "q\3";
  while (grown.size() < size) grown += "h\3h\2R";
  for (const std::string& bomb : {std::string(size, 'N'), std::string(size, ']'), copies, globals, calls, grown,
                                  std::string(size, 'q'), std::string(size, 'X'), std::string(size, 'c')}) {
    const double seconds = processor_seconds([&] { EXPECT_NE(error_of([&] { parse_bytes(pickle_of(bomb)); }), ""); });
    EXPECT_LT(seconds, 2.0);  // at most 0.1 without a sanitizer
  }
}

}  // namespace
}  // namespace plainnet::test
