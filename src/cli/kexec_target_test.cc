#include "cli/kexec_target.h"

#include <gtest/gtest.h>

#include "base/sys.h"

namespace outlive::cli {
namespace {

constexpr std::string_view kRelease = "7.3.4";
constexpr std::string_view kVersion = "#1 SMP PREEMPT_DYNAMIC Mon Nov 23 10:00:00 UTC 2026";
const std::string kImage = "7.3.4 (builder@host) " + std::string(kVersion);
constexpr std::string_view kLine = "console=ttyS0 kho=on liveupdate=on quiet\n";

std::optional<std::string> ask(std::string_view version, std::string_view cmdline) {
  return why_not_target(version, cmdline, kLine, kRelease, kVersion);
}

TEST(KexecTarget, TheRunningKernelWithItsWords) {
  EXPECT_EQ(ask(kImage, kLine), std::nullopt);
  EXPECT_EQ(ask(kImage, "liveupdate=on root=/dev/vda kho=on"), std::nullopt);
}

TEST(KexecTarget, AnotherKernelIsNot) {
  for (const std::string& other :
       {"7.3.40 (builder@host) " + std::string(kVersion), "7.3.3 (b@h) " + std::string(kVersion),
        "7.3.4 (builder@host) #2" + std::string(kVersion.substr(2)), std::string("7.3.4")}) {
    const auto reason = ask(other, kLine);
    ASSERT_TRUE(reason) << other;
    EXPECT_NE(reason->find(other), std::string::npos) << *reason;
  }
}

TEST(KexecTarget, NorOneThatIsNotToldTo) {
  for (const char* line : {"", "kho=on", "kho=on liveupdate=off", "kho=on liveupdate=only"}) {
    const auto reason = ask(kImage, line);
    ASSERT_TRUE(reason) << line;
    EXPECT_NE(reason->find("command line lacks"), std::string::npos) << *reason;
  }
}

UniqueFd image_with(std::string_view magic, uint16_t where, std::string_view text) {
  std::string bytes(0x200, '\0');
  bytes.resize(0x200 + 0x300);
  bytes.replace(0x202, magic.size(), magic);
  memcpy(bytes.data() + 0x20e, &where, sizeof where);
  bytes.replace(0x300, text.size(), text);
  UniqueFd file = sys::memfd_create("image", 0).take();
  EXPECT_TRUE(sys::write_all(file, bytes));
  return file;
}

TEST(KexecTarget, TheVersionOfAnImage) {
  EXPECT_EQ(*version_of_image(image_with("HdrS", 0x100, kImage)), kImage);
  EXPECT_EQ(*version_of_image(image_with("none", 0x100, kImage)), "");
  EXPECT_EQ(*version_of_image(image_with("HdrS", 0, kImage)), "");
  EXPECT_EQ(*version_of_image(image_with("HdrS", 0xffff, kImage)), "") << "beyond its end";
  EXPECT_EQ(version_of_image(image_with("HdrS", 0x100, std::string(4096, 'x')))->size(), 511u);
  EXPECT_EQ(*version_of_image(sys::memfd_create("empty", 0).take()), "");
}

}  // namespace
}  // namespace outlive::cli
