// Dump: an arena decoded to a plain structure, for `outlive kho dump`, fsck and post-mortems. It
// only reads: a live arena (also from another process) or a saved image.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "kho/arena.h"
#include "kho/root_fdt_format.h"

namespace outlive::kho {

struct ArenaDump {
  std::string compatible;
  uint64_t size = 0;
  uint64_t high_water = 0;  // pages
  uint64_t epoch = 0;
  Phys root_fdt_page;
  Phys tracker_root;
  std::vector<std::byte> root_fdt;  // as it is: `dtc -I dtb` reads it
  std::string root_compatible;
  std::vector<Subtree> subtrees;
  std::vector<Folio> folios;  // LIVE, in order of address
  uint64_t live_pages = 0;
  uint64_t begun_folios = 0;  // INTENT or DYING: attach would give them back
  uint64_t tracker_pages = 0;
  uint64_t lost_tracker_pages = 0;  // that the tracker's root does not reach
  uint64_t tracker_difference = 0;  // keys that the tracker and the descriptors disagree on
  std::string digest;               // hex; empty unless asked for
};

// EPROTO, EUCLEAN: as attach would refuse it.
Result<ArenaDump> dump(const View& view, bool with_digest);
// Maps the file read-only for it.
Result<ArenaDump> dump_file(BorrowedFd file, bool with_digest);
// XXH3 over descriptor and bytes of every LIVE folio: equal when what is preserved is equal.
std::string memory_digest(const View& view, const std::vector<Folio>& folios);
// "tracker", "subtree", ... ; "user 64" for an owner without a name.
std::string owner_name(uint16_t owner);

}  // namespace outlive::kho
