// plainnet classify: answers, one by one, and goes on after what it cannot read.

#include <cmath>
#include <poll.h>

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

/// A grey picture of 3 × 2 pixels.
const std::string picture = "P5 3 2 255\n\x10\x20\x30\x40\x50\x60";

class Classify : public testing::Test {
 protected:
  std::string file(std::string_view name, std::string_view contents = picture) {
    const std::filesystem::path path = folder_ / name;
    std::filesystem::create_directories(path.parent_path());
    test::write_text(path, contents);
    return path.string();
  }

  /// For the test variant, whose labels are those of digits too.
  std::vector<std::string> with_weights(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"classify", "--weights", checkpoint("float32.safetensors")});
    return arguments;
  }

  test::TemporaryFolder folder_;
};

TEST_F(Classify, AnswersWithTheDigitsModelIfNoneIsGiven) {
  const std::string path = file("digit.pgm");
  const Outcome outcome = run({"classify", "--json", "--threads", "1", path});
  expect_success(outcome);
  ASSERT_EQ(outcome.json_lines().size(), 1u);
  const Json answer = outcome.json_lines()[0];
  EXPECT_EQ(answer["file"], path);
  EXPECT_GT(answer["ms"], 0.0);
  ASSERT_EQ(answer["top"].size(), 5u);
  for (const Json& entry : answer["top"]) EXPECT_FALSE(entry["label"].get<std::string>().empty());
}

TEST_F(Classify, PrintsOneObjectALineWithTheKeysOfTheContract) {
  const Outcome outcome = run(with_weights({"--json", "--top", "10", file("a.pgm"), file("b.pgm")}));
  expect_success(outcome);
  const std::vector<Json> answers = outcome.json_lines();
  ASSERT_EQ(answers.size(), 2u);
  for (const Json& answer : answers) {
    EXPECT_EQ(answer.size(), 3u);
    ASSERT_EQ(answer["top"].size(), 10u);
    double sum = 0, before = 1;
    std::vector<bool> seen(10);
    for (const Json& entry : answer["top"]) {
      EXPECT_EQ(entry.size(), 3u);
      EXPECT_EQ(entry["label"], "");
      EXPECT_LE(entry["probability"], before);
      seen.at(entry["index"]) = true;
      before = entry["probability"];
      sum += before;
    }
    EXPECT_NEAR(sum, 1.0, 1e-5);
    EXPECT_EQ(std::count(seen.begin(), seen.end(), true), 10);
  }
  EXPECT_TRUE(outcome.out.starts_with("{\"file\":\"")) << "keys in the order of the contract";
}

TEST_F(Classify, PrintsPercentagesAndLabelsForPeople) {
  const std::string labels =
      file("labels.txt", "null\neins\nzwei\ndrei\nvier\nf\xC3\xBCnf\nsechs\nsieben\nacht\nneun\n");
  const std::string path = file("a.pgm");
  const Outcome outcome = run(with_weights({"--labels", labels, "--top", "10", path}));
  expect_success(outcome);
  EXPECT_TRUE(outcome.out.starts_with(path + "\n")) << outcome.out;
  for (const std::string part : {" %  null\n", " %  f\xC3\xBCnf\n", " %  neun\n"}) {
    EXPECT_NE(outcome.out.find(part), std::string::npos) << part;
  }
  EXPECT_NE(run(with_weights({path})).out.find("%  class "), std::string::npos);
}

TEST_F(Classify, GoesOnAfterABadPictureAndExitsWith1) {
  const std::string bad = file("bad.png", "not a picture");
  const Outcome outcome =
      run(with_weights({"--json", file("a.pgm"), bad, "missing.png", file("empty.jpg", ""), file("b.pgm")}));
  EXPECT_EQ(outcome.code, 1);
  const std::vector<Json> answers = outcome.json_lines();
  ASSERT_EQ(answers.size(), 5u);
  EXPECT_TRUE(answers[0].contains("top") && answers[4].contains("top"));
  for (std::size_t i : {1u, 2u, 3u}) {
    EXPECT_EQ(answers[i].size(), 2u);
    const std::string error = answers[i]["error"];
    EXPECT_TRUE(error.starts_with(answers[i]["file"].get<std::string>())) << error;
  }
  EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 3) << outcome.err;
}

TEST_F(Classify, RefusesABadPictureInOneLineOfText) {
  expect_failure(run(with_weights({file("bad.png", "not a picture")})), {"bad.png", "picture"});
  expect_failure(run(with_weights({file("huge.pgm", "P5 100000 100000 255\n")})), {"huge.pgm", "100000"});
}

TEST_F(Classify, WalksFoldersInTheOrderOfNames) {
  file("pictures/b.PNG", "broken");
  file("pictures/a.pgm");
  file("pictures/c/z.Ppm", picture);
  file("pictures/c/notes.txt", "no picture");
  file("pictures/d.jpg", "broken");
  std::filesystem::create_directory_symlink(folder_ / "pictures", folder_ / "pictures/circle");
  const Outcome outcome = run(with_weights({"--json", (folder_ / "pictures").string()}));
  EXPECT_EQ(outcome.code, 1);
  std::vector<std::string> files;
  for (const Json& answer : outcome.json_lines()) files.push_back(answer["file"]);
  const auto path = [&](std::string_view name) { return (folder_ / "pictures" / name).string(); };
  EXPECT_EQ(files, (std::vector<std::string>{path("a.pgm"), path("b.PNG"), path("c/z.Ppm"), path("d.jpg")}));
}

TEST_F(Classify, SaysThatAFolderHoldsNoPictures) {
  file("folder/notes.txt", "");
  expect_failure(run(with_weights({(folder_ / "folder").string()})), {"folder", "no pictures"});
}

TEST_F(Classify, TakesNamesThatLookLikeCommandsOrOptions) {
  const auto before = std::filesystem::current_path();
  file("fold");
  file("--odd.pgm");
  std::filesystem::current_path(folder_ / "");
  const Outcome outcome = run(with_weights({"--json", "--", "fold", "--odd.pgm"}));
  std::filesystem::current_path(before);
  expect_success(outcome);
  EXPECT_EQ(outcome.json_lines().size(), 2u);
}

TEST_F(Classify, WritesAFileNameThatIsNotUtf8AsValidJson) {
  const Outcome outcome = run(with_weights({"--json", file("\xFF\xFE.pgm")}));
  expect_success(outcome);
  EXPECT_TRUE(outcome.json_lines().at(0)["file"].get<std::string>().ends_with("\uFFFD\uFFFD.pgm"));
}

TEST_F(Classify, AnswersEachLineBeforeItReadsTheNext) {
  int in[2], out[2];
  ASSERT_EQ(pipe2(in, O_CLOEXEC), 0);
  ASSERT_EQ(pipe2(out, O_CLOEXEC), 0);
  test::Descriptor in_read(in[0]), in_write(in[1]), out_read(out[0]), out_write(out[1]);
  const test::Descriptor err(folder_ / "err", O_WRONLY | O_CREAT);
  test::Process process(with_weights({"--json", "-"}), in_read, out_write, err);
  in_read.close();
  out_write.close();
  for (const std::string& path : {file("a.pgm"), std::string("missing.png"), file("b.pgm")}) {
    const std::string line = path + "\n";
    ASSERT_EQ(::write(in_write, line.data(), line.size()), static_cast<ssize_t>(line.size()));
    std::string answer;
    while (!answer.ends_with('\n')) {
      pollfd ready{out_read, POLLIN, 0};
      ASSERT_EQ(poll(&ready, 1, 60'000), 1) << "no answer to " << path;
      char c;
      ASSERT_EQ(::read(out_read, &c, 1), 1);
      answer += c;
    }
    EXPECT_EQ(Json::parse(answer)["file"], path);
  }
  in_write.close();
  EXPECT_EQ(process.exit_code(), 1);
}

TEST_F(Classify, SkipsEmptyLinesAndTakesALastLineWithoutEnd) {
  const std::string path = file("a.pgm");
  const Outcome outcome = run(with_weights({"--json", "-"}), "\n" + path + "\n\n" + path);
  expect_success(outcome);
  EXPECT_EQ(outcome.json_lines().size(), 2u);
}

TEST_F(Classify, RefusesALineWithAZeroByte) {
  const std::string path = file("a.pgm");
  const Outcome outcome = run(with_weights({"-"}), path + std::string(1, '\0') + "b\n");
  expect_failure(outcome, {"zero byte"});
}

TEST_F(Classify, StopsIfNobodyReadsItsAnswers) {
  int out[2];
  ASSERT_EQ(pipe2(out, O_CLOEXEC), 0);
  test::Descriptor out_read(out[0]), out_write(out[1]);
  out_read.close();
  const test::Descriptor in("/dev/zero", O_RDONLY), err(folder_ / "err", O_WRONLY | O_CREAT);
  EXPECT_EQ(test::Process(with_weights({file("a.pgm"), "-"}), in, out_write, err).exit_code(), 1);
}

/// Peak of resident memory in kB, from /proc.
Index peak_memory(pid_t id) {
  std::ifstream status(concatenate("/proc/", id, "/status"));
  for (std::string word; status >> word;) {
    Index kilobytes = 0;
    if (word == "VmHWM:" && status >> kilobytes) return kilobytes;
  }
  return 0;
}

TEST_F(Classify, NeedsNoMoreMemoryForManyPaths) {
  setenv("ASAN_OPTIONS", "quarantine_size_mb=0:thread_local_quarantine_size_kb=0", 1);  // it would keep freed memory
  const std::string path = file("a.pgm");
  int in[2];
  ASSERT_EQ(pipe2(in, O_CLOEXEC), 0);
  test::Descriptor in_read(in[0]), in_write(in[1]);
  const test::Descriptor out("/dev/null", O_WRONLY), err(folder_ / "err", O_WRONLY | O_CREAT);
  test::Process process(with_weights({"--threads", "1", "-"}), in_read, out, err);
  in_read.close();
  const auto send = [&](std::string line, int count) {
    line += '\n';
    for (int i = 0; i < count; ++i) {
      ASSERT_EQ(::write(in_write, line.data(), line.size()), static_cast<ssize_t>(line.size()));
    }
  };
  const std::string missing = (folder_ / "missing.png").string();
  send(path, 2000);  // the pipe holds fewer, so some of each kind are answered
  send(missing, 2000);
  const Index before = peak_memory(process.id());
  if (before == 0) GTEST_SKIP() << "there is no /proc here";
  send(path, 2000);
  send(missing, 20'000);
  EXPECT_LT(peak_memory(process.id()), before + 500);
  in_write.close();
  EXPECT_EQ(process.exit_code(), 1);
}

TEST_F(Classify, WarnsOfNaNInTheWeightsAndAnswersAllTheSame) {
  StateDict tensors;
  for (const auto& [name, tensor] : open_safetensors(checkpoint("float32.safetensors"))) {
    AlignedVector<float> values = tensor.values<float>();
    if (name == "stages.1.conv1.0.bias") values[3] = std::nanf("");
    tensors.add(name, store<float>(tensor.extents, values));
  }
  const std::string weights = (folder_ / "nan.safetensors").string();
  write_safetensors(weights, tensors);
  const Outcome outcome = run({"classify", "--json", "--weights", weights, file("a.pgm")});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.json_lines().size(), 1u);
  EXPECT_NE(outcome.err.find("warning: " + weights + ": NaN or infinity in stages.1.conv1.0.bias\n"), std::string::npos)
      << outcome.err;
}

TEST_F(Classify, RefusesLabelsOfAnotherModel) {
  const std::string path = file("a.pgm");
  expect_failure(run(with_weights({"--labels", file("three.txt", "a\nb\nc\n"), path})),
                 {"three.txt", "3 labels", "10 classes"});
  expect_failure(run(with_weights({"--labels", file("latin.txt", "f\xFCnf\n"), path})),
                 {"latin.txt", "line 1", "UTF-8"});
  expect_failure(run(with_weights({"--labels", (folder_ / "none.txt").string(), path})), {"none.txt", "no such file"});
}

TEST_F(Classify, UsesTheSlope) {
  const std::string path = file("a.pgm");
  const auto probabilities = [&](const std::string& slope) {
    return run(with_weights({"--json", "--slope", slope, path})).json_lines().at(0)["top"];
  };
  EXPECT_EQ(probabilities("1"), run(with_weights({"--json", path})).json_lines().at(0)["top"]);
  EXPECT_NE(probabilities("0.25"), probabilities("1"));
}

}  // namespace
}  // namespace plainnet
