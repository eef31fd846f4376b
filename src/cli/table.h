// A table on the terminal: columns as wide as their widest cell, two spaces apart.
#pragma once

#include <string>
#include <vector>

namespace outlive::cli {

class Table {
 public:
  // A header that starts with '>' stands to the right, and its cells too.
  explicit Table(std::vector<std::string> headers);
  // As many cells as headers; control characters are replaced.
  void row(std::vector<std::string> cells);
  bool empty() const { return rows_.empty(); }
  std::string text() const;

 private:
  std::vector<std::string> headers_;
  std::vector<bool> right_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace outlive::cli
