#include "luo/root_format.h"

#include <string.h>

#include "kho/store.h"

namespace outlive::luo {
namespace {

const RootFormat* const kFormats[] = {&root_v1(), &root_v2()};

// The word of the compatible string in which the versions differ.
constexpr size_t kVersionWord = 16;

}  // namespace

std::string RootFormat::readable() {
  std::string list;
  for (const RootFormat* format : kFormats) {
    list += (list.empty() ? "" : ",") + std::string(format->compatible());
  }
  return list;
}

Result<const RootFormat*> RootFormat::of(const abi::RecordsRoot& root) {
  char name[sizeof root.compatible + 1] = {};
  memcpy(name, root.compatible, sizeof root.compatible);
  for (const RootFormat* format : kFormats) {
    if (std::string_view(name) == format->compatible()) return format;
  }
  return fail(EPROTO, "records of version '{}', this outlived reads {}", name, readable());
}

void finalize_root(abi::RecordsRoot& root, const abi::RecordsTotals& totals) {
  static_assert(sizeof abi::kRecordsCompatible2 <= kVersionWord + sizeof(uint64_t));
  // Totals first: a root of version 1 doesn't look at these words.
  root_v2().keep(root, totals);
  uint64_t word = 0;
  memcpy(&word, abi::kRecordsCompatible2 + kVersionWord,
         sizeof abi::kRecordsCompatible2 - kVersionWord);
  kho::store_word(reinterpret_cast<uint64_t*>(root.compatible + kVersionWord), word);
}

}  // namespace outlive::luo
