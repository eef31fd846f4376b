#include "compat/device_path.h"

#include <fcntl.h>
#include <sys/stat.h>

namespace outlive::compat {
namespace {

constexpr std::string_view kName = "liveupdate";

}  // namespace

bool names_device(const Caller& caller, int directory, const std::string& path) {
  if (path == kDevicePath) return true;
  if (!path.ends_with(kName)) return false;
  const std::string folder = path.substr(0, path.size() - kName.size());
  if (!folder.empty() && folder.back() != '/') return false;
  std::string base;
  if (path.front() == '/') {
    base = caller.proc("root");
  } else if (directory == AT_FDCWD) {
    base = caller.proc("cwd/");
  } else {
    base = caller.proc(fmt::format("fd/{}/", directory));
  }
  struct stat wanted;
  struct stat found;
  return stat(caller.proc("root/dev").c_str(), &wanted) == 0 &&
         stat((base + folder).c_str(), &found) == 0 && wanted.st_dev == found.st_dev &&
         wanted.st_ino == found.st_ino;
}

}  // namespace outlive::compat
