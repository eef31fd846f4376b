// What an outlived holds, seen from outside for a kexec: read from a copy of its arena, and each
// file as a descriptor of our own.
#pragma once

#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "base/unique_fd.h"
#include "cli/cli.h"
#include "cli/kernel_image.h"
#include "cli/kexec_image.h"

namespace outlive::cli {

struct KexecFile {
  uint64_t id = 0;  // of its record, unique for ever
  uint64_t session = 0;
  std::string session_name;
  uint64_t token = 0;
  int number = -1;  // in outlived's table
  UniqueFd fd;      // open_files()
  std::string kind;
  std::string how;  // it crosses, or why not
  bool lost = false;
};

// The kernel to come.
struct KexecTarget {
  std::string path;
  KernelImage image;
  std::string doubt;  // why it might lose everything (kexec_target.h); "": it won't
};

// Who replaces the kernel.
struct KexecWay {
  std::string unit;  // systemd, by `systemctl kexec`: whose fd store carries; "": reboot(2)
  std::string why;   // reboot(2) and not systemd
};

struct KexecPlan {
  KexecWay way;
  std::optional<KexecTarget> target;  // none was named
  std::vector<KexecFile> files;
  std::vector<std::string> direct;  // sessions whose files are the kernel's
  uint64_t image_bytes = 0;         // of the arena that are in use
};

// Without the files of these records.
KexecPlan read_kexec_plan(const KexecImage& image, const std::unordered_set<uint64_t>& known = {});
// Fetches them from the process, and learns how each would cross.
Status open_files(KexecPlan& plan, pid_t pid);
// Sessions of the kernel that it takes.
size_t kernel_sessions(const KexecPlan& plan);
// "3 files in 2 sessions": what is to cross.
std::string kexec_loss_text(const KexecPlan& plan);
std::string kexec_plan_text(const KexecPlan& plan);
Json kexec_plan_json(const KexecPlan& plan);

}  // namespace outlive::cli
