#include "files/memfd/memfd_device.h"

#include <linux/memfd.h>
#include <sys/sysmacros.h>

#include <bit>
#include <charconv>
#include <filesystem>
#include <mutex>
#include <vector>

#include "base/sys.h"

namespace outlive::files {
namespace {

struct Devices {
  uint64_t shared = 0;
  std::vector<uint64_t> huge;  // one a page size
};

Result<uint64_t> device_of_new(unsigned flags) {
  const UniqueFd fd = TRY(sys::memfd_create("outlive-probe", flags));
  const struct statx stat = TRY(sys::statx_cached(fd, STATX_INO));
  return static_cast<uint64_t>(makedev(stat.stx_dev_major, stat.stx_dev_minor));
}

// The sizes that this kernel knows: /sys/kernel/mm/hugepages/hugepages-2048kB.
std::vector<uint64_t> huge_page_sizes() {
  std::vector<uint64_t> sizes;
  std::error_code error;
  std::filesystem::directory_iterator entry("/sys/kernel/mm/hugepages", error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    constexpr std::string_view kPrefix = "hugepages-";
    if (!name.starts_with(kPrefix)) continue;
    uint64_t kib = 0;
    std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), kib);
    if (std::has_single_bit(kib)) sizes.push_back(kib << 10);
  }
  return sizes;
}

Result<Devices> probe() {
  Devices devices;
  devices.shared = TRY(device_of_new(0).context("device of memfds"));
  for (const uint64_t size : huge_page_sizes()) {
    const auto shift = static_cast<unsigned>(std::countr_zero(size));
    Result<uint64_t> device = device_of_new(MFD_HUGETLB | (shift << MFD_HUGE_SHIFT));
    // A size that can't be made here can't be met here either; a full table must not hide one.
    if (device) {
      devices.huge.push_back(*device);
    } else if (device.error().code == EMFILE || device.error().code == ENFILE) {
      return device.take_error();
    }
  }
  return devices;
}

}  // namespace

Result<MemfdDevice> memfd_device(uint64_t device) {
  static std::mutex mutex;
  static Devices known;
  const std::lock_guard lock(mutex);
  if (known.shared == 0) known = TRY(probe());
  if (device == known.shared) return MemfdDevice::kShared;
  for (const uint64_t huge : known.huge) {
    if (device == huge) return MemfdDevice::kHuge;
  }
  return MemfdDevice::kNone;
}

Result<MemfdDevice> looks_like_memfd(const Node& node) {
  if ((node.mode & S_IFMT) != S_IFREG || node.links != 0) return MemfdDevice::kNone;
  // One that the kernel carried through a kexec has lost its name.
  if (!node.link.starts_with("/memfd:") && node.link != "/ (deleted)") return MemfdDevice::kNone;
  return memfd_device(node.device);
}

}  // namespace outlive::files
