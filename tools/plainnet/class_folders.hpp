#pragma once
// A data set as a folder of class folders, and which class each folder stands for.

#include <algorithm>
#include <filesystem>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "command_line.hpp"
#include "pictures.hpp"

namespace plainnet::program {

struct LabelledPicture {
  std::filesystem::path file;
  Index label;
};

/// The class whose number `name` is: "7", not "07".
inline std::optional<Index> class_number(const std::string& name, Index classes) {
  const std::optional<Index> number = parse_number<Index>(name);
  return number && *number >= 0 && *number < classes && std::to_string(*number) == name ? number : std::nullopt;
}

/// The class of every folder. All are called by labels, or all by numbers of classes, or they are as many as the
/// classes and stand for them in the order of their names, which is the order of PyTorch's ImageFolder. Error
/// otherwise: to guess would give a plausible, wrong accuracy.
inline std::vector<Index> classes_of(const std::vector<std::string>& folders, const std::vector<std::string>& labels,
                                     Index classes) {
  const auto class_of_each = [&](const auto& class_of) {
    std::vector<Index> found;
    for (const std::string& folder : folders) {
      if (const std::optional<Index> index = class_of(folder)) found.push_back(*index);
    }
    return found.size() == folders.size() ? found : std::vector<Index>{};
  };
  std::vector<Index> found = class_of_each([&](const std::string& folder) -> std::optional<Index> {
    const auto place = std::find(labels.begin(), labels.end(), folder);
    if (place == labels.end()) return std::nullopt;
    return place - labels.begin();
  });
  if (found.empty()) found = class_of_each([&](const std::string& folder) { return class_number(folder, classes); });
  if (found.empty() && static_cast<Index>(folders.size()) == classes) {
    found.resize(folders.size());
    std::iota(found.begin(), found.end(), Index{0});
  }
  require(!found.empty(), "expected class folders called by labels or by numbers from 0 to ", classes - 1, ", or ",
          classes, " of them; found ", folders.size(), ", the first called '", folders.empty() ? "" : folders.front(),
          "'");
  return found;
}

/// All pictures of a data set. Folders whose name begins with a dot are no classes. `problem` is told of folders that
/// cannot be listed. Error if the class folders fit neither labels nor classes.
inline std::vector<LabelledPicture> find_labelled_pictures(const std::filesystem::path& folder,
                                                           const std::vector<std::string>& labels, Index classes,
                                                           const decltype(PictureVisitor::problem)& problem) {
  std::vector<std::string> names;
  for (const auto& entry : sorted_entries(folder)) {
    std::error_code ignored;
    const std::string name = entry.path().filename().string();
    if (entry.is_directory(ignored) && !name.starts_with('.')) names.push_back(name);
  }
  const std::vector<Index> label_of = classes_of(names, labels, classes);
  std::vector<LabelledPicture> pictures;
  for (std::size_t i = 0; i < names.size(); ++i) {
    visit_folder(folder / names[i], {.picture =
                                         [&](const auto& file) {
                                           pictures.push_back({file, label_of[i]});
                                         },
                                     .problem = problem});
  }
  require(!pictures.empty(), "its class folders hold no pictures (", picture_extensions_text, ")");
  return pictures;
}

}  // namespace plainnet::program
