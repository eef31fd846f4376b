// Where outlived's sockets are: one folder with liveupdate.sock (the device) and control.sock.
//
//   given          --runtime-dir or $OUTLIVE_RUNTIME_DIR: that folder itself, and no other
//   root           /run/outlive
//   anyone else    $XDG_RUNTIME_DIR/outlive; without it outlive-UID in the temporary directory
//
// The folder in the temporary directory stands where anyone may create names, so it is used only
// when it is ours: a folder (no symlink), owned by us, closed to others. The folder is the door:
// who may enter it may connect.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace outlive::wire {

struct RuntimeDir {
  std::string path;
  std::string problem;  // why it must not be used; "" when it may

  std::string liveupdate_socket() const { return path + "/liveupdate.sock"; }
  std::string control_socket() const { return path + "/control.sock"; }
  // At outlived's end: who connects from now on hears that there is nobody.
  void remove_sockets() const;
};

// What the places depend on; handed in by tests.
struct RuntimeEnvironment {
  uid_t uid = 0;
  std::optional<std::string> given;        // $OUTLIVE_RUNTIME_DIR
  std::optional<std::string> xdg_runtime;  // $XDG_RUNTIME_DIR
  std::string temporary = "/tmp";          // $TMPDIR
  std::string system = "/run/outlive";
};
RuntimeEnvironment runtime_environment();

// For clients: the places to try, in order. An ordinary user's second one is /run/outlive, where a
// root's outlived serves everyone. ENAMETOOLONG: a socket's path would be too long.
Result<std::vector<RuntimeDir>> find_runtime_dirs(
    const std::optional<std::string>& given = std::nullopt,
    const RuntimeEnvironment& environment = runtime_environment());
// For outlived: its folder, made if it is missing (0755 for root, else 0700). EPERM: it is
// somebody else's, a symlink, or others may write in it.
Result<RuntimeDir> make_runtime_dir(const std::optional<std::string>& given = std::nullopt,
                                    const RuntimeEnvironment& environment = runtime_environment());

}  // namespace outlive::wire
