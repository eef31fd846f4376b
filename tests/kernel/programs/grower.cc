// A service that tries in each step of an update whether its preserved files can grow, says what
// came of it, and says no to every freeze: so each update is cancelled, and after it they can grow
// again.
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "outlive/outlive.hpp"

using namespace outlive;
constexpr Token kMemory = 1, kFile = 2;
constexpr off_t kStep = 64 << 10;
constexpr uint64_t kMore = 32 << 20;

struct Grower : Participant {
  Client client = Client::connect().expect("connect");
  Session session;
  Memory memory;
  UniqueFd file{memfd_create("file", MFD_CLOEXEC)};
  off_t size = kStep;

  void start() {
    session = client.create_session("grower").expect("session");
    memory = Memory::create(session, kMemory, "grower").expect("memory");
    if (ftruncate(file.get(), size) != 0) _exit(1);
    session.preserve(kFile, file).expect("preserve");
  }
  // errno, or 0.
  int grow_file() {
    if (ftruncate(file.get(), size + kStep) != 0) return errno;
    size += kStep;
    return 0;
  }
  std::string grow_memory() {
    const outlive_offset offset = outlive_memory_allocate(memory.handle(), kMore);
    if (offset == 0) return outlive_error();
    outlive_memory_free(memory.handle(), offset);
    return "grown";
  }
  void say(const char* step, const Event& event, int code, const std::string& text) {
    printf("%s: kernel %d, file %s, memory %s\n", step, (event.flags & OUTLIVE_EVENT_KERNEL) != 0,
           code == 0 ? "grown" : strerror(code), text.c_str());
  }
  int prepare(const Event& event) override {
    const int code = grow_file();
    say("prepare", event, code, grow_memory());
    return 0;
  }
  int freeze(const Event& event) override {
    const int code = grow_file();
    say("freeze", event, code, grow_memory());
    return client.set_reason("it only tries", -EBUSY);
  }
  // Whoever asked for the update gives the files up when it hears of the cancel.
  void cancel(const Event& event) override {
    int code = 0;
    for (int tries = 0; tries < 6000 && (code = grow_file()) == EPERM; ++tries) {
      poll(nullptr, 0, 10);
    }
    say("cancel", event, code, grow_memory());
  }
  void retire(const Event&) override { _exit(0); }
};

int main() {
  setlinebuf(stdout);
  Grower grower;
  if (grower.client.participate(grower).expect("participate") == Role::kFresh) grower.start();
  grower.client.ready().expect("ready");
  for (;;) {
    pollfd wait{grower.client.fd(), POLLIN, 0};
    poll(&wait, 1, -1);
    grower.client.dispatch().expect("outlived");
  }
}
