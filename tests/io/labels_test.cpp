#include <gtest/gtest.h>

#include "io/error_message.hpp"
#include "io/temporary_folder.hpp"
#include "plainnet/io/labels.hpp"

namespace plainnet {
namespace {

using namespace std::string_literals;
using Labels = std::vector<std::string>;

Labels parse(std::string_view text, const LabelLimits& limits = {}) { return parse_labels(text, "labels.txt", limits); }

void expect_refusal(std::string_view text, std::string_view part, const LabelLimits& limits = {}) {
  const std::string message = test::error_of([&] { parse(text, limits); });
  EXPECT_TRUE(message.starts_with("labels.txt: ")) << message;
  EXPECT_NE(message.find(part), std::string::npos) << "no \"" << part << "\" in: " << message;
}

TEST(ParseLabels, GivesALabelForEachLine) {
  EXPECT_EQ(parse("cat\ndog\n"), (Labels{"cat", "dog"}));
  EXPECT_EQ(parse("cat\ndog"), (Labels{"cat", "dog"}));
  EXPECT_EQ(parse("cat"), (Labels{"cat"}));
  EXPECT_EQ(parse("tench, Tinca tinca\n goldfish \n"), (Labels{"tench, Tinca tinca", " goldfish "}));
}

TEST(ParseLabels, StripsWhatOtherSystemsAdd) {
  EXPECT_EQ(parse("\xEF\xBB\xBF"s + "cat\r\ndog\r\n"), (Labels{"cat", "dog"}));
  EXPECT_EQ(parse("cat\r"), (Labels{"cat"}));
}

TEST(ParseLabels, RefusesEmptyFilesAndLines) {
  expect_refusal("", "is empty");
  expect_refusal("\xEF\xBB\xBF", "is empty");
  expect_refusal("\n", "line 1 is empty");
  expect_refusal("cat\n\ndog\n", "line 2 is empty");
  expect_refusal("cat\r\n\r\n", "line 2 is empty");
}

TEST(ParseLabels, RefusesZeroBytes) { expect_refusal("cat\nd\0g\n"s, "line 2 holds a zero byte"); }

TEST(ParseLabels, TakesAllOfUtf8) {
  const std::string text =
      "f\xC3\xBCnf \xC2\x80 \xE0\xA0\x80 \xED\x9F\xBF \xEF\xBF\xBD \xF0\x90\x80\x80 \xF4\x8F\xBF\xBF";
  EXPECT_EQ(parse(text), Labels{text});
}

TEST(ParseLabels, RefusesWhatIsNotUtf8) {
  for (const char* wrong :
       {"f\xFCnf", "\x80", "\xC3", "\xC3(", "\xC0\xAF", "\xC1\xBF", "\xE0\x9F\xBF", "\xE2\x82", "\xED\xA0\x80",
        "\xF0\x8F\xBF\xBF", "\xF0\x9F\x98", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF"}) {
    expect_refusal("cat\n"s + wrong + "\n", "line 2 is not UTF-8");
    expect_refusal("cat\n"s + wrong, "line 2 is not UTF-8");
  }
}

TEST(ParseLabels, KeepsToItsLimits) {
  EXPECT_EQ(parse("a\nb\n", {.max_labels = 2}).size(), 2u);
  expect_refusal("a\nb\nc\n", "more than 2 lines", {.max_labels = 2});
  EXPECT_EQ(parse("abc\n", {.max_label_bytes = 3}).size(), 1u);
  expect_refusal("abcd\n", "line 1 has 4 bytes", {.max_label_bytes = 3});
  expect_refusal("abcd\n", "has 5 bytes", {.max_bytes = 4});
}

TEST(LoadLabels, ReadsAFile) {
  test::TemporaryFolder folder;
  test::write_text(folder / "labels.txt", "cat\ndog\n");
  EXPECT_EQ(load_labels(folder / "labels.txt"), (Labels{"cat", "dog"}));
}

TEST(LoadLabels, NamesTheFileInItsErrors) {
  test::TemporaryFolder folder;
  const auto message = [&](std::string_view name, const LabelLimits& limits = {}) {
    const std::string text = test::error_of([&] { load_labels(folder / name, limits); });
    EXPECT_TRUE(text.starts_with((folder / name).string())) << text;
    return text;
  };
  test::write_text(folder / "labels.txt", "cat\n\n");
  EXPECT_NE(message("labels.txt").find("line 2 is empty"), std::string::npos);
  EXPECT_NE(message("labels.txt", {.max_bytes = 4}).find("has 5 bytes"), std::string::npos);
  EXPECT_NE(message("missing.txt").find("no such file"), std::string::npos);
  EXPECT_NE(message("").find("folder"), std::string::npos);
}

}  // namespace
}  // namespace plainnet
