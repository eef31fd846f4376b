#include "cli/table.h"

#include <algorithm>

#include "base/check.h"
#include "cli/format.h"

namespace outlive::cli {
namespace {

// Characters, not bytes: continuation bytes of UTF-8 take no column.
size_t width(const std::string& text) {
  const auto starts = [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; };
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), starts));
}

}  // namespace

Table::Table(std::vector<std::string> headers) : headers_(std::move(headers)) {
  for (std::string& header : headers_) {
    right_.push_back(header.starts_with('>'));
    if (right_.back()) header.erase(0, 1);
  }
}

void Table::row(std::vector<std::string> cells) {
  CHECK(cells.size() == headers_.size());
  for (std::string& cell : cells) cell = clean(cell);
  rows_.push_back(std::move(cells));
}

std::string Table::text() const {
  std::vector<size_t> widths;
  for (size_t column = 0; column < headers_.size(); ++column) {
    size_t most = width(headers_[column]);
    for (const auto& cells : rows_) most = std::max(most, width(cells[column]));
    widths.push_back(most);
  }
  std::string text;
  const auto add = [&](const std::vector<std::string>& cells) {
    std::string line;
    for (size_t column = 0; column < cells.size(); ++column) {
      const std::string padding(widths[column] - width(cells[column]), ' ');
      if (column > 0) line += "  ";
      line += right_[column] ? padding + cells[column] : cells[column] + padding;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  };
  add(headers_);
  for (const auto& cells : rows_) add(cells);
  return text;
}

}  // namespace outlive::cli
