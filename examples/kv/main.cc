// kv: a small Redis that outlives its own replacement. Read updates.h first; then server.h, store.h
// and table.h.
//
//   outlive run --name kv -- kv-v1 --port 6380
//   redis-cli -p 6380 set greeting hello
//   outlive update kv -- kv-v2 --port 6380       and nobody notices
#include <getopt.h>
#include <signal.h>
#include <sys/resource.h>

#include <cstdio>
#include <cstdlib>

#include "commands.h"
#include "updates.h"

namespace {

constexpr char kUsage[] =
    "usage: kv-v%d [--bind ADDRESS] [--port PORT] [--port-file FILE] [--memory-limit MIB]\n"
    "             [--standalone] [--break WAY] [--version]\n"
    "  --port 0       any free port; it is printed, and written to the port file\n"
    "  --standalone   without outlived\n"
    "  --break WAY    a bad version, for tests: crash-at-start, never-ready, veto,\n"
    "                 die-after-retrieve, garbage\n";

bool parse_number(const char* text, uint64_t most, uint64_t* value) {
  char* end = nullptr;
  *value = strtoull(text, &end, 10);
  return *text >= '0' && *text <= '9' && *end == '\0' && *value <= most;
}

// False: usage.
bool parse(int argc, char** argv, kv::Options* options) {
  constexpr option kOptions[] = {{"bind", required_argument, nullptr, 'a'},
                                 {"port", required_argument, nullptr, 'p'},
                                 {"port-file", required_argument, nullptr, 'f'},
                                 {"memory-limit", required_argument, nullptr, 'm'},
                                 {"standalone", no_argument, nullptr, 's'},
                                 {"break", required_argument, nullptr, 'b'},
                                 {"version", no_argument, nullptr, 'v'},
                                 {nullptr, 0, nullptr, 0}};
  uint64_t number = 0;
  for (int c = 0; (c = getopt_long(argc, argv, "", kOptions, nullptr)) != -1;) {
    switch (c) {
      case 'a':
        options->address = optarg;
        break;
      case 'p':
        if (!parse_number(optarg, UINT16_MAX, &number)) return false;
        options->port = static_cast<uint16_t>(number);
        break;
      case 'f':
        options->port_file = optarg;
        break;
      case 'm':
        if (!parse_number(optarg, 1 << 24, &number)) return false;
        options->memory_limit = number << 20;
        break;
      case 's':
        options->standalone = true;
        break;
      case 'b':
        if (!kv::parse_broken(optarg, &options->broken)) return false;
        break;
      case 'v':
        printf("kv %d\n", KV_VERSION);
        exit(0);
      default:
        return false;
    }
  }
  return optind == argc;
}

// As many connections as the system allows. A successor has, for a moment, those that came and
// those that went since it looked.
void raise_fd_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

int main(int argc, char** argv) {
  kv::Options options;
  if (!parse(argc, argv, &options)) {
    fprintf(stderr, kUsage, KV_VERSION);
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);
  raise_fd_limit();
  kv::break_at_start(options.broken);
  kv::Store store;
  kv::Server server(&store);
  kv::Updates updates(options, &store, &server);
  if (!server.open() || !updates.start()) return 1;
  while (!updates.retired()) {
    if (updates.serving()) {
      updates.after_turn(server.turn());
    } else if (!updates.wait()) {
      return 1;
    }
  }
  return 0;
}
