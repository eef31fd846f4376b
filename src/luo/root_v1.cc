// Version 1 of the records' root: no totals.
#include "luo/root_format.h"

namespace outlive::luo {
namespace {

class RootV1 : public RootFormat {
 public:
  const char* compatible() const override { return abi::kRecordsCompatible; }
  bool keeps_totals() const override { return false; }
  abi::RecordsTotals totals(const abi::RecordsRoot&) const override { return {}; }
  void keep(abi::RecordsRoot&, const abi::RecordsTotals&) const override {}
};

}  // namespace

const RootFormat& root_v1() {
  static const RootV1 format;
  return format;
}

}  // namespace outlive::luo
