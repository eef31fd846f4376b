// DOC: how a kernel tells an outlived that it was started to bring what that one kept: text on its
// command line, by `outlive kexec`; and what the outlived makes of it, in a file.
//
// Parameter: outlive.kexec=SECONDS:FOLDER
//   SECONDS  CLOCK_REALTIME when the kernel was loaded, decimal
//   FOLDER   the runtime folder of the outlived; bytes but A-Z a-z 0-9 . / _ - are %XX
// A parameter with a dot in its name is a module's: the kernel ignores one whose module it doesn't
// have, and doesn't hand it to init (Linux: init/main.c, unknown_bootoption). What comes behind
// "--" is init's.
//
// A command line may be used again, by whoever starts the next kernel. So a mark means one boot:
// that which begins within kMarkSeconds, and the first one that a file doesn't name already.
//
// File STATE_DIR/kexec-mark, three lines: the parameter; the boot's id, as
// /proc/sys/kernel/random/boot_id says it; and
//   open  what the mark announces is missing, or can't be read, and that is refused
//   over  outlived has served on this boot, or was ended in order after a refusal
#pragma once

#include <cstdint>

namespace outlive::abi {

inline constexpr char kMarkKey[] = "outlive.kexec=";
inline constexpr char kMarkFile[] = "kexec-mark";
inline constexpr char kMarkOpen[] = "open";
inline constexpr char kMarkOver[] = "over";

// From the load to the next kernel's clock: preserving (seconds a GiB at worst), all services'
// freeze, a service manager's shutdown and the devices', and what the machine's clock is behind or
// ahead of the system's after months.
inline constexpr int64_t kMarkSeconds = 3600;
// Of these at most so many until services are asked.
inline constexpr int64_t kMarkPreserveSeconds = 2700;

// The inode of the first pid namespace's file in /proc (Linux: PROC_PID_INIT_INO): containers see
// the command line, too.
inline constexpr uint64_t kFirstPidNamespace = 0xeffffffc;

}  // namespace outlive::abi
