#include <cstdint>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "io/error_message.hpp"
#include "plainnet/io/json_cursor.hpp"

namespace plainnet::test {
namespace {

using detail::JsonCursor;

std::string string_in(std::string_view text) { return JsonCursor(text, "test").string(); }
std::uint64_t integer_in(std::string_view text) { return JsonCursor(text, "test").integer(); }

TEST(JsonCursor, UnescapesStrings) {
  EXPECT_EQ(string_in(R"("")"), "");
  EXPECT_EQ(string_in(R"( "a\"b\\c\/d")"), "a\"b\\c/d");
  EXPECT_EQ(string_in(R"("\u0041\u00e9\u20AC\uD83D\uDE00")"), "A\u00e9\u20ac\U0001F600");
  EXPECT_EQ(string_in("\"\u00e9\u20ac\U0001F600\""), "\u00e9\u20ac\U0001F600");
  EXPECT_EQ(string_in("\"\xEF\xBF\xBF\xF4\x8F\xBF\xBF\xED\x9F\xBF\xEE\x80\x80\""),
            "\xEF\xBF\xBF\xF4\x8F\xBF\xBF\xED\x9F\xBF\xEE\x80\x80");
  EXPECT_EQ(string_in(R"("\u00A0\u07ff\u0800\uffff")"), "\u00A0\u07ff\u0800\uffff");
}

TEST(JsonCursor, RefusesWhatIsNotUtf8) {
  // clang-format off
  const std::string_view all_bad[] = {
      "\x80", "\xBF", "\xC0\x80", "\xC1\xBF", "\xC3", "\xC3(", "\xE0\x80\x80", "\xE0\x9F\xBF", "\xE2\x82",
      "\xE2(\xA1", "\xED\xA0\x80", "\xED\xBF\xBF", "\xF0\x80\x80\x80", "\xF0\x8F\xBF\xBF", "\xF0\x9F\x98",
      "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFE", "\xFF", "\xF8\x88\x80\x80\x80",
      "\xBF\x80", "\x82\x80", "\xFF\x80\x80\x80"};
  // clang-format on
  for (const std::string_view bad : all_bad) {
    const std::string message = error_of([&] { string_in("\"" + std::string(bad) + "\""); });
    EXPECT_NE(message.find("not UTF-8"), message.npos) << detail::printable(bad) << ": " << message;
    EXPECT_NE(error_of([&] { string_in("\"" + std::string(bad)); }), "");  // also at the very end
  }
}

TEST(JsonCursor, RefusesControlCharactersHoweverWritten) {
  for (const std::string_view bad : {"\n", "\t", "\x01", "\x1F", "\x7F", "\xC2\x80", "\xC2\x9F", R"(\n)", R"(\t)",
                                     R"(\b)", R"(\f)", R"(\r)", R"(\u0000)", R"(\u001F)", R"(\u007f)", R"(\u009B)"}) {
    const std::string message = error_of([&] { string_in("\"" + std::string(bad) + "\""); });
    EXPECT_NE(message.find("control character"), message.npos) << detail::printable(bad) << ": " << message;
  }
  EXPECT_NE(error_of([&] { string_in(std::string_view("\"a\0b\"", 5)); }), "");
}

TEST(JsonCursor, RefusesBrokenStrings) {
  // clang-format off
  const std::string_view all_bad[] = {
      "", " ", "\"", "\"abc", "\"abc\\", "\"\\u12", "\"\\u12\"", "\"\\u12g4\"", "\"\\x41\"", "\"\\\"", "'a'", "abc",
      "\"\\uD83D\"", "\"\\uD83Dx\"", "\"\\uD83D\\n\"", "\"\\uD83D\\u0041\"", "\"\\uDE00\"", "\"\\uDE00\\uD83D\"",
      "\"\\uD83D\\uD83D\"", "\"\\uDE00\\uDE00\"", "\"\\uD83D\\uE000\"", "\"\\u D83\"", "\"\\u+123\""};
  // clang-format on
  for (const std::string_view bad : all_bad) {
    EXPECT_NE(error_of([&] { string_in(bad); }), "") << bad;
  }
}

TEST(JsonCursor, IntegersReachFromZeroTo64Bits) {
  EXPECT_EQ(integer_in("0"), 0u);
  EXPECT_EQ(integer_in(" 7]"), 7u);
  EXPECT_EQ(integer_in("18446744073709551615"), 18446744073709551615u);
}

TEST(JsonCursor, RefusesEveryOtherNumber) {
  for (const std::string_view bad : {"",
                                     "-1",
                                     "-0",
                                     "+1",
                                     "01",
                                     "00",
                                     "1.0",
                                     "1.",
                                     ".5",
                                     "1e3",
                                     "1E3",
                                     "0e0",
                                     "18446744073709551616",
                                     "99999999999999999999",
                                     "184467440737095516150",
                                     "340282366920938463463374607431768211456",
                                     "NaN",
                                     "true",
                                     "null",
                                     "\"1\"",
                                     "[1]"}) {
    EXPECT_NE(error_of([&] { integer_in(bad); }), "") << bad;
  }
}

TEST(JsonCursor, ReadsPunctuationAcrossWhiteSpace) {
  JsonCursor json(" {\t\r\n\"a\" : [ 1 , 2 ] }  ", "test");
  json.expect('{');
  EXPECT_FALSE(json.accept('}'));
  EXPECT_EQ(json.string(), "a");
  json.expect(':');
  json.expect('[');
  EXPECT_EQ(json.integer(), 1u);
  EXPECT_TRUE(json.accept(','));
  EXPECT_EQ(json.integer(), 2u);
  json.expect(']');
  json.expect('}');
  EXPECT_NO_THROW(json.expect_end());
}

TEST(JsonCursor, OnlySpacesMayFollowTheEnd) {
  for (const std::string_view bad : {"{}\n", "{} x", "{}\t", "{} {}", "{}}"}) {
    JsonCursor json(bad, "test");
    json.expect('{');
    json.expect('}');
    EXPECT_NE(error_of([&] { json.expect_end(); }), "") << bad;
  }
  JsonCursor zero(std::string_view("{}\0", 3), "test");
  zero.expect('{');
  zero.expect('}');
  EXPECT_NE(error_of([&] { zero.expect_end(); }), "");
}

TEST(JsonCursor, MessagesSayWhereWhatAndWhatInstead) {
  JsonCursor json("{ \"key\" 12", "weights", 8);
  json.expect('{');
  json.string();
  json.set_subject("x");
  EXPECT_EQ(error_of([&] { json.expect(':'); }), "weights: \"x\", byte 16: expected ':', found \"12\"");
  JsonCursor end("[", "weights");
  end.expect('[');
  EXPECT_EQ(error_of([&] { end.integer(); }), "weights: byte 1: expected an integer from 0 to 2^64 - 1, found the end");
}

TEST(JsonCursor, MessagesArePrintableAndShort) {
  EXPECT_EQ(detail::printable("a\x1B[31m\xC3\xA9\n"), "a\\x1b[31m\\xc3\\xa9\\x0a");
  EXPECT_EQ(detail::printable(std::string(1000, 'x')), concatenate(std::string(120, 'x'), "..."));
  const std::string message = error_of([] { integer_in(std::string(100'000, '\x1B')); });
  EXPECT_LT(message.size(), 200u);
  EXPECT_EQ(message.find('\x1B'), message.npos);
}

}  // namespace
}  // namespace plainnet::test
