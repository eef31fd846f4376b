// FileHandler: the code that knows one kind of file. The verbs and their order are the kernel's
// (struct liveupdate_file_ops): can_preserve, preserve, unpreserve, freeze, unfreeze, retrieve,
// can_finish, finish.
//
// Happy path:   can_preserve -> preserve -> freeze -> (offer, commit) -> retrieve -> finish
// Cancelled:    ... freeze -> unfreeze, and the file is preserved as before
// Given up:     preserve -> unpreserve
//
// Order over the files of a session: preserve, freeze first to last; unfreeze those frozen, in
// reverse; unpreserve, finish last to first; retrieve in any order.
//
// Threads: one, the worker's. No verb may block on the client's file: not read, write, seek, fstat
// of a file whose file system may hang (FUSE, NFS). FileFacts were collected without blocking.
// A handler keeps no state that must outlive a process but `data` and arena pages that `data`
// leads to (owner kOwnerHandler).
#pragma once

#include <cstdint>
#include <string>

#include "abi/records.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace outlive::luo {

// What kind of descriptor it is: the rows of the table "Files: two ways over an update".
enum class FileKind : uint8_t {
  kMemfd,
  kRegular,
  kDirectory,
  kPipe,
  kFifo,
  kEventfd,
  kTimerfd,
  kSignalfd,
  kEpoll,
  kUnixListener,
  kUnixConnection,
  kUnixPair,
  kUnixDatagram,
  kTcpListener,
  kTcpConnection,
  kUdp,
  kOtherSocket,
  kPty,
  kTun,
  kInotify,
  kPidfd,
  kCharDevice,
  kBlockDevice,
  kIoUring,
  kOther,
};

// What can be learnt of an open file without blocking on it.
struct FileFacts {
  FileKind kind = FileKind::kOther;
  uint32_t mode = 0;  // S_IFMT and permission bits
  uint64_t device = 0;
  uint64_t inode = 0;  // of the file itself, 0: anonymous (shared by all anon_inode files)
  uint64_t size = 0;   // of a regular file or memfd, as cached
  int seals = 0;       // F_GET_SEALS of a memfd
  bool huge_pages = false;
  bool connected = false;  // of a socket: has a peer
  std::string detail;  // for people: "/memfd:name", "tcp 127.0.0.1:80", "anon_inode:[eventpoll]"
};

// Which file it is: of two that are open at the same time these are never the same, but for files
// that share an inode (FileFacts.inode is 0 for those).
struct FileIdentity {
  uint64_t device = 0;
  uint64_t inode = 0;
  bool operator==(const FileIdentity&) const = default;
};

// What a handler knows of one preserved file: the record's words.
struct FileState {
  BorrowedFd fd;  // held in the shared table
  uint64_t token = 0;
  uint64_t data = 0;
  uint64_t size = 0;
};

// What preserve wants remembered.
struct Preserved {
  uint64_t data = 0;
  uint64_t size = 0;  // freeze compares
};

class Flb;

class FileHandler {
 public:
  virtual ~FileHandler() = default;
  // The name in the record, up to 47 characters, with a version: "outlive-memfd-v1".
  virtual const char* compatible() const = 0;
  // How far it gets a file over an update.
  virtual abi::SurvivalClass survival(const FileFacts& facts) const = 0;
  // Asked in the order of registration; the first that says yes gets the file.
  virtual bool can_preserve(const FileFacts& facts) const = 0;
  // Whether the same inode may be preserved once only (EBUSY else), as the kernel's memfd handler.
  virtual bool exclusive(const FileFacts&) const { return false; }
  virtual Result<Preserved> preserve(BorrowedFd fd, const FileFacts& facts) = 0;
  virtual void unpreserve(const FileState& file) = 0;
  // The old one has answered `prepare`: from here to commit or cancel the file must not change its
  // size, identity or seals. What freeze shall compare with; before this it may grow.
  virtual Result<Preserved> prepare(const FileState& file) {
    return Preserved{file.data, file.size};
  }
  // Compares what must not have changed since prepare; an error cancels the update (EBUSY).
  virtual Status freeze(FileState& file) = 0;
  virtual void unfreeze(FileState& file) = 0;
  // The open file to hand out. Keep: the held one. EAGAIN with a token named: another file first.
  // Any other error is remembered by the caller and answered for ever.
  virtual Result<BorrowedFd> retrieve(const FileState& file) = 0;
  virtual Status can_finish(const FileState& file) const = 0;
  virtual void finish(const FileState& file) = 0;
  // Global state bound to files of this kind, or nullptr.
  virtual Flb* flb() { return nullptr; }
};

}  // namespace outlive::luo
