// plainnet inspect: what a checkpoint holds, and which network that is.

#include "commands.hpp"
#include "network_sizes.hpp"
#include "plainnet/io/load.hpp"
#include "table.hpp"
#include "weights.hpp"

namespace plainnet::program {
namespace {

struct InspectArguments {
  std::string file;
  std::string key;
  bool json = false;
};

/// The network that the tensors are, or why they are none.
struct Finding {
  std::optional<Recognized> network;
  NetworkSizes sizes = {};
  std::string problem;
};

Finding find_network(const StateDict& tensors) {
  Finding finding;
  try {
    const Recognized network = recognize(tensors);
    const double slope = network.keeps_activations ? 0.0 : 1.0;  // any slope but 1 keeps them
    const Index side = network.variant->preprocessing.size;
    const Shape input{1, side, side, std::visit([](const auto& config) { return config.in_channels; }, network.config)};
    finding.sizes = network.form == Form::folded ? folded_sizes(network.config, input, slope)
                                                 : trained_sizes(network.config, input);
    finding.network = network;
    require_fit(tensors, network, slope);
  } catch (const Error& error) {
    finding.problem = explain(error);
  }
  return finding;
}

/// Whether all numbers are finite; integers are.
bool is_finite(const StoredTensor& tensor) {
  if (!is_floating(tensor.format)) return true;
  return tensor.format == NumberFormat::f64 ? detail::read_and_check<double>(tensor)
                                            : detail::read_and_check<float>(tensor);
}

Json finding_json(const InspectArguments& arguments, const StateDict& tensors, const Finding& finding) {
  Json result = {{"file", arguments.file},       {"entry", nullptr},        {"model", nullptr}, {"form", nullptr},
                 {"classes", nullptr},           {"parameters", nullptr},   {"macs", nullptr},  {"problem", nullptr},
                 {"metadata", tensors.metadata}, {"tensors", Json::array()}};
  if (!tensors.entry.empty()) result["entry"] = tensors.entry;
  if (finding.network) {
    result["model"] = finding.network->variant->name;
    result["form"] = finding.network->form == Form::folded ? "folded" : "trained";
    result["classes"] = std::visit([](const auto& config) { return config.classes; }, finding.network->config);
    result["parameters"] = finding.sizes.parameters;
    result["macs"] = finding.sizes.macs;
  }
  if (!finding.problem.empty()) result["problem"] = finding.problem;
  for (const auto& [name, tensor] : tensors) {
    result["tensors"].push_back({{"name", name},
                                 {"shape", std::vector<Index>(tensor.extents.begin(), tensor.extents.end())},
                                 {"format", name_of(tensor.format)},
                                 {"finite", is_finite(tensor)}});
  }
  return result;
}

std::string finding_text(const Json& found) {
  std::string text = on_one_line(found["file"].get<std::string>()) + '\n';
  const auto line = [&](std::string_view title, const std::string& value) {
    text += concatenate("  ", title, std::string(15 - title.size(), ' '), value, '\n');
  };
  if (!found["entry"].is_null()) line("entry", on_one_line(found["entry"].get<std::string>()));
  if (!found["model"].is_null()) {
    line("model", concatenate(found["model"].get<std::string>(), ", ", found["form"].get<std::string>(), " form, ",
                              found["classes"].get<Index>(), " classes"));
    line("parameters", grouped(found["parameters"]));
    line("multiply-adds", grouped(found["macs"]));
  }
  if (!found["problem"].is_null()) line("problem", found["problem"]);
  for (const auto& [key, value] : found["metadata"].items())
    line("metadata", on_one_line(key + " = " + value.get<std::string>()));
  line("tensors", std::to_string(found["tensors"].size()));

  std::vector<Column> columns = {{"name", 0, Align::left}, {"shape", 0, Align::left}, {"format", 0, Align::left}, {""}};
  std::vector<std::vector<std::string>> rows;
  for (const Json& tensor : found["tensors"]) {
    rows.push_back({tensor["name"], tensor["shape"].dump(), tensor["format"],
                    tensor["finite"].get<bool>() ? "" : "NaN or infinity"});
    for (std::size_t i = 0; i < columns.size(); ++i)
      columns[i].width = std::max(columns[i].width, rows.back()[i].size());
  }
  if (!rows.empty()) text += '\n' + table_head(columns);
  for (const auto& row : rows) text += table_row(columns, row);
  return text;
}

int inspect(const InspectArguments& arguments) {
  const StateDict tensors = open_checkpoint(arguments.file, {.key = arguments.key});
  const Json found = finding_json(arguments, tensors, find_network(tensors));
  arguments.json ? print_json(found) : print(finding_text(found));
  return success;
}

}  // namespace

Command inspect_command(CLI::App& program) {
  CLI::App* const line = program.add_subcommand("inspect", "List what a checkpoint holds and tell which network it is");
  const auto arguments = std::make_shared<InspectArguments>();
  line->add_option("file", arguments->file, "Checkpoint, safetensors or PyTorch")->type_name("F")->required();
  add_key(line, arguments->key);
  add_json(line, arguments->json, "Print one JSON object");
  line->footer("A file that is no known network is listed too; \"problem\" then says why not.");
  return {line, [arguments] { return inspect(*arguments); }};
}

}  // namespace plainnet::program
