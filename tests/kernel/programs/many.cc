// A service with as many sessions as it is told, one memfd in each, and says on stdout what it
// finds after an update: `many SESSIONS BYTES`, BYTES of all files together. All of their pages are
// written. `many clock` says the machine's CLOCK_REALTIME and CLOCK_BOOTTIME in nanoseconds, and
// nothing else.
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "outlive/outlive.hpp"

using namespace outlive;
constexpr Token kToken = 1;
constexpr size_t kPage = 4096;

struct Many : Participant {
  Client client = Client::connect().expect("connect");
  std::vector<Session> sessions;
  size_t count;
  size_t size;  // of each file

  Many(size_t its_count, size_t bytes) : count(its_count), size(bytes / its_count) {}

  static std::string name(size_t number) { return "many-" + std::to_string(number); }
  // What a page begins with: no two of all files are alike.
  size_t mark(size_t number, size_t at) const { return number * size + at + 1; }

  // Each page's mark, written or compared; how many differ.
  size_t pages(int file, size_t number, bool write) {
    void* map = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (map == MAP_FAILED) return size;
    size_t differ = 0;
    for (size_t at = 0; at + sizeof at <= size; at += kPage) {
      char* page = static_cast<char*>(map) + at;
      size_t found = mark(number, at);
      if (write) memcpy(page, &found, sizeof found);
      memcpy(&found, page, sizeof found);
      differ += found != mark(number, at);
    }
    munmap(map, size);
    return differ;
  }

  void start() {
    for (size_t number = 0; number < count; ++number) {
      sessions.push_back(client.create_session(name(number)).expect("session"));
      const UniqueFd file(memfd_create("many", MFD_CLOEXEC));
      if (ftruncate(file.get(), static_cast<off_t>(size)) != 0 ||
          pages(file.get(), number, true) != 0) {
        perror("memfd");
        exit(1);
      }
      sessions.back().preserve(kToken, file).expect("preserve");
    }
  }
  void retire(const Event&) override { _exit(0); }
  int adopt(const Event&) override {
    size_t differ = 0;
    for (size_t number = 0; number < count; ++number) {
      sessions.push_back(client.retrieve_session(name(number)).expect("session"));
      const UniqueFd file = sessions.back().retrieve(kToken).expect("file");
      struct stat status {};
      fstat(file.get(), &status);
      differ +=
          static_cast<size_t>(status.st_size) != size || pages(file.get(), number, false) != 0;
    }
    printf("adopted %zu, %zu differ\n", sessions.size(), differ);
    return 0;
  }
  void committed(const Event&) override { client.adopt_all().expect("adopt"); }
};

long now_of(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

int say_clock() {
  printf("%ld %ld\n", now_of(CLOCK_REALTIME), now_of(CLOCK_BOOTTIME));
  return 0;
}

int main(int argc, char** argv) {
  if (argc == 2 && strcmp(argv[1], "clock") == 0) return say_clock();
  if (argc != 3) return 2;
  setlinebuf(stdout);
  Many many(std::max(1ul, strtoul(argv[1], nullptr, 10)), strtoul(argv[2], nullptr, 10));
  const Role role = many.client.participate(many).expect("participate");
  if (role == Role::kFresh) many.start();
  many.client.ready().expect("ready");
  if (role == Role::kFresh) printf("fresh\n");
  for (;;) {
    pollfd wait{many.client.fd(), POLLIN, 0};
    poll(&wait, 1, -1);
    many.client.dispatch().expect("outlived");
  }
}
