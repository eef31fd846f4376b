// Version 2 of the records' root: totals since the arena was made.
#include "kho/store.h"
#include "luo/root_format.h"

namespace outlive::luo {
namespace {

class RootV2 : public RootFormat {
 public:
  const char* compatible() const override { return abi::kRecordsCompatible2; }
  bool keeps_totals() const override { return true; }
  abi::RecordsTotals totals(const abi::RecordsRoot& root) const override { return root.totals; }
  void keep(abi::RecordsRoot& root, const abi::RecordsTotals& totals) const override {
    const auto* from = reinterpret_cast<const uint64_t*>(&totals);
    auto* to = reinterpret_cast<uint64_t*>(&root.totals);
    for (size_t i = 0; i < sizeof totals / sizeof *to; ++i) {
      if (to[i] != from[i]) kho::store_word(to + i, from[i]);
    }
  }
};

}  // namespace

const RootFormat& root_v2() {
  static const RootV2 format;
  return format;
}

}  // namespace outlive::luo
