#include "machine/process/closer.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/fault.h"
#include "base/log.h"
#include "base/mutant.h"
#include "machine/process/clone.h"
#include "machine/process/killed.h"
#include "machine/process/priority.h"

namespace outlive::machine {
namespace {

constexpr size_t kBatch = 1024;  // numbers a write; the pipe takes 16 of them
constexpr size_t kMostStuck = 64;
constexpr uint64_t kYieldAfter = 16;  // closes
constexpr int kTake = 1 << 30;        // beside the number: take a message off it
// Waiting closes for which a blocked one has all of the time-out; beyond, they share it.
constexpr size_t kFewWaiting = 64;
constexpr uint64_t kSharedPatience = 16;  // part of the time-out, when other users wait
constexpr uint64_t kLeastPatienceNs = 5'000'000;
constexpr uint64_t kComplaintsNs = 1'000'000'000;  // between two lines of the log
// After SIGKILL: what sleeps in the kernel for longer won't end soon, and closes nothing more.
constexpr uint64_t kDeathGraceNs = 200'000'000;

// The page that worker and closer share.
struct Progress {
  uint64_t begun = 0;   // closer: closes that it was about to call
  uint64_t done = 0;    // closer: closes that have returned
  uint64_t device = 0;  // closer: of the file that it closes now; 0: close has not been called
  uint64_t inode = 0;
};

// What is at that number; asks nobody, so it doesn't block.
struct statx identity_of(BorrowedFd fd) {
  struct statx none {};
  const auto facts = sys::statx_cached(fd, STATX_INO);
  return facts ? *facts : none;
}
uint64_t device_of(const struct statx& facts) {
  return (uint64_t{facts.stx_dev_major} << 32 | facts.stx_dev_minor) + 1;  // never 0
}

void note_identity(BorrowedFd fd, Progress* progress) {
  const struct statx facts = identity_of(fd);
  store_word(progress->inode, uint64_t{facts.stx_ino});
  store_word(progress->device, device_of(facts));
}

// The process. Nothing but system calls: it was cloned from a worker in the middle of anything.
[[noreturn]] void run_closer(pid_t worker, BorrowedFd numbers, Progress* progress) {
  die_with_parent(worker);
  ::prctl(PR_SET_NAME, "outlived-closer");
  step_back();
  set_log_role("closer");
  std::array<int, kBatch> batch{};
  for (;;) {
    const ssize_t bytes = ::read(numbers.get(), batch.data(), sizeof batch);
    if (bytes == -1 && errno == EINTR) continue;
    if (bytes <= 0) ::_exit(0);
    for (size_t i = 0; i < static_cast<size_t>(bytes) / sizeof(int); ++i) {
      store_word(progress->device, uint64_t{0});
      store_word(progress->begun, progress->begun + 1);
      if ((batch[i] & kTake) != 0) {
        ::recv(batch[i] & ~kTake, nullptr, 0, MSG_DONTWAIT | MSG_TRUNC);
      } else {
        note_identity(BorrowedFd(batch[i]), progress);
        FAULT_POINT("closer.close");
        ::close(batch[i]);
      }
      store_word(progress->done, progress->done + 1);
      // Who has woken on this processor need not wait for all of them.
      if (progress->done % kYieldAfter == 0) ::sched_yield();
    }
  }
}

}  // namespace

struct Closer::Process {
  pid_t pid = 0;
  UniqueFd pidfd;
  UniqueFd read;
  UniqueFd write;
  sys::Mapping page;
  uint64_t counted = 0;    // of progress().done
  uint64_t since_ns = 0;   // the close at sent_.front() began then, or later
  uint64_t killed_ns = 0;  // 0: alive
  Progress& progress() const { return *reinterpret_cast<Progress*>(page.data()); }
};

Closer::Closer(Control& control, uint64_t timeout_ns)
    : control_(control), timeout_ns_(timeout_ns) {}

Closer::~Closer() {
  if (process_ == nullptr) return;
  static_cast<void>(sys::pidfd_send_signal(process_->pidfd, SIGKILL));
  pollfd wait{process_->pidfd.get(), POLLIN, 0};
  ::poll(&wait, 1, static_cast<int>(kDeathGraceNs / 1'000'000));
  if (!is_past_harm(process_->pidfd)) {
    static_cast<void>(process_->pidfd.release());  // the block names it: the keeper waits
    return;
  }
  store_word(control_.block().closer_pidfd, int32_t{-1});
  siginfo_t info{};
  ::waitid(P_PIDFD, static_cast<id_t>(process_->pidfd.get()), &info, WEXITED | WNOHANG);
}

pid_t Closer::pid() const {
  return process_ != nullptr ? process_->pid : 0;
}

int Closer::Job::code() const {
  return done ? fd.get() | kTake : fd.get();
}

std::vector<BorrowedFd> Closer::fds() const {
  std::vector<BorrowedFd> list;
  for (const auto& [uid, queue] : queues_) {
    for (const Job& job : queue) list.push_back(job.fd);
  }
  for (const Job& job : sent_) list.push_back(job.fd);
  for (const UniqueFd& pidfd : stuck_) list.emplace_back(pidfd);
  if (process_ == nullptr) return list;
  for (const UniqueFd* fd : {&process_->pidfd, &process_->read, &process_->write}) {
    list.emplace_back(*fd);
  }
  return list;
}

void Closer::close(BorrowedFd fd) {
  put({uid_, fd, nullptr}, false);
}

void Closer::take_message(BorrowedFd socket, std::function<void()> done) {
  put({uid_, socket, std::move(done)}, false);
}

void Closer::put(Job job, bool first) {
  std::deque<Job>& queue = queues_[job.uid];
  first ? queue.push_front(std::move(job)) : queue.push_back(std::move(job));
  ++queued_;
}

void Closer::rest() {
  if (process_ == nullptr || pending() != 0) return;
  static_cast<void>(sys::pidfd_send_signal(process_->pidfd, SIGKILL));
}

// One of each user after another.
Closer::Job Closer::next_job() {
  auto turn = queues_.upper_bound(last_uid_);
  if (turn == queues_.end()) turn = queues_.begin();
  last_uid_ = turn->first;
  Job job = std::move(turn->second.front());
  turn->second.pop_front();
  if (turn->second.empty()) queues_.erase(turn);
  --queued_;
  return job;
}

uint64_t Closer::patience() const {
  const size_t waiting = pending();
  const uint64_t uid = sent_.front().uid;
  const bool others = !queues_.empty() && (queues_.size() > 1 || !queues_.contains(uid));
  const bool others_sent =
      std::any_of(sent_.begin(), sent_.end(), [&](const Job& job) { return job.uid != uid; });
  uint64_t patience = timeout_ns_;
  if (others || others_sent) patience /= kSharedPatience;
  if (waiting > kFewWaiting) patience = patience * kFewWaiting / waiting;
  return std::max(patience, std::min(kLeastPatienceNs, timeout_ns_));
}

uint64_t Closer::wait_ns() const {
  constexpr uint64_t kMost = 20'000'000;
  return sent_.empty() ? kMost : std::min(kMost, patience() / 2);
}

void Closer::finish(Job& job) {
  ++closed_;
  if (job.done) finished_.push_back(std::move(job.done));
}

void Closer::tick(uint64_t now_ns) {
  move_on(now_ns);
  // Last: they may give us more to do.
  for (const auto& done : std::exchange(finished_, {})) done();
}

void Closer::move_on(uint64_t now_ns) {
  reap_stuck();
  if (process_ != nullptr && pending() != 0) watch(now_ns);
  if (process_ == nullptr && (queued_ == 0 || !start(now_ns))) return;
  if (process_->killed_ns != 0) return;
  collect(now_ns);
  if (!sent_.empty() && now_ns - process_->since_ns > patience()) {
    give_up(now_ns);
    return;
  }
  if (sent_.empty()) process_->since_ns = now_ns;
  send();
}

bool Closer::start(uint64_t now_ns) {
  if (stuck_.size() >= kMostStuck) return false;
  auto made = std::make_unique<Process>();
  Result<sys::Pipe> pipe = sys::pipe();
  Result<sys::Mapping> page =
      sys::mmap(sizeof(Progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, BorrowedFd());
  // What fails here is tried again at the next tick: fds and processes come free.
  if (!pipe || !page) return false;
  made->read = std::move(pipe->read);
  made->write = std::move(pipe->write);
  made->page = page.take();
  if (!sys::set_nonblocking(made->write, true)) return false;
  const pid_t worker = ::getpid();
  int32_t& shared_pidfd = control_.block().closer_pidfd;
  const Result<pid_t> pid = clone_files(&shared_pidfd);
  if (!pid) {
    store_word(shared_pidfd, int32_t{-1});
    log_warning("closer: {}", pid.error().text());
    return false;
  }
  if (*pid == 0) run_closer(worker, made->read, &made->progress());
  made->pid = *pid;
  made->pidfd = UniqueFd(shared_pidfd);
  made->since_ns = now_ns;
  process_ = std::move(made);
  return true;
}

void Closer::send() {
  while (queued_ != 0) {
    // Never more than one write takes whole (PIPE_BUF is 4096 bytes = kBatch numbers).
    std::array<int, kBatch> batch{};
    std::vector<Job> jobs;
    while (queued_ != 0 && jobs.size() < kBatch) {
      jobs.push_back(next_job());
      batch[jobs.size() - 1] = jobs.back().code();
    }
    const ssize_t bytes = ::write(process_->write.get(), batch.data(), jobs.size() * sizeof(int));
    if (bytes <= 0) {  // full: the next tick
      put_back(jobs);
      return;
    }
    std::move(jobs.begin(), jobs.end(), std::back_inserter(sent_));
  }
}

// They are the first of their users again.
template <typename Jobs>
void Closer::put_back(Jobs& jobs) {
  for (auto job = jobs.rbegin(); job != jobs.rend(); ++job) put(std::move(*job), true);
  jobs.clear();
}

// What the process has done since the last look.
void Closer::collect(uint64_t now_ns) {
  const uint64_t done = load_word(process_->progress().done);
  const uint64_t more = std::min<uint64_t>(done - process_->counted, sent_.size());
  if (more == 0) return;
  for (uint64_t i = 0; i < more; ++i) {
    finish(sent_.front());
    sent_.pop_front();
  }
  process_->counted = done;
  process_->since_ns = now_ns;
}

void Closer::give_up(uint64_t now_ns) {
  if (now_ns >= next_complaint_ns_) {
    log_warning("closing a file of uid {} takes longer than {} ms: given up ({} so far, {} wait)",
                sent_.front().uid, patience() / 1'000'000, timeouts_ + 1, pending() - 1);
    next_complaint_ns_ = now_ns + kComplaintsNs;
  }
  static_cast<void>(sys::pidfd_send_signal(process_->pidfd, SIGKILL));
  process_->killed_ns = now_ns;
  killed_by_us_ = true;
  bury(now_ns);
}

// It may have been killed by us, or by anyone else.
void Closer::watch(uint64_t now_ns) {
  pollfd wait{process_->pidfd.get(), POLLIN, 0};
  const bool dead = ::poll(&wait, 1, 0) == 1;
  if (dead && process_->killed_ns == 0) process_->killed_ns = now_ns;
  if (process_->killed_ns != 0) bury(now_ns);
}

// Takes leave of a killed process, once it can't close anything any more.
void Closer::bury(uint64_t now_ns) {
  pollfd wait{process_->pidfd.get(), POLLIN, 0};
  const bool dead = ::poll(&wait, 1, 0) == 1;
  const bool late = now_ns - process_->killed_ns >= kDeathGraceNs;
  const bool harmless = dead || (late && is_past_harm(process_->pidfd));
  if (!harmless && !mutant("closer-not-awaited")) return;
  collect(now_ns);
  if (!sent_.empty() && load_word(process_->progress().begun) > process_->counted) {
    // Its number was free from the moment the close began, and may be somebody else's now. Only
    // what was surely not closed is closed again: also of one that we have killed, which may just
    // have had no CPU. A message that wasn't taken comes again by itself.
    Job& doubtful = sent_.front();
    if (doubtful.done || !is_left_open(doubtful.fd)) {
      finish(doubtful);
      sent_.pop_front();
      timeouts_ += killed_by_us_;
    }
  }
  killed_by_us_ = false;
  put_back(sent_);
  store_word(control_.block().closer_pidfd, int32_t{-1});
  stuck_.push_back(std::move(process_->pidfd));
  process_.reset();
  reap_stuck();
}

// After a death in the middle of a close: is it the same file, and nobody's?
bool Closer::is_left_open(BorrowedFd fd) const {
  const Progress& progress = process_->progress();
  const uint64_t device = load_word(progress.device);
  if (mutant("closer-forgets-one")) return false;
  if (device == 0) return true;
  const struct statx now = identity_of(fd);
  return device_of(now) == device && now.stx_ino == load_word(progress.inode) && in_use &&
         !in_use(fd);
}

void Closer::reap_stuck() {
  std::erase_if(stuck_, [](const UniqueFd& pidfd) {
    pollfd wait{pidfd.get(), POLLIN, 0};
    if (::poll(&wait, 1, 0) != 1) return false;
    siginfo_t info{};
    ::waitid(P_PIDFD, static_cast<id_t>(pidfd.get()), &info, WEXITED | WNOHANG);
    return true;
  });
}

}  // namespace outlive::machine
