#include "files/survey.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sys.h"
#include "files/one_of_each.h"

namespace outlive::files {
namespace {

using luo::FileKind;

const SurveyedFile* of_number(const std::vector<SurveyedFile>& files, int number) {
  for (const SurveyedFile& file : files) {
    if (file.number == static_cast<uint32_t>(number)) return &file;
  }
  return nullptr;
}

TEST(SurveyTest, ChildWithOneOfEach) {
  const TempDir dir;
  const OneOfEach made = one_of_each(dir);
  const Holder child;
  const Result<std::vector<SurveyedFile>> files = survey(child.pid());
  ASSERT_TRUE(files) << files.error().text();
  for (const MadeFile& file : made.files) {
    const SurveyedFile* found = of_number(*files, file.fd.get());
    ASSERT_NE(found, nullptr) << file.what;
    EXPECT_EQ(found->facts.kind, file.kind)
        << file.what << " is taken for " << survival_row(found->facts.kind).name << ", "
        << found->facts.detail;
    EXPECT_EQ(found->facts.connected, file.connected) << file.what << ", " << found->facts.detail;
    EXPECT_FALSE(found->crossings[0].lost) << file.what;
    const bool memory = file.kind == FileKind::kMemfd && !found->facts.huge_pages;
    EXPECT_EQ(found->crossings[3].lost, !memory) << file.what << found->crossings[3].text;
  }
}

TEST(SurveyTest, DetailsForPeople) {
  const TempDir dir;
  const OneOfEach made = one_of_each(dir);
  const Holder child;
  const Result<std::vector<SurveyedFile>> files = survey(child.pid());
  ASSERT_TRUE(files);
  for (const MadeFile& file : made.files) {
    const luo::FileFacts& facts = of_number(*files, file.fd.get())->facts;
    if (file.what == "tcp listener") {
      EXPECT_TRUE(facts.detail.starts_with("tcp")) << facts.detail;
    }
    if (file.what == "tcp client") {
      EXPECT_NE(facts.detail.find(" -> "), std::string::npos);
    }
    if (file.what == "unix listener") {
      EXPECT_EQ(facts.detail, "unix " + dir.at("s"));
    }
    if (file.what == "eventfd") {
      EXPECT_TRUE(facts.detail.ends_with("count 7")) << facts.detail;
    }
    if (file.what == "pidfd") {
      EXPECT_TRUE(facts.detail.ends_with(fmt::format(" {}", getpid())));
    }
    if (file.what == "memfd, sealed") {
      EXPECT_EQ(facts.seals, F_SEAL_GROW | F_SEAL_SHRINK);
    }
    if (file.what == "memfd of huge pages") {
      EXPECT_TRUE(facts.huge_pages);
    }
  }
}

TEST(SurveyTest, OwnProcessHasNoFilesOfTheSurveyItself) {
  const Result<std::vector<SurveyedFile>> first = survey(getpid());
  const Result<UniqueFd> one_more = sys::eventfd(0);
  const Result<std::vector<SurveyedFile>> second = survey(getpid());
  ASSERT_TRUE(first && one_more && second);
  EXPECT_EQ(second->size(), first->size() + 1);
}

TEST(SurveyTest, NoSuchProcess) {
  Holder child;
  const pid_t pid = child.pid();
  child.kill_only();
  const auto zombie = survey(pid);
  ASSERT_FALSE(zombie);
  EXPECT_EQ(zombie.error().code, ESRCH) << zombie.error().text();
  child.end();
  const auto gone = survey(pid);
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().code, ESRCH);
  EXPECT_NE(gone.error().message.find(std::to_string(pid)), std::string::npos);
  EXPECT_EQ(survey(0).error().code, EINVAL);
  EXPECT_EQ(survey(-1).error().code, EINVAL);
}

TEST(SurveyTest, AnotherUsersProcessIsEperm) {
  if (geteuid() != 0) {
    EXPECT_EQ(survey(1).error().code, EPERM);
    return;
  }
  const Holder roots;
  const pid_t nobody = fork();
  ASSERT_NE(nobody, -1);
  if (nobody == 0) {
    if (setgid(65534) != 0 || setuid(65534) != 0) _exit(2);
    const auto files = survey(roots.pid());
    const bool named = !files && files.error().code == EPERM &&
                       files.error().message.find(std::to_string(roots.pid())) != std::string::npos;
    _exit(named ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(nobody, &status, 0), nobody);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace outlive::files
