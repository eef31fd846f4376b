// A service for tests over a kexec: counts in memory that outlived keeps, and says on stdout what
// it finds. `counter`: fresh or adopted; `counter veto`: says no to the first freeze.
//
// Beside the memory it preserves a memfd that gets a seal, an owner, a mode, a flag and a position
// after it was preserved, and a pipe that the kernel can't carry, if `counter pipe` is said.
// `counter WHAT NAME`: its session's name.
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "outlive/outlive.hpp"

using namespace outlive;
constexpr Token kMemory = 1, kFile = 2, kPipe = 3;
constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW;

struct Counter : Participant {
  Client client = Client::connect().expect("connect");
  Session session;
  Memory memory;
  bool serving = false;
  bool veto = false;
  const char* name = "counter";

  void start(bool with_pipe) {
    session = client.create_session(name).expect("session");
    memory = Memory::create(session, kMemory, "counter").expect("memory");
    memory.set_root(memory.make<uint64_t>(0u).expect("counter"));
    const int file = memfd_create("file", MFD_ALLOW_SEALING | MFD_CLOEXEC);
    dprintf(file, "what was written");
    session.preserve(kFile, file).expect("file");
    fcntl(file, F_ADD_SEALS, kSeals);
    fchmod(file, 0640);
    fcntl(file, F_SETFL, O_APPEND);
    if (fchown(file, 65534, 65534) != 0) _exit(1);
    int ends[2];
    if (with_pipe && pipe(ends) == 0) session.preserve(kPipe, ends[0]).expect("pipe");
    printf("fresh\n");
    serving = true;
  }
  int freeze(const Event&) override {
    if (std::exchange(veto, false)) return EBUSY;
    return serving = false;
  }
  void cancel(const Event&) override {
    serving = true;
    printf("cancelled at %lu\n", value());
  }
  void retire(const Event&) override { _exit(0); }
  int adopt(const Event&) override {
    session = client.retrieve_session(name).expect("session");
    memory = Memory::open(session, kMemory).expect("memory");
    const UniqueFd file = session.retrieve(kFile).expect("file");
    char text[64] = "";
    const ssize_t got = pread(file.get(), text, sizeof text - 1, 0);
    struct stat status {};
    fstat(file.get(), &status);
    printf(
        "adopted at %lu, %zd bytes '%s', seals %s, mode %o, owner %u:%u, append %d, position %ld\n",
        value(), got, text, (fcntl(file.get(), F_GET_SEALS) & kSeals) == kSeals ? "there" : "lost",
        status.st_mode & 07777u, status.st_uid, status.st_gid,
        (fcntl(file.get(), F_GETFL) & O_APPEND) != 0,
        static_cast<long>(lseek(file.get(), 0, SEEK_CUR)));
    return 0;
  }
  void committed(const Event&) override {
    memory.writable().expect("memory");
    client.adopt_all().expect("adopt");
    serving = true;
  }
  uint64_t value() { return *memory.root<uint64_t>(); }
};

int main(int argc, char** argv) {
  setlinebuf(stdout);
  const char* what = argc > 1 ? argv[1] : "";
  Counter counter;
  counter.veto = strcmp(what, "veto") == 0;
  if (argc > 2) counter.name = argv[2];
  const Role role = counter.client.participate(counter).expect("participate");
  if (role == Role::kFresh) counter.start(strcmp(what, "pipe") == 0);
  counter.client.ready().expect("ready");
  for (;;) {
    pollfd wait{counter.client.fd(), POLLIN, 0};
    poll(&wait, 1, 10);
    if (wait.revents != 0) counter.client.dispatch().expect("outlived");
    if (counter.serving) ++*counter.memory.root<uint64_t>();
  }
}
