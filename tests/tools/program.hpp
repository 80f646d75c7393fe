#pragma once
// Runs the program plainnet as a user's script does.

#include <fcntl.h>
#include <spawn.h>
#include <sstream>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "io/temporary_folder.hpp"
#include "plainnet/io/safetensors.hpp"
#include "support/data.hpp"

extern char** environ;

namespace plainnet::test {

using Json = nlohmann::json;

struct Outcome {
  int code = -1;  // exit code; 128 + signal if one ended the program
  std::string out;
  std::string err;

  /// Standard output as one JSON value a line.
  std::vector<Json> json_lines() const {
    std::vector<Json> values;
    std::istringstream lines(out);
    for (std::string line; std::getline(lines, line);) values.push_back(Json::parse(line));
    return values;
  }
};

inline std::string checkpoint(std::string_view name) { return test::data(concatenate("checkpoints/", name)).string(); }

/// A program that was started, with files or pipes in place of its streams.
class Process {
 public:
  /// File descriptors that become its standard input, output and error; the caller keeps them.
  Process(const std::vector<std::string>& arguments, int in, int out, int err) {
    std::vector<std::string> words = {PLAINNET_PROGRAM};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in, 0);
    posix_spawn_file_actions_adddup2(&actions, out, 1);
    posix_spawn_file_actions_adddup2(&actions, err, 2);
    const int error = posix_spawn(&id_, PLAINNET_PROGRAM, &actions, nullptr, argv.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0) throw std::runtime_error("cannot start " PLAINNET_PROGRAM);
  }

  pid_t id() const { return id_; }

  /// Waits for its end.
  int exit_code() {
    int status = 0;
    waitpid(id_, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  pid_t id_ = 0;
};

/// Opened without inheritance, so that a child has it only as one of its streams.
class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {
    if (number_ < 0) throw std::runtime_error("cannot open a file or pipe");
  }
  Descriptor(const std::filesystem::path& path, int flags)
      : Descriptor(::open(path.c_str(), flags | O_CLOEXEC, 0600)) {}
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  ~Descriptor() { close(); }

  operator int() const { return number_; }
  void close() {
    if (number_ >= 0) ::close(number_);
    number_ = -1;
  }

 private:
  int number_;
};

/// Runs the program to its end.
inline Outcome run(const std::vector<std::string>& arguments, std::string_view input = {}) {
  TemporaryFolder folder;
  write_text(folder / "in", input);
  Outcome outcome;
  {
    const Descriptor in(folder / "in", O_RDONLY);
    const Descriptor out(folder / "out", O_WRONLY | O_CREAT);
    const Descriptor err(folder / "err", O_WRONLY | O_CREAT);
    outcome.code = Process(arguments, in, out, err).exit_code();
  }
  outcome.out = read_text(folder / "out");
  outcome.err = read_text(folder / "err");
  return outcome;
}

/// Succeeded, and had nothing to say but its data.
inline void expect_success(const Outcome& outcome) {
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");
}

/// Failed with one line that holds all of `parts`, and without data.
inline void expect_failure(const Outcome& outcome, const std::vector<std::string>& parts, int code = 1) {
  EXPECT_EQ(outcome.code, code) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  EXPECT_TRUE(outcome.err.starts_with("plainnet: ") && outcome.err.ends_with('\n')) << outcome.err;
  for (const std::string& part : parts) {
    EXPECT_NE(outcome.err.find(part), std::string::npos) << "no \"" << part << "\" in: " << outcome.err;
  }
}

inline void expect_wrong_usage(const std::vector<std::string>& arguments, const std::vector<std::string>& parts = {}) {
  SCOPED_TRACE(testing::PrintToString(arguments));
  expect_failure(run(arguments), parts, 2);
}

}  // namespace plainnet::test
