// plainnet convert: a checkpoint of any kind in, the same tensors as safetensors out.

#include "commands.hpp"
#include "plainnet/io/load.hpp"
#include "weights.hpp"

namespace plainnet::program {
namespace {

struct ConvertArguments {
  std::string input;
  std::string output;
  std::string key;
  std::string half;  // f16 or bf16; empty: numbers stay as they are
  bool json = false;
};

/// The tensor with its numbers rounded to 16 bits.
template <class T>
StoredTensor rounded(const StoredTensor& tensor, NumberFormat half) {
  return store<T>(tensor.extents, tensor.values<T>(), half);
}

/// Rounds what is floating-point and wider. Returns the names of tensors with numbers that became infinite.
std::vector<std::string> round_to_half(StateDict& tensors, NumberFormat half) {
  StateDict result;
  result.source = tensors.source;
  result.entry = tensors.entry;
  result.metadata = tensors.metadata;
  std::vector<std::string> overflowed;
  for (const auto& [name, tensor] : tensors) {
    const bool is_wide = tensor.format == NumberFormat::f32 || tensor.format == NumberFormat::f64;
    const bool is_other_half = is_floating(tensor.format) && info(tensor.format).bits == 16 && tensor.format != half;
    if (!is_wide && !is_other_half) {
      result.add(name, tensor);
      continue;
    }
    StoredTensor narrow =
        tensor.format == NumberFormat::f64 ? rounded<double>(tensor, half) : rounded<float>(tensor, half);
    if (detail::read_and_check<double>(tensor) && !detail::read_and_check<float>(narrow)) overflowed.push_back(name);
    result.add(name, std::move(narrow));
  }
  tensors = std::move(result);
  return overflowed;
}

std::uint64_t bytes_of(const StateDict& tensors) {
  std::uint64_t bytes = 0;
  for (const auto& [name, tensor] : tensors) bytes += tensor.bytes.size();
  return bytes;
}

int convert(const ConvertArguments& arguments) {
  StateDict tensors = open_checkpoint(arguments.input, {.key = arguments.key});
  require_writable(arguments.output);
  tensors.metadata.try_emplace("format", "pt");
  std::vector<std::string> overflowed;
  if (!arguments.half.empty()) {
    overflowed = round_to_half(tensors, arguments.half == "f16" ? NumberFormat::f16 : NumberFormat::bf16);
  }
  write_safetensors(arguments.output, tensors);
  for (const std::string& name : overflowed) {
    complain(on_one_line(concatenate("warning: ", arguments.input, ": ", name, " has numbers beyond the range of ",
                                     arguments.half, ", written as infinity")));
  }
  const std::uint64_t bytes = bytes_of(tensors);
  if (arguments.json) {
    print_json({{"file", arguments.input},
                {"entry", tensors.entry.empty() ? Json(nullptr) : Json(tensors.entry)},
                {"output", arguments.output},
                {"tensors", tensors.size()},
                {"bytes", bytes},
                {"overflowed", overflowed}});
    return success;
  }
  std::string text = concatenate(on_one_line(arguments.input), ": ", tensors.size(), " tensors");
  if (!tensors.entry.empty()) text += concatenate(" of entry ", on_one_line(tensors.entry));
  print(text + concatenate(", ", grouped(static_cast<Index>(bytes)), " bytes, written to ",
                           on_one_line(arguments.output), '\n'));
  return success;
}

}  // namespace

Command convert_command(CLI::App& program) {
  CLI::App* const line = program.add_subcommand("convert", "Write a checkpoint of any kind as safetensors");
  const auto arguments = std::make_shared<ConvertArguments>();
  line->add_option("input", arguments->input, "Checkpoint, safetensors or PyTorch")->type_name("IN")->required();
  line->add_option("output", arguments->output, "File to write: the same tensors under the same names")
      ->type_name("OUT.safetensors")
      ->required();
  add_key(line, arguments->key);
  line->add_option("--half", arguments->half, "Round floating-point numbers to 16 bits: f16 or bf16")
      ->type_name("FORMAT")
      ->check(CLI::IsMember({"f16", "bf16"}));
  add_json(line, arguments->json, "Print one JSON object");
  line->footer("Nothing is folded: `plainnet fold` does that.");
  return {line, [arguments] { return convert(*arguments); }};
}

}  // namespace plainnet::program
