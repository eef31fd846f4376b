#include "machine/process/confinement.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/sys.h"
#include "machine/process/confinement_calls.h"

namespace outlive::machine {
namespace {

// linux/landlock.h of 6.2, which Debian 12's headers are too old for.
constexpr uint64_t kTruncate = 1u << 14;
constexpr uint64_t kRead = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
constexpr uint64_t kWrite = kRead | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG |
                            LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_DIR |
                            LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_REFER | kTruncate;
constexpr uint64_t kFirstRights = (1u << 13) - 1;  // those of version 1

uint64_t rights_of(int version) {
  return kFirstRights | (version >= 2 ? LANDLOCK_ACCESS_FS_REFER : 0) |
         (version >= 3 ? kTruncate : 0);
}

// A folder that isn't there needs no rule.
void allow_below(BorrowedFd ruleset, const std::string& path, uint64_t rights) {
  const Result<UniqueFd> folder = sys::open(path, O_PATH);
  if (!folder) return;
  const landlock_path_beneath_attr rule{rights, folder->get()};
  ::syscall(SYS_landlock_add_rule, ruleset.get(), LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
}

bool drop_capabilities() {
  if (::geteuid() != 0) return true;  // there are none
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  if (::syscall(SYS_capget, &header, data) != 0) return false;
  const uint64_t kept = kept_capabilities();
  for (int half = 0; half < 2; ++half) {
    const auto bits = static_cast<uint32_t>(kept >> (32 * half));
    data[half].permitted &= bits;
    data[half].effective = data[half].permitted;
    data[half].inheritable = 0;
  }
  ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  return ::syscall(SYS_capset, &header, data) == 0;
}

}  // namespace

uint64_t kept_capabilities() {
  uint64_t kept = 0;
  for (const int one : {CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_KILL, CAP_NET_BIND_SERVICE}) {
    kept |= uint64_t{1} << one;
  }
  return kept;
}

std::string Confined::text() const {
  std::string list;
  const auto add = [&](bool is, const std::string& name) {
    if (is) list += (list.empty() ? "" : ", ") + name;
  };
  add(seccomp, "seccomp");
  add(landlock != 0, fmt::format("Landlock {}", landlock));
  add(no_new_privileges, "no new privileges");
  add(capabilities, "capabilities dropped");
  if (list.empty()) return "off: " + why_not;
  return why_not.empty() ? list : list + "; not all: " + why_not;
}

Result<Confinement> Confinement::prepare(ConfinementPlan plan) {
  Confinement confinement;
  confinement.filter_ = TRY(compile_call_filter());
  confinement.plan_ = std::move(plan);
  return confinement;
}

Confinement Confinement::prepared(ConfinementPlan plan, std::vector<sock_filter> filter) {
  Confinement confinement;
  confinement.filter_ = std::move(filter);
  confinement.plan_ = std::move(plan);
  return confinement;
}

Confinement Confinement::off(std::string why) {
  Confinement confinement;
  confinement.why_off_ = std::move(why);
  return confinement;
}

// The version in force, or 0 with errno.
int Confinement::restrict_files() const {
  const long version =
      ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (version <= 0) return 0;
  const uint64_t handled = rights_of(static_cast<int>(version));
  const landlock_ruleset_attr attributes{handled};
  const UniqueFd ruleset(
      static_cast<int>(::syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0)));
  if (!ruleset) return 0;
  for (const char* path : {"/proc", "/sys/fs/cgroup"}) allow_below(ruleset, path, kRead);
  // Its own oom_score_adj and the like.
  allow_below(ruleset, "/proc/self", kRead | LANDLOCK_ACCESS_FS_WRITE_FILE);
  // A service of our own user may have its listener anywhere.
  allow_below(ruleset, "/", LANDLOCK_ACCESS_FS_MAKE_SOCK);
  for (const std::string& path : plan_.read) allow_below(ruleset, path, kRead);
  for (const std::string& path : plan_.write) allow_below(ruleset, path, kWrite & handled);
  if (::syscall(SYS_landlock_restrict_self, ruleset.get(), 0) != 0) return 0;
  return static_cast<int>(version);
}

Confined Confinement::apply() const {
  Confined confined;
  const auto note = [&](bool done, const char* what) {
    if (!done && confined.why_not.empty()) {
      confined.why_not = fmt::format("{}: {}", what, strerrordesc_np(errno));
    }
    return done;
  };
  if (filter_.empty()) {
    confined.why_not = why_off_;
    return confined;
  }
  confined.no_new_privileges =
      note(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no new privileges");
  if (!confined.no_new_privileges) return confined;
  confined.landlock = restrict_files();
  note(confined.landlock != 0, "Landlock");
  confined.capabilities = note(drop_capabilities(), "capabilities");
  const sock_fprog program{static_cast<uint16_t>(filter_.size()),
                           const_cast<sock_filter*>(filter_.data())};
  // SPEC_ALLOW: kernels before 5.16 switch speculation off for who asks for a filter, which would
  // cost more than all the rest; there is no foreign code in this process.
  confined.seccomp = note(::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                                    SECCOMP_FILTER_FLAG_SPEC_ALLOW, &program) == 0,
                          "seccomp");
  return confined;
}

}  // namespace outlive::machine
