// FdStore: the tier above keeper, worker and spare. Where a service manager keeps descriptors for
// its services (sd_notify(3), FDSTORE=1), every file and connection that a record names, the arena
// and the listeners are there too, so that the next outlived can go on when all of this one's
// processes have died at once (stored_fds.h, new_table.h).
//
// Names: "outlive-arena", "outlive-device", "outlive-control", and "o.N" for the fd of number N
// (short,
//        as all names have to fit into one variable of 128 KiB). The next life gives each the same
//        number again, so records need no change. That makes one rule: a number is closed only
//        after its name has been removed.
// Happy path:   a record is committed -> hold() -> the reply is sent. A record is removed ->
//               release() -> the name is removed -> the closer closes.
// Unhappy path: the manager's queue is full: what follows waits, in order, for a later turn, and
//               replies wait in their sockets until then (Device::delay), so that nothing is
//               acknowledged that is not stored. Nothing moves for 30 s, or the manager is gone:
//               the store is given up for good, with an error in the log; everything else goes on.
// An end in order: SIGTERM leaves all with the manager, who alone knows whether it is a restart; an
//               end for good (`outlive stop --daemon`) leaves nothing.
// A death:      a manager doesn't hear who was buried before it looked. So the mark in the control
//               block is what it has taken (sd_notify_barrier(3)), and what was committed after it
//               is stored again by the next worker (the manager drops what it has); orphans' names
//               are removed.
// Promised is what was acknowledged, as far as the manager takes it: it takes
// FileDescriptorStoreMax= descriptors, and each open file once: of one that is preserved twice the
// second is lost. Threads: the worker's only one. Nothing here blocks but settle() and clear().
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "luo/records.h"
#include "machine/process/closer.h"
#include "machine/process/control.h"

namespace outlive::daemon {

inline constexpr char kStoreArena[] = "outlive-arena";
inline constexpr char kStoreDevice[] = "outlive-device";
inline constexpr char kStoreControl[] = "outlive-control";
inline constexpr char kStoreFd[] = "o.";  // and its number
std::string stored_name(BorrowedFd fd);

class FdStore {
 public:
  // Off: hold() does nothing, release() only closes.
  FdStore(bool on, machine::Control& control, machine::Closer& closer);

  struct Named {
    std::string name;
    BorrowedFd fd;
  };
  // Once a worker, when the table is in order: stores `base` and what the worker before may not
  // have stored.
  void resume(luo::Records& records, const std::vector<Named>& base);
  void hold(BorrowedFd fd);
  void release(BorrowedFd fd);
  // All that somebody else has put into it under that name.
  void remove(const std::string& name) { add({name, BorrowedFd(), true}); }
  // Each turn of the loop; `committed`: RecordsRoot::committed, all of which was given to hold().
  void flush(uint64_t now_ns, uint64_t committed);
  // At an end in order; each may take a second. All is there, whatever becomes of it: a manager
  // drops what a process said that is gone before it was heard.
  void settle(uint64_t committed);
  // Nothing is left for a next one.
  void clear(luo::Records& records);

  bool on() const { return on_; }
  std::vector<BorrowedFd> fds() const;
  size_t waiting() const { return queue_.size(); }
  // For Status; empty: off.
  std::string text(const luo::Records& records) const;

 private:
  struct Step {
    std::string name;
    BorrowedFd fd;
    bool remove = false;  // and then close fd, if it is valid
  };
  void add(Step step);
  bool carry_out(const Step& step);
  void give_up(const std::string& why);
  void note_taken(uint64_t now_ns, uint64_t committed);

  bool on_;
  machine::Control& control_;
  machine::Closer& closer_;
  std::deque<Step> queue_;
  uint64_t stuck_since_ns_ = 0;
  UniqueFd barrier_;           // hung up: the manager has taken all that was said before
  uint64_t barrier_mark_ = 0;  // RecordsRoot::committed of that
  uint64_t next_barrier_ns_ = 0;
};

// Whether to: "on", "off" or "auto": when the manager says that it takes some ($FDSTORE, of systemd
// 254 and later), or has handed some over. Never without $NOTIFY_SOCKET.
bool use_fd_store(std::string_view wanted, bool inherits);

// Tells the service manager; nothing without $NOTIFY_SOCKET. 0 or errno. `fd`: to be stored.
int notify_manager(std::string_view text, BorrowedFd fd = {});
// errno: it may be told later.
bool is_full(int code);
// FDPOLL=0: a connection whose client has gone may still hold its last requests.
std::string store_text(const std::string& name);
std::string remove_text(const std::string& name);
// Hangs up once the manager has taken all that was said before: it closes its copy of the pipe's
// other end then (sd_notify_barrier(3)). Invalid: its queue is full.
UniqueFd send_barrier();

}  // namespace outlive::daemon
