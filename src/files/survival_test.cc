#include "files/survival.h"

#include <gtest/gtest.h>

#include <set>

#include "files/one_of_each.h"

namespace outlive::files {
namespace {

using abi::SurvivalClass;
using luo::FileFacts;
using luo::FileKind;
using luo::Scope;

// A new kind at the end of the enum has to be named here, and then it needs a row.
constexpr auto kLastKind = FileKind::kOther;

TEST(SurvivalTest, EveryKindHasOneRow) {
  std::set<FileKind> kinds;
  for (const SurvivalRow& row : survival_table()) {
    EXPECT_TRUE(kinds.insert(row.kind).second) << row.name << " twice";
    EXPECT_STRNE(row.name, "");
    EXPECT_STRNE(row.kernel_text, "");
  }
  for (unsigned i = 0; i <= static_cast<unsigned>(kLastKind); ++i) {
    EXPECT_EQ(kinds.count(static_cast<FileKind>(i)), 1u) << "kind " << i << " has no row";
    EXPECT_EQ(survival_row(static_cast<FileKind>(i)).kind, static_cast<FileKind>(i));
  }
  EXPECT_EQ(kinds.size(), static_cast<size_t>(kLastKind) + 1);
}

TEST(SurvivalTest, EveryKindIsKeptUntilTheKernel) {
  for (const SurvivalRow& row : survival_table()) {
    const FileFacts facts = facts_of_kind(row.kind);
    for (const Scope scope : {Scope::kService, Scope::kDaemon, Scope::kHost}) {
      EXPECT_EQ(crossing(facts, scope).way, Way::kKeep) << row.name;
      EXPECT_FALSE(crossing(facts, scope).lost) << row.name;
    }
    const bool memory = row.kind == FileKind::kMemfd;
    EXPECT_EQ(crossing(facts, Scope::kKernel).lost, !memory) << row.name;
    EXPECT_EQ(survival_class(facts), memory ? SurvivalClass::kKernel : SurvivalClass::kHost);
  }
}

TEST(SurvivalTest, RecreateSaysThatItIsNotBuilt) {
  const Crossing tcp = crossing(facts_of_kind(FileKind::kTcpConnection), Scope::kKernel);
  EXPECT_EQ(tcp.way, Way::kRecreate);
  EXPECT_TRUE(tcp.lost);
  EXPECT_TRUE(tcp.text.starts_with("recreate: not in this version")) << tcp.text;
  EXPECT_NE(tcp.text.find("TCP_REPAIR"), std::string::npos);
}

TEST(SurvivalTest, KernelRefusesHugePagesAndUnknownSeals) {
  FileFacts huge = facts_of_kind(FileKind::kMemfd);
  huge.huge_pages = true;
  EXPECT_TRUE(crossing(huge, Scope::kKernel).lost);
  EXPECT_EQ(survival_class(huge), SurvivalClass::kHost);
  FileFacts sealed = facts_of_kind(FileKind::kMemfd);
  sealed.seals = 0x1000;
  EXPECT_TRUE(crossing(sealed, Scope::kKernel).lost);
  EXPECT_NE(crossing(sealed, Scope::kKernel).text.find("0x1000"), std::string::npos);
  sealed.seals = 0x3f;
  EXPECT_FALSE(crossing(sealed, Scope::kKernel).lost);
}

}  // namespace
}  // namespace outlive::files
