// An engine that waits for requests, for latency.py: latency CHECKPOINT VARIANT INPUT BATCH SIZE THREADS.
// INPUT holds BATCH x 3 x SIZE x SIZE floats. Requests are lines of standard input, each answered by a line of JSON:
//
//   answer       the logits
//   run SECONDS  runs again and again for that long, after half a second to warm up; the times of these runs, and of
//                the processors
//   peak         what this machine can do at most, in GFLOP/s

#include <chrono>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <limits>
#include <sstream>
#include <string>
#include <variant>
#include <vector>

#include "peak.hpp"  // of the program plainnet
#include "plainnet/core/layout.hpp"
#include "plainnet/engine/engine.hpp"
#include "plainnet/model.hpp"

namespace {

using plainnet::Index;

plainnet::Tensor<float> read_input(const std::string& path, const plainnet::Shape& shape) {
  std::vector<float> values(static_cast<std::size_t>(shape.elements()));
  std::ifstream file(path, std::ios::binary);
  file.read(reinterpret_cast<char*>(values.data()), static_cast<std::streamsize>(values.size() * sizeof(float)));
  plainnet::require(bool(file), path, ": holds no ", values.size(), " floats");
  return plainnet::from_channels_first<float>(values, shape);
}

plainnet::Engine load_engine(const std::string& checkpoint, const std::string& variant, const plainnet::Shape& input,
                             Index threads) {
  const plainnet::Model model = plainnet::open_model(checkpoint, {.variant = variant});
  return std::visit([&](auto&& network) { return plainnet::prepare(std::move(network), input, {.threads = threads}); },
                    plainnet::load_folded<float>(model, {.threads = threads}, nullptr, {.share = true}));
}

class Subject {
 public:
  Subject(plainnet::Engine engine, plainnet::Tensor<float> input)
      : engine_(std::move(engine)), input_(std::move(input)), workspace_(engine_.workspace()) {}

  std::string reply_to(const std::string& request) {
    std::istringstream words(request);
    std::string command;
    double seconds = 0;
    words >> command >> seconds;
    if (command == "answer") return answer();
    if (command == "run") return run(seconds);
    if (command == "peak") return peak();
    plainnet::fail("an unknown request: ", request);
  }

 private:
  std::string answer() {
    const plainnet::TensorView<const float> logits = engine_.run(input_, workspace_);
    std::ostringstream reply;
    reply << std::setprecision(std::numeric_limits<float>::max_digits10);
    for (Index i = 0; i < logits.shape().elements(); ++i) reply << (i ? ", " : "{\"logits\": [") << logits.data()[i];
    return reply.str() + "]}";
  }

  std::string run(double seconds) {
    using Clock = std::chrono::steady_clock;
    const Clock::time_point warm = Clock::now() + std::chrono::milliseconds(500);
    do engine_.run(input_, workspace_);
    while (Clock::now() < warm);
    std::ostringstream times;
    Index count = 0;
    const std::clock_t begin_cpu = std::clock();  // of all threads
    const Clock::time_point begin = Clock::now();
    for (Clock::time_point last = begin; last - begin < std::chrono::duration<double>(seconds); ++count) {
      engine_.run(input_, workspace_);
      const Clock::time_point now = Clock::now();
      times << (count ? ", " : "") << std::chrono::duration<double, std::milli>(now - last).count();
      last = now;
    }
    const double cpu_ms = 1e3 * static_cast<double>(std::clock() - begin_cpu) / CLOCKS_PER_SEC;
    return plainnet::concatenate("{\"ms\": [", times.str(), "], \"cpu_ms\": ", cpu_ms / static_cast<double>(count),
                                 "}");
  }

  std::string peak() const {
    const double gflops = plainnet::program::measure_peak(engine_.isa(), engine_.options().threads);
    return plainnet::concatenate("{\"gflops\": ", gflops, ", \"isa\": \"", to_string(engine_.isa()),
                                 "\", \"macs\": ", engine_.macs(), "}");
  }

  plainnet::Engine engine_;
  plainnet::Tensor<float> input_;
  plainnet::Workspace<float> workspace_;
};

}  // namespace

int main(int count, char** arguments) try {
  if (count != 7) {
    std::cerr << "usage: latency CHECKPOINT VARIANT INPUT BATCH SIZE THREADS\n";
    return 2;
  }
  const Index size = std::atol(arguments[5]);
  const plainnet::Shape input{std::atol(arguments[4]), size, size, 3};
  Subject subject(load_engine(arguments[1], arguments[2], input, std::atol(arguments[6])),
                  read_input(arguments[3], input));
  for (std::string request; std::getline(std::cin, request);) std::cout << subject.reply_to(request) << std::endl;
} catch (const plainnet::Error& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
