#pragma once
// All commands; each adds itself and its options to the command line of the program.

#include "command_line.hpp"

namespace plainnet::program {

Command models_command(CLI::App& program);
Command classify_command(CLI::App& program);
Command infer_command(CLI::App& program);
Command preprocess_command(CLI::App& program);
Command fold_command(CLI::App& program);
Command convert_command(CLI::App& program);
Command inspect_command(CLI::App& program);
Command verify_command(CLI::App& program);
Command bench_command(CLI::App& program);
Command eval_command(CLI::App& program);

}  // namespace plainnet::program
