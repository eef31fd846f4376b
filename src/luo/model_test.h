// The reference model of luo/: what a client may rely on, in maps and nothing else. It knows no
// arena, no records and no changes; model_test.cc drives it beside the real core.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace outlive::luo {

struct Model {
  struct File {
    int fd;
    uint64_t inode;  // 0: may be preserved more than once
    bool pooled;     // holds the global state
  };
  struct Session {
    uint64_t uid;
    std::string name;
    int service;  // 0: of none
    uint64_t generation;
    std::map<uint64_t, File> files = {};  // by token
    std::vector<uint64_t> order = {};     // of preservation
    bool left = false;                    // of no service: its holder is gone, it is incoming
    uint64_t unheld_ns = 0;               // since when nobody holds it, 0: somebody does
    bool operator<(const Session& other) const { return name < other.name; }
  };
  struct Service {
    uint64_t generation = 1;
    uint64_t outgoing_from = 1;
    uint64_t updates = 0;
    uint64_t rollbacks = 0;
  };

  std::map<uint64_t, Session> sessions;  // by a number of the test's own
  std::map<std::pair<uint64_t, std::string>, std::string> subtrees;
  std::map<int, Service> services;
  uint64_t answered = 0;  // requests whose reply the client's connection holds

  static constexpr uint64_t kMaxSessions = 12;  // a uid
  static constexpr uint64_t kMaxFiles = 60;
  static constexpr uint64_t kMaxSubtrees = 6;
  static constexpr uint64_t kLease = 3'600'000'000'000;  // ns
  static constexpr uint64_t kGrace = 60'000'000'000;     // of a lease, after an attach

  bool incoming(const Session& session) const {
    if (session.service == 0) return session.left;
    return session.generation < services.at(session.service).outgoing_from;
  }
  uint64_t sessions_of(uint64_t uid) const {
    uint64_t count = 0;
    for (const auto& [id, one] : sessions) count += one.uid == uid;
    return count;
  }
  uint64_t files_of(uint64_t uid) const {
    uint64_t count = 0;
    for (const auto& [id, one] : sessions) count += one.uid == uid ? one.files.size() : 0;
    return count;
  }
  uint64_t subtrees_of(uint64_t uid) const {
    uint64_t count = 0;
    for (const auto& [key, text] : subtrees) count += key.first == uid;
    return count;
  }
  bool outgoing_name(uint64_t uid, const std::string& name, uint64_t but = 0) const {
    for (const auto& [id, one] : sessions) {
      if (id != but && one.uid == uid && one.name == name && !incoming(one)) return true;
    }
    return false;
  }
  bool preserved(uint64_t inode) const {
    for (const auto& [id, one] : sessions) {
      for (const auto& [token, file] : one.files) {
        if (file.inode != 0 && file.inode == inode) return true;
      }
    }
    return false;
  }

  // ---- what the operations answer: 0 or an errno ----

  int create(uint64_t id, uint64_t uid, const std::string& name, int service) {
    if (outgoing_name(uid, name)) return EEXIST;
    if (sessions_of(uid) >= kMaxSessions) return EDQUOT;
    const uint64_t generation = service == 0 ? 0 : services.at(service).generation;
    sessions[id] = {.uid = uid, .name = name, .service = service, .generation = generation};
    return 0;
  }
  struct Wanted {
    uint64_t token;
    int fd;
    bool open;
    bool taken;  // a handler takes it
    uint64_t inode;
    bool pooled;
  };
  int preserve(uint64_t id, const std::vector<Wanted>& files) {
    Session& session = sessions.at(id);
    std::set<uint64_t> fresh;
    for (const Wanted& file : files) {
      if (session.files.contains(file.token) || !fresh.insert(file.token).second) return EEXIST;
    }
    if (files_of(session.uid) + files.size() > kMaxFiles) return EDQUOT;
    std::set<uint64_t> inodes;
    for (const Wanted& file : files) {
      if (!file.open) return EBADF;
      if (!file.taken) return ENOENT;
      if (file.inode != 0 && (preserved(file.inode) || !inodes.insert(file.inode).second)) {
        return EBUSY;
      }
    }
    for (const Wanted& file : files) {
      session.files[file.token] = {file.fd, file.inode, file.pooled};
      session.order.push_back(file.token);
    }
    return 0;
  }
  void remove(uint64_t id, uint64_t token) {
    Session& session = sessions.at(id);
    session.files.erase(token);
    std::erase(session.order, token);
  }
  void finish(uint64_t id) {
    sessions.at(id).files.clear();
    sessions.at(id).order.clear();
  }
  void end(uint64_t id) { sessions.erase(id); }
  void unheld(uint64_t id, uint64_t now_ns) {
    sessions.at(id).unheld_ns = now_ns;
    sessions.at(id).left = sessions.at(id).service == 0;
  }
  // Whose time is over; `attached_ns`: when the worker began.
  std::vector<uint64_t> due(uint64_t now_ns, uint64_t attached_ns) const {
    std::vector<uint64_t> list;
    for (const auto& [id, one] : sessions) {
      const uint64_t ends = std::max(one.unheld_ns + kLease, attached_ns + kGrace);
      if (one.unheld_ns != 0 && ends <= now_ns) list.push_back(id);
    }
    return list;
  }
  int adopt(uint64_t id) {
    Session& session = sessions.at(id);
    if (outgoing_name(session.uid, session.name, id)) return EEXIST;
    session.left = false;
    if (session.service != 0) session.generation = services.at(session.service).generation;
    return 0;
  }
  int adopt_all(int service) {
    std::set<std::string> outgoing;
    for (const auto& [id, one] : sessions) {
      if (one.service == service && !incoming(one)) outgoing.insert(one.name);
    }
    for (const auto& [id, one] : sessions) {
      if (one.service == service && incoming(one) && outgoing.contains(one.name)) return EEXIST;
    }
    services.at(service).outgoing_from = 0;
    return 0;
  }
  void generation_passed(int service) {
    Service& one = services.at(service);
    one.outgoing_from = ++one.generation;
  }
  int add_subtree(uint64_t uid, const std::string& name, const std::string& text) {
    if (!subtrees.contains({uid, name}) && subtrees_of(uid) >= kMaxSubtrees) return EDQUOT;
    subtrees[{uid, name}] = text;
    return 0;
  }
  int remove_subtree(uint64_t uid, const std::string& name) {
    return subtrees.erase({uid, name}) == 1 ? 0 : ENOENT;
  }

  // All of it as text: two models are equal when these are, and the real core writes the same.
  static std::string line(const Session& one, bool is_incoming) {
    std::string text =
        fmt::format("session {}/{} of {} generation {} {} unheld {}:", one.uid, one.name,
                    one.service, one.generation, is_incoming ? "in" : "out", one.unheld_ns);
    for (const uint64_t token : one.order) {
      text += fmt::format(" {}={}", token, one.files.at(token).fd);
    }
    return text + "\n";
  }
  static std::string line(int number, const Service& one) {
    return fmt::format("service {}: generation {} from {} updates {} rollbacks {}\n", number,
                       one.generation, one.outgoing_from, one.updates, one.rollbacks);
  }
  static std::string line(uint64_t uid, std::string_view name, std::string_view text) {
    return fmt::format("subtree {}/{}={} bytes {}\n", uid, name, text.size(),
                       std::hash<std::string_view>{}(text));
  }
  static std::string text(uint64_t global_states, uint64_t answered,
                          std::vector<std::string>& lines) {
    std::sort(lines.begin(), lines.end());
    std::string all = fmt::format("global states {}, answered {}\n", global_states, answered);
    for (const std::string& one : lines) all += one;
    return all;
  }
  std::string text() const {
    std::vector<std::string> lines;
    for (const auto& [id, one] : sessions) lines.push_back(line(one, incoming(one)));
    for (const auto& [number, one] : services) lines.push_back(line(number, one));
    for (const auto& [key, text] : subtrees) lines.push_back(line(key.first, key.second, text));
    return text(pooled() ? 1 : 0, answered, lines);
  }
  bool pooled() const {
    for (const auto& [id, one] : sessions) {
      for (const auto& [token, file] : one.files) {
        if (file.pooled) return true;
      }
    }
    return false;
  }
};

}  // namespace outlive::luo
