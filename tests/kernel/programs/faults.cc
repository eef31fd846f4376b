// The fault page of an outlived in the machine (src/base/fault_page.h), which is started with
// OUTLIVE_FAULTS=@PATH:
//   faults arm PATH ROLE NAME AT TIMES kill|abort|stop   from the AT-th hit on, TIMES hits
//   faults next PATH ROLE NAME AT TIMES kill|abort|stop  once a worker has stopped: the next one's
//                                                        point instead, and it is killed
//   faults fired PATH                                    says how often that was done
//   faults disarm PATH
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <filesystem>
#include <string_view>
#include <thread>

#include "base/fault_page.h"
#include "base/sys.h"

namespace outlive {
namespace {

Result<int64_t> action_of(std::string_view word) {
  if (word == "kill") return FaultPage::kKill;
  if (word == "abort") return FaultPage::kAbort;
  if (word == "stop") return FaultPage::kStop;
  return fail(EINVAL, "action '{}'", word);
}

// A worker that is stopped; 0: there is none.
Result<pid_t> stopped_worker() {
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const pid_t pid = atoi(entry.path().filename().c_str());
    if (pid == 0) continue;
    const Result<std::string> stat = sys::read_file(entry.path() / "stat");
    if (stat && stat->find("(outlived-worker) T ") != std::string::npos) return pid;
  }
  return 0;
}

// Written in place: the processes that are there have it mapped.
Status arm(char** words) {
  FaultPage page{};
  page.magic = FaultPage::kMagic;
  strncpy(page.role, words[1], sizeof page.role - 1);
  strncpy(page.name, words[2], sizeof page.name - 1);
  page.at = strtoul(words[3], nullptr, 10);
  page.times = strtoul(words[4], nullptr, 10);
  page.action = TRY(action_of(words[5]));
  page.armed = 1;
  const UniqueFd file = TRY(sys::open(words[0], O_WRONLY | O_CREAT, 0600));
  return sys::write_all(file, {reinterpret_cast<const char*>(&page), sizeof page});
}

Status next(char** words) {
  pid_t pid = 0;
  while (pid == 0) {
    pid = TRY(stopped_worker());
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  TRY(arm(words));
  return sys::kill(pid, SIGKILL);
}

Status run(int count, char** words) {
  const std::string_view verb = count > 1 ? words[1] : "";
  if (verb == "arm" && count == 8) return arm(words + 2);
  if (verb == "next" && count == 8) return next(words + 2);
  if (count != 3 || (verb != "fired" && verb != "disarm")) return fail(EINVAL, "see faults.cc");
  FaultPage* page = TRY(map_fault_page(words[2]));
  if (verb == "disarm") {
    std::atomic_ref(page->armed).store(0);
  } else {
    printf("%lu", std::atomic_ref(page->fired).load());
  }
  return {};
}

}  // namespace
}  // namespace outlive

int main(int count, char** words) {
  const outlive::Status done = outlive::run(count, words);
  if (done) return EXIT_SUCCESS;
  dprintf(STDERR_FILENO, "faults: %s\n", done.error().text().c_str());
  return EXIT_FAILURE;
}
