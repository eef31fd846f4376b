// A host of updates that only notes, and a world with one service in which an update can be walked
// step by step.
#pragma once

#include "luo/luo_test.h"

namespace outlive::luo {

// Processes and connections are numbers. Copyable: a crash test puts an older one back.
struct HostState {
  struct Connection {
    uint64_t service;
    uint64_t generation;
    uint64_t versions;
    bool previews = false;
  };
  std::set<int64_t> alive;
  std::set<int64_t> killed;  // SIGKILL is on its way
  std::map<uint64_t, Connection> connections;
  std::vector<uint64_t> launching;  // UpdateSlot addresses whose start was asked for
};

class FakeHost : public UpdateHost {
 public:
  Status start_successor(abi::ServiceSlot&, abi::UpdateSlot& update) override {
    note("start");
    if (start_error != 0) return fail(start_error, "no such file");
    state.launching.push_back(address_of(update));
    return {};
  }
  std::vector<Participant> participants(const abi::ServiceSlot& service,
                                        uint64_t generation) override {
    std::vector<Participant> list;
    for (const auto& [id, one] : state.connections) {
      if (one.service == address_of(service) && one.generation == generation) {
        list.push_back({id, one.versions, one.previews});
      }
    }
    return list;
  }
  void send_event(uint64_t connection, abi::Step step, uint64_t, uint64_t deadline_ns,
                  std::string_view reason) override {
    note(fmt::format("{} to {}", name_of(step), connection));
    last_deadline = deadline_ns;
    last_reason = reason;
  }
  void kill(const abi::ProcessWords& process) override {
    note(fmt::format("kill {}", process.pid));
    state.killed.insert(process.pid);
  }
  void retire(const abi::ProcessWords& process) override {
    note(fmt::format("retire pid {}", process.pid));
  }
  bool alive(const abi::ProcessWords& process) override {
    return state.alive.contains(process.pid);
  }
  void drop_generation(const abi::ServiceSlot& service, uint64_t generation) override {
    note(fmt::format("drop generation {}", generation));
    std::erase_if(state.connections, [&](const auto& one) {
      return one.second.service == address_of(service) && one.second.generation == generation;
    });
  }
  void start_anew(abi::ServiceSlot& service) override {
    note(fmt::format("start {} anew", service.name));
  }
  void progress(const abi::UpdateSlot& update) override {
    steps.push_back(static_cast<abi::UpdateStep>(update.step));
  }
  void over(const abi::UpdateSlot& update) override {
    note(fmt::format("over {}", errno_name(static_cast<int>(update.result))));
  }
  void idle(abi::ServiceSlot&) override { note("idle"); }

  Journal take() { return std::exchange(journal, {}); }
  void note(std::string line) { journal.push_back(std::move(line)); }
  uint64_t address_of(const abi::ServiceSlot& slot) const { return where(&slot); }
  uint64_t address_of(const abi::UpdateSlot& slot) const { return where(&slot); }

  std::function<uint64_t(const void*)> where;
  HostState state;
  Journal journal;
  std::vector<abi::UpdateStep> steps;
  int start_error = 0;
  uint64_t last_deadline = 0;
  std::string last_reason;
};

// Service "web", generation 1, pid 100, connection 1, with session "s" of three files. Its
// successor is pid 200 + n and connection 2.
struct UpdateWorld : LuoWorld {
  static constexpr uint64_t kOld = 1;
  static constexpr uint64_t kNew = 2;

  explicit UpdateWorld(bool participants = true) : LuoWorld(2 << 20), participate(participants) {
    host = &fake;
    fake.where = [this](const void* slot) { return arena->address_of(slot).value; };
    EXPECT_TRUE(reattach());
    service_address = core->services().address_of(LuoWorld::service("web"));
    fake.state.alive.insert(100);
    if (participate) fake.state.connections[kOld] = {service_address, 1, version(3, 1)};
    Session& made = LuoWorld::session("s", {.service = service_address, .generation = 1});
    EXPECT_TRUE(preserve(made, {{1, fds.make(FileKind::kMemfd)},
                                {2, fds.make(FileKind::kPipe)},
                                {3, fds.make(FileKind::kTcpConnection)}}));
    const uint64_t spec = core->services().make_blob("spec of v1").take().value;
    const int64_t binary = fds.make(FileKind::kRegular).get();
    alter([&](Change& change) {
      change.set(service().spec, spec);
      change.set(service().spec_size, uint64_t{10});
      change.set(service().current.binary_fd, binary);
    });
    script.take();
  }
  ~UpdateWorld() { set_fault_hook({}); }

  static uint64_t version(uint64_t written, uint64_t oldest) { return written << 32 | oldest; }
  abi::ServiceSlot& service() { return *core->services().at(service_address); }
  Session& session() { return *core->sessions().find({}, "s"); }
  Updates& updates() { return core->updates(); }
  State state() { return updates().state(service()); }
  abi::UpdateStep step() { return static_cast<abi::UpdateStep>(update().step); }
  abi::UpdateSlot& update() { return *updates().at(update_address); }

  void begin() {
    Result<abi::UpdateSlot*> made =
        updates().begin(service(), {.spec = "spec of v2", .request_id = {5, ++requests}});
    ASSERT_TRUE(made) << made.error().text();
    update_address = arena->address_of(*made).value;
  }
  // The launcher answers.
  void launched() {
    ASSERT_FALSE(fake.state.launching.empty());
    const uint64_t address = fake.state.launching.back();
    fake.state.launching.clear();
    const int64_t pid = 200 + next_pid++;
    fake.state.alive.insert(pid);
    abi::UpdateSlot* slot = updates().at(address);
    ASSERT_NE(slot, nullptr);
    updates().successor_started(*slot,
                                {pid, -1, clock.now, 9, -1, fds.make(FileKind::kRegular).get()});
    if (participate) {
      fake.state.connections[kNew] = {service_address, slot->from_generation + 1, version(4, 2)};
    }
  }
  Status answer(uint64_t connection, uint64_t generation, abi::Step step) {
    return updates().ready(service(), connection, generation, step, update().header.id);
  }
  void successor_ready() {
    launched();
    ASSERT_TRUE(answer(kNew, 2, abi::Step::kStart));
  }
  void old_answers(abi::Step step) { ASSERT_TRUE(answer(kOld, 1, step)); }
  void successor_answers(abi::Step step) { ASSERT_TRUE(answer(kNew, 2, step)); }
  // As far as `to`: each step is waited for there.
  void walk_to(abi::UpdateStep to) {
    begin();
    if (to == abi::UpdateStep::kStart) return launched();
    successor_ready();
    if (to == abi::UpdateStep::kPrepare) return;
    old_answers(abi::Step::kPrepare);
    if (to == abi::UpdateStep::kFreeze) return;
    old_answers(abi::Step::kFreeze);
    if (to == abi::UpdateStep::kOffer) return;
    successor_answers(abi::Step::kAdopt);
    if (to == abi::UpdateStep::kCommit) return;
    ASSERT_TRUE(core->adopt_all(service()));
    updates().sessions_changed(service());
  }
  // A process is really gone. True: the update took care of it.
  bool dies(int64_t pid) {
    fake.state.alive.erase(pid);
    fake.state.killed.erase(pid);
    return updates().process_ended(service(), pid, "was killed");
  }
  // The next worker: nothing but the arena, the fds and the other processes is left.
  void worker_dies() {
    fake.note("worker dies");
    const Status next = reattach();
    ASSERT_TRUE(next) << next.error().text();
    updates().resume();
  }

  FakeHost fake;
  bool participate;
  uint64_t service_address = 0;
  uint64_t update_address = 0;
  uint64_t requests = 0;
  int next_pid = 0;
};

// Lines that say that the old one and its files are as before: nothing of the update is left.
inline void expect_rolled_back(UpdateWorld& w, int code) {
  EXPECT_EQ(w.state(), State::kNormal);
  EXPECT_EQ(w.step(), abi::UpdateStep::kCancelled);
  EXPECT_EQ(w.update().result, code);
  EXPECT_EQ(w.update().spec, 0u);
  EXPECT_EQ(w.service().generation, 1u);
  EXPECT_EQ(w.service().rollbacks, 1u);
  EXPECT_EQ(w.service().updates, 0u);
  EXPECT_EQ(w.service().active_update, 0u);
  EXPECT_EQ(w.updates().active(w.service()), nullptr);
  EXPECT_EQ(w.core->sessions().direction(w.session()), Direction::kOutgoing);
  EXPECT_EQ(w.session().files.size(), 3u);
  EXPECT_EQ(w.updates().access(w.service(), 1), Updates::Access::kCurrent);
  EXPECT_EQ(w.updates().access(w.service(), 2), Updates::Access::kStale);
  EXPECT_EQ(w.updates().next_deadline(), 0u);
  EXPECT_EQ(w.arena->pages_of(abi::kOwnerService), 1u) << "the successor's spec is given back";
  // Every fd that is open is named, every one that is named is open.
  std::set<int> named;
  for (const BorrowedFd fd : w.core->named_fds()) named.insert(fd.get());
  for (const auto& [fd, kind] : w.fds.open) EXPECT_TRUE(named.contains(fd)) << fd;
  for (const int fd : named) EXPECT_TRUE(w.fds.open.contains(fd)) << fd;
  kho::expect_consistent(*w.arena);
}

}  // namespace outlive::luo
