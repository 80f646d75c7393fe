// Loads a checkpoint and folds it, once, as a program does that starts: load_and_fold FILE [THREADS [OUT.safetensors]].
// Prints the time and the memory that it took, as JSON; with OUT, writes the folded weights afterwards.

#include <chrono>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iostream>
#include <string>
#include <variant>

#include "plainnet/core/error.hpp"
#include "plainnet/io/safetensors.hpp"
#include "plainnet/model.hpp"

namespace {

/// The most memory that this process ever had resident, in kilobytes; 0 where the system does not tell. Unlike
/// getrusage(), not that of the process which started it.
long peak_kilobytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::atol(line.c_str() + 6);
  }
  return 0;
}

}  // namespace

int main(int count, char** arguments) try {
  if (count < 2 || count > 4) {
    std::cerr << "usage: load_and_fold FILE [THREADS [OUT.safetensors]]\n";
    return 2;
  }
  const auto milliseconds_since = [](auto begin) {
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
  };
  const auto begin = std::chrono::steady_clock::now();
  const plainnet::Model model = plainnet::open_model(arguments[1]);
  const double open_ms = milliseconds_since(begin);
  const auto network = plainnet::load_folded<float>(model, {.threads = count > 2 ? std::atol(arguments[2]) : 1});
  const double total_ms = milliseconds_since(begin);
  const double cpu_ms = 1e3 * static_cast<double>(std::clock()) / CLOCKS_PER_SEC;  // of all threads
  std::cout << "{\"variant\": \"" << model.variant().name << "\", \"open_ms\": " << open_ms
            << ", \"total_ms\": " << total_ms << ", \"cpu_ms\": " << cpu_ms << ", \"peak_kb\": " << peak_kilobytes()
            << "}\n";
  if (count > 3) {
    std::visit([&](const auto& folded) { plainnet::write_safetensors(arguments[3], view_state_dict(folded)); },
               network);
  }
} catch (const plainnet::Error& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
