#include "kho/image_copy.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <vector>

#include "abi/kho.h"
#include "base/sys.h"
#include "kho/arena.h"

namespace outlive::kho {
namespace {

constexpr size_t kPieceBytes = 256 * abi::kPageSize;

bool is_zero(const std::byte* bytes, size_t size) {
  return size == 0 || (bytes[0] == std::byte{0} && std::memcmp(bytes, bytes + 1, size - 1) == 0);
}

Status write_at(BorrowedFd to, const std::byte* bytes, size_t size, uint64_t at) {
  while (size > 0) {
    const ssize_t done = ::pwrite(to.get(), bytes, size, static_cast<off_t>(at));
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return fail_errno("a copy of the image");
    bytes += done;
    at += static_cast<uint64_t>(done);
    size -= static_cast<size_t>(done);
  }
  return {};
}

// What of [at, end) isn't zero, page by page. The next offset.
Result<uint64_t> copy_piece(BorrowedFd from, BorrowedFd to, uint64_t at, uint64_t end,
                            std::vector<std::byte>& buffer) {
  const size_t wanted = std::min<uint64_t>(buffer.size(), end - at);
  const ssize_t got = ::pread(from.get(), buffer.data(), wanted, static_cast<off_t>(at));
  if (got < 0 && errno == EINTR) return at;
  if (got < 0) return fail_errno("image");
  if (got == 0) return fail(EUCLEAN, "image: it became shorter while it was read");
  for (size_t done = 0; done < static_cast<size_t>(got);) {
    const size_t part = std::min<size_t>(abi::kPageSize, static_cast<size_t>(got) - done);
    if (!is_zero(&buffer[done], part)) TRY(write_at(to, &buffer[done], part, at + done));
    done += part;
  }
  return at + static_cast<uint64_t>(got);
}

Status save_into(BorrowedFd from, BorrowedFd to, const std::string& path) {
  TRY(copy_image(from, to));
  if (::fsync(to.get()) != 0) return fail_errno(path);
  return sync_folder_of(path);
}

}  // namespace

Status sync_folder_of(const std::string& path) {
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  const std::string name = folder.empty() ? std::string(".") : folder.string();
  const UniqueFd opened = TRY(sys::open(name, O_RDONLY | O_DIRECTORY));
  if (::fsync(opened.get()) != 0) return fail_errno(name);
  return {};
}

Status copy_image(BorrowedFd from, BorrowedFd to) {
  const struct stat status = TRY(sys::fstat(from));
  TRY(sys::ftruncate(to, static_cast<uint64_t>(status.st_size)));
  return copy_into(from, to);
}

Status copy_into(BorrowedFd from, BorrowedFd to, uint64_t most) {
  const struct stat status = TRY(sys::fstat(from));
  if (!S_ISREG(status.st_mode)) return fail(EINVAL, "image: not a file");
  const auto size = std::min(most, static_cast<uint64_t>(status.st_size));
  std::vector<std::byte> buffer(kPieceBytes);
  for (uint64_t at = 0; at < size;) {
    const off_t data = ::lseek(from.get(), static_cast<off_t>(at), SEEK_DATA);
    if (data < 0 && errno == ENXIO) return {};
    if (data < 0) return fail_errno("image: SEEK_DATA");
    const off_t hole = ::lseek(from.get(), data, SEEK_HOLE);
    if (hole < 0) return fail_errno("image: SEEK_HOLE");
    at = static_cast<uint64_t>(data);
    const uint64_t end = std::min(size, static_cast<uint64_t>(hole));
    while (at < end) at = TRY(copy_piece(from, to, at, end, buffer));
  }
  return {};
}

Result<UniqueFd> private_copy(BorrowedFd from) {
  UniqueFd copy = TRY(sys::memfd_create("outlive-image", MFD_ALLOW_SEALING));
  TRY(copy_image(from, copy));
  return copy;
}

Status save_image(BorrowedFd from, const std::string& path) {
  const UniqueFd to = TRY(sys::open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
  Status saved = save_into(from, to, path);
  if (!saved) static_cast<void>(sys::unlink(path));
  return saved;
}

}  // namespace outlive::kho
