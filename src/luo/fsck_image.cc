#include "luo/fsck_image.h"

#include <unistd.h>

#include <algorithm>
#include <map>

#include "base/sys.h"
#include "kho/dump.h"
#include "kho/image_copy.h"
#include "kho/reserve_mem.h"
#include "luo/no_updates.h"

namespace outlive::luo {
namespace {

using Folios = std::map<uint64_t, uint16_t>;  // head -> owner

// What the memory layer says, and the folios there are. Error: attach would refuse it.
Result<Folios> look_at_pages(BorrowedFd copy, Findings& findings) {
  const struct stat status = TRY(sys::fstat(copy));
  const auto size = static_cast<uint64_t>(status.st_size);
  if (size < abi::kPageSize) return fail(EUCLEAN, "arena: {} bytes are no arena's size", size);
  const sys::Mapping memory = TRY(sys::mmap(size, PROT_READ, MAP_SHARED | MAP_NORESERVE, copy));
  const kho::View view(memory.data(), size);
  TRY(kho::fsck(view, copy, findings.lines));
  const kho::ArenaDump dump = TRY(kho::dump(view, false));
  Folios folios;
  for (const kho::Folio& folio : dump.folios) folios[folio.head.value] = folio.owner;
  return folios;
}

// What of the records was half done.
void tell_halves(const Records::AttachReport& report, Findings& findings) {
  if (report.redo_applied) {
    findings.add_derived(
        "redo list: a committed change was not applied: it is acknowledged, and "
        "becomes visible with an attach");
  } else if (report.redo_cleared) {
    findings.add_derived("redo list: not empty: bytes of a change are left behind");
  }
  const auto tell = [&](uint64_t count, const char* what) {
    if (count != 0) findings.add_derived(fmt::format("{} {}", count, what));
  };
  tell(report.undone, "records that were begun and never committed (INTENT)");
  tell(report.finished, "records that are half removed (DYING)");
  tell(report.zeroed, "free records that are not zero: bytes are left behind");
}

void tell_leaked(const Folios& before, const kho::Arena& arena, Findings& findings) {
  Folios after;
  arena.for_each_live(
      [&](kho::Phys head, unsigned, uint16_t owner, uint32_t) { after[head.value] = owner; });
  for (const auto& [address, owner] : before) {
    // Blobs are the memory layer's to tell; dumps are written anew whenever one asks.
    if (owner == abi::kOwnerSubtree || owner == abi::kOwnerLuoFormat) continue;
    if (after.contains(address)) continue;
    findings.add_derived(
        fmt::format("page {:#x}: preserved for owner '{}', but no record names it: "
                    "leaked",
                    address, kho::owner_name(owner)));
  }
}

// Takes the copy over, as an outlived would, and tells what that changes and what is wrong still.
Status settle(BorrowedFd copy, Context context, const Folios& before, Findings& findings) {
  context.release = [](BorrowedFd) {};
  const auto arena = TRY(kho::Arena::attach(copy));
  if (!kho::RootFdt(*arena).find_subtree(abi::kSubtreeRecords)) {
    return {};  // a memory layer without an orchestrator
  }
  uint64_t files = 0;
  uint64_t sessions = 0;
  {
    kho::RootFdt fdt(*arena);
    Records::AttachReport report;
    const auto records = TRY(Records::attach(*arena, fdt, &report));
    tell_halves(report, findings);
    files = records->count(abi::PoolKind::kFile);
    sessions = records->count(abi::PoolKind::kSession);
  }
  NoUpdates host;
  const auto core = TRY(Core::attach(*arena, context, host));
  if (const uint64_t kept = core->records().count(abi::PoolKind::kFile); kept != files) {
    findings.add_derived(fmt::format("{} files of sessions that were being ended", files - kept));
  }
  if (const uint64_t kept = core->records().count(abi::PoolKind::kSession); kept != sessions) {
    findings.add_derived(fmt::format("{} sessions that were being ended", sessions - kept));
  }
  // It gives back what no region names.
  if (const auto regions = kho::ReserveMem::open(*arena); !regions) return regions.error();
  tell_leaked(before, *arena, findings);
  Findings rest = fsck(*core, [](BorrowedFd) { return true; });
  for (Finding& line : rest.lines) findings.add(std::move(line.text));
  findings.pages = rest.pages;
  findings.files = rest.files;
  findings.sessions = rest.sessions;
  findings.fds = rest.fds;
  return {};
}

struct Identity {
  dev_t device;
  ino_t inode;
  off_t size;
  int64_t changed_ns;
  bool operator==(const Identity&) const = default;
};

Identity identity_of(const struct stat& status) {
  return {status.st_dev, status.st_ino, status.st_size,
          status.st_mtim.tv_sec * 1'000'000'000 + status.st_mtim.tv_nsec};
}

// Beside the original, whole and on the disk, and only then over it.
Status replace(const std::string& path, BorrowedFd original, BorrowedFd settled) {
  const struct stat was = TRY(sys::fstat(original));
  const std::string beside = path + ".repaired";
  TRY(kho::save_image(settled, beside));
  const auto swap = [&]() -> Status {
    const UniqueFd now = TRY(sys::open(path, O_RDONLY | O_NOFOLLOW));
    const struct stat is = TRY(sys::fstat(now));
    if (identity_of(is) != identity_of(was)) {
      return fail(EBUSY, "{}: it changed while it was repaired", path);
    }
    const UniqueFd made = TRY(sys::open(beside, O_RDONLY | O_NOFOLLOW));
    // Whoever could read it can still; others can't.
    if (::fchown(made.get(), is.st_uid, is.st_gid) == 0 &&
        ::fchmod(made.get(), is.st_mode & 07777) != 0) {
      return fail_errno(beside);
    }
    TRY(sys::rename(beside, path));
    return kho::sync_folder_of(path);
  };
  Status swapped = swap();
  if (!swapped) static_cast<void>(sys::unlink(beside));
  return swapped;
}

}  // namespace

Result<ImageFsck> fsck_image(BorrowedFd image, const Context& context) {
  ImageFsck result;
  UniqueFd copy = TRY(kho::private_copy(image));
  const auto look = [&]() -> Status {
    const Folios before = TRY(look_at_pages(copy, result.findings));
    TRY(settle(copy, context, before, result.findings));
    const uint64_t zeroed = TRY(kho::zero_free_pages(copy));
    static_cast<void>(zeroed);  // told already, page by page
    return {};
  };
  if (const Status taken = look(); !taken) {
    result.refused = true;
    result.findings.add(fmt::format("{}: outlived would refuse this image", taken.error().message));
    return result;
  }
  result.settled = std::move(copy);
  return result;
}

Result<Repair> repair_image(const std::string& path, const Context& context) {
  const UniqueFd file = TRY(sys::open(path, O_RDONLY | O_NOFOLLOW));
  Repair repair;
  repair.before = TRY(fsck_image(file, context));
  const auto& lines = repair.before.findings.lines;
  const auto derived =
      std::count_if(lines.begin(), lines.end(), [](const Finding& one) { return one.derived; });
  if (repair.before.refused || derived == 0) return repair;
  const ImageFsck after = TRY(fsck_image(repair.before.settled, context));
  for (const Finding& one : after.findings.lines) {
    if (one.derived) return fail(EUCLEAN, "{}: the repair did not hold: {}", path, one.text);
  }
  const std::string saved = path + ".before-repair";
  TRY(kho::save_image(file, saved));
  TRY(replace(path, file, repair.before.settled));
  repair.saved = saved;
  repair.repaired = static_cast<uint64_t>(derived);
  return repair;
}

}  // namespace outlive::luo
