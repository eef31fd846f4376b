// `outlive kexec` by a service manager that carries sessions of the kernel to the next kernel: all
// of outlived is frozen, its sessions of the kernel are put into the manager's fd store, and the
// manager stops everything and replaces the kernel. Noted in the control block, as every worker has
// to know.
//
//   begin() -> (the command fills the store, and tells the manager) -> complete() -> outlived holds
//   (hold_server.h) until the manager stops it
//
// Happy path:   a stop ends outlived at once: nobody is thawed, and the sessions stay in the store.
// Unhappy path: before complete(): undo(), by whoever asked, by time, or because the worker died
//               and who asked is gone (reboot_hold.h). The sessions are taken out of the store,
//               where everything else still is, and the update is cancelled as any. After
//               complete() there is no way back: the manager is on its way, and it asks nobody.
// Threads: the worker's only one.
#pragma once

#include "daemon/fd_store.h"
#include "machine/process/control.h"

namespace outlive::daemon {

// Why outlived holds after complete().
inline constexpr char kHandedOver[] =
    "handed over to the service manager, which goes into another kernel with all that is kept: "
    "this can't be cancelled any more";

class HandOver {
 public:
  // Without a word of who asked; a call to the manager may take half of it.
  static constexpr uint64_t kPatienceNs = 60'000'000'000;
  // Of a worker that serves: what one before it had begun is undone.
  HandOver(machine::Control& control, FdStore& store) : control_(control), store_(store) { undo(); }
  // Everything is frozen. `connection`: of who asked.
  void begin(BorrowedFd connection, uint64_t now_ns);
  // The manager is on its way. EPROTO: nothing was begun. What isn't a session of the kernel's
  // leaves the store: it would be preserved, too, as far as it can be.
  Status complete(luo::Records& records);
  void undo();
  // Each turn of the loop. True: it goes on. Updates are left alone then: who isn't there any more
  // is no reason to cancel, everybody is being stopped.
  bool turn(uint64_t now_ns);

  // A stop ends outlived at once.
  static bool is_begun(const machine::Control& control);
  static bool is_complete(const machine::Control& control);
  // Where it is known without a worker that serves.
  static void note_complete(machine::Control& control);

 private:
  machine::Control& control_;
  FdStore& store_;
};

}  // namespace outlive::daemon
