// The bench of the model test: the real core beside the model, how one step is done and cut, and
// what must be true after it.
#pragma once

#include <deque>
#include <random>

#include "luo/deaths_test.h"
#include "luo/model_test.h"
#include "luo/model_view_test.h"
#include "luo/update_host_test.h"

namespace outlive::luo {

inline constexpr int kServices = 2;
inline constexpr uint64_t kUid = 0;
inline constexpr uint64_t kUpdatesKept = 2;  // few: the oldest is often forgotten, attach is quick
inline constexpr unsigned kCutOneIn = 16;    // steps after which the run goes on from a death
inline constexpr uint64_t kThorough = 32;    // deaths after which every byte is looked at

class ModelBench {
 public:
  explicit ModelBench(uint64_t seed) : random_(seed) {
    w_.host = &host_;
    host_.where = [this](const void* slot) { return w_.arena->address_of(slot).value; };
    w_.limits.sessions = Model::kMaxSessions;
    w_.limits.files = Model::kMaxFiles;
    w_.limits.subtrees = Model::kMaxSubtrees;
    w_.limits.updates = kUpdatesKept;
    w_.lease_ns = Model::kLease;
    EXPECT_TRUE(w_.reattach());
    attached_ns_ = w_.clock.steady_ns();
    w_.alter([&](Change& change) {
      abi::ConnectionSlot* slot = change.add<abi::ConnectionSlot>().take();
      slot->fd = w_.fds.make(FileKind::kOther).get();
      slot->reply_fd = -1;
      view_.connection = w_.arena->address_of(slot).value;
    });
    for (int number = 1; number <= kServices; ++number) {
      abi::ServiceSlot& slot = w_.service(fmt::format("service{}", number).c_str());
      view_.services[number] = host_.address_of(slot);
      const int64_t pid = next_pid_++;
      w_.alter([&](Change& change) { change.set(slot.current.pid, pid); });
      host_.state.alive.insert(pid);
      model_.services[number] = {};
      connect(number, 1);
    }
  }
  ~ModelBench() { set_fault_hook({}); }

  std::string history() const {
    std::string all;
    for (const std::string& line : history_) all += line + "\n";
    return all;
  }
  uint64_t befores = 0, afters = 0;  // deaths in work that altered something, by what they found
  uint64_t cuts = 0, injected = 0, commits = 0, cancels = 0, lease_ends = 0, claims = 0;
  const Deaths& deaths() const { return deaths_; }

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

  std::string real() { return view_.text(*w_.arena, *w_.core); }
  // Every fd that a record names is open, and the other way round; so with folios.
  bool check_kept() {
    for (const std::string& wrong :
         {ModelView::unopened(*w_.core, w_.fds.open), ModelView::unnamed(*w_.core, w_.fds.open),
          ModelView::misplaced(*w_.arena, *w_.core), ModelView::miscounted(*w_.core)}) {
      if (!wrong.empty()) return broken(wrong);
    }
    return true;
  }
  void close_orphans() {
    std::set<int> named;
    for (const BorrowedFd fd : w_.core->named_fds()) named.insert(fd.get());
    std::erase_if(w_.fds.open, [&](const auto& one) { return !named.contains(one.first); });
  }

  // What a worker finds that comes after a death.
  std::string look(const Deaths::Found& found) {
    std::map<int, FileKind>& open = w_.fds.open;
    for (const int fd : found.released) {
      if (!open.contains(fd)) deaths_.broken(fmt::format("fd {} is given back, not open", fd));
    }
    for (const std::string& wrong :
         {ModelView::unopened(found.core, open), ModelView::misplaced(found.arena, found.core),
          ModelView::miscounted(found.core)}) {
      if (!wrong.empty()) deaths_.broken(wrong);
    }
    if (deaths_.deaths() % kThorough == 0) {
      kho::expect_consistent(found.arena);
      expect_free_slots_zero(found.arena, found.core.records());
    }
    return view_.text(found.arena, found.core);
  }

  // ---- doing one step ----

  struct Saved {
    FileImage image;
    FdTable fds;
    HostState host;
  };

  // Does the work with a death before each of its stores. When it is to be cut, one of them, each
  // as likely as the others, is saved: the run goes on from there (put_back).
  Saved dying(bool cut, const std::function<void()>& work) {
    Saved saved;
    unsigned stores = 0;
    deaths_.during(work, [&] {
      if (!cut || pick(++stores) != 0) return;
      saved = {FileImage::take(w_.arena->view()), w_.fds, host_.state};
    });
    forget_past();
    return saved;
  }
  // What is noted of fds that are closed would be copied with every image.
  void forget_past() {
    w_.script.journal.clear();
    w_.fds.released.clear();
    std::erase_if(w_.fds.inode, [&](const auto& one) { return !w_.fds.open.contains(one.first); });
    host_.journal.clear();
    host_.steps.clear();
  }
  // All deaths of the last work found the model from before, or the one from now and from there on
  // only that. Work that alters two services alters them one after the other.
  bool agree(const Model& before) {
    if (!deaths_.trouble().empty()) return broken(deaths_.trouble());
    const std::string now = model_.text();
    std::vector<std::string> path = {before.text(), now};
    for (int first = 1; first <= kServices && path[0] != now; ++first) {
      const std::string between = halfway(before, first).text();
      if (between != path[0] && between != now && saw(between)) {
        path.insert(path.begin() + 1, between);
        break;
      }
    }
    size_t at = 0;
    for (const Deaths::Seen& one : deaths_.seen()) {
      while (at < path.size() && path[at] != one.text) ++at;
      if (at == path.size()) {
        return broken("after a death neither before nor after:\n" + one.text + "--\n" + path[0] +
                      "--\n" + now);
      }
      if (path[0] != now) (at == 0 ? befores : afters) += one.times;
    }
    const bool whole = deaths_.seen().empty() || deaths_.seen().back().text == now;
    return whole ? true : broken("a death after the last store undoes it");
  }
  bool saw(const std::string& text) const {
    return std::ranges::find(deaths_.seen(), text, &Deaths::Seen::text) != deaths_.seen().end();
  }
  // `before` with only this service as it is now.
  Model halfway(Model before, int service) const {
    const Model::Service& now = model_.services.at(service);
    const bool passed = before.services.at(service).generation != now.generation;
    if (passed) before.generation_passed(service);
    before.services.at(service) = now;
    return before;
  }

  void fail_at(const char* const (&points)[5], std::string& what) {
    const std::string point = points[pick(5)];
    const int at = static_cast<int>(pick(3));
    what += fmt::format(", {} fails at {}", point, at);
    set_fault_hook([this, point, at, hits = 0](const char* name) mutable {
      return !deaths_.dying() && point == name && hits++ == at ? ENOMEM : 0;
    });
  }

  // `expected`: what the model answers; `after`: the model if so. With `fresh` fds that are the
  // client's still, closed when the step did not take them.
  bool run(std::string what, int expected, Model after, const Done& work,
           const std::vector<int>& fresh = {}) {
    const bool cut = pick(kCutOneIn) == 0;
    const bool faulty = !cut && pick(3) == 0;
    if (faulty) {
      fail_at({"luo.slot", "luo.preserve", "kho.alloc", "kho.preserve", "luo.freeze"}, what);
    }
    w_.also = [this](Change& change) { change.set(client().sequence, model_.answered + 1); };
    ++after.answered;
    int got = 0;
    const Saved saved = dying(cut, [&] { got = work(); });
    set_fault_hook({});
    w_.also = {};
    note(fmt::format("{} = {}", what, got == 0 ? "0" : errno_name(got)));
    if (got != 0) {
      for (const int fd : fresh) w_.fds.open.erase(fd);
    }
    const Model before = model_;
    if (faulty && got == ENOMEM && expected != ENOMEM) {
      ++injected;
      if (real() != before.text()) return broken("a failed step left something");
      return agree(before) && check_kept();
    }
    if (got != expected) return broken(fmt::format("expected {}", errno_name(expected)));
    if (got == 0) model_ = std::move(after);
    if (real() != model_.text()) return broken("differs:\n" + real() + "--\n" + model_.text());
    if (!agree(before)) return false;
    return saved.image.valid() ? put_back(saved, before) : check_kept();
  }

  // The worker died where the image was taken, and the run goes on from there.
  bool put_back(const Saved& saved, const Model& before) {
    ++cuts;
    note("... cut");
    w_.core.reset();
    w_.arena.reset();
    saved.image.put(w_.file);
    w_.fds = saved.fds;
    host_.state = saved.host;
    if (const Status next = w_.reattach(); !next) return broken(next.error().text());
    attached_ns_ = w_.clock.steady_ns();
    const std::string found = real();
    if (found == before.text()) {
      model_ = before;
    } else if (found != model_.text()) {
      // agree() has seen that it is a step of the way: what is done is taken over.
      model_ = before;
      if (!follow()) return false;
    }
    close_orphans();
    return check_kept() && resume();
  }

  bool reattach() {
    note("worker dies between two steps");
    if (const Status next = w_.reattach(); !next) return broken(next.error().text());
    attached_ns_ = w_.clock.steady_ns();
    if (real() != model_.text()) return broken("an attach changed something");
    return resume();
  }
  bool resume() {
    const Model before = model_;
    dying(false, [&] { w_.core->updates().resume(); });
    return follow() && agree(before) && settle();
  }

  abi::ServiceSlot& real_service(int number) {
    return *w_.core->services().at(view_.services.at(number));
  }
  abi::ConnectionSlot& client() {
    return *w_.core->records().find<abi::ConnectionSlot>(view_.connection);
  }
  void connect(int number, uint64_t generation) {
    host_.state.connections[next_connection_++] = {view_.services.at(number), generation, 0};
  }

  void dies(abi::ServiceSlot& service, int64_t pid) {
    host_.state.alive.erase(pid);
    host_.state.killed.erase(pid);
    w_.core->updates().process_ended(service, pid, "was killed");
  }

  // Events may commit or cancel, or neither: the counters say which, and the rest must follow.
  bool run_update(std::string what, const Done& work) {
    const Model before = model_;
    const bool cut = pick(kCutOneIn) == 0;
    if (!cut && pick(4) == 0) {
      fail_at({"luo.freeze", "luo.slot", "kho.alloc", "kho.preserve", "luo.freeze"}, what);
    }
    int got = 0;
    const Saved saved = dying(cut, [&] { got = work(); });
    set_fault_hook({});
    note(fmt::format("{} = {}", what, got == 0 ? "0" : errno_name(got)));
    if (!follow() || !agree(before)) return false;
    return saved.image.valid() ? put_back(saved, before) : settle();
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
      const Model before = model_;
      dying(false, [&] {
        for (int each = 1; each <= kServices; ++each) dies(real_service(each), pid);
      });
      if (!follow() || !agree(before)) return false;
    }
    for (int number = 1; number <= kServices; ++number) {
      abi::ServiceSlot& service = real_service(number);
      const bool idle = w_.core->updates().active(service) == nullptr;
      if (idle && !host_.alive(service.current)) host_.state.alive.insert(service.current.pid);
      if (idle && host_.participants(service, service.generation).empty()) {
        connect(number, service.generation);
      }
    }
    return check_kept();
  }

  std::mt19937_64 random_;
  LuoWorld w_{384 << 10};
  FakeHost host_;
  Model model_;
  Deaths deaths_{w_, [this](const Deaths::Found& found) { return look(found); }};
  std::deque<std::string> history_;
  ModelView view_;
  uint64_t next_id_ = 1;
  uint64_t next_connection_ = 1;
  int64_t next_pid_ = 1000;
  uint64_t attached_ns_ = 0;  // when the worker of now began, by the steady clock
};

}  // namespace outlive::luo
