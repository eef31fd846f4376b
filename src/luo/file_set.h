// Files: preserving, retrieving, unpreserving and finishing the files of sessions.
//
// Happy path:   Preserving batch = preserve(change, ...); change.commit(); batch.committed();
//               Removing batch = remove(change, ...); change.commit(); batch.committed();
// Unhappy path: a Preserving that is dropped uncommitted calls the handlers' unpreserve, last
// first;
//               nothing of it is seen. One bad file of many: none is preserved.
// Fds:          preserve takes the number that is in the shared table already; as of the commit the
//               record names it. A removed file's fd goes to Context::release after the commit.
#pragma once

#include <span>
#include <unordered_map>
#include <unordered_set>

#include "luo/flb.h"
#include "luo/session.h"

namespace outlive::luo {

struct NewFile {
  uint64_t token;
  BorrowedFd fd;
};

class Files {
  using Identity = FileIdentity;
  struct IdentityHash {
    size_t operator()(const Identity& i) const { return i.inode * 0x9e3779b97f4a7c15u ^ i.device; }
  };

 public:
  Files(Context& context, Sessions& sessions, Flbs& flbs)
      : context_(context), sessions_(sessions), flbs_(flbs) {}
  const Flbs& flbs() const { return flbs_; }
  // Builds the identity index; removes files whose session is gone. EUCLEAN: a handler is missing.
  Status load();
  // Whether each held fd is what its record says; only where the table is the records' own.
  // EUCLEAN. Looks at nothing that a client could change: a client must not be able to bring us to
  // refuse.
  Status verify();
  // Of those that aren't lost, sorted: after verify() they are open.
  std::vector<BorrowedFd> open_fds() const;

  class Preserving {
   public:
    Preserving(Preserving&& other) noexcept = default;
    ~Preserving();
    void committed();

   private:
    friend class Files;
    Preserving(Files& files, Session& session) : files_(&files), session_(&session) {}
    struct One {
      abi::FileSlot* slot;
      FileHandler* handler;
    };
    Files* files_;
    Session* session_;
    std::vector<One> list_;
    std::unordered_set<Identity, IdentityHash> identities_;  // of this batch
  };

  class Removing {
   public:
    // After the commit: handlers hear of it, last first; fds are released.
    void committed();

   private:
    friend class Files;
    struct One {
      FileState state;
      FileHandler* handler;
      Flbs::Last last;
    };
    Context* context_ = nullptr;
    bool finish_ = false;
    std::vector<One> list_;
  };

  // All or none. EEXIST: the token is used (asked first); EBADF; ENOENT: no handler takes it;
  // EBUSY: the same file is preserved already; EDQUOT; ENOSPC.
  Result<Preserving> preserve(Change& change, Session& session, std::span<const NewFile> files);
  // The open file, to be handed out. ENOENT: unknown token; the handler's error, sticky.
  // Marks the record; a file that was retrieved before is handed out again.
  Result<BorrowedFd> retrieve(Change& change, Session& session, uint64_t token);
  // Queues the removal of these files (of this session) and forgets them in the index.
  Removing remove(Change& change, Session& session, std::vector<abi::FileSlot*> files, bool finish);
  // EBUSY when a handler's can_finish says no.
  Status can_finish(const Session& session) const;

  // What each file is compared with at freeze, as it is now.
  Status prepare(const std::vector<Session*>& sessions);
  // Freeze, first to last by order over all these sessions; an error unfreezes those frozen.
  Status freeze(const std::vector<Session*>& sessions);
  void unfreeze(const std::vector<Session*>& sessions);

  FileHandler* handler_of(const abi::FileSlot& slot) const;
  uint64_t count_of(uint64_t uid) const;
  // Preserved files of a kind in order of preservation, before anyone retrieves them. Fills at most
  // `out.size()`; the total is returned.
  struct DataEntry {
    uint64_t session;
    uint64_t token;
    uint64_t data;
  };
  uint64_t fd_data_query(std::string_view compatible, std::span<DataEntry> out);
  std::vector<abi::FileSlot*> ordered(const std::vector<Session*>& sessions) const;
  // The first `most` of them whose order is above `after`: without sorting all of many.
  std::vector<const abi::FileSlot*> ordered_after(const std::vector<Session*>& sessions,
                                                  uint64_t after, size_t most) const;

 private:
  Status preserve_one(Change& change, Preserving& batch, const NewFile& file);
  void unfreeze_files(const std::vector<abi::FileSlot*>& files);
  Result<FileHandler*> choose(BorrowedFd fd, const FileFacts& facts) const;
  std::string describe(BorrowedFd fd) const;
  void forget(abi::FileSlot& slot, uint64_t uid);
  static FileState state_of(const abi::FileSlot& slot);

  Context& context_;
  Sessions& sessions_;
  Flbs& flbs_;
  std::unordered_map<Identity, uint64_t, IdentityHash> identities_;
  std::unordered_map<uint64_t, uint64_t> by_uid_;
  uint64_t next_order_ = 1;
};

}  // namespace outlive::luo
