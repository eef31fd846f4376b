// DOC: the timeline of one update, compatible string "outlive-timeline-v1".
// The ABI may change, if the change includes a new version in the compatible string.
// Compatibility is guaranteed only between the versions listed here: outlive-timeline-v1.
//
// One page: TimelinePage and up to kTimelineEntries entries. An entry is filled first, then `count`
// is stored: a reader sees whole entries only. When it is full the last entry counts what is lost.
#pragma once

#include <cstddef>
#include <cstdint>

namespace outlive::abi {

inline constexpr char kTimelineCompatible[] = "outlive-timeline-v1";

// `outlive kexec`, and the last of its steps: open in what crosses the kexec, which says that it
// did.
inline constexpr char kTimelineKexec[] = "outlive kexec";
inline constexpr char kTimelineWrite[] = "write";
// A point of it where a service manager replaces the kernel.
inline constexpr char kTimelineManager[] = "systemctl kexec";

struct TimelineEntry {  // 64 bytes
  uint64_t start_ns;    // CLOCK_MONOTONIC of RecordsRoot.boot_id; of an update of scope kernel:
                        // outlived's steady clock (base/clock.h), which goes on over the kexec
  uint64_t end_ns;      // 0: not over, or a point
  char who[24];         // "old", "successor", "outlived", a handler's compatible string
  char what[24];        // a step: "prepare", "freeze", "retrieve", ...
};
static_assert(sizeof(TimelineEntry) == 64);

struct TimelinePage {
  char compatible[24];
  uint64_t update;  // correlation id
  uint64_t count;
  uint64_t lost;
  uint64_t reserved[2];
};
static_assert(sizeof(TimelinePage) == 64);
inline constexpr size_t kTimelineEntries = (4096 - sizeof(TimelinePage)) / sizeof(TimelineEntry);

}  // namespace outlive::abi
