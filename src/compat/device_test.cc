#include "compat/device.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/sys.h"

namespace outlive::compat {
namespace {

using abi::CompatKind;

int code(const auto& result) {
  return result ? 0 : result.error().code;
}

// A device and what programs do with it, without any program.
struct DeviceWorld : testing::Test {
  DeviceWorld() { set_log_level(LogLevel::kError); }
  ~DeviceWorld() override { static_cast<void>(arm_faults("")); }

  uint64_t cookie(const UniqueFd& fd) { return cookie_of(fd); }
  Result<UniqueFd> session(const UniqueFd& device_fd, uint32_t number, std::string_view name) {
    abi::SessionRequest request = {};
    request.size = sizeof request;
    memcpy(request.name, name.data(), name.size());
    Result<Device::Answer> answer = call(device_fd, number, request);
    if (!answer) return answer.take_error();
    return std::move(answer->fd);
  }
  Result<UniqueFd> create(std::string_view name) {
    return session(opened, abi::kIoctlCreateSession, name);
  }
  Result<UniqueFd> retrieve(std::string_view name) {
    return session(opened, abi::kIoctlRetrieveSession, name);
  }
  template <typename T>
  Result<Device::Answer> call(const UniqueFd& fd, uint32_t number, const T& body,
                              Result<UniqueFd> file = UniqueFd()) {
    device->drain();
    return device->execute(cookie(fd), number, std::as_bytes(std::span(&body, 1)), std::move(file));
  }
  int preserve(const UniqueFd& fd, uint64_t token, BorrowedFd file) {
    const abi::FdRequest request = {sizeof request, file.get(), token};
    return code(call(fd, abi::kIoctlPreserveFd, request, sys::dup_cloexec(file)));
  }
  Result<UniqueFd> retrieve_fd(const UniqueFd& fd, uint64_t token) {
    const abi::FdRequest request = {sizeof request, -1, token};
    Result<Device::Answer> answer = call(fd, abi::kIoctlRetrieveFd, request);
    if (!answer) return answer.take_error();
    return std::move(answer->fd);
  }
  int finish(const UniqueFd& fd, uint32_t reserved = 0) {
    return code(call(fd, abi::kIoctlFinish, abi::FinishRequest{8, reserved}));
  }
  static UniqueFd memfd(std::string_view text) {
    UniqueFd made = sys::memfd_create("x", MFD_ALLOW_SEALING).take();
    EXPECT_TRUE(sys::write_all(made, text));
    return made;
  }
  void reboot() {
    const Status done = device->reboot();
    ASSERT_TRUE(done) << done.error().text();
    opened = device->open().take();
  }

  std::unique_ptr<Device> device = Device::create(Kernel::k703).take();
  UniqueFd opened = device->open().take();
};

TEST_F(DeviceWorld, OneOpenerAtATime) {
  EXPECT_EQ(code(device->open()), EBUSY);
  opened.reset();
  device->drain();
  EXPECT_TRUE(device->open());
}

TEST_F(DeviceWorld, NamesAreBytesOfOneTo63) {
  EXPECT_EQ(code(create("")), EINVAL);
  EXPECT_EQ(code(create(std::string(64, 'x'))), EINVAL);
  const Result<UniqueFd> longest = create(std::string(63, 'x'));
  EXPECT_TRUE(longest);
  const Result<UniqueFd> odd = create("\xff\x01 no UTF-8");
  ASSERT_TRUE(odd);
  EXPECT_EQ(code(create("\xff\x01 no UTF-8")), EEXIST);
}

TEST_F(DeviceWorld, RetrieveOfANameThatCantBeIsJustNotThere) {
  EXPECT_EQ(code(retrieve("")), ENOENT);
  EXPECT_EQ(code(retrieve(std::string(64, 'x'))), ENOENT);
}

TEST_F(DeviceWorld, ASessionEndsWithTheLastCopyOfItsDescriptor) {
  UniqueFd first = create("s").take();
  UniqueFd second = sys::dup_cloexec(first).take();
  first.reset();
  EXPECT_EQ(code(create("s")), EEXIST);
  second.reset();
  EXPECT_TRUE(create("s"));
}

TEST_F(DeviceWorld, PreserveLooksAtTheTokenFirst) {
  const UniqueFd s = create("s").take();
  const UniqueFd file = memfd("a");
  EXPECT_EQ(preserve(s, 1, file), 0);
  const abi::FdRequest again = {sizeof again, -1, 1};
  EXPECT_EQ(code(call(s, abi::kIoctlPreserveFd, again, fail(EBADF, "none"))), EEXIST);
  const abi::FdRequest other = {sizeof other, -1, 2};
  EXPECT_EQ(code(call(s, abi::kIoctlPreserveFd, other, fail(EBADF, "none"))), EBADF);
}

TEST_F(DeviceWorld, AFileIsPreservedOnceAndAgainAfterItsSessionEnded) {
  const UniqueFd s = create("s").take();
  UniqueFd t = create("t").take();
  const UniqueFd file = memfd("a");
  EXPECT_EQ(preserve(t, 1, file), 0);
  EXPECT_EQ(preserve(s, 1, file), EBUSY);
  EXPECT_EQ(preserve(t, 2, file), EBUSY);
  t.reset();
  EXPECT_EQ(preserve(s, 1, file), 0);
}

TEST_F(DeviceWorld, OnlyUnnamedSharedMemoryHasAHandler) {
  const UniqueFd s = create("s").take();
  EXPECT_EQ(preserve(s, 1, sys::open("/dev/null", O_RDWR).take()), ENOENT);
  EXPECT_EQ(preserve(s, 1, sys::pipe().take().read), ENOENT);
  EXPECT_EQ(preserve(s, 1, s), ENOENT) << "a session";
  EXPECT_EQ(preserve(s, 1, opened), ENOENT) << "the device";
}

TEST_F(DeviceWorld, ARebootTurnsOutgoingIntoIncoming) {
  const UniqueFd s = create("s").take();
  const UniqueFd file = memfd("hello");
  ASSERT_EQ(preserve(s, 7, file), 0);
  ASSERT_TRUE(sys::add_seals(file, F_SEAL_SHRINK)) << "too late: lost, as it is there";
  const UniqueFd before = std::move(opened);
  reboot();
  EXPECT_EQ(device->number(), 1u);
  EXPECT_EQ(device->look(cookie(s)), CompatKind::kDead);
  EXPECT_EQ(device->look(cookie(before)), CompatKind::kDead);
  EXPECT_EQ(finish(s), ESTALE);
  const UniqueFd incoming = retrieve("s").take();
  EXPECT_EQ(device->look(cookie(incoming)), CompatKind::kIncoming);
  EXPECT_EQ(code(retrieve("s")), EINVAL) << "once";
  EXPECT_TRUE(create("s")) << "an incoming one of the name is no hindrance";
  const UniqueFd got = retrieve_fd(incoming, 7).take();
  EXPECT_EQ(code(retrieve_fd(incoming, 8)), ENOENT);
  EXPECT_EQ(lseek(got.get(), 0, SEEK_CUR), 5);
  EXPECT_EQ(sys::get_seals(got).take(), 0);
  char text[6] = {};
  EXPECT_EQ(pread(got.get(), text, 5, 0), 5);
  EXPECT_STREQ(text, "hello");
  const UniqueFd again = retrieve_fd(incoming, 7).take();
  EXPECT_EQ(lseek(again.get(), 1, SEEK_SET), 1);
  EXPECT_EQ(lseek(got.get(), 0, SEEK_CUR), 1) << "the same open file";
  EXPECT_EQ(finish(incoming, 1), EINVAL);
  EXPECT_EQ(finish(incoming), 0);
  EXPECT_EQ(code(retrieve_fd(incoming, 7)), ENOENT);
  EXPECT_EQ(code(retrieve("s")), EINVAL) << "until it is closed";
}

TEST_F(DeviceWorld, WhatWasRetrievedIsPreservedAnewOnlyAfterFinish) {
  const UniqueFd s = create("s").take();
  ASSERT_EQ(preserve(s, 1, memfd("x")), 0);
  reboot();
  UniqueFd incoming = retrieve("s").take();
  const UniqueFd got = retrieve_fd(incoming, 1).take();
  const UniqueFd next = create("next").take();
  EXPECT_EQ(preserve(next, 1, got), EBUSY);
  incoming.reset();  // as FINISH
  EXPECT_EQ(preserve(next, 1, got), 0);
  EXPECT_EQ(code(retrieve("s")), ENOENT);
}

TEST_F(DeviceWorld, WhatNobodyRetrievedIsLostWithTheNextReboot) {
  const UniqueFd s = create("s").take();
  ASSERT_EQ(preserve(s, 1, memfd("x")), 0);
  reboot();
  reboot();
  EXPECT_EQ(device->number(), 2u);
  EXPECT_EQ(code(retrieve("s")), ENOENT);
}

TEST_F(DeviceWorld, ACloseOfADeadDescriptorEndsNothing) {
  UniqueFd before = std::move(opened);
  UniqueFd s = session(before, abi::kIoctlCreateSession, "s").take();
  reboot();
  before.reset();
  s.reset();
  device->drain();
  EXPECT_EQ(code(device->open()), EBUSY) << "the one of after the reboot is open";
  EXPECT_TRUE(retrieve("s"));
}

TEST_F(DeviceWorld, AFailedFreezeChangesNothing) {
  const UniqueFd s = create("s").take();
  ASSERT_EQ(preserve(s, 1, memfd("x")), 0);
  ASSERT_EQ(preserve(s, 2, memfd("y")), 0);
  ASSERT_TRUE(device->set_faults("freeze:2=ENOMEM"));
  EXPECT_EQ(code(device->reboot()), ENOMEM);
  EXPECT_EQ(device->number(), 0u);
  EXPECT_EQ(device->look(cookie(s)), CompatKind::kOutgoing);
  EXPECT_EQ(preserve(s, 3, memfd("z")), 0);
  reboot();
}

TEST_F(DeviceWorld, KexecWantsAKernel) {
  EXPECT_EQ(code(device->kexec()), EINVAL);
  device->load(true);
  EXPECT_EQ(code(device->kexec()), 0);
  EXPECT_EQ(code(device->kexec()), EINVAL) << "the next one has loaded none";
}

TEST_F(DeviceWorld, FaultsOnDemand) {
  const UniqueFd s = create("s").take();
  ASSERT_TRUE(device->set_faults("preserve:2=ENOMEM"));
  EXPECT_EQ(preserve(s, 1, memfd("x")), 0);
  EXPECT_EQ(preserve(s, 2, memfd("y")), ENOMEM);
  EXPECT_EQ(preserve(s, 2, memfd("y")), 0);
  opened.reset();
  device->drain();
  ASSERT_TRUE(device->set_faults("incoming=corrupt"));
  EXPECT_EQ(code(device->open()), EIO);
  EXPECT_EQ(code(device->open()), EIO) << "always";
  ASSERT_TRUE(device->set_faults("device=absent"));
  EXPECT_EQ(code(device->open()), ENOENT);
  EXPECT_EQ(device->look(0), CompatKind::kAbsent);
  ASSERT_TRUE(device->set_faults("none"));
  EXPECT_TRUE(device->open());
}

TEST_F(DeviceWorld, GetNameWritesWholeWords) {
  for (const std::string name : {"1234567", "12345678"}) {
    const UniqueFd s = create(name).take();
    abi::GetNameRequest request = {sizeof request, 0, {}};
    memset(request.name, 0xff, sizeof request.name);
    const Device::Answer answer = call(s, abi::kIoctlGetName, request).take();
    ASSERT_EQ(answer.body.size(), sizeof request);
    memcpy(&request, answer.body.data(), sizeof request);
    EXPECT_STREQ(reinterpret_cast<const char*>(request.name), name.c_str());
    const size_t end = name.size() == 7 ? 8 : 16;
    EXPECT_EQ(request.name[end - 1], 0);
    EXPECT_EQ(request.name[end], 0xff) << "the caller's own, as the kernel leaves it";
  }
}

TEST_F(DeviceWorld, AFailedRetrieveFailsForEver) {
  const UniqueFd s = create("s").take();
  ASSERT_EQ(preserve(s, 1, memfd("x")), 0);
  reboot();
  const UniqueFd incoming = retrieve("s").take();
  ASSERT_TRUE(device->set_faults("retrieve:1=EIO"));
  EXPECT_EQ(code(retrieve_fd(incoming, 1)), EIO);
  ASSERT_TRUE(device->set_faults("none"));
  EXPECT_EQ(code(retrieve_fd(incoming, 1)), EIO);
  EXPECT_EQ(finish(incoming), 0);
}

TEST_F(DeviceWorld, ManyFilesAndSessionsCross) {
  // 1,200 files, held twice in the middle: more than a login's usual soft limit.
  rlimit files{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &files), 0);
  if (files.rlim_max < 4096) GTEST_SKIP() << "needs a hard limit of 4096 open files";
  files.rlim_cur = std::max<rlim_t>(files.rlim_cur, 4096);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &files), 0);
  std::vector<UniqueFd> sessions;
  for (int i = 0; i < 40; ++i) {
    sessions.push_back(create("s" + std::to_string(i)).take());
    for (uint64_t token = 0; token < 30; ++token) {
      ASSERT_EQ(preserve(sessions.back(), token, memfd(std::to_string(token))), 0);
    }
  }
  reboot();
  for (int i = 0; i < 40; ++i) {
    const UniqueFd incoming = retrieve("s" + std::to_string(i)).take();
    for (uint64_t token = 0; token < 30; ++token) {
      const UniqueFd got = retrieve_fd(incoming, token).take();
      char text[3] = {};
      ASSERT_GT(pread(got.get(), text, 2, 0), 0);
      ASSERT_EQ(text, std::to_string(token));
    }
  }
}

TEST_F(DeviceWorld, NothingIsLeftOpen) {
  const auto open_fds = [] {
    int count = 0;
    for (int fd = 0; fd < 4096; ++fd) count += sys::get_fd_flags(BorrowedFd(fd)) ? 1 : 0;
    return count;
  };
  const int before = open_fds();
  for (int i = 0; i < 3; ++i) {
    UniqueFd s = create("s").take();
    const UniqueFd file = memfd("x");
    ASSERT_EQ(preserve(s, 1, file), 0);
    EXPECT_EQ(preserve(s, 2, file), EBUSY);
    EXPECT_EQ(preserve(s, 3, sys::open("/dev/null", O_RDONLY).take()), ENOENT);
    if (i == 2) {
      opened.reset();
      reboot();
      UniqueFd incoming = retrieve("s").take();
      EXPECT_TRUE(retrieve_fd(incoming, 1));
    }
  }
  device->drain();
  EXPECT_EQ(open_fds(), before);
}

}  // namespace
}  // namespace outlive::compat
