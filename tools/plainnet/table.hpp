#pragma once
// Tables for people: aligned columns, a line a row.

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "output.hpp"

namespace plainnet::program {

enum class Align { left, right };

struct Column {
  std::string_view title;
  std::size_t width = 0;  // at least; a longer cell pushes the rest of its line to the right
  Align align = Align::right;
};

/// One line of a table, without spaces at its end.
inline std::string table_row(const std::vector<Column>& columns, const std::vector<std::string>& cells) {
  std::string line;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const std::size_t width = std::max(columns[i].width, columns[i].title.size());
    const std::string padding(width - std::min(width, cells[i].size()), ' ');
    line += i == 0 ? "" : "  ";
    line += columns[i].align == Align::left ? cells[i] + padding : padding + cells[i];
  }
  line.erase(line.find_last_not_of(' ') + 1);
  return line + '\n';
}

inline std::string table_head(const std::vector<Column>& columns) {
  std::vector<std::string> titles;
  titles.reserve(columns.size());
  for (const Column& column : columns) titles.emplace_back(column.title);
  return table_row(columns, titles);
}

}  // namespace plainnet::program
