// What all commands of the program plainnet have in common: help, wrong usage, streams, exit codes.

#include "plainnet/core/version.hpp"
#include "tools/program.hpp"

namespace plainnet {
namespace {

using test::checkpoint;
using test::expect_failure;
using test::expect_success;
using test::expect_wrong_usage;
using test::Outcome;
using test::run;

const std::vector<std::string> commands = {"models",  "classify", "infer",  "preprocess", "fold",
                                           "convert", "inspect",  "verify", "bench",      "eval"};

TEST(Program, PrintsItsVersion) {
  const Outcome outcome = run({"--version"});
  expect_success(outcome);
  EXPECT_EQ(outcome.out, "plainnet " + version() + "\n");
}

TEST(Program, ListsItsCommandsInItsHelp) {
  const Outcome outcome = run({"--help"});
  expect_success(outcome);
  for (const std::string& command : commands)
    EXPECT_NE(outcome.out.find("\n  " + command), std::string::npos) << command;
}

TEST(Program, HasHelpForEveryCommand) {
  const std::vector<std::vector<std::string>> options = {
      {"--json"},
      {"--weights", "--key", "--model", "--labels", "--top", "--threads", "--json", "--slope"},
      {"--weights", "--key", "--model", "--input", "--output", "--features", "--no-fold", "--double", "--slope",
       "--threads"},
      {"--model", "--size", "--crop", "--mode", "--output"},
      {"--key", "--model", "--slope", "--threads", "--json"},
      {"--key", "--half", "--json"},
      {"--key", "--json"},
      {"--key", "--model", "--slope", "--threads", "--size"},
      {"--model", "--all", "--weights", "--threads", "--batch", "--size", "--seconds", "--json"},
      {"--weights", "--model", "--labels", "--threads", "--json"}};
  for (std::size_t i = 0; i < commands.size(); ++i) {
    const Outcome outcome = run({commands[i], "--help"});
    expect_success(outcome);
    for (const std::string& option : options[i]) {
      EXPECT_NE(outcome.out.find(option), std::string::npos) << commands[i] << ' ' << option;
    }
  }
}

TEST(Program, ExitsWith2OnWrongUsage) {
  expect_wrong_usage({});
  expect_wrong_usage({"clasify"});
  expect_wrong_usage({"--json"});
  for (const std::string& command : commands)
    expect_wrong_usage({command, "--no-such-option"}, {"plainnet " + command + " --help"});
}

TEST(Program, ExitsWith2IfAnArgumentIsMissing) {
  expect_wrong_usage({"classify"});
  expect_wrong_usage({"classify", "--top"});
  expect_wrong_usage({"infer", "--input", "x", "--output", "y"}, {"--weights"});
  expect_wrong_usage({"infer", "--weights", "x", "--output", "y"}, {"--input"});
  expect_wrong_usage({"infer", "--weights", "x", "--input", "y"}, {"--output"});
  expect_wrong_usage({"preprocess", "x.png"}, {"--output"});
  expect_wrong_usage({"preprocess", "--output", "x"});
  expect_wrong_usage({"fold", "x"});
  expect_wrong_usage({"inspect"});
  expect_wrong_usage({"verify"});
  expect_wrong_usage({"eval"});
}

TEST(Program, ExitsWith2IfANumberMakesNoSense) {
  for (const std::string threads : {"0", "-1", "two", "", "1.5", "99999999999999999999"}) {
    expect_wrong_usage({"classify", "--threads", threads, "x.png"}, {"--threads"});
  }
  for (const std::string slope : {"1.01", "-0.1", "nan", "steep"}) {
    expect_wrong_usage({"verify", "--slope", slope, "x"}, {"--slope"});
  }
  expect_wrong_usage({"classify", "--top", "0", "x.png"}, {"--top"});
  expect_wrong_usage({"preprocess", "--size", "0", "--output", "x", "y.png"}, {"--size"});
  expect_wrong_usage({"preprocess", "--crop", "0", "--output", "x", "y.png"}, {"--crop"});
  expect_wrong_usage({"preprocess", "--crop", "nan", "--output", "x", "y.png"}, {"--crop"});
  expect_wrong_usage({"preprocess", "--mode", "border", "--output", "x", "y.png"}, {"--mode"});
  expect_wrong_usage({"bench", "--batch", "0"}, {"--batch"});
  expect_wrong_usage({"bench", "--seconds", "nan"}, {"--seconds"});
  for (const std::string size : {"64x", "x64", "64x64x3", "0x64", "64 x 64", "-64x64", "99999999x64", ""}) {
    expect_wrong_usage({"bench", "--size", size}, {"--size"});
  }
}

TEST(Program, FailsIfStandardOutputIsFull) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "there is no /dev/full here";
  test::TemporaryFolder folder;
  for (const std::vector<std::string>& arguments : {std::vector<std::string>{"models"},
                                                    {"models", "--json"},
                                                    {"--help"},
                                                    {"inspect", checkpoint("float32.safetensors")}}) {
    const test::Descriptor in("/dev/null", O_RDONLY), full("/dev/full", O_WRONLY);
    const test::Descriptor err(folder / "err", O_WRONLY | O_CREAT | O_TRUNC);
    const int code = test::Process(arguments, in, full, err).exit_code();
    expect_failure({code, "", test::read_text(folder / "err")}, {"standard output"});
  }
}

TEST(Program, FailsQuietlyIfItsReaderGoesAway) {
  test::TemporaryFolder folder;
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  test::Descriptor read_end(ends[0]), write_end(ends[1]);
  read_end.close();
  const test::Descriptor in("/dev/null", O_RDONLY), err(folder / "err", O_WRONLY | O_CREAT);
  const int code = test::Process({"models"}, in, write_end, err).exit_code();
  expect_failure({code, "", test::read_text(folder / "err")}, {"standard output"});
}

TEST(Program, RefusesFilesThatAreNoCheckpointsNamingThem) {
  test::TemporaryFolder folder;
  const auto file = [&](std::string_view name, std::string_view contents) {
    test::write_text(folder / name, contents);
    return (folder / name).string();
  };
  const std::string whole = test::read_text(checkpoint("float32.safetensors"));
  const std::vector<std::pair<std::string, std::string>> cases = {
      {(folder / "missing").string(), "No such file"},
      {file("empty", ""), "but an empty one"},
      {file("text", "hello, this is a text file"), "safetensors"},
      {file("truncated", std::string_view(whole).substr(0, whole.size() / 2)), "truncated"},
      {checkpoint(""), "folder"},
  };
  const std::string out = (folder / "out").string();
  for (const auto& [path, cause] : cases) {
    expect_failure(run({"inspect", path}), {path, cause});
    expect_failure(run({"verify", path}), {path, cause});
    expect_failure(run({"fold", path, out}), {path, cause});
    expect_failure(run({"classify", "--weights", path, "x.png"}), {path, cause});
    expect_failure(run({"infer", "--weights", path, "--input", path, "--output", out}), {path, cause});
    expect_failure(run({"eval", "--weights", path, "."}), {path, cause});
    expect_failure(run({"bench", "--weights", path}), {path, cause});
  }
  EXPECT_FALSE(std::filesystem::exists(out));
}

TEST(Program, NamesTheNearestVariantsOfAnUnknownModel) {
  const std::string weights = checkpoint("float32.safetensors");
  test::TemporaryFolder folder;
  const std::string out = (folder / "out").string();
  const std::vector<std::string> parts = {"vanillanet_55", "vanillanet_5", "vanillanet_6"};
  expect_failure(run({"bench", "--model", "vanillanet_5,vanillanet_55"}), parts);
  expect_failure(run({"classify", "--model", "vanillanet_55", "x.png"}), parts);
  expect_failure(run({"infer", "--weights", weights, "--model", "vanillanet_55", "--input", "x", "--output", out}),
                 parts);
  expect_failure(run({"preprocess", "--model", "vanillanet_55", "--output", out, "x.png"}), parts);
  expect_failure(run({"fold", "--model", "vanillanet_55", weights, out}), parts);
  expect_failure(run({"verify", "--model", "vanillanet_55", weights}), parts);
  expect_failure(run({"eval", "--model", "vanillanet_55", (folder / "").string()}), parts);
}

TEST(Program, SaysWhatDiffersIfTheCheckpointIsOfAnotherVariant) {
  const std::string weights = checkpoint("float32.safetensors");
  expect_failure(run({"verify", "--model", "vanillanet_5", weights}),
                 {weights, "32, 64, 64, 128", "512, 1024, 2048, 4096"});
}

TEST(Program, ListsTheTensorsThatDoNotFitInOneLine) {
  test::TemporaryFolder folder;
  const std::string path = (folder / "wrong.safetensors").string();
  const StateDict right = open_safetensors(checkpoint("float32.safetensors"));
  StateDict wrong;
  for (const auto& [name, tensor] : right) {
    if (name == "stages.1.conv1.0.weight") {
      wrong.add(name, store<float>({64, 64, 3, 3}, AlignedVector<float>(64 * 64 * 9)));
    } else if (name != "stages.0.act.weight") {
      wrong.add(name, tensor);
    }
  }
  wrong.add("extra", store<float>({1}, AlignedVector<float>(1)));
  write_safetensors(path, wrong);
  expect_failure(run({"verify", path}), {path, "stages.1.conv1.0.weight", "(64, 64, 3, 3)", "(64, 64, 1, 1)",
                                         "missing: stages.0.act.weight", "unexpected: extra"});
}

TEST(Program, AsksForNoMemoryBeforeTheTensorsFit) {
  // The last tensor alone says how many classes there are; a network of so many would need a square of them.
  test::TemporaryFolder folder;
  const std::string path = (folder / "classes.safetensors").string();
  StateDict wrong;
  for (const auto& [name, tensor] : open_safetensors(checkpoint("float32.safetensors"))) {
    if (name != "cls2.0.weight") wrong.add(name, tensor);
  }
  constexpr Index classes = 2'000'000;
  wrong.add("cls2.0.weight", store<float>({classes, 1, 1, 1}, AlignedVector<float>(classes)));
  write_safetensors(path, wrong);
  expect_failure(run({"verify", path}), {path, "cls2.0.weight", "(2000000, 1, 1, 1)", "expected 2000000 inputs"});
}

TEST(Program, KeepsAMessageOnOneLineWhateverAFileIsCalled) {
  expect_failure(run({"inspect", "no\nsuch\x1b[31m\nfile"}), {"no?such?[31m?file"});
}

}  // namespace
}  // namespace plainnet
