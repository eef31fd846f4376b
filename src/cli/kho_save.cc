// outlive kho save: the live arena, as it is between two requests, as a file. Only in builds with
// OUTLIVE_KHO_DEBUG.
#include "cli/kho_save.h"

#include <sys/stat.h>

#include "base/sys.h"
#include "cli/exit_codes.h"
#include "cli/fields.h"
#include "cli/format.h"
#include "kho/image_copy.h"

namespace outlive::cli {
namespace {

Result<uint64_t> save(int64_t pid, int64_t fd, const std::string& path) {
  // Through /proc: the control side passes no descriptors.
  const UniqueFd copy = TRY(sys::open(fmt::format("/proc/{}/fd/{}", pid, fd), O_RDONLY)
                                .context("outlived's copy of the arena"));
  TRY(kho::save_image(copy, path));
  const UniqueFd saved = TRY(sys::open(path, O_RDONLY));
  const struct stat status = TRY(sys::fstat(saved));
  return static_cast<uint64_t>(status.st_blocks) * 512;
}

}  // namespace

Result<int> run_save(Cli& cli, const std::string& path) {
  const Json reply = TRY(cli.call("KhoSave", {{"done", false}}));
  Fields f(reply);
  const int64_t pid = f.number("pid");
  const int64_t fd = f.number("fd");
  TRY(f.check());
  const Result<uint64_t> saved = save(pid, fd, path);
  const Result<Json> done = cli.call("KhoSave", {{"done", true}});
  const uint64_t bytes = TRY(saved);
  if (!done) return done.error();
  if (cli.json) return cli.print_json({{"path", path}, {"disk_bytes", bytes}});
  cli.print(fmt::format("saved {} ({} on the disk): outlive fsck --image {}\n", path,
                        bytes_text(static_cast<int64_t>(bytes)), path));
  return kExitOk;
}

}  // namespace outlive::cli
