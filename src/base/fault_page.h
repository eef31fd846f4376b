// The fault page: a file that a test maps beside every process of an outlived, to arm one fault
// point while they run, and to count what is hit (tests/crash/fault_page.py is its other side).
//
//   OUTLIVE_FAULTS=@PATH outlived ...      PATH: a file of sizeof(FaultPage) zero bytes
//
// The test writes role, name, at, times and action, and raises `armed` last; hits are counted over
// all processes of the role, so a worker that comes after a killed one doesn't start anew. With
// `counting`, each role's points are listed with their hits. Nothing here outlives the test.
// Threads: words are atomic; one process a role counts.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace outlive {

struct FaultPage {
  static constexpr uint64_t kMagic = 0x3145474150464c4f;  // "OLFPAGE1"
  static constexpr int64_t kKill = -1;
  static constexpr int64_t kStop = -2;   // SIGSTOP
  static constexpr int64_t kAbort = -3;  // SIGABRT
  static constexpr int64_t kHang = -4;   // for ever, awake
  static constexpr uint64_t kMostPoints = 508;

  struct Point {
    char role[16];
    char name[40];
    uint64_t hits;
  };

  uint64_t magic;
  uint64_t armed;     // 0: nothing
  char role[16];      // as set_log_role() has it; empty: any
  char name[40];      // exact
  uint64_t at;        // the hit that counts, 1 = first
  uint64_t times;     // from there on so many hits
  int64_t action;     // an errno, or one of the above
  uint64_t hits;      // so far
  uint64_t fired;     // how often the action was taken
  uint64_t counting;  // not 0: fill `points`
  uint64_t used;      // of points
  uint64_t reserved[16];
  Point points[kMostPoints];
};
static_assert(sizeof(FaultPage::Point) == 64 && sizeof(FaultPage) == 256 + 508 * 64);

// Maps the file for the life of the process, and of its clones.
Result<FaultPage*> map_fault_page(const std::string& path);
// One hit: 0, an errno, or one of FaultPage's actions.
int64_t fault_page_hit(FaultPage& page, const char* role, const char* name);

}  // namespace outlive
