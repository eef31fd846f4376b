#include "compat/kernel_files.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sys.h"

namespace outlive::compat {
namespace {

luo::FileKind kind_of(BorrowedFd fd) {
  return classify_as_kernel(fd).take().kind;
}

luo::FileState state(BorrowedFd fd) {
  const luo::FileFacts facts = classify_as_kernel(fd).take();
  return {fd, 1, static_cast<uint64_t>(facts.seals), facts.size};
}

TEST(KernelFiles, SharedMemoryWithoutAName) {
  EXPECT_EQ(kind_of(sys::memfd_create("x", 0).take()), luo::FileKind::kMemfd);
  EXPECT_EQ(kind_of(sys::open("/dev/null", O_RDWR).take()), luo::FileKind::kOther);
  EXPECT_EQ(kind_of(sys::pipe().take().read), luo::FileKind::kOther);
  EXPECT_EQ(kind_of(sys::open("/proc/self/exe", O_RDONLY).take()), luo::FileKind::kOther);
}

TEST(KernelFiles, ATmpfsFileOnceItIsUnlinked) {
  const std::string name = fmt::format("/outlive-test-{}", getpid());
  const UniqueFd file(shm_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600));
  if (!file) GTEST_SKIP() << "no /dev/shm";
  const luo::FileKind linked = kind_of(file);
  shm_unlink(name.c_str());
  EXPECT_EQ(linked, luo::FileKind::kOther);
  EXPECT_EQ(kind_of(file), luo::FileKind::kMemfd);
}

TEST(KernelFiles, HugePagesAreNotTaken) {
  const Result<UniqueFd> file = sys::memfd_create("x", MFD_HUGETLB);
  if (!file) GTEST_SKIP() << file.error().text();
  EXPECT_EQ(kind_of(*file), luo::FileKind::kOther);
}

TEST(KernelFiles, PreserveMakesPagesOfHoles) {
  const UniqueFd file = sys::memfd_create("x", MFD_ALLOW_SEALING).take();
  ASSERT_TRUE(sys::ftruncate(file, 5000));
  ASSERT_TRUE(sys::add_seals(file, F_SEAL_WRITE));
  const UniqueFd reader = sys::open(fmt::format("/proc/self/fd/{}", file.get()), O_RDONLY).take();
  EXPECT_TRUE(KernelMemfd().preserve(reader, classify_as_kernel(reader).take()));
  EXPECT_EQ(sys::fstat(file).take().st_blocks, 2 * 4096 / 512);
  EXPECT_EQ(sys::fstat(file).take().st_size, 5000);
}

// Never by trying: this machine would run out of memory.
TEST(KernelFiles, MoreHolesThanMemoryAreRefused) {
  const UniqueFd file = sys::memfd_create("x", MFD_ALLOW_SEALING).take();
  ASSERT_TRUE(sys::ftruncate(file, uint64_t{1} << 50));
  const auto refused = KernelMemfd().preserve(file, classify_as_kernel(file).take());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ENOMEM);
  EXPECT_EQ(sys::fstat(file).take().st_blocks, 0);
  const auto carried = carry_over(state(file), Kernel::k703);
  ASSERT_FALSE(carried);
  EXPECT_EQ(carried.error().code, ENOMEM);
}

TEST(KernelFiles, CarriesContentSizePositionAndSeals) {
  const UniqueFd file = sys::memfd_create("x", MFD_ALLOW_SEALING).take();
  ASSERT_TRUE(sys::write_all(file, "one"));
  ASSERT_TRUE(sys::ftruncate(file, 1 << 20));
  ASSERT_EQ(pwrite(file.get(), "two", 3, 700'000), 3);
  ASSERT_TRUE(sys::add_seals(file, F_SEAL_WRITE | F_SEAL_GROW));
  const UniqueFd made = carry_over(state(file), Kernel::k703).take();
  EXPECT_EQ(sys::fstat(made).take().st_size, 1 << 20);
  EXPECT_EQ(sys::fstat(made).take().st_blocks, (1 << 20) / 512) << "holes come back as pages";
  EXPECT_EQ(lseek(made.get(), 0, SEEK_CUR), 3);
  EXPECT_EQ(sys::get_seals(made).take(), F_SEAL_WRITE | F_SEAL_GROW);
  char text[4] = {};
  EXPECT_EQ(pread(made.get(), text, 3, 0), 3);
  EXPECT_STREQ(text, "one");
  EXPECT_EQ(pread(made.get(), text, 3, 700'000), 3);
  EXPECT_STREQ(text, "two");
  EXPECT_EQ(pread(made.get(), text, 3, 500'000), 3);
  EXPECT_EQ(text[0], '\0');
}

TEST(KernelFiles, TheFirstKernelForgotSeals) {
  const UniqueFd file = sys::memfd_create("x", MFD_ALLOW_SEALING).take();
  ASSERT_TRUE(sys::add_seals(file, F_SEAL_GROW));
  const UniqueFd made = carry_over(state(file), Kernel::k619).take();
  EXPECT_EQ(sys::get_seals(made).take(), F_SEAL_SEAL);
}

TEST(KernelFiles, AnUnsealableFileStaysOne) {
  const UniqueFd file = sys::memfd_create("x", 0).take();
  const UniqueFd made = carry_over(state(file), Kernel::k703).take();
  EXPECT_EQ(sys::get_seals(made).take(), F_SEAL_SEAL);
}

TEST(KernelFiles, TheSizeIsThatOfPreserve) {
  const UniqueFd file = sys::memfd_create("x", 0).take();
  ASSERT_TRUE(sys::write_all(file, "12345678"));
  luo::FileState kept = state(file);
  kept.size = 4;
  const UniqueFd made = carry_over(kept, Kernel::k703).take();
  EXPECT_EQ(sys::fstat(made).take().st_size, 4);
}

TEST(KernelFiles, AlsoWhatIsOpenForWritingOnly) {
  const UniqueFd file = sys::memfd_create("x", 0).take();
  ASSERT_TRUE(sys::write_all(file, "abc"));
  const UniqueFd writer = sys::open(fmt::format("/proc/self/fd/{}", file.get()), O_WRONLY).take();
  const UniqueFd made = carry_over(state(writer), Kernel::k703).take();
  char text[4] = {};
  EXPECT_EQ(pread(made.get(), text, 3, 0), 3);
  EXPECT_STREQ(text, "abc");
}

}  // namespace
}  // namespace outlive::compat
