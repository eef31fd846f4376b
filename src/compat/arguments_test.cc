#include "compat/arguments.h"

#include <gtest/gtest.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "abi/liveupdate.h"
#include "base/sys.h"

namespace outlive::compat {
namespace {

using abi::CompatKind;

constexpr uint32_t command(uint32_t number) {
  return 0xBA00 | number;
}

// Two pages; the second one isn't there, so that what ends with the first one ends.
struct ArgumentsWorld : testing::Test {
  ArgumentsWorld() : pages(sys::mmap(8192, PROT_READ | PROT_WRITE, kAnonymous, {}).take()) {
    munmap(pages.data() + 4096, 4096);
  }
  ~ArgumentsWorld() override {
    munmap(pages.data(), 4096);
    new (&pages) sys::Mapping;
  }
  static constexpr int kAnonymous = MAP_PRIVATE | MAP_ANONYMOUS;

  // `size` bytes that end where the memory ends, the first word is `said`.
  uint64_t put(uint32_t size, uint32_t said, uint8_t fill = 0) {
    std::byte* at = pages.data() + 4096 - size;
    memset(at, fill, size);
    memcpy(at, &said, std::min<size_t>(size, sizeof said));
    return reinterpret_cast<uint64_t>(at);
  }
  int check(CompatKind kind, uint32_t request, uint64_t address, Kernel kernel = Kernel::k703) {
    const auto done = check_arguments(Caller(gettid()), kind, kernel, request, address);
    return done ? 0 : done.error().code;
  }
  sys::Mapping pages;
};

TEST_F(ArgumentsWorld, AnUnknownNumberIsInvalidWhateverElseIsWrong) {
  EXPECT_EQ(check(CompatKind::kDevice, command(0x02), 0), EINVAL);
  EXPECT_EQ(check(CompatKind::kDevice, command(0x40), 0), EINVAL) << "a session's";
  EXPECT_EQ(check(CompatKind::kOutgoing, command(0x00), 0), EINVAL) << "the device's";
  EXPECT_EQ(check(CompatKind::kOutgoing, 0x5401, 0), EINVAL) << "TCGETS";
}

TEST_F(ArgumentsWorld, SizeIsReadBeforeTheCommandIsCompared) {
  EXPECT_EQ(check(CompatKind::kDevice, 0x5401, 0), EFAULT) << "TCGETS has the number 1";
  EXPECT_EQ(check(CompatKind::kDevice, 0x5401, put(4, 0)), ENOTTY);
  EXPECT_EQ(check(CompatKind::kDevice, 0x8000'BA00, put(4, 0)), ENOTTY) << "direction bits";
  EXPECT_EQ(check(CompatKind::kDevice, command(0), put(2, 0)), EFAULT);
}

TEST_F(ArgumentsWorld, DirectionBeforeSize) {
  EXPECT_EQ(check(CompatKind::kOutgoing, command(0x41), put(16, 16)), EINVAL);
  EXPECT_EQ(check(CompatKind::kOutgoing, command(0x42), put(8, 8)), EINVAL);
  EXPECT_EQ(check(CompatKind::kIncoming, command(0x40), put(16, 16)), EINVAL);
  EXPECT_EQ(check(CompatKind::kIncoming, command(0x40), put(32, 32, 1)), EINVAL)
      << "else it was E2BIG";
  EXPECT_EQ(check(CompatKind::kIncoming, command(0x41), put(16, 16)), 0);
  EXPECT_EQ(check(CompatKind::kIncoming, command(0x42), put(8, 8)), 0);
  EXPECT_EQ(check(CompatKind::kOutgoing, command(0x40), put(16, 16)), 0);
}

TEST_F(ArgumentsWorld, SizesTooSmallAndTooBig) {
  EXPECT_EQ(check(CompatKind::kOutgoing, command(0x40), put(16, 15)), EINVAL);
  EXPECT_EQ(check(CompatKind::kOutgoing, command(0x40), put(16, 0)), EINVAL);
  EXPECT_EQ(check(CompatKind::kOutgoing, command(0x40), put(12, 16)), EFAULT);
  EXPECT_EQ(check(CompatKind::kOutgoing, command(0x40), put(24, 24)), 0);
  EXPECT_EQ(check(CompatKind::kOutgoing, command(0x40), put(24, 24, 1)), E2BIG);
  EXPECT_EQ(check(CompatKind::kOutgoing, command(0x40), put(24, 25)), EFAULT)
      << "zeros, then nothing";
  EXPECT_EQ(check(CompatKind::kOutgoing, command(0x40), put(24, 4000, 1)), E2BIG)
      << "what isn't zero comes first";
  EXPECT_EQ(check(CompatKind::kOutgoing, command(0x40), put(24, 0xffff'ffff)), EFAULT);
}

TEST_F(ArgumentsWorld, GetNameCameLater) {
  EXPECT_EQ(check(CompatKind::kOutgoing, command(0x43), put(72, 72)), 0);
  EXPECT_EQ(check(CompatKind::kIncoming, command(0x43), put(72, 72)), 0);
  EXPECT_EQ(check(CompatKind::kOutgoing, command(0x43), put(72, 71)), EINVAL);
  EXPECT_EQ(check(CompatKind::kOutgoing, command(0x43), 0, Kernel::k619), EINVAL)
      << "an unknown number";
}

TEST_F(ArgumentsWorld, TheBodyIsWhatIsThere) {
  const uint64_t address = put(16, 16, 0x5a);
  const auto got = check_arguments(Caller(gettid()), CompatKind::kOutgoing, Kernel::k703,
                                   command(0x40), address);
  ASSERT_TRUE(got);
  ASSERT_EQ(got->body.size(), 16u);
  EXPECT_EQ(got->body[15], std::byte{0x5a});
}

}  // namespace
}  // namespace outlive::compat
