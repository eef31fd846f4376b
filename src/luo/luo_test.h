// What the tests of luo/ share: a core over an arena of its own, with fake files that are numbers,
// handlers that write a journal and fail on command, and a host that does nothing but note.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/log.h"
#include "kho/arena_test.h"
#include "luo/core.h"
#include "luo/no_updates.h"

namespace outlive::luo {

class FakeClock : public Clock {
 public:
  uint64_t now_ns() const override { return now; }
  uint64_t realtime_ns() const override { return now + 1'000'000'000'000; }
  uint64_t steady_ns() const override { return realtime_ns(); }
  uint64_t now = 1'000'000;
};

using Journal = std::vector<std::string>;

// A journal of what handlers and global states were told; names in it fail.
struct Script {
  Journal journal;
  std::map<std::string, int> failing;  // "memfd.preserve 5" or "memfd.preserve" -> errno
  Status tell(const std::string& verb, int64_t object) {
    const std::string line = fmt::format("{} {}", verb, object);
    journal.push_back(line);
    for (const std::string& key : {line, verb}) {
      const auto found = failing.find(key);
      if (found != failing.end()) return fail(found->second, "{} is told to fail", line);
    }
    return {};
  }
  Journal take() { return std::exchange(journal, {}); }
};

class FakeFlb : public Flb {
 public:
  FakeFlb(Script& script, std::string name) : script_(script), name_(std::move(name)) {}
  const char* compatible() const override { return name_.c_str(); }
  Result<uint64_t> preserve() override {
    TRY(script_.tell(name_ + ".preserve", static_cast<int64_t>(next_)));
    return next_++;
  }
  void unpreserve(uint64_t data) override { tell("unpreserve", data); }
  Status retrieve(uint64_t data) override {
    return script_.tell(name_ + ".retrieve", static_cast<int64_t>(data));
  }
  void finish(uint64_t data) override { tell("finish", data); }
  Status freeze(uint64_t data) override {
    return script_.tell(name_ + ".freeze", static_cast<int64_t>(data));
  }
  void cancel(uint64_t data) override { tell("cancel", data); }

 private:
  void tell(const char* verb, uint64_t data) {
    static_cast<void>(script_.tell(name_ + "." + verb, static_cast<int64_t>(data)));
  }
  Script& script_;
  std::string name_;
  uint64_t next_ = 700;
};

class FakeHandler : public FileHandler {
 public:
  FakeHandler(Script& script, std::string name, FileKind kind, bool exclusive, Flb* flb)
      : script_(script), name_(std::move(name)), kind_(kind), exclusive_(exclusive), flb_(flb) {}
  const char* compatible() const override { return name_.c_str(); }
  abi::SurvivalClass survival(const FileFacts&) const override { return abi::SurvivalClass::kHost; }
  bool can_preserve(const FileFacts& facts) const override { return facts.kind == kind_; }
  bool exclusive(const FileFacts&) const override { return exclusive_; }
  Result<Preserved> preserve(BorrowedFd fd, const FileFacts&) override {
    TRY(script_.tell(name_ + ".preserve", fd.get()));
    return Preserved{static_cast<uint64_t>(fd.get()) * 10, 4096};
  }
  void unpreserve(const FileState& file) override { tell("unpreserve", file); }
  Status freeze(FileState& file) override { return script_.tell(name_ + ".freeze", file.fd.get()); }
  void unfreeze(FileState& file) override { tell("unfreeze", file); }
  Result<BorrowedFd> retrieve(const FileState& file) override {
    TRY(script_.tell(name_ + ".retrieve", file.fd.get()));
    return file.fd;
  }
  Status can_finish(const FileState& file) const override {
    return script_.tell(name_ + ".can_finish", file.fd.get());
  }
  void finish(const FileState& file) override { tell("finish", file); }
  Flb* flb() override { return flb_; }

 private:
  void tell(const char* verb, const FileState& file) const {
    static_cast<void>(script_.tell(name_ + "." + verb, file.fd.get()));
  }
  Script& script_;
  std::string name_;
  FileKind kind_;
  bool exclusive_;
  Flb* flb_;
};

// Fds are numbers. Files of kind kMemfd have an inode: fd / 1000 makes two fds the same file.
struct FdTable {
  std::map<int, FileKind> open;
  std::map<int, uint64_t> inode;
  std::vector<int> released;
  int next = 10;

  BorrowedFd make(FileKind kind, uint64_t same_inode = 0) {
    const int fd = next++;
    open[fd] = kind;
    inode[fd] = same_inode != 0 ? same_inode : static_cast<uint64_t>(fd);
    return BorrowedFd(fd);
  }
  Result<FileFacts> classify(BorrowedFd fd) const {
    const auto found = open.find(fd.get());
    if (found == open.end()) return fail(EBADF, "fd {} is not open", fd.get());
    FileFacts facts;
    facts.kind = found->second;
    facts.device = 7;
    facts.inode = inode.at(fd.get());
    facts.detail = fmt::format("fd {}", fd.get());
    return facts;
  }
  void release(BorrowedFd fd) {
    EXPECT_EQ(open.erase(fd.get()), 1u) << "fd " << fd.get() << " is released twice";
    released.push_back(fd.get());
  }
};

// Everything a test needs. "memfd" files are exclusive; "memfd" and "pipe" share the global state
// "pool"; "socket" files have none; a regular file has no handler.
struct LuoWorld {
  explicit LuoWorld(uint64_t bytes = 4 << 20) {
    set_log_level(LogLevel::kError);
    file = kho::Arena::create_file(bytes).take();
    arena = kho::Arena::create(file).take();
    Result<std::unique_ptr<Core>> made = Core::create(*arena, context(), *host);
    if (!made) ADD_FAILURE() << made.error().text();
    core = made.take();
  }
  Context context() {
    if (handlers.empty()) {
      const auto add = [&](const char* name, FileKind kind, bool exclusive, Flb* flb) {
        handlers.push_back(std::make_unique<FakeHandler>(script, name, kind, exclusive, flb));
      };
      add("memfd", FileKind::kMemfd, true, &pool);
      add("pipe", FileKind::kPipe, false, &pool);
      add("socket", FileKind::kTcpConnection, false, nullptr);
    }
    Context made;
    made.handlers = &handlers;
    made.clock = &clock;
    made.limits = limits;
    made.classify = [this](BorrowedFd fd) { return fds.classify(fd); };
    made.classify_to_preserve = made.classify;
    made.identify = [this](BorrowedFd fd) -> Result<FileIdentity> {
      const FileFacts facts = TRY(fds.classify(fd));
      return FileIdentity{facts.device, facts.inode};
    };
    made.release = [this](BorrowedFd fd) { fds.release(fd); };
    made.lease_ns = [this](const abi::SessionSlot&) { return lease_ns; };
    return made;
  }
  // The next worker, over the same file.
  Status reattach() {
    core.reset();
    arena.reset();
    arena = TRY(kho::Arena::attach(file));
    core = TRY(Core::attach(*arena, context(), *host, &report));
    core->leases().load();
    return {};
  }

  void alter(const std::function<void(Change&)>& words) {
    Change change(core->records());
    words(change);
    change.commit();
  }
  Session& session(const char* name, const Caller& caller = {}) {
    Change change(core->records());
    abi::SessionSlot* slot = core->sessions().create(change, caller, name, 0).take();
    change.commit();
    return core->sessions().index(*slot);
  }
  Status preserve(Session& into, std::vector<NewFile> files) {
    Change change(core->records());
    Files::Preserving batch = TRY(core->files().preserve(change, into, files));
    if (also) also(change);
    change.commit();
    batch.committed();
    return {};
  }
  Status preserve(Session& into, uint64_t token, BorrowedFd fd) {
    return preserve(into, std::vector<NewFile>{{token, fd}});
  }
  Result<BorrowedFd> retrieve(Session& from, uint64_t token) {
    Change change(core->records());
    Result<BorrowedFd> fd = core->files().retrieve(change, from, token);
    if (fd && also) also(change);
    change.commit();
    return fd;
  }
  void remove(Session& from, const std::vector<uint64_t>& tokens, bool finish = false) {
    std::vector<abi::FileSlot*> files;
    for (const uint64_t token : tokens) files.push_back(from.files.find(token));
    Change change(core->records());
    Files::Removing removing = core->files().remove(change, from, files, finish);
    if (also) also(change);
    change.commit();
    removing.committed();
  }
  Status add_subtree(std::string_view name, std::string_view text, const Caller& caller = {}) {
    Change change(core->records());
    auto adding = TRY(core->subtrees().add(change, caller, name,
                                           std::as_bytes(std::span(text.data(), text.size()))));
    if (also) also(change);
    change.commit();
    adding.committed();
    return {};
  }
  Status remove_subtree(std::string_view name, const Caller& caller = {}) {
    Change change(core->records());
    auto removing = TRY(core->subtrees().remove(change, caller, name));
    if (also) also(change);
    change.commit();
    removing.committed();
    return {};
  }
  std::string subtree(std::string_view name, const Caller& caller = {}) {
    const auto found = core->subtrees().find(caller, name);
    if (!found) return "(none)";
    return std::string(reinterpret_cast<const char*>(found->data()), found->size());
  }
  abi::ServiceSlot& service(const char* name, const Caller& caller = {}) {
    Change change(core->records());
    abi::ServiceSlot* slot = core->services().create(change, caller, name).take();
    slot->state = static_cast<uint64_t>(abi::ServiceState::kRunning);
    slot->current.pid = 100;
    change.commit();
    return *slot;
  }

  Core::Also also;  // what a request's change takes along: its reply
  FakeClock clock;
  Limits limits;
  uint64_t lease_ns = 0;  // for ever
  Script script;
  FakeFlb pool{script, "pool"};
  std::vector<std::unique_ptr<FileHandler>> handlers;
  FdTable fds;
  NoUpdates null_host;
  UpdateHost* host = &null_host;
  UniqueFd file;
  std::unique_ptr<kho::Arena> arena;
  std::unique_ptr<Core> core;
  Core::Report report;
};

// A copy of a file's bytes that can be put back: what a process killed now would leave.
class FileImage {
 public:
  static FileImage take(const kho::View& view) {
    FileImage image;
    const uint64_t used = view.header()->high_water * abi::kPageSize;
    image.bytes_.assign(view.base(), view.base() + used);
    image.size_ = view.size();
    return image;
  }
  // A file of its own with these bytes.
  UniqueFd file() const {
    UniqueFd made = kho::Arena::create_file(size_).take();
    put(made);
    return made;
  }
  // Over a file that nobody has mapped.
  void put(BorrowedFd into) const {
    sys::Mapping map = sys::mmap(size_, PROT_READ | PROT_WRITE, MAP_SHARED, into).take();
    std::memcpy(map.data(), bytes_.data(), bytes_.size());
    std::memset(map.data() + bytes_.size(), 0, size_ - bytes_.size());
  }
  std::vector<std::byte>& bytes() { return bytes_; }
  bool valid() const { return size_ != 0; }

 private:
  std::vector<std::byte> bytes_;
  uint64_t size_ = 0;
};

// Takes an image before the n-th store (0: the first) while it lives.
class CrashAt {
 public:
  CrashAt(const kho::Arena& arena, int n) {
    kho::set_store_hook([this, &arena, n](std::byte*, size_t) {
      if (stores_++ == n) image_ = FileImage::take(arena.view());
    });
  }
  ~CrashAt() { kho::set_store_hook({}); }
  int stores() const { return stores_; }
  const FileImage& image() const { return image_; }

 private:
  int stores_ = 0;
  FileImage image_;
};

// Every slot that is not LIVE is FREE and zero.
inline void expect_free_slots_zero(kho::Arena& arena, Records& records) {
  for (size_t k = 0; k < static_cast<size_t>(abi::PoolKind::kCount); ++k) {
    const auto kind = static_cast<abi::PoolKind>(k);
    const size_t size = abi::slot_size(kind);
    for (uint64_t page = records.root().pools[k]; page != 0;) {
      const std::byte* bytes = arena.at(kho::Phys{page}, abi::kPageSize);
      for (size_t at = abi::kPoolFirstSlot; at + size <= abi::kPageSize; at += size) {
        const auto* slot = reinterpret_cast<const abi::SlotHeader*>(bytes + at);
        if (slot->state == static_cast<uint64_t>(abi::SlotState::kLive)) continue;
        const auto* first = bytes + at;
        const bool zero =
            std::all_of(first, first + size, [](std::byte one) { return one == std::byte{0}; });
        ASSERT_TRUE(zero) << "kind " << k << " page " << page << " at " << at;
      }
      page = reinterpret_cast<const abi::PoolPage*>(bytes)->next;
    }
  }
}

}  // namespace outlive::luo
