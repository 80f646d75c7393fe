// plainnet fold: a trained checkpoint in, folded weights out, with a receipt of what was merged.

#include <numeric>

#include "commands.hpp"
#include "plainnet/fold/receipt.hpp"
#include "probe.hpp"
#include "weights.hpp"

namespace plainnet::program {
namespace {

struct FoldArguments {
  WeightsOptions weights;
  std::string output;
  Index threads = 1;
  bool json = false;
};

Index operations_merged(const FoldReceipt& receipt) {
  return std::accumulate(receipt.merges.begin(), receipt.merges.end(), Index{0},
                         [](Index sum, const Merge& merge) { return sum + merge.count; });
}

Json receipt_json(const FoldArguments& arguments, const Model& model, const FoldReceipt& receipt) {
  const auto channels_first = [](const Shape& s) { return Json{s.batch, s.channels, s.height, s.width}; };
  Json merges = Json::array();
  for (const Merge& merge : receipt.merges) merges.push_back({{"rule", merge.rule}, {"count", merge.count}});
  return {{"file", arguments.weights.weights},
          {"output", arguments.output},
          {"entry", model.tensors.entry.empty() ? Json(nullptr) : Json(model.tensors.entry)},
          {"model", model.variant().name},
          {"slope", model.slope},
          {"operations_merged", operations_merged(receipt)},
          {"merges", merges},
          {"parameters_before", receipt.parameters_before},
          {"parameters_after", receipt.parameters_after},
          {"input", channels_first(receipt.input)},
          {"macs_before", receipt.macs_before},
          {"macs_after", receipt.macs_after},
          {"probe", channels_first(receipt.probe)},
          {"largest_difference", receipt.largest_difference},
          {"largest_logit", receipt.largest_logit}};
}

std::string receipt_text(const FoldArguments& arguments, const Model& model, const FoldReceipt& receipt) {
  std::string text = concatenate(model.variant().name, ": ", operations_merged(receipt), " operations merged\n");
  for (const Merge& merge : receipt.merges) text += concatenate("  ", merge.count, " x ", merge.rule, '\n');
  text += concatenate("parameters          ", grouped(receipt.parameters_before), " -> ",
                      grouped(receipt.parameters_after), '\n');
  text += concatenate("multiply-adds       ", grouped(receipt.macs_before), " -> ", grouped(receipt.macs_after), " at ",
                      receipt.input.height, " x ", receipt.input.width, '\n');
  text += concatenate("largest difference  ", scientific(receipt.largest_difference), " of logits up to ",
                      scientific(receipt.largest_logit), ", on a probe input of ", receipt.probe.height, " x ",
                      receipt.probe.width, '\n');
  if (!model.tensors.entry.empty()) {
    text += concatenate("weights of entry    ", on_one_line(model.tensors.entry), '\n');
  }
  if (model.slope != 1.0) {
    text += concatenate("slope               ", fixed(model.slope, 6), ", so the annealed activations stay\n");
  }
  return text + concatenate("written to          ", on_one_line(arguments.output), '\n');
}

int fold(const FoldArguments& arguments) {
  const Model model = open_weights(arguments.weights);
  require(!model.is_folded(), model.tensors.source, ": is already folded; expected a network as trained");
  require_writable(arguments.output);
  LoadReport report;
  AnyTrained<float> any = load_trained<float>(model, &report, {.share = true});
  warn_of_non_finite(model, report);
  const Index side = model.variant().preprocessing.size;
  const FoldReceipt receipt = std::visit(
      [&](auto& trained) {
        const Shape input = square_input(model, side);
        const auto before = before_folding(trained, input, probe_shape(trained, input));
        const auto folding = plainnet::fold(std::move(trained), {.threads = arguments.threads});
        write_safetensors(arguments.output,
                          describe_folded(view_state_dict(folding.network), folding.network, model.variant().name));
        return make_receipt(before, folding);
      },
      any);
  arguments.json ? print_json(receipt_json(arguments, model, receipt)) : print(receipt_text(arguments, model, receipt));
  return success;
}

}  // namespace

Command fold_command(CLI::App& program) {
  CLI::App* const line = program.add_subcommand("fold", "Fold a trained checkpoint once and for all");
  const auto arguments = std::make_shared<FoldArguments>();
  line->add_option("input", arguments->weights.weights, "Checkpoint as trained")->type_name("IN")->required();
  line->add_option("output", arguments->output, "File to write: folded weights under the published deploy names")
      ->type_name("OUT.safetensors")
      ->required();
  add_key(line, arguments->weights.key);
  add_model(line, arguments->weights.model);
  add_slope(line, arguments->weights.slope);
  add_threads(line, arguments->threads);
  add_json(line, arguments->json, "Print the receipt as one JSON object");
  return {line, [arguments] { return fold(*arguments); }};
}

}  // namespace plainnet::program
