// Many preserved files, and the death of outlived's worker over them.
#include <signal.h>

#include <iostream>

#include "wire.h"

namespace outlive::bench {
namespace {

constexpr char kNote[] = "bench";

}  // namespace

Status many_files(Samples& samples, size_t most) {
  const Client client = TRY(connect_client());
  const Session session = TRY(create_session(client, "bench-files"));
  Timer timer{samples};
  for (size_t i = 0; i < most; ++i) {
    const UniqueFd file = TRY(make_file());
    const Status kept = timer.time(
        "preserve_nth", [&] { return check(outlive_preserve(session.get(), i + 1, file.get())); });
    if (kept) continue;
    fmt::print(stderr, "stopped after {} files: {}\n", i, kept.error().text());
    if (i == 0) return kept;
    break;
  }
  // All are held while bench.py looks at outlived's memory.
  std::cout << "ready" << std::endl;
  std::string line;
  std::getline(std::cin, line);
  return {};
}

Status worker_kills(Samples& samples, size_t files) {
  const Client client = TRY(connect_client());
  const Session session = TRY(create_session(client, "bench-kills"));
  for (size_t i = 0; i < files; ++i) {
    const UniqueFd file = TRY(make_file());
    TRY(check(outlive_preserve(session.get(), i + 1, file.get())));
  }
  TRY(check(outlive_note_write(client.get(), kNote, "x", 1)));
  std::cout << "ready" << std::endl;
  Timer timer{samples};
  const std::string name = files == 0 ? "kill" : "kill_with_files";
  for (pid_t worker = 0; std::cin >> worker;) {
    TRY(timer.time(name, [&]() -> Status {
      TRY(sys::kill(worker, SIGKILL));
      // The lightest question that a new worker can answer.
      return check(outlive_note_read(client.get(), kNote, nullptr, 0));
    }));
    std::cout << "done" << std::endl;
  }
  return check(outlive_note_remove(client.get(), kNote));
}

}  // namespace outlive::bench
