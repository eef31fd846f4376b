// Flattened device trees: checking and reading one that nobody vouches for, and building one. All
// of it by libfdt; u64 properties are in native byte order, as the kernel's KHO writes them.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace outlive::kho {

// OK when these bytes begin with a whole, sound FDT: else EUCLEAN. Everything below wants one.
Status check_fdt(std::span<const std::byte> bytes);
// Its own idea of its size.
size_t fdt_size(std::span<const std::byte> bytes);
// The text of a property that should be a string, made safe to print; "" when there is none.
std::string fdt_string(const void* fdt, int node, const char* name);
// A u64 property; EUCLEAN when it is missing or has another size.
Result<uint64_t> fdt_word(const void* fdt, int node, const char* name);

// Nodes are children of the root (node 0). The first error stays, and finish() says it.
class FdtBuilder {
 public:
  explicit FdtBuilder(size_t most);
  // A new node is put before its siblings.
  int add_node(const std::string& name);
  void set_string(int node, const char* name, const std::string& value);
  void set_word(int node, const char* name, uint64_t value);
  // Checked, and padded with zeros to the size asked for. ENOSPC.
  Result<std::vector<std::byte>> finish();

 private:
  void set_bytes(int node, const char* name, const void* data, size_t size);

  std::vector<std::byte> bytes_;
  int error_ = 0;
};

}  // namespace outlive::kho
