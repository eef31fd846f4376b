// For tests: one open file of each kind, made for real.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "luo/file_handler.h"

namespace outlive::files {

// A directory of the test's own, removed with what is in it.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  std::string at(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

inline luo::FileFacts facts_of_kind(luo::FileKind kind) {
  luo::FileFacts facts;
  facts.kind = kind;
  return facts;
}

struct MadeFile {
  std::string what;
  luo::FileKind kind;
  UniqueFd fd;
  bool connected = false;
};

struct OneOfEach {
  std::vector<MadeFile> files;
  std::vector<UniqueFd> others;      // the far ends
  std::vector<std::string> skipped;  // what can't be made here, and why
};
OneOfEach one_of_each(const TempDir& dir);

// A process that holds a copy of every descriptor that we have, until it is destroyed.
class Holder {
 public:
  Holder();
  ~Holder() { end(); }
  pid_t pid() const { return pid_; }
  void kill_only();  // a zombie from here on
  void end();

 private:
  pid_t pid_ = -1;
};

}  // namespace outlive::files
