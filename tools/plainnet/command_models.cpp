// plainnet models: every variant with its sizes and what was published of it.

#include "commands.hpp"
#include "network_sizes.hpp"
#include "table.hpp"

namespace plainnet::program {
namespace {

Json describe(const Variant& variant) {
  const Shape input = variant.input_shape();
  const NetworkSizes folded = folded_sizes(variant.config, input);
  const NetworkSizes trained = trained_sizes(variant.config, input);
  const NetworkSizes& published = variant.published_form == Form::folded ? folded : trained;
  const Preprocessing& preprocessing = variant.preprocessing;
  Json row = {{"name", variant.name},
              {"family", variant.family},
              {"parameters", published.parameters},
              {"parameters_trained_form", trained.parameters},
              {"parameters_folded", folded.parameters},
              {"macs", published.macs},
              {"input", preprocessing.size},
              {"crop_pct", preprocessing.crop},
              {"crop_mode", preprocessing.mode == CropMode::center ? "center" : "squash"},
              {"published_top1", nullptr},
              {"checkpoint", nullptr}};
  if (variant.published_top1 > 0) row["published_top1"] = variant.published_top1;
  if (!variant.checkpoint.empty()) row["checkpoint"] = variant.checkpoint;
  if (const auto* config = std::get_if<VanillaNetConfig>(&variant.config)) {
    row["widths"] = config->widths;
    row["strides"] = config->strides;
    row["ada_pool"] = config->adaptive_pools.empty() ? Json(nullptr) : Json(config->adaptive_pools);
  } else if (const auto* metaformer = std::get_if<MetaFormerConfig>(&variant.config)) {
    row["widths"] = metaformer->widths;
    row["depths"] = metaformer->depths;
    row["mixers"] = metaformer->mixers;
  } else if (const auto* nfnet = std::get_if<NfNetConfig>(&variant.config)) {
    row["widths"] = nfnet->widths;
    row["depths"] = nfnet->depths;
  }
  return row;
}

const std::vector<Column> models_columns = {{"name", 27, Align::left},
                                            {"parameters"},
                                            {"GMACs", 6},
                                            {"input"},
                                            {"crop", 5},
                                            {"mode", 6, Align::left},
                                            {"top-1", 5},
                                            {"checkpoint", 0, Align::left}};

std::string models_row(const Json& row) {
  const Json& top1 = row["published_top1"];
  const Json& checkpoint = row["checkpoint"];
  return table_row(models_columns,
                   {row["name"], grouped(row["parameters"]), fixed(row["macs"].get<double>() / 1e9, 3),
                    std::to_string(row["input"].get<Index>()), fixed(row["crop_pct"], 3), row["crop_mode"],
                    top1.is_null() ? "-" : fixed(top1, 2), checkpoint.is_null() ? "none published" : checkpoint});
}

}  // namespace

Command models_command(CLI::App& program) {
  CLI::App* const line = program.add_subcommand("models", "List every variant");
  const auto json = std::make_shared<bool>(false);
  add_json(line, *json);
  line->footer(
      "Parameters and multiply-adds (MACs) are those of the published form (VanillaNet: folded; others: as\n"
      "trained), for the input size in pixels; top-1 is the published accuracy on ImageNet-1k in percent.");
  return {line, [json] {
            std::string text = *json ? "" : table_head(models_columns);
            for (const Variant& variant : variants()) {
              const Json row = describe(variant);
              text += *json ? row.dump() + '\n' : models_row(row);
            }
            print(text);
            return success;
          }};
}

}  // namespace plainnet::program
