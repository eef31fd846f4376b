// Single step: a preserve, the commit of an update and a finish, looked at after every instruction.
//
// The work is done by a child process on an arena that it shares with us, one instruction at a time
// (ptrace). The arena is all that a SIGKILL there would leave, so after each instruction that has
// altered it a copy is attached as the next worker would, and must hold what was before or what is
// after, once the latter never again the former, clean for fsck, and fit for more work. After an
// instruction that altered nothing a kill leaves what it left one before: nothing new to look at.
// That this is the same as a kill is not taken for granted: children are really killed after every
// altering instruction and at others in between (OUTLIVE_STEP_KILLS=n: so many an operation; 0: at
// each altering one and every 97th), and must leave the same bytes.
//
// Instructions of libraries count too: a kill may fall into memcpy(3) as well.
#include <gtest/gtest.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include <random>
#include <set>

#include "luo/fsck.h"
#include "luo/update_host_test.h"

namespace outlive::luo {
namespace {

constexpr size_t kFds = 1024;

// What the child tells; in memory that both have.
struct Told {
  volatile uint64_t begun;
  volatile uint64_t done;
  volatile uint8_t closed[kFds];
};

struct Step {
  uint64_t instruction;
  uint64_t digest;
};

class SingleStep : public testing::Test {
 protected:
  using Work = std::function<void(UpdateWorld&)>;

  void SetUp() override {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    GTEST_SKIP() << "a sanitizer's instructions are not ours";
#endif
    page_ =
        sys::mmap(sizeof(Told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, BorrowedFd())
            .take();
    // What the child closes is seen here, too.
    Context context = world_.context();
    context.release = [this](BorrowedFd fd) { told().closed[fd.get()] = 1; };
    world_.core.reset();
    world_.core = Core::attach(*world_.arena, context, *world_.host).take();
  }
  Told& told() {
    return *reinterpret_cast<Told*>(page_.data());
  }

  // Does it all: `work` must alter something.
  void take_apart(const Work& work) {
    copy_ = kho::Arena::create_file(world_.arena->size()).take();
    start_ = FileImage::take(world_.arena->view());
    before_ = look("before");
    std::vector<Step> steps;
    const uint64_t all = step_through(work, &steps);
    after_ = look("after");
    ASSERT_NE(before_, after_);
    ASSERT_GT(steps.size(), 4u);
    kill_children(work, steps, all);
    printf("single-step: %llu instructions, %zu of them altered the arena, %llu children killed\n",
           static_cast<unsigned long long>(all), steps.size(),
           static_cast<unsigned long long>(kills_));
  }

  UpdateWorld world_;

 private:
  std::vector<std::byte> bytes() {
    const kho::View view = world_.arena->view();
    return {view.base(), view.base() + view.header()->high_water * abi::kPageSize};
  }
  uint64_t digest() {
    const kho::View view = world_.arena->view();
    const std::string_view all(reinterpret_cast<const char*>(view.base()),
                               view.header()->high_water * abi::kPageSize);
    return std::hash<std::string_view>()(all);
  }
  void put_back() {
    start_.put(world_.file);
    std::memset(page_.data(), 0, sizeof(Told));
  }

  // The child, stopped before its first instruction of the work.
  pid_t start(const Work& work) {
    put_back();
    const pid_t pid = ::fork();
    if (pid != 0) {
      int status = 0;
      EXPECT_EQ(::waitpid(pid, &status, 0), pid);
      EXPECT_TRUE(WIFSTOPPED(status));
      return pid;
    }
    ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    ::raise(SIGSTOP);
    told().begun = 1;
    work(world_);
    told().done = 1;
    ::_exit(0);
  }
  // False: it has come to its end.
  bool step(pid_t pid) {
    int status = 0;
    EXPECT_EQ(::ptrace(PTRACE_SINGLESTEP, pid, nullptr, nullptr), 0);
    EXPECT_EQ(::waitpid(pid, &status, 0), pid);
    return WIFSTOPPED(status);
  }
  void end(pid_t pid) {
    ::kill(pid, SIGKILL);
    int status = 0;
    ASSERT_EQ(::waitpid(pid, &status, 0), pid);
    ASSERT_TRUE(WIFSIGNALED(status));
    ASSERT_EQ(WTERMSIG(status), SIGKILL);
  }

  uint64_t step_through(const Work& work, std::vector<Step>* steps) {
    std::vector<std::string> seen;
    const pid_t pid = start(work);
    std::vector<std::byte> last = bytes();
    uint64_t instruction = 0;
    while (told().done == 0 && step(pid)) {
      ++instruction;
      const kho::View view = world_.arena->view();
      const size_t used = view.header()->high_water * abi::kPageSize;
      if (used == last.size() && std::memcmp(view.base(), last.data(), used) == 0) continue;
      last = bytes();
      steps->push_back({instruction, digest()});
      const std::string found = look(fmt::format("instruction {}", instruction));
      if (seen.empty() || seen.back() != found) seen.push_back(found);
    }
    EXPECT_EQ(told().done, 1u) << "the child has died";
    end(pid);
    // Before, and then after: never anything between, and no way back.
    EXPECT_LE(seen.size(), 2u);
    EXPECT_EQ(seen.front(), before_);
    if (seen.size() > 2) {
      for (const std::string& one : seen) ADD_FAILURE() << one;
    }
    return instruction;
  }

  // What the next worker finds, as text; on a copy, so that nothing is repaired for the next look.
  std::string look(const std::string& where) {
    SCOPED_TRACE(where);
    FileImage::take(world_.arena->view()).put(copy_);
    Result<std::unique_ptr<kho::Arena>> arena = kho::Arena::attach(copy_);
    if (!arena) {
      ADD_FAILURE() << arena.error().text();
      return {};
    }
    Context context = world_.context();
    context.release = [](BorrowedFd) {};
    Result<std::unique_ptr<Core>> core = Core::attach(**arena, context, nobody_);
    if (!core) {
      ADD_FAILURE() << core.error().text();
      return {};
    }
    for (const BorrowedFd fd : (*core)->named_fds()) {
      EXPECT_TRUE(world_.fds.open.contains(fd.get())) << "fd " << fd.get() << " was never open";
      EXPECT_EQ(told().closed[fd.get()], 0) << "fd " << fd.get() << " is closed, and named";
    }
    const Findings findings = fsck(**core, [](BorrowedFd) { return true; });
    for (const kho::Finding& one : findings.lines) ADD_FAILURE() << one.text;
    std::string text = describe(**core);
    more_work(**core);
    return text;
  }

  std::string describe(Core& core) {
    std::string text;
    core.sessions().for_each([&](Session& session) {
      const bool incoming = core.sessions().direction(session) == Direction::kIncoming;
      text += fmt::format("session {} {}:", session.name, incoming ? "incoming" : "outgoing");
      for (const abi::FileSlot* slot : session.files.ordered()) {
        text += fmt::format(" {}={}{}", slot->token, slot->fd, slot->flb != 0 ? "+" : "");
      }
      text += "\n";
    });
    core.services().for_each([&](abi::ServiceSlot& service) {
      text += fmt::format("service {} generation {} pid {} updates {}\n", service.name,
                          service.generation, service.current.pid, service.updates);
    });
    return text;
  }

  // The next clean change works.
  void more_work(Core& core) {
    Change change(core.records());
    Result<abi::SessionSlot*> slot = core.sessions().create(change, {}, "next", 0);
    ASSERT_TRUE(slot) << slot.error().text();
    change.commit();
    core.sessions().index(**slot);
    EXPECT_NE(core.sessions().find({}, "next"), nullptr);
  }

  void kill_children(const Work& work, const std::vector<Step>& steps, uint64_t all) {
    std::vector<uint64_t> at;
    for (const Step& one : steps) at.push_back(one.instruction);
    for (uint64_t i = 97; i < all; i += 97) at.push_back(i);
    std::sort(at.begin(), at.end());
    if (const char* most = ::getenv("OUTLIVE_STEP_KILLS"); most == nullptr || atol(most) != 0) {
      std::mt19937 random(std::random_device{}());
      std::vector<uint64_t> some;
      std::sample(at.begin(), at.end(), std::back_inserter(some), most == nullptr ? 20 : atol(most),
                  random);
      at = some;
    }
    std::set<uint64_t> looked_at;
    for (const Step& one : steps) looked_at.insert(one.digest);
    put_back();
    looked_at.insert(digest());
    for (const uint64_t instruction : at) {
      const pid_t pid = start(work);
      // An instruction more or less from run to run: the last one may be the child's end.
      for (uint64_t i = 0; i < instruction && told().done == 0; ++i) ASSERT_TRUE(step(pid));
      const bool acknowledged = told().done != 0;
      end(pid);
      ++kills_;
      const std::string found = look(fmt::format("killed after instruction {}", instruction));
      EXPECT_TRUE(found == after_ || (!acknowledged && found == before_)) << found;
      EXPECT_TRUE(looked_at.contains(digest())) << "not what was looked at";
    }
  }

  NoUpdates nobody_;
  sys::Mapping page_;
  UniqueFd copy_;
  FileImage start_;
  std::string before_, after_;
  uint64_t kills_ = 0;
};

TEST_F(SingleStep, Preserve) {
  const BorrowedFd memfd = world_.fds.make(FileKind::kMemfd);
  const BorrowedFd pipe = world_.fds.make(FileKind::kPipe);
  take_apart([&](UpdateWorld& w) {
    if (!w.preserve(w.session(), {{11, memfd}, {12, pipe}})) ::_exit(1);
  });
}

TEST_F(SingleStep, CommitOfAnUpdate) {
  world_.walk_to(abi::UpdateStep::kOffer);
  take_apart([](UpdateWorld& w) {
    if (!w.answer(UpdateWorld::kNew, 2, abi::Step::kAdopt)) ::_exit(1);
  });
}

TEST_F(SingleStep, Finish) {
  world_.walk_to(abi::UpdateStep::kOffer);
  world_.successor_answers(abi::Step::kAdopt);
  take_apart([](UpdateWorld& w) {
    if (!w.core->finish_files(w.session())) ::_exit(1);
  });
}

}  // namespace
}  // namespace outlive::luo
