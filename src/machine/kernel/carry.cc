#include "machine/kernel/carry.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/log.h"
#include "base/sys.h"
#include "machine/kernel/open_sessions.h"

namespace outlive::machine {
namespace {

constexpr int kKeptFlags = O_APPEND | O_NONBLOCK;

Result<UniqueFd> make_file(const char* name, uint64_t size) {
  UniqueFd file = TRY(sys::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  TRY(sys::ftruncate(file, size));
  return file;
}

Status write_at(BorrowedFd file, std::span<const std::byte> bytes, uint64_t at) {
  while (!bytes.empty()) {
    const ssize_t done = ::pwrite(file.get(), bytes.data(), bytes.size(), static_cast<off_t>(at));
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return fail_errno("what is noted for the next kernel");
    bytes = bytes.subspan(static_cast<size_t>(done));
    at += static_cast<uint64_t>(done);
  }
  return {};
}

Status read_at(BorrowedFd file, std::span<std::byte> bytes, uint64_t at) {
  while (!bytes.empty()) {
    const ssize_t done = ::pread(file.get(), bytes.data(), bytes.size(), static_cast<off_t>(at));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return fail_errno("what was noted by the kernel before");
    if (done == 0) return fail(EUCLEAN, "what was noted by the kernel before: it is too short");
    bytes = bytes.subspan(static_cast<size_t>(done));
    at += static_cast<uint64_t>(done);
  }
  return {};
}

std::string group_name(uint64_t number) {
  return fmt::format("{}{}", abi::kCarryFilesPrefix, number);
}

uint64_t boottime_ns(const Clock& clock) {
  return clock.steady_ns() - ::outlive::steady_offset_ns();
}

}  // namespace

std::string kernel_session_name(uint64_t id) {
  return fmt::format("{}{:016x}", abi::kCarryPrefix, id);
}

Result<Carry> Carry::begin(UniqueFd device) {
  KernelSession own = TRY(create_session(device, abi::kCarrySession));
  return Carry(std::move(device), std::move(own));
}

Status Carry::add(uint64_t id, BorrowedFd file) {
  if (group_of_.size() == groups_.size() * abi::kCarryGroup) {
    KernelSession group = TRY(create_session(device_, group_name(groups_.size())));
    groups_.push_back(std::move(group));
  }
  TRY(groups_.back().preserve(file, id));
  group_of_[id] = static_cast<uint32_t>(groups_.size() - 1);
  return {};
}

Status Carry::reserve(uint64_t image_bytes, size_t files) {
  image_ = TRY(make_file("outlive-arena", image_bytes));
  notes_ =
      TRY(make_file("outlive-carry", sizeof(abi::CarryHeader) + files * sizeof(abi::CarryFile)));
  room_ = files;
  TRY(own_.preserve(image_, abi::kCarryArena));
  return own_.preserve(notes_, abi::kCarryFiles);
}

std::vector<BorrowedFd> Carry::sessions() const {
  std::vector<BorrowedFd> list = {own_.fd()};
  for (const KernelSession& session : groups_) list.push_back(session.fd());
  return list;
}

Status Carry::write(std::vector<abi::CarryFile> files, uint64_t image_bytes, const Clock& clock) {
  if (files.size() > room_) {
    return fail(ENOSPC, "{} files, and room for {} was reserved", files.size(), room_);
  }
  for (abi::CarryFile& one : files) {
    const uint64_t id = one.id;
    const auto group = group_of_.find(id);
    if (group == group_of_.end()) return fail(EINVAL, "file {:x} was not preserved", id);
    one.group = group->second;
  }
  abi::CarryHeader header{.compatible = {},
                          .count = files.size(),
                          .image_bytes = image_bytes,
                          .written_ns = clock.realtime_ns(),
                          .steady_ns = clock.steady_ns()};
  memcpy(header.compatible, abi::kCarryCompatible, sizeof abi::kCarryCompatible);
  TRY(write_at(notes_, std::as_bytes(std::span(files)), sizeof header));
  return write_at(notes_, std::as_bytes(std::span(&header, 1)), 0);
}

Result<abi::CarryFile> facts_to_carry(uint64_t id, BorrowedFd file) {
  const struct stat status = TRY(sys::fstat(file));
  const int flags = ::fcntl(file.get(), F_GETFL);
  if (flags < 0) return fail_errno("F_GETFL");
  const auto seals = sys::get_seals(file);
  return abi::CarryFile{.id = id,
                        .seals = seals ? static_cast<uint32_t>(*seals) : 0,
                        .mode = static_cast<uint32_t>(status.st_mode) & 07777,
                        .uid = status.st_uid,
                        .gid = status.st_gid,
                        .flags = static_cast<uint32_t>(flags & kKeptFlags),
                        .group = 0};
}

Status restore_facts(const abi::CarryFile& facts, const struct statx& now, BorrowedFd file) {
  const int wanted = static_cast<int>(facts.flags) & kKeptFlags;
  if (wanted != 0 && ::fcntl(file.get(), F_SETFL, O_RDWR | wanted) != 0) {
    return fail_errno("F_SETFL");
  }
  const bool changes = facts.uid != now.stx_uid || facts.gid != now.stx_gid;
  if (changes && ::fchown(file.get(), facts.uid, facts.gid) != 0) return fail_errno("fchown");
  const uint32_t mode = facts.mode & 07777;
  const bool lost = changes && (mode & (S_ISUID | S_ISGID)) != 0;  // by the change of the owner
  if ((lost || mode != (now.stx_mode & 07777u)) && ::fchmod(file.get(), mode) != 0) {
    return fail_errno("fchmod");
  }
  if (facts.seals == 0) return {};
  const int there = TRY(sys::get_seals(file));
  const int missing = static_cast<int>(facts.seals) & ~there;
  if (missing == 0) return {};
  return sys::add_seals(file, missing);
}

void Arrival::take_open(bool only_let_go) {
  for (auto& [name, fd] : open_sessions()) {
    if (name != abi::kCarrySession && !name.starts_with(abi::kCarryPrefix)) continue;
    const Result<int> flags = sys::get_fd_flags(fd);
    if (only_let_go && (!flags || *flags != FD_CLOEXEC)) continue;
    sessions_.emplace(name, KernelSession(UniqueFd(fd.get())));
  }
}

Arrival Arrival::let_go_before(BorrowedFd device) {
  Arrival arrival(device);
  arrival.take_open(true);
  std::erase_if(arrival.sessions_, [](auto& one) {
    const Result<bool> incoming = one.second.is_incoming();
    if (!incoming || *incoming) return false;
    log_warning("the kernel's session '{}' was to cross a kexec that didn't come: given up",
                one.first);
    return true;
  });
  return arrival;
}

Result<std::optional<Arrival>> Arrival::claim(BorrowedFd device) {
  Arrival arrival(device);
  arrival.take_open(false);
  const Result<bool> came = arrival.look();
  if (came && *came) return std::optional(std::move(arrival));
  for (auto& [name, session] : arrival.sessions_) static_cast<void>(session.take().release());
  if (!came) return came.error();
  return std::optional<Arrival>();
}

Result<bool> Arrival::look() {
  for (auto& [name, session] : sessions_) {
    const bool incoming = TRY(session.is_incoming().context("session '{}'", name));
    if (!incoming) {
      return fail(EINVAL, "session '{}' was to cross a kexec that didn't come", name);
    }
    TRY(sys::set_cloexec(session.fd(), false));
  }
  const size_t others = sessions_.size();
  const auto own = session(abi::kCarrySession);
  if (own) return true;
  if (own.error().code != ENOENT) return own.error();
  if (others == 0) return false;
  return fail(ENOENT, "{} sessions are open, but session '{}' is gone", others, abi::kCarrySession);
}

Result<KernelSession*> Arrival::session(const std::string& name) {
  auto found = sessions_.find(name);
  if (found == sessions_.end()) {
    if (!device_.valid()) {
      return fail(ENODEV, "session '{}' was not handed over, and /dev/liveupdate isn't ours", name);
    }
    KernelSession one = TRY(retrieve_session(device_, name));
    // As all that is held: it crosses an exec of outlived.
    TRY(sys::set_cloexec(one.fd(), false));
    found = sessions_.emplace(name, std::move(one)).first;
  }
  return &found->second;
}

Status Arrival::read() {
  KernelSession* own = TRY(session(abi::kCarrySession));
  image_ = TRY(own->retrieve(abi::kCarryArena).context("the arena"));
  const UniqueFd notes = TRY(own->retrieve(abi::kCarryFiles).context("the notes"));
  return read_notes(notes);
}

Status Arrival::read_notes(BorrowedFd notes) {
  TRY(read_at(notes, std::as_writable_bytes(std::span(&header_, 1)), 0));
  const std::string version(header_.compatible, strnlen(header_.compatible, 32));
  if (version != abi::kCarryCompatible) {
    return fail(EPROTO, "session '{}': version '{}' is not '{}'", abi::kCarrySession, version,
                abi::kCarryCompatible);
  }
  const struct stat status = TRY(sys::fstat(notes));
  const uint64_t room =
      (static_cast<uint64_t>(status.st_size) - sizeof header_) / sizeof(abi::CarryFile);
  if (header_.count > room) return fail(EUCLEAN, "session '{}': bad count", abi::kCarrySession);
  std::vector<abi::CarryFile> list(header_.count);
  TRY(read_at(notes, std::as_writable_bytes(std::span(list)), sizeof header_));
  for (const abi::CarryFile& one : list) files_[one.id] = one;
  return {};
}

uint64_t time_over_kexec(uint64_t written_ns, uint64_t realtime_ns, uint64_t boottime_ns) {
  const uint64_t gone = realtime_ns > written_ns ? realtime_ns - written_ns : 0;
  return std::max(gone, boottime_ns);
}

uint64_t Arrival::gone_ns(const Clock& clock) const {
  return time_over_kexec(header_.written_ns, clock.realtime_ns(), boottime_ns(clock));
}

uint64_t Arrival::steady_offset_ns(const Clock& clock) const {
  const uint64_t boottime = boottime_ns(clock);  // once: what has gone by is not less
  return header_.steady_ns + time_over_kexec(header_.written_ns, clock.realtime_ns(), boottime) -
         boottime;
}

BorrowedFd Arrival::own() const {
  return sessions_.at(abi::kCarrySession).fd();
}

std::set<uint64_t> Arrival::groups() const {
  std::set<uint64_t> groups;
  for (const auto& [id, file] : files_) groups.insert(file.group);
  return groups;
}

Result<BorrowedFd> Arrival::open_group(uint64_t group) {
  const KernelSession* one = TRY(session(group_name(group)));
  return one->fd();
}

Result<BorrowedFd> Arrival::open_direct(uint64_t session) {
  const KernelSession* one = TRY(this->session(kernel_session_name(session)));
  return one->fd();
}

Result<UniqueFd> Arrival::file(uint64_t id) {
  const auto noted = files_.find(id);
  if (noted == files_.end()) return fail(ENOENT, "it was not preserved with the kernel");
  KernelSession* group = TRY(session(group_name(noted->second.group)));
  return group->retrieve(id);
}

Result<UniqueFd> Arrival::take_session(uint64_t id) {
  const std::string name = kernel_session_name(id);
  KernelSession* one = TRY(session(name));
  UniqueFd whole = one->take();
  sessions_.erase(name);
  return whole;
}

std::vector<BorrowedFd> Arrival::fds() const {
  std::vector<BorrowedFd> list;
  for (const auto& [name, session] : sessions_) list.push_back(session.fd());
  return list;
}

Status Arrival::let_go() {
  for (const auto& [name, session] : sessions_) TRY(sys::set_cloexec(session.fd(), true));
  return {};
}

// Its own one is the last: the order of the names.
Status Arrival::finish() {
  for (auto& [name, session] : sessions_) TRY(session.finish().context("{}", name));
  sessions_.clear();
  return {};
}

}  // namespace outlive::machine
