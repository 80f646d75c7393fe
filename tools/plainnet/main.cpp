// The program plainnet: classifies pictures, runs, folds, checks and times networks from the command line.

#include <csignal>
#include <cstdio>

#include <CLI/CLI.hpp>

#include "commands.hpp"
#include "plainnet/core/version.hpp"

namespace plainnet::program {
namespace {

/// CLI11 throws to report wrong usage, but also to ask for the help text.
int answer(const CLI::App& program, const CLI::ParseError& error) {
  if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) {
    std::ostringstream text;
    program.exit(error, text, text);
    print(text.str());
    return success;
  }
  std::string command;
  for (const CLI::App* chosen : program.get_subcommands()) command = " " + chosen->get_name();
  complain(concatenate(explain(error), " (see plainnet", command, " --help)"));
  return wrong_usage;
}

int run(int argc, char** argv) {
  CLI::App program("Runs plain image classifiers.", "plainnet");
  program.set_version_flag("--version", "plainnet " + version());
  program.require_subcommand(1);
  program.footer(
      "Results go to standard output, messages to standard error.\n"
      "Exit code: 0 success, 1 failure, 2 wrong usage.");
  const Command commands[] = {
      models_command(program), classify_command(program), infer_command(program),   preprocess_command(program),
      fold_command(program),   convert_command(program),  inspect_command(program), verify_command(program),
      bench_command(program),  eval_command(program),
  };
  try {
    program.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return answer(program, error);
  }
  for (const Command& command : commands) {
    if (command.line->parsed()) return command.run();
  }
  return wrong_usage;
}

}  // namespace
}  // namespace plainnet::program

int main(int argc, char** argv) {
#ifdef SIGPIPE
  std::signal(SIGPIPE, SIG_IGN);  // a reader that goes away becomes an Error of print()
#endif
  std::setvbuf(stdout, nullptr, _IOFBF, 1 << 16);  // what fits in a pipe goes there at once, also if `head` stops early
  try {
    return plainnet::program::run(argc, argv);
  } catch (const std::exception& error) {
    plainnet::program::complain(plainnet::program::explain(error));
    return plainnet::program::failure;
  }
}
