#include "files/classify.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/userfaultfd.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <optional>
#include <set>
#include <thread>

#include "base/sys.h"
#include "files/memfd/memfd_device.h"
#include "files/one_of_each.h"
#include "files/registry_defaults.h"
#include "files/survival.h"

namespace outlive::files {
namespace {

using luo::FileFacts;
using luo::FileKind;

// What must not block is given this long before the test calls it blocked.
constexpr std::chrono::seconds kBlocked(10);

TEST(ClassifyTest, EachKindIsRecognised) {
  const TempDir dir;
  const OneOfEach made = one_of_each(dir);
  std::set<FileKind> seen;
  for (const MadeFile& file : made.files) {
    const Result<FileFacts> facts = classify(file.fd);
    ASSERT_TRUE(facts) << file.what << ": " << facts.error().text();
    EXPECT_EQ(facts->kind, file.kind)
        << file.what << " is taken for " << survival_row(facts->kind).name;
    const bool told = file.kind != FileKind::kUdp;  // its peer takes the lock to learn
    EXPECT_EQ(facts->connected, file.connected && told) << file.what << " " << facts->detail;
    EXPECT_FALSE(facts->detail.empty()) << file.what;
    seen.insert(facts->kind);
  }
  EXPECT_GE(seen.size() + 3, survival_table().size())
      << "only " << seen.size() << " of " << survival_table().size() << " kinds could be made";
}

// What preserves a file is chosen by fewer questions: they must lead to the same handler, with the
// same identity and the same words to remember.
TEST(ClassifyToPreserveTest, ChoosesAsClassifyDoes) {
  std::vector<std::unique_ptr<luo::FileHandler>> handlers;
  register_default_handlers(handlers);
  const auto chosen = [&](const FileFacts& facts) {
    const auto takes = [&](const auto& handler) { return handler->can_preserve(facts); };
    return std::ranges::find_if(handlers, takes)->get();
  };
  const TempDir dir;
  const OneOfEach made = one_of_each(dir);
  for (const MadeFile& file : made.files) {
    const FileFacts all = classify(file.fd).take();
    const Result<FileFacts> facts = classify_to_preserve(file.fd);
    ASSERT_TRUE(facts) << file.what << ": " << facts.error().text();
    luo::FileHandler* handler = chosen(*facts);
    ASSERT_EQ(handler, chosen(all)) << file.what << " " << all.detail;
    EXPECT_EQ(handler->exclusive(*facts), handler->exclusive(all)) << file.what;
    EXPECT_EQ(facts->device, all.device) << file.what;
    EXPECT_EQ(identify(file.fd).take(), (luo::FileIdentity{facts->device, facts->inode}))
        << file.what;
    EXPECT_EQ(all.inode == 0 ? 0 : facts->inode, all.inode) << file.what;
    const auto words = handler->preserve(file.fd, *facts);
    const auto expected = handler->preserve(file.fd, all);
    ASSERT_EQ(static_cast<bool>(words), static_cast<bool>(expected)) << file.what;
    if (!words) continue;
    EXPECT_EQ(words->data, expected->data) << file.what;
    EXPECT_EQ(words->size, expected->size) << file.what;
    const bool local = file.kind == FileKind::kUnixConnection ||
                       file.kind == FileKind::kUnixListener || file.kind == FileKind::kUnixPair ||
                       file.kind == FileKind::kUnixDatagram;
    EXPECT_EQ(facts->kind == FileKind::kUnixConnection, local) << file.what;
  }
}

TEST(ClassifyToPreserveTest, NotOpenIsEbadf) {
  EXPECT_EQ(identify(BorrowedFd(1 << 20)).error().code, EBADF);
  const Result<FileFacts> facts = classify_to_preserve(BorrowedFd(1 << 20));
  ASSERT_FALSE(facts);
  EXPECT_EQ(facts.error().code, EBADF);
}

TEST(ClassifyTest, NotOpenIsEbadf) {
  const Result<FileFacts> facts = classify(BorrowedFd(1 << 20));
  ASSERT_FALSE(facts);
  EXPECT_EQ(facts.error().code, EBADF);
}

TEST(ClassifyTest, MemfdShowsSealsAndHugePages) {
  const TempDir dir;
  const OneOfEach made = one_of_each(dir);
  int found = 0;
  for (const MadeFile& file : made.files) {
    if (file.kind != FileKind::kMemfd) continue;
    const Result<FileFacts> facts = classify(file.fd);
    ASSERT_TRUE(facts);
    EXPECT_EQ(facts->huge_pages, file.what == "memfd of huge pages");
    if (file.what == "memfd, sealed") {
      EXPECT_EQ(facts->seals, F_SEAL_GROW | F_SEAL_SHRINK);
    }
    EXPECT_NE(facts->inode, 0u);
    ++found;
  }
  EXPECT_GE(found, 3);
}

TEST(ClassifyTest, AnonymousFilesHaveNoInodeOfTheirOwn) {
  const Result<UniqueFd> event = sys::eventfd(0);
  ASSERT_TRUE(event);
  EXPECT_EQ(classify(*event)->inode, 0u);
}

TEST(ClassifyTest, UnixNamesAreTold) {
  const TempDir dir;
  const OneOfEach made = one_of_each(dir);
  for (const MadeFile& file : made.files) {
    if (file.what == "unix listener") {
      EXPECT_EQ(classify(file.fd)->detail, "unix " + dir.at("s"));
    }
    if (file.what == "unix client") {
      EXPECT_EQ(classify(file.fd)->detail, "unix -> " + dir.at("s"));
    }
  }
}

TEST(ClassifyTest, DetailIsOneLineOfUtf8) {
  const TempDir dir;
  const Result<UniqueFd> fd = sys::open(dir.at("a\nb\xff\x1b[1m"), O_RDWR | O_CREAT);
  ASSERT_TRUE(fd);
  EXPECT_TRUE(classify(*fd)->detail.ends_with("a\\x0ab\\xff\\x1b[1m")) << classify(*fd)->detail;
}

// Runs in a thread with mounts and a root of its own. False: not permitted here.
bool enter_own_mounts() {
  return unshare(CLONE_NEWNS) == 0 &&
         mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
}

// Everything that a process can see says memfd, but the device number of the file system.
TEST(ClassifyTest, DeletedTmpfsFileNamedLikeAMemfdIsRegular) {
  const TempDir dir;
  ASSERT_TRUE(memfd_device(1));  // learnt before the root changes
  std::optional<FileFacts> facts;
  std::string link;
  int seals = -1;
  std::thread([&] {
    const std::string root = dir.at("");
    if (!enter_own_mounts() || mount("none", root.c_str(), "tmpfs", 0, nullptr) != 0) return;
    ASSERT_TRUE(sys::mkdir(dir.at("proc"), 0700));
    ASSERT_EQ(mount("/proc", dir.at("proc").c_str(), nullptr, MS_BIND | MS_REC, nullptr), 0);
    ASSERT_EQ(chroot(root.c_str()), 0);
    const Result<UniqueFd> fd = sys::open("/memfd:x", O_RDWR | O_CREAT);
    ASSERT_TRUE(fd);
    ASSERT_TRUE(sys::unlink("/memfd:x"));
    link = *sys::readlink(fmt::format("/proc/self/fd/{}", fd->get()));
    seals = *sys::get_seals(*fd);
    facts = *classify(*fd);
  }).join();
  if (!facts) GTEST_SKIP() << "no mounts of one's own here";
  EXPECT_EQ(link, "/memfd:x (deleted)");
  EXPECT_NE(seals, -1);
  EXPECT_EQ(facts->kind, FileKind::kRegular);
}

// A FUSE file system whose server never says a word: a plain fstat waits for ever.
TEST(ClassifyTest, SilentFuseServerDoesNotBlock) {
  const TempDir dir;
  Result<UniqueFd> server = sys::open("/dev/fuse", O_RDWR);
  if (!server) GTEST_SKIP() << server.error().text();
  UniqueFd file;
  std::thread([&] {
    const std::string options =
        fmt::format("fd={},rootmode=40000,user_id=0,group_id=0", server->get());
    if (!enter_own_mounts()) return;
    if (mount("trap", dir.at("").c_str(), "fuse", MS_NOSUID | MS_NODEV, options.c_str()) != 0)
      return;
    Result<UniqueFd> opened = sys::open(dir.at(""), O_PATH | O_DIRECTORY);
    if (opened) file = std::move(*opened);
  }).join();
  if (!file) GTEST_SKIP() << "no FUSE mount here";
  auto answer = std::async(std::launch::async, [&] { return classify(file); });
  const bool returned = answer.wait_for(kBlocked) == std::future_status::ready;
  server->reset();  // ends the wait, if there was one
  EXPECT_TRUE(returned) << "classify waited for the FUSE server";
  const Result<FileFacts> facts = answer.get();
  ASSERT_TRUE(facts);
  EXPECT_EQ(facts->kind, FileKind::kDirectory);
}

// Memory whose first touch waits for us.
class Trap {
 public:
  bool arm() {
    uffd_ = UniqueFd(static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK)));
    if (!uffd_) return false;
    uffdio_api api{UFFD_API, 0, 0};
    if (ioctl(uffd_.get(), UFFDIO_API, &api) != 0) return false;
    auto page = sys::mmap(kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, BorrowedFd());
    if (!page) return false;
    page_ = std::move(*page);
    uffdio_register range{};
    range.range = {reinterpret_cast<uintptr_t>(page_.data()), kSize};
    range.mode = UFFDIO_REGISTER_MODE_MISSING;
    return ioctl(uffd_.get(), UFFDIO_REGISTER, &range) == 0;
  }
  std::span<const std::byte> bytes() const { return {page_.data(), kSize}; }
  // Until somebody has stepped into it.
  bool wait_for_victim() const {
    pollfd one{uffd_.get(), POLLIN, 0};
    return poll(&one, 1, 10000) == 1;
  }
  void release() const {
    uffdio_zeropage zero{};
    zero.range = {reinterpret_cast<uintptr_t>(page_.data()), kSize};
    ioctl(uffd_.get(), UFFDIO_ZEROPAGE, &zero);
  }

 private:
  static constexpr size_t kSize = 4096;
  UniqueFd uffd_;
  sys::Mapping page_;
};

// A client sends from memory that never arrives: the kernel waits for it with the socket locked.
TEST(ClassifyTest, LockedTcpSocketDoesNotBlock) {
  const TempDir dir;
  OneOfEach made = one_of_each(dir);
  const UniqueFd* client = nullptr;
  for (const MadeFile& file : made.files) {
    if (file.what == "tcp client") client = &file.fd;
  }
  Trap trap;
  if (client == nullptr || !trap.arm()) GTEST_SKIP() << "no userfaultfd or no TCP here";
  std::thread sender([&] { EXPECT_TRUE(sys::send(*client, trap.bytes(), 0)); });
  const bool locked = trap.wait_for_victim();
  auto answer = std::async(std::launch::async, [&] { return classify(*client); });
  const bool returned = answer.wait_for(kBlocked) == std::future_status::ready;
  trap.release();
  sender.join();
  ASSERT_TRUE(locked);
  EXPECT_TRUE(returned) << "classify waited for the socket's lock";
  EXPECT_EQ(answer.get()->kind, FileKind::kTcpConnection);
}

}  // namespace
}  // namespace outlive::files
