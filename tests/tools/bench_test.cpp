// plainnet models, bench, eval: the tables of variants, latencies and accuracies.

#include <set>

#include "tools/program.hpp"

namespace plainnet {
namespace {

using test::checkpoint;
using test::expect_failure;
using test::expect_success;
using test::expect_wrong_usage;
using test::Json;
using test::Outcome;
using test::run;

TEST(Models, AgreeWithThePublishedTable) {
  std::ifstream file(test::data("models.json"));
  const Json published = Json::parse(file)["models"];
  const Outcome outcome = run({"models", "--json"});
  expect_success(outcome);
  std::map<std::string, Json> listed;
  for (const Json& row : outcome.json_lines()) listed[row["name"]] = row;
  std::size_t compared = 0;
  for (const Json& row : published) {
    const std::string family = row["family"];
    if (family.starts_with("NFNet") || family.find("NF") != family.npos) continue;
    ++compared;
    // The table has rows of one name for two sizes of image.
    const std::string name = row["name"].get<std::string>() + (row["input"] == 384 ? "_384" : "");
    for (const char* key :
         {"family", "parameters", "macs", "input", "crop_pct", "crop_mode", "published_top1", "checkpoint"}) {
      EXPECT_EQ(listed[name][key], row[key]) << name << ' ' << key;
    }
    if (family != "VanillaNet") continue;
    for (const char* key : {"parameters_trained_form", "widths", "strides", "ada_pool"}) {
      EXPECT_EQ(listed[name][key], row[key]) << name << ' ' << key;
    }
  }
  EXPECT_EQ(compared, 11u + 41u);
  EXPECT_TRUE(listed["vanillanet_digits"]["published_top1"].is_null());
  EXPECT_TRUE(listed["vanillanet_digits"]["checkpoint"].is_null());
}

TEST(Models, AreATableForPeople) {
  const Outcome outcome = run({"models"});
  expect_success(outcome);
  EXPECT_EQ(std::count(outcome.out.begin(), outcome.out.end(), '\n'),
            static_cast<std::ptrdiff_t>(run({"models", "--json"}).json_lines().size()) + 1);
  EXPECT_NE(outcome.out.find("15,523,304"), std::string::npos);
}

std::set<std::string> keys(const Json& object) {
  std::set<std::string> result;
  for (const auto& [key, value] : object.items()) result.insert(key);
  return result;
}

TEST(Bench, PrintsTheKeysOfTheContractForEachModel) {
  const Outcome outcome = run({"bench", "--json", "--model", "vanillanet_digits,vanillanet_test", "--threads", "2",
                               "--batch", "3", "--size", "40x56", "--seconds", "0.05"});
  expect_success(outcome);
  const std::vector<Json> rows = outcome.json_lines();
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0]["model"], "vanillanet_digits");
  EXPECT_EQ(rows[1]["model"], "vanillanet_test");
  for (const Json& row : rows) {
    EXPECT_EQ(keys(row), (std::set<std::string>{"model", "threads", "batch", "height", "width", "gmacs", "median_ms",
                                                "p95_ms", "gflops", "peak_gflops", "share_of_peak", "weights_mb",
                                                "workspace_mb", "resident_mb", "load_ms", "prepare_ms", "isa"}));
    EXPECT_EQ(row["threads"], 2);
    EXPECT_EQ(row["batch"], 3);
    EXPECT_EQ(row["height"], 40);
    EXPECT_EQ(row["width"], 56);
    for (const char* key : {"gmacs", "median_ms", "peak_gflops", "weights_mb", "workspace_mb", "prepare_ms"}) {
      EXPECT_GT(row[key], 0.0) << key;
    }
    EXPECT_GE(row["p95_ms"], row["median_ms"]);
    EXPECT_NEAR(row["gflops"], 2 * row["gmacs"].get<double>() / row["median_ms"].get<double>() * 1e3, 1e-6);
    EXPECT_NEAR(row["share_of_peak"], row["gflops"].get<double>() / row["peak_gflops"].get<double>(), 1e-9);
    EXPECT_EQ(row["load_ms"], 0.0);
  }
}

TEST(Bench, TimesACheckpoint) {
  const Outcome outcome = run({"bench", "--json", "--weights", checkpoint("float32.safetensors"), "--seconds", "0.05"});
  expect_success(outcome);
  const Json row = outcome.json_lines().at(0);
  EXPECT_EQ(row["model"], "vanillanet_test");
  EXPECT_EQ(row["height"], 64);
  EXPECT_GT(row["load_ms"], 0.0);
}

TEST(Bench, PrintsATableForPeople) {
  const Outcome outcome = run({"bench", "--model", "vanillanet_test", "--seconds", "0"});
  expect_success(outcome);
  EXPECT_EQ(std::count(outcome.out.begin(), outcome.out.end(), '\n'), 2) << outcome.out;
  EXPECT_NE(outcome.out.find("1x64x64"), std::string::npos);
}

TEST(Bench, PrintsTheStepsOfAProfile) {
  const Outcome outcome = run({"bench", "--profile", "--model", "vanillanet_test,vanillanet_digits", "--threads", "2",
                               "--seconds", "0.05", "--json"});
  expect_success(outcome);
  const std::vector<Json> rows = outcome.json_lines();
  double gmacs = 0, time = 0;
  for (const Json& row : rows) {
    EXPECT_EQ(keys(row), (std::set<std::string>{"model", "step", "name", "input", "output", "gmacs", "median_ms",
                                                "share_of_time", "gflops", "share_of_peak", "weights_mb"}));
    if (row["model"] != "vanillanet_test") continue;
    gmacs += row["gmacs"].get<double>();
    time += row["share_of_time"].get<double>();
  }
  EXPECT_EQ(rows.front()["name"], "convolution");
  EXPECT_EQ(rows.front()["input"], (Json{1, 64, 64, 3}));
  EXPECT_EQ(rows.back()["model"], "vanillanet_digits");
  EXPECT_NEAR(time, 1.0, 1e-6);
  const Outcome whole = run({"bench", "--model", "vanillanet_test", "--seconds", "0", "--json"});
  EXPECT_NEAR(gmacs, whole.json_lines().at(0)["gmacs"], 1e-9);
}

TEST(Bench, PrintsAProfileForPeople) {
  const Outcome outcome = run({"bench", "--profile", "--model", "vanillanet_test", "--seconds", "0"});
  expect_success(outcome);
  for (const char* part : {"vanillanet_test, ", "GFLOP/s", "depthwise", "global mean", "64x64x3"}) {
    EXPECT_NE(outcome.out.find(part), std::string::npos) << part << " in\n" << outcome.out;
  }
}

TEST(Bench, RunsOnTheInstructionSetThatIsAskedFor) {
  const Outcome outcome = run({"bench", "--json", "--model", "vanillanet_test", "--seconds", "0", "--isa", "baseline"});
  expect_success(outcome);
  EXPECT_EQ(outcome.json_lines().at(0)["isa"], "baseline");
  expect_wrong_usage({"bench", "--isa", "sse9"}, {"--isa", "unknown instruction set 'sse9'"});
}

TEST(Bench, RefusesOptionsThatContradictEachOther) {
  expect_wrong_usage({"bench", "--all", "--model", "vanillanet_test"}, {"--all", "--model"});
  expect_wrong_usage({"bench", "--all", "--weights", "x"}, {"--all", "--weights"});
  expect_wrong_usage({"bench", "--weights", "x", "--model", "vanillanet_5,vanillanet_6"}, {"--weights", "--model"});
}

TEST(Bench, SaysThatAnInputIsTooSmall) {
  expect_failure(run({"bench", "--model", "vanillanet_test", "--size", "3x3"}), {"too small"});
}

class Eval : public testing::Test {
 protected:
  /// A picture of the digits model's held-out part, copied to a class folder.
  void add(const std::string& folder, const std::string& name, Index digit) {
    std::filesystem::create_directories(folder_ / folder);
    const std::filesystem::path source =
        std::filesystem::path(PLAINNET_MODELS) / "digits/pictures" / std::to_string(digit);
    std::filesystem::copy_file(std::filesystem::directory_iterator(source)->path(), folder_ / folder / name);
  }

  Outcome eval(std::vector<std::string> options = {}) {
    options.insert(options.begin(), {"eval", "--json", (folder_ / "").string()});
    return run(options);
  }

  test::TemporaryFolder folder_;
};

TEST_F(Eval, CountsWhatIsRightByTheNamesOfFolders) {
  for (Index digit = 0; digit < 10; ++digit) add(std::to_string(digit), "right.png", digit);
  add("3", "wrong.PNG", 8);
  add("4/inner", "wrong.png", 9);
  test::write_text(folder_ / "notes.txt", "not a folder");
  std::filesystem::create_directory(folder_ / ".hidden");
  for (const std::string threads : {"1", "3"}) {
    const Outcome outcome = eval({"--threads", threads});
    expect_success(outcome);
    const Json result = outcome.json_lines().at(0);
    EXPECT_EQ(result["images"], 12);
    EXPECT_EQ(result["failed"], 0);
    EXPECT_NEAR(result["top1"], 100.0 * 10 / 12, 1e-9);
    EXPECT_GE(result["top5"], result["top1"]);
    EXPECT_GT(result["images_per_second"], 0.0);
  }
  const Outcome text = run({"eval", (folder_ / "").string()});
  expect_success(text);
  EXPECT_TRUE(text.out.starts_with("top-1 83.33 %")) << text.out;
}

TEST_F(Eval, CountsTheFirstAndTheFirstFive) {
  const std::string picture =
      std::filesystem::directory_iterator(std::filesystem::path(PLAINNET_MODELS) / "digits/pictures/8")
          ->path()
          .string();
  const Outcome answer = run({"classify", "--json", "--top", "10", picture});
  for (const std::size_t place : {1u, 4u, 5u}) {  // not the first
    const Index digit = answer.json_lines().at(0)["top"][place]["index"];
    std::filesystem::create_directory(folder_ / std::to_string(digit));
    std::filesystem::copy_file(picture, folder_ / std::to_string(digit) / "a.png");
  }
  const Outcome outcome = eval();
  expect_success(outcome);
  EXPECT_EQ(outcome.json_lines().at(0)["top1"], 0.0);
  EXPECT_NEAR(outcome.json_lines().at(0)["top5"].get<double>(), 100.0 * 2 / 3, 1e-9);
}

TEST_F(Eval, TakesFoldersCalledByLabels) {
  std::string labels;
  for (const char* name : {"zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"}) {
    labels += std::string(name) + "\n";
  }
  test::write_text(folder_ / "labels.txt", labels);
  add("seven", "a.png", 7);
  add("two", "a.png", 2);
  const Outcome outcome = eval({"--labels", (folder_ / "labels.txt").string()});
  expect_success(outcome);
  EXPECT_EQ(outcome.json_lines().at(0)["top1"], 100.0);
}

TEST_F(Eval, TakesAsManyFoldersAsClassesInTheOrderOfTheirNames) {
  for (Index digit = 0; digit < 10; ++digit) add("class_" + std::to_string(digit), "a.png", digit);
  const Outcome outcome = eval();
  expect_success(outcome);
  EXPECT_EQ(outcome.json_lines().at(0)["top1"], 100.0);
}

TEST_F(Eval, RefusesFoldersThatFitNeitherLabelsNorClasses) {
  add("cat", "a.png", 1);
  add("7", "a.png", 7);
  expect_failure(eval(), {(folder_ / "").string(), "10", "found 2", "'7'"});
}

TEST_F(Eval, TakesNumbersOfClassesOnly) {
  add("0", "a.png", 0);
  for (const std::string other : {"-1", "10", "03", "3 "}) {
    add(other, "a.png", 1);
    expect_failure(eval(), {"found 2"});
    std::filesystem::remove_all(folder_ / other);
  }
}

TEST_F(Eval, CountsTheOthersIfAPictureIsBad) {
  add("1", "right.png", 1);
  test::write_text(folder_ / "1/bad.png", "not a picture");
  const Outcome outcome = eval();
  EXPECT_EQ(outcome.code, 1);
  const Json result = outcome.json_lines().at(0);
  EXPECT_EQ(result["images"], 1);
  EXPECT_EQ(result["failed"], 1);
  EXPECT_EQ(result["top1"], 100.0);
  EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1);
  EXPECT_NE(outcome.err.find("bad.png"), std::string::npos);
}

TEST_F(Eval, RefusesAFolderWithoutClassesOrPictures) {
  expect_failure(eval(), {"found 0"});
  std::filesystem::create_directory(folder_ / "3");
  expect_failure(eval(), {"no pictures"});
  expect_failure(run({"eval", (folder_ / "missing").string()}), {"missing"});
}

}  // namespace
}  // namespace plainnet
