// The bench of the model test: the real core beside the model, how one step is done and cut, and
// what must be true after it.
#pragma once

#include <deque>
#include <random>

#include "luo/model_test.h"
#include "luo/update_host_test.h"

namespace outlive::luo {

inline constexpr int kServices = 2;
inline constexpr uint64_t kUid = 0;

class ModelBench {
 public:
  explicit ModelBench(uint64_t seed) : random_(seed) {
    w_.host = &host_;
    host_.where = [this](const void* slot) { return w_.arena->address_of(slot).value; };
    w_.limits.sessions = Model::kMaxSessions;
    w_.limits.files = Model::kMaxFiles;
    w_.limits.subtrees = Model::kMaxSubtrees;
    EXPECT_TRUE(w_.reattach());
    for (int number = 1; number <= kServices; ++number) {
      abi::ServiceSlot& slot = w_.service(fmt::format("service{}", number).c_str());
      service_address_[number] = host_.address_of(slot);
      const int64_t pid = next_pid_++;
      w_.alter([&](Change& change) { change.set(slot.current.pid, pid); });
      host_.state.alive.insert(pid);
      model_.services[number] = {};
      connect(number, 1);
    }
  }
  ~ModelBench() {
    kho::set_store_hook({});
    set_fault_hook({});
  }

  std::string history() const {
    std::string all;
    for (const std::string& line : history_) all += line + "\n";
    return all;
  }
  uint64_t crashes = 0, befores = 0, injected = 0, commits = 0, cancels = 0;

 protected:
  using Done = std::function<int()>;  // for real: 0 or an errno

  unsigned pick(unsigned below) { return static_cast<unsigned>(random_() % below); }
  void note(std::string line) {
    history_.push_back(std::move(line));
    if (history_.size() > 30) history_.pop_front();
  }
  bool broken(std::string_view what) {
    note(fmt::format("BROKEN: {}", what));
    return false;
  }
  static int code(const Status& status) { return status ? 0 : status.error().code; }

  // ---- what is real ----

  int number_of(uint64_t service) const {
    for (const auto& [number, address] : service_address_) {
      if (address == service) return number;
    }
    return service == 0 ? 0 : -1;
  }
  std::string real() {
    std::multiset<std::string> lines;
    w_.core->sessions().for_each([&](Session& session) {
      Model::Session one{
          session.uid, session.name, number_of(session.slot->service), session.slot->generation, {},
          {}};
      for (const abi::FileSlot* slot : session.files.ordered()) {
        one.files[slot->token] = {static_cast<int>(slot->fd), 0, false};
        one.order.push_back(slot->token);
      }
      lines.insert(
          Model::line(one, w_.core->sessions().direction(session) == Direction::kIncoming));
    });
    w_.core->services().for_each([&](abi::ServiceSlot& slot) {
      lines.insert(
          Model::line(number_of(host_.address_of(slot)),
                      {slot.generation, slot.outgoing_from, slot.updates, slot.rollbacks}));
    });
    w_.core->subtrees().for_each([&](const abi::ClientSubtreeSlot& slot) {
      lines.insert(Model::line(slot.uid, slot.name, w_.subtree(slot.name, {.uid = slot.uid})));
    });
    std::string all =
        fmt::format("global state {}\n", w_.core->records().count(abi::PoolKind::kFlb));
    for (const std::string& line : lines) all += line;
    return all;
  }
  // Every fd that a record names is open, and the other way round.
  bool check_fds() {
    std::set<int> named;
    for (const BorrowedFd fd : w_.core->named_fds()) named.insert(fd.get());
    for (const int fd : named) {
      if (!w_.fds.open.contains(fd)) return broken(fmt::format("fd {} is named, not open", fd));
    }
    for (const auto& [fd, kind] : w_.fds.open) {
      if (!named.contains(fd)) return broken(fmt::format("fd {} is open, not named", fd));
    }
    return true;
  }
  bool check_pages() {
    uint64_t lost = 0;
    uint64_t counted = 0;
    w_.arena->for_each_live([&](kho::Phys head, unsigned, uint16_t owner, uint32_t) {
      lost += owner == abi::kOwnerRecords && !w_.core->records().reaches(head);
      counted += owner == abi::kOwnerService || owner == abi::kOwnerTimeline ||
                 owner == abi::kOwnerClients;
    });
    uint64_t reached = w_.core->subtrees().size();
    w_.core->services().for_each(
        [&](abi::ServiceSlot& slot) { reached += (slot.spec != 0) + (slot.previous_spec != 0); });
    w_.core->records().for_each<abi::UpdateSlot>(
        [&](abi::UpdateSlot& slot) { reached += (slot.spec != 0) + (slot.timeline != 0); });
    if (lost != 0 || counted != reached) {
      return broken(
          fmt::format("{} record pages lost, {} folios for {} names", lost, counted, reached));
    }
    return true;
  }
  void close_orphans() {
    std::set<int> named;
    for (const BorrowedFd fd : w_.core->named_fds()) named.insert(fd.get());
    std::erase_if(w_.fds.open, [&](const auto& one) { return !named.contains(one.first); });
  }

  // ---- doing one step ----

  struct Saved {
    FileImage image;
    FdTable fds;
    HostState host;
  };

  // `expected`: what the model answers; `after`: the model if so. With `fresh` fds that are the
  // client's still, closed when the step did not take them.
  bool run(std::string what, int expected, Model after, const Done& work,
           const std::vector<int>& fresh = {}) {
    const bool cut = pick(5) == 0;
    const bool faulty = !cut && pick(3) == 0;
    Saved saved;
    int stores = 0;
    int hits = 0;
    if (cut) {
      const int at = static_cast<int>(pick(pick(2) == 0 ? 12 : 45));
      what += fmt::format(", cut at store {}", at);
      kho::set_store_hook([&, at](std::byte*, size_t) {
        if (stores++ == at) saved = {FileImage::take(w_.arena->view()), w_.fds, host_.state};
      });
    }
    if (faulty) {
      static constexpr const char* kPoints[] = {"luo.slot", "luo.preserve", "kho.alloc",
                                                "kho.preserve", "luo.freeze"};
      const std::string point = kPoints[pick(5)];
      const int at = static_cast<int>(pick(3));
      what += fmt::format(", {} fails at {}", point, at);
      set_fault_hook([&hits, point, at](const char* name) {
        return point == name && hits++ == at ? ENOMEM : 0;
      });
    }
    const int got = work();
    kho::set_store_hook({});
    set_fault_hook({});
    note(fmt::format("{} = {}", what, got == 0 ? "0" : errno_name(got)));
    if (got != 0) {
      for (const int fd : fresh) w_.fds.open.erase(fd);
    }
    const Model before = model_;
    if (faulty && got == ENOMEM && expected != ENOMEM) {
      ++injected;
      if (real() != before.text()) return broken("a failed step left something");
      return check_fds();
    }
    if (got != expected) return broken(fmt::format("expected {}", errno_name(expected)));
    if (got == 0) model_ = std::move(after);
    if (real() != model_.text()) return broken("differs:\n" + real() + "--\n" + model_.text());
    if (saved.image.valid()) return put_back(saved, before);
    return check_fds();
  }

  // The worker died where the image was taken.
  bool put_back(const Saved& saved, const Model& before) {
    ++crashes;
    w_.core.reset();
    w_.arena.reset();
    saved.image.put(w_.file);
    w_.fds = saved.fds;
    host_.state = saved.host;
    if (const Status next = w_.reattach(); !next) return broken(next.error().text());
    const std::string found = real();
    if (found == before.text()) {
      ++befores;
      model_ = before;
    } else if (found != model_.text()) {
      return broken("after the death neither before nor after:\n" + found + "--\n" + before.text() +
                    "--\n" + model_.text());
    }
    close_orphans();
    if (!check_fds() || !check_pages()) return false;
    if (crashes % 16 == 0) {
      kho::expect_consistent(*w_.arena);
      expect_free_slots_zero(*w_.arena, w_.core->records());
    }
    w_.core->updates().resume();
    return settle();
  }

  bool reattach() {
    note("worker dies between two steps");
    if (const Status next = w_.reattach(); !next) return broken(next.error().text());
    if (real() != model_.text()) return broken("an attach changed something");
    w_.core->updates().resume();
    return settle();
  }

  abi::ServiceSlot& real_service(int number) {
    return *w_.core->services().at(service_address_.at(number));
  }
  void connect(int number, uint64_t generation) {
    host_.state.connections[next_connection_++] = {service_address_.at(number), generation, 0};
  }

  void dies(abi::ServiceSlot& service, int64_t pid) {
    host_.state.alive.erase(pid);
    host_.state.killed.erase(pid);
    w_.core->updates().process_ended(service, pid, "was killed");
  }

  // Events may commit or cancel, or neither: the counters say which, and the rest must follow.
  bool run_update(const std::string& what, bool one_update, const Done& work) {
    const Model before = model_;
    Saved saved;
    int stores = 0;
    if (one_update && pick(6) == 0) {
      const int at = static_cast<int>(pick(60));
      kho::set_store_hook([&, at](std::byte*, size_t) {
        if (stores++ == at) saved = {FileImage::take(w_.arena->view()), w_.fds, host_.state};
      });
    }
    const bool faulty = !kho::store_hook_armed && pick(6) == 0;
    if (faulty) {
      const int at = static_cast<int>(pick(3));
      int* hits = &update_hits_;
      update_hits_ = 0;
      set_fault_hook([hits, at](const char* name) {
        const std::string_view point = name;
        return (point == "luo.freeze" || point == "luo.slot" || point == "kho.alloc") &&
                       (*hits)++ == at
                   ? ENOMEM
                   : 0;
      });
    }
    const int got = work();
    kho::set_store_hook({});
    set_fault_hook({});
    note(fmt::format("{} = {}", what, got == 0 ? "0" : errno_name(got)));
    if (!follow()) return false;
    if (saved.image.valid()) return put_back(saved, before);
    return settle();
  }

  // Takes into the model what an update's event has decided.
  bool follow() {
    for (int number = 1; number <= kServices; ++number) take_over(number);
    if (real() != model_.text()) return broken("differs:\n" + real() + "--\n" + model_.text());
    return true;
  }
  void take_over(int number) {
    const abi::ServiceSlot& slot = real_service(number);
    Model::Service& one = model_.services.at(number);
    if (slot.updates == one.updates + 1) {
      ++one.updates;
      model_.generation_passed(number);
      ++commits;
    }
    if (slot.rollbacks == one.rollbacks + 1) {
      ++one.rollbacks;
      ++cancels;
    }
  }

  // The world catches up: whoever was killed is gone, cancelled and committed updates go on.
  bool settle() {
    while (!host_.state.killed.empty()) {
      const int64_t pid = *host_.state.killed.begin();
      for (int each = 1; each <= kServices; ++each) dies(real_service(each), pid);
    }
    if (!follow()) return false;
    for (int number = 1; number <= kServices; ++number) {
      abi::ServiceSlot& service = real_service(number);
      const bool idle = w_.core->updates().active(service) == nullptr;
      if (idle && !host_.alive(service.current)) host_.state.alive.insert(service.current.pid);
      if (idle && host_.participants(service, service.generation).empty()) {
        connect(number, service.generation);
      }
    }
    return check_fds();
  }

  std::mt19937_64 random_;
  LuoWorld w_{1 << 20};
  FakeHost host_;
  Model model_;
  std::deque<std::string> history_;
  std::map<int, uint64_t> service_address_;
  uint64_t next_id_ = 1;
  uint64_t next_connection_ = 1;
  int64_t next_pid_ = 1000;
  int update_hits_ = 0;
};

}  // namespace outlive::luo
