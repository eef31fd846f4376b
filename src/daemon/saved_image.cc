#include "daemon/saved_image.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <vector>

#include "abi/kho.h"
#include "base/sys.h"
#include "daemon/methods.h"

namespace outlive::daemon {
namespace {

constexpr size_t kChunk = 1 << 20;
constexpr unsigned kChunksASync = 8;  // a sync of many GiB at once would look like a hang

// The file under its first name, which is gone unless it got its last one.
class Part {
 public:
  explicit Part(std::string path) : path_(std::move(path)) {}
  ~Part() {
    if (path_.empty()) return;
    const Status gone = sys::unlink(path_);
    static_cast<void>(gone);
  }
  Part(const Part&) = delete;
  Part& operator=(const Part&) = delete;
  const std::string& path() const { return path_; }
  void keep() { path_.clear(); }

 private:
  std::string path_;
};

Status copy_chunk(BorrowedFd from, BorrowedFd to, std::vector<std::byte>& buffer, off_t at,
                  off_t end) {
  const size_t size = std::min(buffer.size(), static_cast<size_t>(end - at));
  if (::pread(from.get(), buffer.data(), size, at) != static_cast<ssize_t>(size)) {
    return fail_errno("the arena");
  }
  for (size_t done = 0; done < size;) {
    const ssize_t put =
        ::pwrite(to.get(), buffer.data() + done, size - done, at + static_cast<off_t>(done));
    if (put <= 0) return fail_errno("a copy of the arena");
    done += static_cast<size_t>(put);
  }
  return {};
}

Status copy_data(BorrowedFd from, BorrowedFd to, off_t size, const std::function<void()>& beat) {
  std::vector<std::byte> buffer(kChunk);
  unsigned chunks = 0;
  for (off_t at = 0; at < size;) {
    at = ::lseek(from.get(), at, SEEK_DATA);
    if (at < 0) break;  // ENXIO: holes up to the end
    const off_t end = ::lseek(from.get(), at, SEEK_HOLE);
    if (end < 0) return fail_errno("the arena");
    for (; at < end; at += kChunk) {
      TRY(copy_chunk(from, to, buffer, at, end));
      if (++chunks % kChunksASync == 0 && ::fdatasync(to.get()) != 0) {
        return fail_errno("a copy of the arena");
      }
      beat();
    }
    at = end;
  }
  if (::fsync(to.get()) != 0) return fail_errno("a copy of the arena");
  return {};
}

}  // namespace

Result<std::string> save_image(BorrowedFd arena, const std::string& folder, uint64_t realtime_ns,
                               const std::function<void()>& beat) {
  const std::string path = fmt::format("{}/refused-{}.arena", folder, time_text(realtime_ns));
  if (::access(path.c_str(), F_OK) == 0) return fail(EEXIST, "{} is there already", path);
  const struct stat facts = TRY(sys::fstat(arena));
  const UniqueFd to =
      TRY(sys::open(path + ".part", O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  Part part(path + ".part");
  TRY(sys::ftruncate(to, static_cast<uint64_t>(facts.st_size)).context("{}", part.path()));
  TRY(copy_data(arena, to, facts.st_size, beat).context("{}", part.path()));
  if (::rename(part.path().c_str(), path.c_str()) != 0) return fail_errno(path);
  part.keep();
  const UniqueFd directory = TRY(sys::open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (::fsync(directory.get()) != 0) return fail_errno(folder);
  return path;
}

Status clear_arena(BorrowedFd arena) {
  const std::array<std::byte, abi::kPageSize> blank{};
  if (::pwrite(arena.get(), blank.data(), blank.size(), 0) != static_cast<ssize_t>(blank.size())) {
    return fail_errno("the arena's header");
  }
  const struct stat facts = TRY(sys::fstat(arena));
  constexpr int kPunch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  if (::fallocate(arena.get(), kPunch, 0, facts.st_size) != 0) return fail_errno("the arena");
  return {};
}

}  // namespace outlive::daemon
