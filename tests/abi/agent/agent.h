// The agent: does requests of a script, one a line, and says one line for each. It knows nothing of
// LUO but the path of its device: numbers and bytes of ioctls are the script's. What it says has no
// descriptor numbers, addresses or times in it, so that two runs can be compared line by line.
//
//   seq ID PHASE       a new sequence: whatever the last one still had is closed
//   end | keep         it is over; `keep`: what it has stays open until the program ends
//   open V FLAGS       the device; V is a slot's name from here on, and so below
//   ioctl V COMMAND MEMORY BYTES [fd=W] [into=X]
//                      BYTES in hex, at offset 4 the descriptor of W; what comes out there is X.
//                      MEMORY: plain, end (nothing is mapped behind), ro (the same, can't be
//                      written), cross:N (what is behind N bytes can't be written), null, low, top
//   close V   dup V W   reopen V W FLAGS   pass V W   queue Q V   unqueue Q W
//   memfd V FLAGS   make V KIND   describe V   describe-all V   flags V
//   truncate V SIZE   write V OFFSET SIZE SEED   append V SIZE SEED   seek V POSITION
//   seals V BITS   fallocate V MODE OFFSET SIZE   store V OFFSET BYTE
//   child REQUEST...   it is done by a child, which is gone then
//   fork C   reap C   kill C      a child that has everything open; let it end, kill it
//   full   room        no descriptor more than there are; as many as the system gives
//
// Every request is survived; what can't be done is said with its errno's name.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

namespace abi_agent {

using Words = std::vector<std::string>;

class Agent {
 public:
  // What the request came to.
  std::string run(const Words& words);
  // Closes what the sequence has and ends its children; `keep`: only the device and the children.
  void end(bool keep);

  int fd(const std::string& slot) const;  // -1: nothing there
  // What was there is closed.
  void put(const std::string& slot, int fd);

 private:
  friend struct Processes;
  struct Child {
    pid_t pid;
    int line;  // a byte there ends it
  };
  std::map<std::string, int> slots_;
  std::map<std::string, Child> children_;
};

// "EBUSY", of errno.
std::string errno_name();
// "ok", or the errno's name.
std::string outcome(bool good);
long number(const std::string& word);
const std::string& word(const Words& words, size_t n);  // "": there are fewer

// One request each; words[0] is its name.
std::string do_ioctl(Agent& agent, const Words& words);
std::string do_file(Agent& agent, const Words& words);
std::string do_describe(Agent& agent, const Words& words);
int make_kind(const std::string& kind);  // -1: errno

struct Processes {
  static std::string child(Agent& agent, const Words& words);
  static std::string fork_one(Agent& agent, const std::string& slot);
  static std::string end(Agent& agent, const std::string& slot, bool kill_it);
  static void end_all(Agent& agent);
  static std::string pass(Agent& agent, const Words& words);
};

}  // namespace abi_agent
