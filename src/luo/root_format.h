// The versions of the records' root (abi/records.h): one reader each. A root is read by the reader
// of its version, and stays of that version until finalize().
//
// Happy path:   TRY(RootFormat::of(root))->totals(root)
// Unhappy path: a version that nobody here reads: EPROTO with its name; nothing is guessed.
#pragma once

#include "abi/records.h"
#include "base/result.h"

namespace outlive::luo {

class RootFormat {
 public:
  virtual ~RootFormat() = default;
  static Result<const RootFormat*> of(const abi::RecordsRoot& root);
  // Names of all versions that are read, oldest first, with commas.
  static std::string readable();

  virtual const char* compatible() const = 0;
  // Whether the root has totals of its own; else they are the control block's alone.
  virtual bool keeps_totals() const = 0;
  virtual abi::RecordsTotals totals(const abi::RecordsRoot& root) const = 0;
  // Nothing, where there are none. Each is a store of its own: totals are no part of any change.
  virtual void keep(abi::RecordsRoot& root, const abi::RecordsTotals& totals) const = 0;
};

const RootFormat& root_v1();
const RootFormat& root_v2();

// Makes a root of the newest version, in one store. May be repeated.
void finalize_root(abi::RecordsRoot& root, const abi::RecordsTotals& totals);

}  // namespace outlive::luo
