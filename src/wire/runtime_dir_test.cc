// Where the sockets are, and which folders are not trusted.
#include "wire/runtime_dir.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>

#include "base/sys.h"

namespace outlive::wire {
namespace {

class RuntimeDirTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/outlive-wire-test.XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    folder = name;
    user.uid = geteuid() == 0 ? 65534 : geteuid();
    user.temporary = folder;
    user.system = folder + "/run-outlive";
    ours = user;
    ours.uid = geteuid();
  }
  void TearDown() override { std::filesystem::remove_all(folder); }
  std::string private_folder() const { return folder + "/outlive-" + std::to_string(user.uid); }

  std::string folder;
  RuntimeEnvironment user;  // an ordinary user
  RuntimeEnvironment ours;  // who runs the test
};

TEST_F(RuntimeDirTest, RootHasOnePlace) {
  RuntimeEnvironment root = user;
  root.uid = 0;
  root.system = "/run/outlive";
  root.xdg_runtime = "/run/user/0";
  const auto dirs = find_runtime_dirs(std::nullopt, root);
  ASSERT_TRUE(dirs);
  ASSERT_EQ((*dirs).size(), 1u);
  EXPECT_EQ((*dirs)[0].liveupdate_socket(), "/run/outlive/liveupdate.sock");
  EXPECT_EQ((*dirs)[0].control_socket(), "/run/outlive/control.sock");
}

TEST_F(RuntimeDirTest, AUserHasHisOwnThenRoots) {
  user.xdg_runtime = "/run/user/1234";
  const auto dirs = find_runtime_dirs(std::nullopt, user);
  ASSERT_TRUE(dirs);
  ASSERT_EQ((*dirs).size(), 2u);
  EXPECT_EQ((*dirs)[0].path, "/run/user/1234/outlive");
  EXPECT_EQ((*dirs)[1].path, user.system);
}

TEST_F(RuntimeDirTest, WithoutXdgItIsInTheTemporaryDirectory) {
  const auto dirs = find_runtime_dirs(std::nullopt, user);
  ASSERT_TRUE(dirs);
  EXPECT_EQ((*dirs)[0].path, private_folder());
  EXPECT_EQ((*dirs)[0].problem, "");
}

TEST_F(RuntimeDirTest, AGivenPlaceIsTheOnlyOne) {
  user.given = "/from/environment";
  EXPECT_EQ((*find_runtime_dirs(std::nullopt, user))[0].path, "/from/environment");
  const auto dirs = find_runtime_dirs("/from/option", user);
  ASSERT_EQ((*dirs).size(), 1u);
  EXPECT_EQ((*dirs)[0].path, "/from/option");
}

TEST_F(RuntimeDirTest, TooLongAPathIsRefusedWithItsLength) {
  const std::string path = "/" + std::string(99, 'x');
  const auto dirs = find_runtime_dirs(path, user);
  ASSERT_FALSE(dirs);
  EXPECT_EQ(dirs.error().code, ENAMETOOLONG);
  EXPECT_NE(dirs.error().message.find("116 bytes"), std::string::npos) << dirs.error().message;
  EXPECT_EQ(make_runtime_dir(path, user).error().code, ENAMETOOLONG);
  // liveupdate.sock fits exactly.
  EXPECT_TRUE(find_runtime_dirs("/" + std::string(90, 'x'), user));
}

TEST_F(RuntimeDirTest, MakesAPrivateFolderWhateverTheUmask) {
  const mode_t before = umask(0);
  ours.given = folder + "/made";
  const auto made = make_runtime_dir(std::nullopt, ours);
  umask(before);
  ASSERT_TRUE(made) << made.error().text();
  struct stat facts {};
  ASSERT_EQ(stat(made->path.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 07777, ours.uid == 0 ? 0755u : 0700u);
  EXPECT_TRUE(make_runtime_dir(std::nullopt, ours)) << "a second time";
}

TEST_F(RuntimeDirTest, ASymlinkIsRefused) {
  std::filesystem::create_directory(folder + "/real");
  std::filesystem::create_symlink(folder + "/real", private_folder());
  const auto made = make_runtime_dir(std::nullopt, user);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, EPERM);
  EXPECT_NE((*find_runtime_dirs(std::nullopt, user))[0].problem, "");
}

TEST_F(RuntimeDirTest, SomebodyElsesFolderIsRefused) {
  ours.given = folder + "/theirs";
  ASSERT_TRUE(make_runtime_dir(std::nullopt, ours));
  if (geteuid() != 0) GTEST_SKIP() << "needs root to give a folder away";
  ASSERT_EQ(chown(ours.given->c_str(), 4321, 4321), 0);
  const auto made = make_runtime_dir(std::nullopt, ours);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, EPERM);
  EXPECT_NE(made.error().message.find("4321"), std::string::npos);
}

TEST_F(RuntimeDirTest, AFolderThatOthersMayWriteIsRefused) {
  std::filesystem::create_directory(private_folder());
  ASSERT_EQ(chmod(private_folder().c_str(), 0777), 0);
  EXPECT_EQ(make_runtime_dir(std::nullopt, user).error().code, EPERM);
}

TEST_F(RuntimeDirTest, AFileIsRefused) {
  ASSERT_TRUE(sys::write_file(private_folder(), "x"));
  EXPECT_EQ(make_runtime_dir(std::nullopt, user).error().code, ENOTDIR);
}

TEST_F(RuntimeDirTest, AMissingParentIsNamed) {
  const auto made = make_runtime_dir(folder + "/no/such", ours);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, ENOENT);
  EXPECT_NE(made.error().message.find(folder + "/no/such"), std::string::npos);
}

}  // namespace
}  // namespace outlive::wire
