#include "wire/runtime_dir.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/sys.h"

namespace outlive::wire {
namespace {

std::optional<std::string> variable(const char* name) {
  const char* value = ::secure_getenv(name);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return std::string(value);
}

// The first place: where this user's outlived would be.
std::string own_path(const std::optional<std::string>& given, const RuntimeEnvironment& e) {
  if (given) return *given;
  if (e.given) return *e.given;
  if (e.uid == 0) return e.system;
  if (e.xdg_runtime) return *e.xdg_runtime + "/outlive";
  return fmt::format("{}/outlive-{}", e.temporary, e.uid);
}

// Both sockets' paths fit: control.sock is the shorter one.
Status check_length(const RuntimeDir& dir) {
  TRY(sys::unix_address(dir.liveupdate_socket()).context("runtime folder is too long"));
  return {};
}

// The folder is a real one, ours (or root's), and nobody else may write in it.
Status check_folder(const std::string& path, uid_t uid) {
  const UniqueFd fd = TRY(sys::open(path, O_PATH | O_NOFOLLOW));
  const struct stat facts = TRY(sys::fstat(fd).context("{}", path));
  if (S_ISLNK(facts.st_mode)) return fail(EPERM, "{}: is a symbolic link", path);
  if (!S_ISDIR(facts.st_mode)) return fail(ENOTDIR, "{}: is not a folder", path);
  if (facts.st_uid != uid && facts.st_uid != 0) {
    return fail(EPERM, "{}: belongs to uid {}, not to {}", path, facts.st_uid, uid);
  }
  if ((facts.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return fail(EPERM, "{}: others may write in it (mode {:o})", path, facts.st_mode & 07777);
  }
  return {};
}

}  // namespace

void RuntimeDir::remove_sockets() const {
  for (const std::string& socket : {liveupdate_socket(), control_socket()}) {
    const Status gone = sys::unlink(socket);
    static_cast<void>(gone);  // it may be gone already
  }
}

RuntimeEnvironment runtime_environment() {
  RuntimeEnvironment environment;
  environment.uid = ::geteuid();
  environment.given = variable("OUTLIVE_RUNTIME_DIR");
  environment.xdg_runtime = variable("XDG_RUNTIME_DIR");
  environment.temporary = variable("TMPDIR").value_or("/tmp");
  return environment;
}

Result<std::vector<RuntimeDir>> find_runtime_dirs(const std::optional<std::string>& given,
                                                  const RuntimeEnvironment& environment) {
  RuntimeDir own{own_path(given, environment), ""};
  TRY(check_length(own));
  if (given || environment.given) return std::vector<RuntimeDir>{own};
  if (environment.uid == 0) return std::vector<RuntimeDir>{own};
  if (const auto checked = check_folder(own.path, environment.uid);
      !checked && checked.error().code != ENOENT) {
    own.problem = checked.error().message;
  }
  return std::vector<RuntimeDir>{own, RuntimeDir{environment.system, ""}};
}

Result<RuntimeDir> make_runtime_dir(const std::optional<std::string>& given,
                                    const RuntimeEnvironment& environment) {
  RuntimeDir dir{own_path(given, environment), ""};
  TRY(check_length(dir));
  const mode_t mode = environment.uid == 0 ? 0755 : 0700;
  const auto made = sys::mkdir(dir.path, mode);
  if (!made && made.error().code != EEXIST) {
    return fail(made.error().code, "runtime folder {}", made.error().message);
  }
  TRY(check_folder(dir.path, environment.uid).context("runtime folder"));
  // The umask must not decide who may connect. Checked above: nobody else can have put this here.
  if (made && ::chmod(dir.path.c_str(), mode) == -1) return fail_errno(dir.path);
  return dir;
}

}  // namespace outlive::wire
