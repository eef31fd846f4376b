// What crosses a kexec by the kernel, as abi/kernel_carry.h lays it out: Carry on this side of it,
// Arrival on the other.
//
// Happy path:   Carry::begin -> add() for each file, reserve() -> (everything is frozen) -> write()
//               -> reboot(2) -> Arrival::claim, read() -> image(), file() for each -> let_go(),
//               finish()
// Unhappy path: a Carry that is destroyed before the reboot gives everything up again: cancelled.
//               Nothing is preserved by write(): that is never done in the blackout.
#pragma once

#include <sys/stat.h>

#include <map>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "abi/kernel_carry.h"
#include "base/clock.h"
#include "machine/kernel/liveupdate_device.h"

namespace outlive::machine {

class Carry {
 public:
  static Result<Carry> begin(UniqueFd device);
  // `id`: of its record. ENOENT: the kernel takes no such file. The rest: as
  // KernelSession::preserve.
  Status add(uint64_t id, BorrowedFd file);
  // Room for an arena's image and for what is noted of so many files.
  Status reserve(uint64_t image_bytes, size_t files);
  // Where the image goes: a file of that many bytes, zeros.
  BorrowedFd image() const { return image_; }
  // What has to be open when the kernel is replaced, in this process or in any.
  std::vector<BorrowedFd> sessions() const;
  // Of files that were added, and of an image that takes so much. ENOSPC: more than was reserved.
  Status write(std::vector<abi::CarryFile> files, uint64_t image_bytes, const Clock& clock);

 private:
  Carry(UniqueFd device, KernelSession own) : device_(std::move(device)), own_(std::move(own)) {}

  UniqueFd device_;
  KernelSession own_;
  std::vector<KernelSession> groups_;
  std::map<uint64_t, uint32_t> group_of_;  // by record
  UniqueFd image_;
  UniqueFd notes_;
  size_t room_ = 0;  // files
};

// What the kernel calls a direct session of this record: names are global there.
std::string kernel_session_name(uint64_t id);

// What the kernel doesn't keep of an open file.
Result<abi::CarryFile> facts_to_carry(uint64_t id, BorrowedFd file);
// Puts it back into a file that the kernel gave out: read-write, with no other flags. `now`: what
// STATX_UID, STATX_GID and STATX_MODE say of it; what is so already isn't set again.
Status restore_facts(const abi::CarryFile& facts, const struct statx& now, BorrowedFd file);

// How much has gone by since `written_ns`, CLOCK_REALTIME of the kernel before: what this one's
// says. That is from the machine's RTC, which counts whole seconds and needn't be right. But at
// least what has gone by since this kernel's clocks began (CLOCK_BOOTTIME), which is exact.
uint64_t time_over_kexec(uint64_t written_ns, uint64_t realtime_ns, uint64_t boottime_ns);

// Everything is done by descriptors of the table, and can be done again by another process of it
// where one was killed: the kernel gives out a session once, but the one that is open is found
// again, and a file is given out as often as it is asked for.
class Arrival {
 public:
  // nullopt: nothing of outlived's came from the kernel before. From here on it is there only as
  // long as this object is, or its sessions are open in the table: the kernel finishes what is
  // closed, and drops what nobody retrieved. An error leaves those open that were. `device`: not
  // valid where outlived hasn't got it: what is open in the table is all there is.
  static Result<std::optional<Arrival>> claim(BorrowedFd device);
  // After a death: only what is open in the table already, and was let go, to finish() it. One that
  // never crossed, as the kexec it was made for didn't come, is closed, which the log says.
  static Arrival let_go_before(BorrowedFd device);
  // EPROTO, EUCLEAN, or the kernel's error: it can't be read.
  Status read();
  BorrowedFd image() const { return image_; }
  uint64_t image_bytes() const { return header_.image_bytes; }  // that are in use
  // On outlived's steady clock: the last thing before reboot(2).
  uint64_t written_steady_ns() const { return header_.steady_ns; }
  // Since the last thing before reboot(2), as time_over_kexec() has it.
  uint64_t gone_ns(const Clock& clock) const;
  // What its steady clock adds to CLOCK_BOOTTIME of this kernel: it goes on with the realtime that
  // has gone by since.
  uint64_t steady_offset_ns(const Clock& clock) const;
  const std::map<uint64_t, abi::CarryFile>& files() const { return files_; }  // by record
  // Session "outlived".
  BorrowedFd own() const;
  // The groups of files(), and direct sessions by their records: retrieved if they aren't yet.
  // ENOENT: it didn't cross; ENODEV: nobody knows, as outlived hasn't got the device.
  std::set<uint64_t> groups() const;
  Result<BorrowedFd> open_group(uint64_t group);
  Result<BorrowedFd> open_direct(uint64_t session);
  // By its record. ENOENT: it didn't cross.
  Result<UniqueFd> file(uint64_t id);
  // A direct session's, whole: its files and its end are the caller's, who sees to it that it stays
  // open in the table. Of every run anew where one was killed. ENOENT: as file().
  Result<UniqueFd> take_session(uint64_t id);
  // Of the sessions that weren't taken whole; of the table. Unsorted.
  std::vector<BorrowedFd> fds() const;
  // They become CLOEXEC: whoever goes on after a death has only to finish them. Beyond that a
  // session that is open in the table is somebody's who keeps it.
  Status let_go();
  // All of these: what was retrieved is ours alone, the rest is gone. Again: nothing more happens.
  Status finish();

 private:
  explicit Arrival(BorrowedFd device) : device_(device) {}
  void take_open(bool only_let_go);
  // Whether there is a session "outlived", and what is open came.
  Result<bool> look();
  Result<KernelSession*> session(const std::string& name);
  Status read_notes(BorrowedFd notes);

  BorrowedFd device_;
  std::map<std::string, KernelSession> sessions_;  // by name
  UniqueFd image_;
  abi::CarryHeader header_{};
  std::map<uint64_t, abi::CarryFile> files_;
};

}  // namespace outlive::machine
