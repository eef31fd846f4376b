#include "cli/kexec_target.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "abi/luo.h"
#include "cli/kernel_image_test.h"

namespace outlive::cli {
namespace {

const std::string kLine = "console=ttyS0 kho=on liveupdate=on quiet\n";
const RunningKernel kRunning{
    "7.3.4", "#1 SMP Mon Nov 23", kLine, {"kho-v4", "luo-v5", "memfd-v2"}, ""};
const RunningKernel kUnknown{"7.3.4", "#1 SMP Mon Nov 23", kLine, {}, "no such file"};
const KernelImage kSame{
    "7.3.4 (builder@host) #1 SMP Mon Nov 23", "", {"kho-v4", "luo-v5", "memfd-v2"}, {}};

KernelImage with(const KernelImage& image, std::vector<std::string> formats) {
  KernelImage other = image;
  other.formats = std::move(formats);
  return other;
}

KernelImage another() {
  KernelImage image = kSame;
  image.version = "7.3.5 (builder@host) #1 SMP Mon Nov 23";
  return image;
}

std::string why(const KernelImage& target, const RunningKernel& running = kRunning,
                std::string_view cmdline = kLine) {
  return why_not_target(target, cmdline, running).value_or("");
}

#define EXPECT_HAS(text, words) \
  EXPECT_NE((text).find(words), std::string::npos) << "'" << (text) << "'"

TEST(KexecTarget, TheRunningKernelWithItsWords) {
  EXPECT_EQ(why(kSame), "");
  EXPECT_EQ(why(kSame, kUnknown), "") << "its image isn't at hand";
  EXPECT_EQ(why(kSame, kRunning, "liveupdate=on root=/dev/vda kho=on"), "");
}

TEST(KexecTarget, AnotherOneOfTheSameFormats) {
  EXPECT_EQ(why(another()), "");
  EXPECT_HAS(why(another(), kUnknown), "(--running-kernel): no such file");
  EXPECT_HAS(why(another(), kUnknown), "another kernel (7.3.5");
}

TEST(KexecTarget, OtherFormats) {
  for (const KernelImage& image : {kSame, another()}) {
    EXPECT_EQ(why(with(image, {"kho-v4", "luo-v6", "memfd-v2"})),
              "it takes over kho-v4, luo-v6, memfd-v2, but the running kernel hands on kho-v4, "
              "luo-v5, memfd-v2");
    EXPECT_HAS(why(with(image, {"kho-v4", "luo-v5", "luo-v6", "memfd-v2"})), "it takes over");
    EXPECT_HAS(why(with(image, {"kho-v4", "luo-v5", "memfd-v1"})), "it takes over");
  }
}

TEST(KexecTarget, NoLiveUpdate) {
  for (const RunningKernel& running : {kRunning, kUnknown}) {
    EXPECT_HAS(why(with(kSame, {}), running), "no kho-vN, no luo-vN, no memfd-vN is in it");
    EXPECT_HAS(why(with(another(), {"kho-v4"}), running), ": no luo-vN, no memfd-vN is in it");
    KernelImage off = another();
    off.missing = {"CONFIG_LIVEUPDATE"};
    EXPECT_HAS(why(off, running), "its configuration lacks CONFIG_LIVEUPDATE");
  }
}

TEST(KexecTarget, WhatCantBeLookedIntoIsTheRunningOneAgain) {
  KernelImage image = with(kSame, {});
  image.unreadable = "packed";
  EXPECT_EQ(why(image), "");
  for (const char* version :
       {"7.3.40 (b@h) #1 SMP Mon Nov 23", "7.3.3 (b@h) #1 SMP Mon Nov 23",
        "7.3.4 (b@h) #2 SMP Mon Nov 23", "7.3.4 (b@h) #11 SMP Mon Nov 23", "7.3.4", ""}) {
    image.version = version;
    EXPECT_HAS(why(image), "it can't be looked into: packed") << version;
    EXPECT_HAS(why(image), version);
  }
}

TEST(KexecTarget, NorOneThatIsNotToldTo) {
  for (const char* line : {"", "kho=on", "kho=on liveupdate=off", "kho=on liveupdate=only"}) {
    for (const KernelImage& image : {kSame, another()}) {
      EXPECT_HAS(why(image, kRunning, line), "command line lacks");
    }
  }
}

TEST(KexecTarget, OutlivedsMarkIsNoDifference) {
  for (const KernelImage& image : {kSame, another()}) {
    EXPECT_EQ(why(image, kRunning, "kho=on liveupdate=on outlive.kexec=2:/x"), "");
    RunningKernel marked = kRunning;
    marked.cmdline = "kho=on liveupdate=on outlive.kexec=1:/x\n";
    EXPECT_EQ(why(image, marked, kLine), "");
  }
}

TEST(KexecTarget, ACommandLineThatIsTooLong) {
  KernelImage image = kSame;
  EXPECT_TRUE(fits_command_line(image, std::string(2046, 'x')));
  EXPECT_EQ(fits_command_line(image, std::string(2047, 'x')).error().code, E2BIG);
  image.cmdline_size = 10;
  EXPECT_TRUE(fits_command_line(image, std::string(9, 'x')));
  const Status longer = fits_command_line(image, std::string(10, 'x'));
  ASSERT_FALSE(longer);
  EXPECT_HAS(longer.error().message, "has 10 bytes, the kernel takes 9: xxxxxxxxxx");
}

class RunningImage : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/outlive-image-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    folder_ = name;
    utsname here{};
    ASSERT_EQ(::uname(&here), 0);
    version_ = fmt::format("{} (b@h) {}", here.release, here.version);
  }
  void TearDown() override {
    for (const char* file : {"image", "luo"}) ::unlink((folder_ + "/" + file).c_str());
    ::rmdir(folder_.c_str());
  }
  std::string file(const char* name, const std::string& bytes) {
    const std::string path = folder_ + "/" + name;
    EXPECT_TRUE(sys::write_file(path, bytes));
    return path;
  }
  std::string image(const std::string& version) {
    return file("image", test::bzimage(test::lz4(test::kernel_with(test::kGoodStrings)), version));
  }
  std::string luo(const char* compatible) {
    abi::LuoV5 blob{};
    strncpy(blob.compatible, compatible, sizeof blob.compatible);
    return file("luo", std::string(reinterpret_cast<const char*>(&blob), sizeof blob));
  }

  std::string folder_;
  std::string version_;
};

TEST_F(RunningImage, IsReadFromWhatItWasBootedFrom) {
  for (const std::string& shown : {folder_ + "/none", luo("luo-v5")}) {
    const auto running = running_kernel(image(version_), shown);
    ASSERT_TRUE(running) << running.error().text();
    EXPECT_EQ(running->formats, kRunning.formats);
    EXPECT_TRUE(is_version_of(version_, *running));
  }
}

TEST_F(RunningImage, AnotherKernelsIsRefused) {
  const auto of_another = running_kernel(image("1.2.3 (b@h) #1"), folder_ + "/none");
  ASSERT_FALSE(of_another);
  EXPECT_HAS(of_another.error().message, "of 1.2.3 (b@h) #1");
  const auto other_luo = running_kernel(image(version_), luo("luo-v4"));
  ASSERT_FALSE(other_luo) << "the kernel itself says otherwise";
  EXPECT_HAS(other_luo.error().message, "no luo-v4");
  EXPECT_EQ(running_kernel(folder_ + "/none", "").error().code, ENOENT);
  const auto packed = running_kernel(file("image", test::bzimage("BZh9abcdef", version_)), "");
  ASSERT_FALSE(packed);
  EXPECT_EQ(packed.error().code, EUCLEAN);
}

}  // namespace
}  // namespace outlive::cli
