#include "machine/process/memory_limit.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "machine/process/test_machine.h"

namespace outlive::machine {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMiB = 1 << 20;

class MemoryLimitTest : public testing::Test {
 protected:
  MemoryLimitTest() {
    std::string name = (fs::temp_directory_path() / "outlive-memory-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
  }
  ~MemoryLimitTest() override { fs::remove_all(folder_); }
  std::string write(const std::string& name, const std::string& text) {
    fs::create_directories((folder_ / name).parent_path());
    std::ofstream(folder_ / name) << text;
    return (folder_ / name).string();
  }
  MemoryLimit open(const std::string& groups, const std::string& mount) {
    return MemoryLimit::open({write("own", groups), write("mounts", mount)});
  }
  MemoryLimit open_first() {
    return open("5:cpu:/\n4:memory:/a/b\n",
                "30 25 0:26 / " + (folder_ / "m").string() + " rw shared:9 - cgroup c rw,memory\n");
  }
  void group(const std::string& name, uint64_t limit, uint64_t usage, uint64_t cache) {
    write(name + "/memory.limit_in_bytes", std::to_string(limit));
    write(name + "/memory.usage_in_bytes", std::to_string(usage));
    write(name + "/memory.stat", fmt::format("cache 1\ntotal_inactive_file {}\n"
                                             "total_active_file {}\nactive_file 0\n",
                                             cache / 2, cache / 2));
  }
  fs::path folder_;
};

TEST_F(MemoryLimitTest, NoControllerNoLimit) {
  const MemoryLimit none = open("0::/\n", "30 25 0:26 / /nowhere rw - cgroup2 c rw\n");
  EXPECT_TRUE(none.fds().empty());
  EXPECT_TRUE(none.check(uint64_t{1} << 50));
  EXPECT_TRUE(MemoryLimit::open({"/nowhere", "/nowhere"}).check(1));
}

TEST_F(MemoryLimitTest, TheReserveStaysFree) {
  group("m/a/b", 64 * kMiB, 40 * kMiB, 0);
  const MemoryLimit limit = open_first();
  EXPECT_EQ(limit.fds().size(), 3u);
  EXPECT_TRUE(limit.check(16 * kMiB));
  const Status over = limit.check(16 * kMiB + 1);
  ASSERT_FALSE(over);
  EXPECT_EQ(over.error().code, ENOSPC);
  EXPECT_NE(over.error().message.find("40 of 64 MiB"), std::string::npos) << over.error().message;
  EXPECT_NE(over.error().message.find("m/a/b"), std::string::npos);
  // It is read anew each time.
  group("m/a/b", 1024 * kMiB, 40 * kMiB, 0);
  EXPECT_TRUE(limit.check(900 * kMiB));
  EXPECT_FALSE(limit.check(944 * kMiB)) << "of a large one a sixteenth";
}

TEST_F(MemoryLimitTest, PageCacheIsFree) {
  group("m/a/b", 64 * kMiB, 63 * kMiB, 40 * kMiB);
  EXPECT_TRUE(open_first().check(30 * kMiB));
  EXPECT_FALSE(open_first().check(40 * kMiB));
}

TEST_F(MemoryLimitTest, TheGroupsAboveCountToo) {
  group("m/a/b", kMiB << 40, 10 * kMiB, 0);
  group("m/a", 64 * kMiB, 60 * kMiB, 0);
  group("m", kMiB << 43, 60 * kMiB, 0);
  const MemoryLimit limit = open_first();
  EXPECT_EQ(limit.fds().size(), 9u);
  EXPECT_FALSE(limit.check(kMiB));
}

TEST_F(MemoryLimitTest, TheSecondVersion) {
  const std::string mounts =
      "30 25 0:26 /box " + (folder_ / "u").string() + " rw,nosuid - cgroup2 cgroup2 rw\n";
  write("u/svc/memory.max", "max\n");
  write("u/svc/memory.current", "50000000\n");
  write("u/svc/memory.stat", "anon 5\nfile 7\nactive_file 0\ninactive_file 0\n");
  const MemoryLimit limit = open("0::/box/svc\n", mounts);
  EXPECT_EQ(limit.fds().size(), 3u);
  EXPECT_TRUE(limit.check(1 << 30));
  write("u/svc/memory.max", "60000000\n");
  EXPECT_TRUE(limit.check(1'000'000));
  EXPECT_FALSE(limit.check(2'000'000));
}

}  // namespace
}  // namespace outlive::machine
