// A memfd in a session of the kernel, in the structures of our abi/: `save [SESSION]` before a
// kexec, `check [SESSION]` after it; `drop SESSION` then has it and lets it go, so that the kernel
// gives it to nobody any more; `hold` only has the device open. What isn't as it was is said
// in one line, and the exit code is 1.
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "abi/liveupdate.h"
#include "base/sys.h"

namespace outlive {
namespace {

std::string_view session_name = "memfd-survives";
constexpr uint64_t kToken = 0xfeed'face'cafe'f00d;
constexpr size_t kSize = (3 << 20) + 123;  // no whole number of pages
constexpr size_t kHole = 1 << 20;          // the second MiB is never written
constexpr off_t kPosition = 4711;
constexpr char kLate[] = "written after it was preserved";

// What byte `at` must be: no two pages are alike.
char pattern(size_t at) {
  if (at < sizeof kLate) return kLate[at];
  if (at >= kHole && at < 2 * kHole) return 0;
  return static_cast<char>((at * 2654435761u) >> 13);
}

std::string contents() {
  std::string text(kSize, '\0');
  for (size_t at = 0; at < kSize; ++at) text[at] = pattern(at);
  return text;
}

template <typename T>
Status request(const UniqueFd& file, uint16_t number, T& argument, const char* what) {
  argument.size = sizeof argument;
  const auto command = static_cast<unsigned long>(_IO(abi::kLiveUpdateIoctlType, number));
  if (ioctl(file.get(), command, &argument) != 0) return fail_errno(what);
  return {};
}

Result<UniqueFd> open_session(uint16_t number, const char* what) {
  const UniqueFd device = TRY(sys::open("/dev/liveupdate", O_RDWR));
  abi::SessionRequest named{};
  memcpy(named.name, session_name.data(), std::min(session_name.size(), sizeof named.name - 1));
  TRY(request(device, number, named, what));
  return UniqueFd(named.fd);
}

Result<UniqueFd> retrieve(const UniqueFd& session) {
  abi::FdRequest wanted{};
  wanted.token = kToken;
  TRY(request(session, abi::kIoctlRetrieveFd, wanted, "RETRIEVE_FD"));
  return UniqueFd(wanted.fd);
}

Status write_at(const UniqueFd& file, std::string_view text, off_t offset) {
  if (pwrite(file.get(), text.data(), text.size(), offset) != static_cast<ssize_t>(text.size())) {
    return fail_errno("pwrite");
  }
  return {};
}

// A session lives as long as somebody has it open: a child of ours, which says nothing any more.
Status stay_behind() {
  const pid_t pid = fork();
  if (pid < 0) return fail_errno("fork");
  if (pid > 0) return {};
  TRY(sys::close_range(STDIN_FILENO, STDERR_FILENO, 0));
  while (true) pause();
}

// Has the device open, and nothing else.
Status hold() {
  const UniqueFd device = TRY(sys::open("/dev/liveupdate", O_RDWR));
  return stay_behind();
}

Status save() {
  const UniqueFd session = TRY(open_session(abi::kIoctlCreateSession, "CREATE_SESSION"));
  const UniqueFd file = TRY(sys::memfd_create("survivor", MFD_CLOEXEC));
  const std::string wanted = contents();
  const std::string_view all = wanted;
  TRY(sys::ftruncate(file, kSize));
  TRY(write_at(file, all.substr(sizeof kLate, kHole - sizeof kLate), sizeof kLate));
  TRY(write_at(file, all.substr(2 * kHole), 2 * kHole));
  if (lseek(file.get(), kPosition, SEEK_SET) != kPosition) return fail_errno("lseek");
  abi::FdRequest preserved{};
  preserved.fd = file.get();
  preserved.token = kToken;
  TRY(request(session, abi::kIoctlPreserveFd, preserved, "PRESERVE_FD"));
  TRY(write_at(file, all.substr(0, sizeof kLate), 0));
  return stay_behind();
}

Status compare(const UniqueFd& file) {
  const struct stat status = TRY(sys::fstat(file));
  if (status.st_size != static_cast<off_t>(kSize)) return fail(EIO, "size {}", status.st_size);
  const sys::Mapping map = TRY(sys::mmap(kSize, PROT_READ, MAP_SHARED, file));
  const std::string wanted = contents();
  for (size_t at = 0; at < kSize; ++at) {
    if (static_cast<char>(map.data()[at]) != wanted[at]) return fail(EIO, "byte {} differs", at);
  }
  return {};
}

Status check() {
  const UniqueFd session = TRY(open_session(abi::kIoctlRetrieveSession, "RETRIEVE_SESSION"));
  const UniqueFd file = TRY(retrieve(session));
  const off_t position = lseek(file.get(), 0, SEEK_CUR);
  if (position != kPosition) return fail(EIO, "position {}", position);
  TRY(compare(file).context("after RETRIEVE_FD"));

  // Asked again, the kernel gives the same open file.
  const UniqueFd again = TRY(retrieve(session));
  lseek(again.get(), 1, SEEK_SET);
  if (lseek(file.get(), 0, SEEK_CUR) != 1) return fail(EIO, "retrieved twice: two open files");

  abi::FinishRequest finish{};
  TRY(request(session, abi::kIoctlFinish, finish, "FINISH"));
  const auto gone = retrieve(session);
  if (gone || gone.error().code != ENOENT) return fail(EIO, "FINISH left the file in its session");
  TRY(compare(file).context("after FINISH"));
  return write_at(file, "mine again", 0);
}

Status drop() {
  const auto session = open_session(abi::kIoctlRetrieveSession, "RETRIEVE_SESSION");
  return session ? Status() : session.error();
}

}  // namespace
}  // namespace outlive

int main(int argc, char** argv) {
  using namespace outlive;
  const std::string_view what = argc >= 2 ? argv[1] : "";
  if (argc == 3) session_name = argv[2];
  Status (*todo)() = what == "save"    ? &save
                     : what == "check" ? &check
                     : what == "drop"  ? &drop
                     : what == "hold"  ? &hold
                                       : nullptr;
  if (argc > 3 || todo == nullptr) {
    dprintf(STDERR_FILENO, "usage: %s save|check|drop|hold [SESSION]\n", argv[0]);
    return 2;
  }
  const Status done = todo();
  if (done) return EXIT_SUCCESS;
  dprintf(STDERR_FILENO, "%s: %s\n", argv[1], done.error().text().c_str());
  return EXIT_FAILURE;
}
