#pragma once
// Where the pictures are that a command line names: files, folders, lines of standard input.

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "plainnet/core/shape.hpp"

namespace plainnet::program {

inline constexpr const char* picture_extensions_text = "jpg, jpeg, png, bmp, pnm, ppm, pgm";

/// By its extension, in upper or lower case.
inline bool is_picture_name(const std::filesystem::path& path) {
  std::string extension = path.extension().string();
  for (char& c : extension) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  constexpr std::array<std::string_view, 7> known = {".jpg", ".jpeg", ".png", ".bmp", ".pnm", ".ppm", ".pgm"};
  return std::find(known.begin(), known.end(), extension) != known.end();
}

/// What a folder holds, by name.
inline std::vector<std::filesystem::directory_entry> sorted_entries(const std::filesystem::path& folder) {
  std::vector<std::filesystem::directory_entry> entries;
  std::error_code error;
  for (std::filesystem::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    entries.push_back(*it);
  }
  require(!error, folder.string(), ": cannot be listed: ", error.message());
  std::sort(entries.begin(), entries.end());
  return entries;
}

/// A folder that stands in another; links to folders are not followed, they could lead in circles.
inline bool is_inner_folder(const std::filesystem::directory_entry& entry) {
  std::error_code ignored;
  return !entry.is_symlink(ignored) && entry.is_directory(ignored);
}

/// Who is told of pictures, and of folders that cannot be used.
struct PictureVisitor {
  std::function<void(const std::filesystem::path& file)> picture;
  std::function<void(const std::filesystem::path& folder, const std::string& problem)> problem;
};

/// All pictures in a folder and the folders in it, sorted by name. Holds the names of a folder at a time, not all.
/// Returns how many there were.
inline Index visit_folder(const std::filesystem::path& folder, const PictureVisitor& visitor) {
  std::vector<std::filesystem::directory_entry> entries;
  try {
    entries = sorted_entries(folder);
  } catch (const Error& error) {
    visitor.problem(folder, error.what());
    return 0;
  }
  Index count = 0;
  for (const auto& entry : entries) {
    if (is_inner_folder(entry)) {
      count += visit_folder(entry.path(), visitor);
    } else if (is_picture_name(entry.path())) {
      visitor.picture(entry.path());
      ++count;
    }
  }
  return count;
}

/// A file, whatever it is called, or all pictures in a folder.
inline void visit_path(const std::filesystem::path& path, const PictureVisitor& visitor) {
  std::error_code ignored;
  if (!std::filesystem::is_directory(path, ignored)) return visitor.picture(path);
  bool has_problem = false;
  const PictureVisitor watched{visitor.picture, [&](const auto& folder, const auto& problem) {
                                 has_problem = true;
                                 visitor.problem(folder, problem);
                               }};
  if (visit_folder(path, watched) == 0 && !has_problem) {
    visitor.problem(path, concatenate(path.string(), ": holds no pictures (", picture_extensions_text, ")"));
  }
}

/// The next line of standard input; nothing at its end. Of a line longer than any path the rest is dropped.
inline std::optional<std::string> read_line() {
  constexpr std::size_t longest = 1 << 16;
  std::string line;
  int c = std::getc(stdin);
  if (c == EOF) {
    require(std::ferror(stdin) == 0, "standard input: cannot be read");
    return std::nullopt;
  }
  for (; c != EOF && c != '\n'; c = std::getc(stdin)) {
    if (line.size() < longest) line += static_cast<char>(c);
  }
  return line;
}

}  // namespace plainnet::program
