#include "base/fault_page.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <new>

namespace outlive {
namespace {

std::atomic_ref<uint64_t> atomic(uint64_t& word) {
  return std::atomic_ref<uint64_t>(word);
}

template <size_t N>
bool same(const char (&field)[N], const char* text) {
  return strncmp(field, text, N) == 0;
}

void count(FaultPage& page, const char* role, const char* name) {
  const uint64_t used = std::min(atomic(page.used).load(), FaultPage::kMostPoints);
  for (uint64_t i = 0; i < used; ++i) {
    FaultPage::Point& point = page.points[i];
    if (!same(point.name, name) || !same(point.role, role)) continue;
    atomic(point.hits).fetch_add(1);
    return;
  }
  const uint64_t mine = atomic(page.used).fetch_add(1);
  if (mine >= FaultPage::kMostPoints) return;
  strncpy(page.points[mine].role, role, sizeof page.points[mine].role - 1);
  strncpy(page.points[mine].name, name, sizeof page.points[mine].name - 1);
  atomic(page.points[mine].hits).fetch_add(1);
}

}  // namespace

Result<FaultPage*> map_fault_page(const std::string& path) {
  // Not through sys.h, which passes fault points itself.
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd == -1) return fail_errno(path);
  void* data = ::mmap(nullptr, sizeof(FaultPage), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  const int code = errno;
  ::close(fd);
  if (data == MAP_FAILED) return fail(code, "{}: mmap: {}", path, strerror(code));
  auto* page = std::launder(static_cast<FaultPage*>(data));
  if (page->magic != FaultPage::kMagic) return fail(EINVAL, "{}: no fault page", path);
  return page;
}

int64_t fault_page_hit(FaultPage& page, const char* role, const char* name) {
  if (atomic(page.counting).load() != 0) count(page, role, name);
  if (atomic(page.armed).load() == 0) return 0;
  if (page.role[0] != '\0' && !same(page.role, role)) return 0;
  if (!same(page.name, name)) return 0;
  const uint64_t hit = atomic(page.hits).fetch_add(1) + 1;
  if (hit < page.at || hit >= page.at + page.times) return 0;
  atomic(page.fired).fetch_add(1);
  return page.action;
}

}  // namespace outlive
