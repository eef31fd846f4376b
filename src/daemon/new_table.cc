#include "daemon/new_table.h"

#include <algorithm>

#include "base/log.h"

namespace outlive::daemon {
namespace {

class NewTable {
 public:
  NewTable(luo::Core& core, const std::vector<int>& open_files,
           const std::vector<int>& open_connections, const Clock& clock)
      : core_(core),
        records_(core.records()),
        files_(open_files),
        connections_(open_connections),
        clock_(clock) {}

  void files() {
    for (abi::FileSlot* slot : all<abi::FileSlot>()) {
      if (is_open(files_, slot->fd) || slot->fd < 0) continue;
      const luo::Session* session = core_.sessions().at(slot->session);
      log_error("session '{}' token {:#x}: lost, it was not in the fd store",
                session != nullptr ? session->name : "?", slot->token);
      luo::Change change(records_);
      change.set(slot->fd, int64_t{-1});
      change.set(slot->failed, uint64_t{EIO});
      change.commit();
      ++report.files_lost;
    }
  }

  void connections() {
    for (abi::ConnectionSlot* slot : all<abi::ConnectionSlot>()) {
      luo::Change change(records_);
      if (slot->reply_fd >= 0) {  // it was on its way: the client asks again
        change.set(slot->reply_fd, int64_t{-1});
        if (slot->result == 0) change.set(slot->result, int64_t{-EIO});
      }
      if (slot->fd >= 0 && !is_open(connections_, slot->fd)) {
        change.set(slot->fd, int64_t{-1});
        ++report.connections_lost;
        abi::SessionSlot* session = records_.find<abi::SessionSlot>(slot->session);
        if (session != nullptr) change.set(session->orphaned_ns, clock_.realtime_ns());
      }
      if (!change.empty()) change.commit();
    }
  }

  // Made again where a process lives on; an executable is found again by its path.
  void processes() {
    for (abi::ServiceSlot* slot : all<abi::ServiceSlot>()) {
      luo::Change change(records_);
      forget(change, slot->current);
      change.set(slot->previous_binary_fd, int64_t{-1});
      change.commit();
    }
    for (abi::UpdateSlot* slot : all<abi::UpdateSlot>()) {
      luo::Change change(records_);
      forget(change, slot->successor);
      forget(change, slot->old);
      change.commit();
    }
  }

  NewTableReport report;

 private:
  template <class S>
  std::vector<S*> all() {
    std::vector<S*> list;
    records_.for_each<S>([&](S& slot) { list.push_back(&slot); });
    return list;
  }
  static bool is_open(const std::vector<int>& open, int64_t number) {
    return std::binary_search(open.begin(), open.end(), number);
  }
  static void forget(luo::Change& change, abi::ProcessWords& words) {
    if (words.pid == 0 && words.instance == 0) return;
    for (int64_t* word : {&words.pidfd, &words.notify_fd, &words.binary_fd}) {
      change.set(*word, int64_t{-1});
    }
  }

  luo::Core& core_;
  luo::Records& records_;
  const std::vector<int>& files_;
  const std::vector<int>& connections_;
  const Clock& clock_;
};

}  // namespace

NewTableReport enter_new_table(luo::Core& core, const std::vector<int>& files,
                               const std::vector<int>& connections, uint64_t epoch,
                               const Clock& clock) {
  NewTable table(core, files, connections, clock);
  table.files();
  table.connections();
  table.processes();
  luo::Change change(core.records());
  change.set(core.records().root().fd_epoch, epoch);
  change.commit();
  return table.report;
}

}  // namespace outlive::daemon
