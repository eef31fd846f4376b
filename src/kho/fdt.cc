#include "kho/fdt.h"

#include <libfdt.h>

#include <cstring>

#include "base/check.h"

namespace outlive::kho {

Status check_fdt(std::span<const std::byte> bytes) {
  // libfdt reads the header before it looks at the size.
  if (bytes.size() < FDT_V1_SIZE) return fail(EUCLEAN, "FDT: {} bytes are too few", bytes.size());
  // fdt_check_full takes older ones, and reads at address 0 when a node's name has no '/'.
  if (fdt_magic(bytes.data()) == FDT_MAGIC &&
      fdt_version(bytes.data()) < FDT_LAST_SUPPORTED_VERSION) {
    return fail(EUCLEAN, "FDT: version {}, not {}", fdt_version(bytes.data()),
                FDT_LAST_SUPPORTED_VERSION);
  }
  const int error = fdt_check_full(bytes.data(), bytes.size());
  if (error != 0) return fail(EUCLEAN, "FDT: {}", fdt_strerror(error));
  return {};
}

std::string fdt_string(const void* fdt, int node, const char* name) {
  int length = 0;
  const auto* text = static_cast<const char*>(fdt_getprop(fdt, node, name, &length));
  if (text == nullptr || length <= 0) return {};
  std::string safe;
  for (const char c : std::string_view(text, strnlen(text, static_cast<size_t>(length)))) {
    if (safe.size() == 64) break;
    safe += c >= ' ' && c <= '~' ? c : '?';
  }
  return safe;
}

Result<uint64_t> fdt_word(const void* fdt, int node, const char* name) {
  int length = 0;
  const void* data = fdt_getprop(fdt, node, name, &length);
  if (data == nullptr) return fail(EUCLEAN, "FDT: no property '{}'", name);
  if (length != sizeof(uint64_t)) {
    return fail(EUCLEAN, "FDT: property '{}' has {} bytes, not 8", name, length);
  }
  uint64_t word = 0;
  std::memcpy(&word, data, sizeof(word));
  return word;
}

FdtBuilder::FdtBuilder(size_t most) : bytes_(most) {
  error_ = fdt_create_empty_tree(bytes_.data(), static_cast<int>(most));
}

int FdtBuilder::add_node(const std::string& name) {
  if (error_ != 0) return 0;
  const int node = fdt_add_subnode(bytes_.data(), 0, name.c_str());
  if (node < 0) error_ = node;
  return node;
}

void FdtBuilder::set_string(int node, const char* name, const std::string& value) {
  set_bytes(node, name, value.c_str(), value.size() + 1);
}

void FdtBuilder::set_word(int node, const char* name, uint64_t value) {
  set_bytes(node, name, &value, sizeof(value));
}

void FdtBuilder::set_bytes(int node, const char* name, const void* data, size_t size) {
  if (error_ != 0) return;
  error_ = fdt_setprop(bytes_.data(), node, name, data, static_cast<int>(size));
}

Result<std::vector<std::byte>> FdtBuilder::finish() {
  if (error_ == 0) error_ = fdt_pack(bytes_.data());
  if (error_ == -FDT_ERR_NOSPACE) return fail(ENOSPC, "FDT: {} bytes are full", bytes_.size());
  CHECK(error_ == 0);
  // Packing leaves what it moved behind the end.
  const size_t used = fdt_totalsize(bytes_.data());
  std::memset(bytes_.data() + used, 0, bytes_.size() - used);
  TRY(check_fdt(bytes_));
  return std::move(bytes_);
}

size_t fdt_size(std::span<const std::byte> bytes) {
  return fdt_totalsize(bytes.data());
}

}  // namespace outlive::kho
