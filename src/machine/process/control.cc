#include "machine/process/control.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

namespace outlive::machine {

namespace {

constexpr uint64_t kMostKept = (uint64_t{1} << abi::kKeptNumberBits) - 1;

uint64_t word_of(BorrowedFd file, const struct stat& facts) {
  static_assert(abi::kKeptNumberBits + abi::kKeptInodeBits == 64);
  return uint64_t{facts.st_ino} << abi::kKeptNumberBits | static_cast<uint64_t>(file.get());
}

Result<uint64_t> kept_word(BorrowedFd file) {
  if (static_cast<uint64_t>(file.get()) > kMostKept) return fail(EMFILE, "fd {}", file.get());
  const struct stat facts = TRY(sys::fstat(file));
  return word_of(file, facts);
}

}  // namespace

ChildExit ChildExit::from_packed(pid_t pid, int64_t packed) {
  return ChildExit{pid, static_cast<int>(packed >> 32), static_cast<int>(packed & 0xffffffff)};
}

std::string ChildExit::text() const {
  switch (code) {
    case CLD_EXITED:
      return fmt::format("exit code {}", status);
    case CLD_KILLED:
    case CLD_DUMPED: {
      const char* name = sigdescr_np(status);
      return fmt::format("signal {} ({})", status, name != nullptr ? name : "?");
    }
    default:
      return "ended";
  }
}

Result<Control> Control::create() {
  Control control;
  control.memory_ = TRY(sys::memfd_create("outlive-control", 0));
  TRY(sys::ftruncate(control.memory_, sizeof(abi::ControlBlock)));
  TRY(control.map());
  control.worker_wake_ = TRY(sys::eventfd(0));
  control.keeper_wake_ = TRY(sys::eventfd(0));
  // A new memfd is zeros, and that is an empty block.
  abi::ControlBlock& block = *control.block_;
  memcpy(block.compatible, abi::kControlCompatible, sizeof abi::kControlCompatible);
  block.worker_wake_fd = control.worker_wake_.get();
  block.keeper_wake_fd = control.keeper_wake_.get();
  block.worker_pidfd = block.spare_pidfd = block.closer_pidfd = block.keeper_pidfd = -1;
  block.signal_fd = block.window_first = -1;
  abi::TakeoverBlock& takeover = block.takeover;
  memcpy(takeover.compatible, abi::kTakeoverCompatible, sizeof abi::kTakeoverCompatible);
  for (int64_t* word : {&takeover.binary_fd, &takeover.image_fd, &takeover.previous_fd,
                        &takeover.rehearsal_fd, &takeover.rehearsal_pidfd, &takeover.life_read_fd,
                        &takeover.life_write_fd, &takeover.spare_wake_fd, &takeover.arena_fd,
                        &takeover.device_fd, &takeover.control_fd, &takeover.lock_fd}) {
    *word = -1;
  }
  return control;
}

Status Control::map() {
  mapping_ = TRY(sys::mmap(sizeof(abi::ControlBlock), PROT_READ | PROT_WRITE, MAP_SHARED, memory_));
  block_ = reinterpret_cast<abi::ControlBlock*>(mapping_.data());
  return {};
}

Result<Control> Control::inherit(BorrowedFd memory) {
  const struct stat facts = TRY(sys::fstat(memory).context("control block"));
  // Nothing that anybody could have made by accident: a memfd that holds a block.
  constexpr auto kOldest = static_cast<off_t>(offsetof(abi::ControlBlock, takeover));
  if (!S_ISREG(facts.st_mode) || facts.st_nlink != 0 || facts.st_size < kOldest) {
    return fail(EPROTO, "fd {} is no control block", memory.get());
  }
  Control control;
  if (facts.st_size < static_cast<off_t>(sizeof(abi::ControlBlock))) {
    TRY(sys::ftruncate(memory, sizeof(abi::ControlBlock)));
  }
  control.memory_ = UniqueFd(memory.get());
  TRY(control.map());
  const abi::ControlBlock& block = *control.block_;
  const abi::TakeoverBlock& takeover = block.takeover;
  if (memcmp(block.compatible, abi::kControlCompatible, sizeof abi::kControlCompatible) != 0 ||
      memcmp(takeover.compatible, abi::kTakeoverCompatible, sizeof abi::kTakeoverCompatible) != 0) {
    return fail(EPROTO, "control block of another version, this outlived reads {} and {}",
                abi::kControlCompatible, abi::kTakeoverCompatible);
  }
  control.worker_wake_ = UniqueFd(static_cast<int>(block.worker_wake_fd));
  control.keeper_wake_ = UniqueFd(static_cast<int>(block.keeper_wake_fd));
  return control;
}

void Control::wake(BorrowedFd fd) {
  const uint64_t one = 1;
  // EAGAIN: the counter is full, so the fd is readable anyway.
  [[maybe_unused]] const ssize_t written = ::write(fd.get(), &one, sizeof one);
}

void Control::drain(BorrowedFd fd) {
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t read = ::read(fd.get(), &count, sizeof count);
}

void Control::set_worker_state(abi::WorkerState state) {
  store_word(block_->worker_state, static_cast<uint64_t>(state));
  wake_keeper();
}

std::optional<ChildExit> Control::peek_exit() const {
  const uint64_t tail = load_word(block_->exit_tail);
  if (tail == load_word(block_->exit_head)) return std::nullopt;
  const abi::ExitEntry& entry = block_->exits[tail % abi::kExitRing];
  return ChildExit::from_packed(static_cast<pid_t>(entry.pid), entry.status);
}

void Control::pop_exit() {
  const uint64_t tail = load_word(block_->exit_tail);
  if (tail == load_word(block_->exit_head)) return;
  const abi::ExitEntry& exit = block_->exits[tail % abi::kExitRing];
  abi::ChildEntry& entry = block_->children[exit.child % abi::kMaxChildren];
  UniqueFd pidfd;
  UniqueFd gate;
  // Not so when a worker was killed just after it had freed the entry.
  if (load_word(entry.pid) == exit.pid && load_word(entry.exit_slot) == tail + 1) {
    pidfd = UniqueFd(static_cast<int>(entry.pidfd));
    gate = UniqueFd(static_cast<int>(load_word(entry.gate_fd)));
    store_word(entry.pid, int64_t{0});
  }
  // Closing comes last: killed before it, the fds are orphans. The other way round the next worker
  // would close their numbers a second time, whoever has them by then.
  store_word(block_->exit_tail, tail + 1);
}

Status Control::take_on_child(pid_t pid, UniqueFd pidfd) {
  abi::ChildEntry* entry = free_entry();
  if (entry == nullptr) return fail(EAGAIN, "{} children already", abi::kMaxChildren);
  entry->pidfd = pidfd.release();
  store_word(entry->gate_fd, int64_t{-1});
  entry->launch = 0;
  store_word(entry->exit_slot, uint64_t{0});
  store_word(entry->pid, int64_t{pid});
  store_word(block_->children_taken_on, block_->children_taken_on + 1);
  wake_keeper();
  return {};
}

std::vector<Child> Control::children() const {
  std::vector<Child> list;
  for (const abi::ChildEntry& entry : block_->children) {
    const int64_t pid = load_word(entry.pid);
    if (pid == 0 || load_word(entry.exit_slot) != 0) continue;
    list.push_back({static_cast<pid_t>(pid), BorrowedFd(static_cast<int>(entry.pidfd)),
                    load_word(entry.gate_fd) >= 0});
  }
  return list;
}

std::optional<Child> Control::child(pid_t pid) const {
  const abi::ChildEntry* entry = find_entry(pid);
  if (entry == nullptr) return std::nullopt;
  return Child{pid, BorrowedFd(static_cast<int>(entry->pidfd)), load_word(entry->gate_fd) >= 0};
}

std::vector<BorrowedFd> Control::held_fds() const {
  std::vector<BorrowedFd> list;
  auto add = [&list](int64_t number) {
    if (number >= 0) list.push_back(BorrowedFd(static_cast<int>(number)));
  };
  const abi::ControlBlock& block = *block_;
  add(memory_.get());
  if (const uint64_t device = load_word(block.liveupdate_fd); device != 0) {
    add(static_cast<int64_t>(device));
  }
  for (const int64_t number :
       {block.worker_wake_fd, block.keeper_wake_fd, load_word(block.signal_fd),
        int64_t{config_file().get()}, int64_t{metrics_listener().get()}}) {
    add(number);
  }
  for (const int32_t* word :
       {&block.worker_pidfd, &block.spare_pidfd, &block.closer_pidfd, &block.keeper_pidfd}) {
    add(load_word(*word));
  }
  const abi::TakeoverBlock& takeover = block.takeover;
  for (const int64_t* word :
       {&takeover.binary_fd, &takeover.image_fd, &takeover.previous_fd, &takeover.rehearsal_fd,
        &takeover.rehearsal_pidfd, &takeover.life_read_fd, &takeover.life_write_fd,
        &takeover.spare_wake_fd}) {
    add(load_word(*word));
  }
  for (int64_t i = 0; block.window_first >= 0 && i < block.window_count; ++i) {
    add(block.window_first + i);
  }
  for (const abi::ChildEntry& entry : block.children) {
    if (load_word(entry.pid) == 0) continue;
    add(entry.pidfd);
    add(load_word(entry.gate_fd));
  }
  return list;
}

// Not by base/sys: a failure would make outlived close what it needs.
BorrowedFd Control::kept(const uint64_t& word, mode_t type) const {
  const uint64_t value = load_word(word);
  const BorrowedFd file(static_cast<int>(value & kMostKept));
  struct stat own {};
  struct stat facts {};
  if (value == 0 || ::fstat(file.get(), &facts) != 0 || ::fstat(memory_.get(), &own) != 0)
    return {};
  const bool same = (facts.st_mode & S_IFMT) == type && word_of(file, facts) == value;
  // Inodes tell memory files from each other, and not from files of another file system.
  return same && (type != S_IFREG || facts.st_dev == own.st_dev) ? file : BorrowedFd();
}

Status Control::keep_config(std::string_view text) {
  UniqueFd file = TRY(sys::memfd_create("outlive-config", 0));
  TRY(sys::write_all(file, text));
  const uint64_t word = TRY(kept_word(file));
  const UniqueFd before(config_file().get());
  abi::OperatorWords& words = block_->operators;
  store_word(words.config_number, words.config_number + 1);
  // From here on this one is in force. Killed before it, the new file is an orphan; after it, the
  // old one.
  static_cast<void>(file.release());
  store_word(words.config_file, word);
  return {};
}

Result<std::string> Control::kept_config() const {
  const BorrowedFd file = config_file();
  if (!file.valid()) return fail(ENOENT, "no configuration is kept");
  const struct stat facts = TRY(sys::fstat(file));
  std::string text(static_cast<size_t>(facts.st_size), '\0');
  const ssize_t got = ::pread(file.get(), text.data(), text.size(), 0);
  if (got != static_cast<ssize_t>(text.size())) return fail(EIO, "the kept configuration is short");
  return text;
}

Result<UniqueFd> Control::keep_metrics_listener(UniqueFd listener) {
  uint64_t word = 0;
  if (listener) word = TRY(kept_word(listener));
  UniqueFd before(metrics_listener().get());
  // The word first: killed here, the one before is an orphan.
  static_cast<void>(listener.release());
  store_word(block_->operators.metrics_file, word);
  return before;
}

abi::ChildEntry* Control::find_entry(pid_t pid) const {
  if (pid <= 0) return nullptr;
  for (abi::ChildEntry& entry : block_->children) {
    // An exited one may have had the same pid.
    if (load_word(entry.pid) == pid && load_word(entry.exit_slot) == 0) return &entry;
  }
  return nullptr;
}

abi::ChildEntry* Control::free_entry() const {
  for (abi::ChildEntry& entry : block_->children) {
    if (load_word(entry.pid) == 0) return &entry;
  }
  return nullptr;
}

void Control::push_exit(abi::ChildEntry& entry, const ChildExit& exit) {
  const uint64_t head = load_word(block_->exit_head);
  const uint64_t slot = load_word(entry.exit_slot);
  if (slot == 0 || slot > head) {  // else a keeper that died just after this has pushed it
    store_word(entry.exit_slot, head + 1);
    const auto index = static_cast<uint64_t>(&entry - block_->children);
    block_->exits[head % abi::kExitRing] = {load_word(entry.pid), exit.packed(), index};
    store_word(block_->exit_head, head + 1);
  }
  wake_worker();
}

}  // namespace outlive::machine
