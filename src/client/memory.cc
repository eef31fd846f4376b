#include "client/memory.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>

#include "base/crc32c.h"
#include "client/memory_check.h"

namespace outlive::client {
namespace {

constexpr size_t kMostName = 63;

uint64_t pages_for(uint64_t bytes) {
  return std::max<uint64_t>(1, (bytes + abi::kMemoryPageSize - 1) >> abi::kMemoryPageShift);
}

// Every byte that we may touch must stay: mapped memory of a file that shrinks is a SIGBUS.
Status seal_against_shrinking(BorrowedFd file) {
  const Result<int> seals = sys::get_seals(file);
  if (!seals)
    return fail(EINVAL, "not a memfd that can be sealed (make it with MFD_ALLOW_SEALING)");
  if (*seals & F_SEAL_SHRINK) return {};
  return sys::add_seals(file, F_SEAL_SHRINK).context("sealing it against shrinking");
}

// Compiler barriers keep the epoch's stores on their side of the changes: for a process that is
// killed its own program order is what the next one finds, so the processor needs none.
void store_epoch(uint64_t* word, uint64_t value) {
  std::atomic_signal_fence(std::memory_order_seq_cst);
  std::atomic_ref(*word).store(value, std::memory_order_release);
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

void write_header(abi::MemoryHeader& header, std::string_view name, uint64_t first, uint64_t most) {
  memcpy(header.compatible, abi::kMemoryCompatible, sizeof abi::kMemoryCompatible);
  memcpy(header.name, name.data(), name.size());
  header.page_shift = abi::kMemoryPageShift;
  header.classes = abi::kMemoryClasses;
  header.first_page = first;
  header.max_pages = most;
  header.crc = crc32c(std::as_bytes(std::span(&header, 1)).first(offsetof(abi::MemoryHeader, crc)));
}

}  // namespace

Memory::Memory(UniqueFd file, sys::Mapping read_only, sys::Mapping writable)
    : file_(std::move(file)),
      read_only_view_(std::move(read_only)),
      writable_view_(std::move(writable)),
      runs_(table_, file_.borrow()),
      heap_(table_, runs_) {}

void Memory::use(std::byte* base, uint64_t first, uint64_t most) {
  base_ = base;
  table_ = MemoryTable(base, first, most);
}

Result<std::unique_ptr<Memory>> Memory::map(UniqueFd file, uint64_t first, uint64_t most,
                                            bool read_only_first) {
  const uint64_t bytes = (first + most) << abi::kMemoryPageShift;
  const int flags = MAP_SHARED | MAP_NORESERVE;
  sys::Mapping read_only;
  if (read_only_first) {
    read_only =
        TRY(sys::mmap(bytes, PROT_READ, flags, file)
                .context("{} MiB of address space (a lower limit needs less)", bytes >> 20));
  }
  sys::Mapping writable =
      TRY(sys::mmap(bytes, PROT_READ | PROT_WRITE, flags, file)
              .context("{} MiB of address space (a lower limit needs less)", bytes >> 20));
  std::unique_ptr<Memory> memory(
      new Memory(std::move(file), std::move(read_only), std::move(writable)));
  memory->use(read_only_first ? memory->read_only_view_.data() : memory->writable_view_.data(),
              first, most);
  return memory;
}

Result<UniqueFd> Memory::new_file(std::string_view name) {
  return sys::memfd_create(std::string(name).c_str(), MFD_ALLOW_SEALING);
}

Result<std::unique_ptr<Memory>> Memory::create(UniqueFd file, std::string_view name, uint64_t size,
                                               uint64_t limit) {
  if (name.empty() || name.size() > kMostName || name.find('\0') != std::string_view::npos) {
    return fail(EINVAL, "memory's name '{}' must have 1 to {} bytes", name, kMostName);
  }
  if (limit == 0) limit = std::max(kDefaultLimit, size);
  if (size > limit || limit > abi::kMemoryMostBytes) {
    return fail(EINVAL, "memory '{}': {} bytes with a limit of {} (at most {})", name, size, limit,
                abi::kMemoryMostBytes);
  }
  const uint64_t most = pages_for(limit);
  const uint64_t table_end = abi::kMemoryHeaderSize + most * sizeof(abi::MemoryPage);
  const uint64_t first = pages_for(table_end);
  const struct stat before = TRY(sys::fstat(file).context("memory '{}'", name));
  if (before.st_size > 0) {
    TRY(sys::fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                       static_cast<uint64_t>(before.st_size))
            .context("memory '{}'", name));
  }
  TRY(sys::fallocate(file, 0, 0, abi::kMemoryHeaderSize).context("memory '{}'", name));
  TRY(seal_against_shrinking(file).context("memory '{}'", name));
  std::unique_ptr<Memory> memory =
      TRY(map(std::move(file), first, most, false).context("memory '{}'", name));
  TRY(memory->runs_.extend(pages_for(size)).context("memory '{}'", name));
  write_header(memory->table_.header(), name, first, most);
  return memory;
}

Result<std::unique_ptr<Memory>> Memory::attach(UniqueFd file) {
  TRY(seal_against_shrinking(file));
  const struct stat status = TRY(sys::fstat(file));
  const uint64_t file_size = static_cast<uint64_t>(status.st_size);
  if (file_size < abi::kMemoryHeaderSize) {
    return fail(EPROTO, "not a memory region: {} bytes", file_size);
  }
  const sys::Mapping head =
      TRY(sys::mmap(abi::kMemoryHeaderSize, PROT_READ, MAP_SHARED, file).context("header"));
  const abi::MemoryHeader header = *reinterpret_cast<const abi::MemoryHeader*>(head.data());
  TRY(check_memory_header(header, file_size));
  return map(std::move(file), header.first_page, header.max_pages, true);
}

Status Memory::make_writable() {
  if (writable()) return {};
  if (writes_held_) return fail(EPERM, "memory '{}': not before the update is committed", name());
  // Looked at again: the one before it has had it since attach.
  const struct stat status = TRY(sys::fstat(file_));
  TRY(check_memory_header(table_.header(), static_cast<uint64_t>(status.st_size))
          .context("memory '{}'", name()));
  use(writable_view_.data(), table_.first(), table_.most());
  return {};
}

Result<bool> Memory::same_file(BorrowedFd other) const {
  const struct stat ours = TRY(sys::fstat(file_));
  const struct stat theirs = TRY(sys::fstat(other));
  return ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino;
}

std::string Memory::name() const {
  const char* text = table_.header().name;
  return std::string(text, strnlen(text, kMostName));
}

uint64_t Memory::size() const {
  return (table_.first() + std::min(table_.header().pages, table_.most())) << abi::kMemoryPageShift;
}

uint64_t Memory::epoch() const {
  return std::atomic_ref(table_.header().epoch).load(std::memory_order_acquire);
}

Status Memory::may_change() const {
  if (!writable())
    return fail(EPERM, "memory '{}' is read-only before it is made writable", name());
  if (!consistent() && !own_odd_) {
    return fail(EUCLEAN, "memory '{}' was left in the middle of a change", name());
  }
  return {};
}

Result<uint64_t> Memory::allocate(uint64_t bytes) {
  if (!writable() || (!consistent() && !own_odd_)) [[unlikely]]
    return may_change().take_error();
  enter();
  Result<uint64_t> offset = heap_.allocate(bytes);
  if (table_.broken()) [[unlikely]] {
    own_odd_ = false;  // it stays odd: who comes next shall not trust it either
    offset = fail(EUCLEAN, "memory '{}' is damaged", name());
  }
  leave();
  return offset;
}

Status Memory::free(uint64_t offset) {
  if (offset == 0) return {};
  if (!writable() || (!consistent() && !own_odd_)) [[unlikely]]
    return may_change().take_error();
  enter();
  Status status = heap_.free(offset);
  if (table_.broken()) [[unlikely]] {
    own_odd_ = false;
    status = fail(EUCLEAN, "memory '{}' is damaged", name());
  }
  leave();
  return status;
}

uint64_t Memory::usable(uint64_t offset) const {
  const uint64_t bytes = heap_.usable(offset);
  const bool broken = table_.broken();
  table_.clear_broken();  // a question changes nothing
  return broken ? 0 : bytes;
}

uint64_t Memory::root() const {
  const uint64_t root = std::atomic_ref(table_.header().root).load(std::memory_order_acquire);
  return root < size() ? root : 0;
}

Status Memory::set_root(uint64_t root) {
  if (!writable()) return may_change();
  if (root != 0 && (root >= size() || root >> abi::kMemoryPageShift < table_.first())) {
    return fail(EINVAL, "memory '{}': root {} is outside of the heap", name(), root);
  }
  std::atomic_ref(table_.header().root).store(root, std::memory_order_release);
  return {};
}

void Memory::enter() {
  if (depth_++ != 0 || !writable()) return;
  const uint64_t now = epoch();
  if (now & 1) return;  // someone else's change: it stays theirs
  own_odd_ = true;
  store_epoch(&table_.header().epoch, now + 1);
}

void Memory::leave() {
  if (depth_ == 0 || --depth_ != 0 || !own_odd_) return;
  own_odd_ = false;
  store_epoch(&table_.header().epoch, epoch() + 1);
}

Status Memory::check() const {
  return check_memory({base_, size()}).context("memory '{}'", name());
}

Status Memory::repaired() {
  if (!writable()) return may_change();
  if (depth_ != 0) return fail(EBUSY, "memory '{}': a change is being made", name());
  TRY(check());
  table_.clear_broken();
  if (!consistent()) store_epoch(&table_.header().epoch, epoch() + 1);
  return {};
}

}  // namespace outlive::client
