// Which handler gets which file, and the verbs of those that keep.
#include "files/registry_defaults.h"

#include <gtest/gtest.h>
#include <string.h>

#include "files/classify.h"
#include "files/one_of_each.h"

namespace outlive::files {
namespace {

using luo::FileFacts;
using luo::FileHandler;
using luo::FileKind;
using Handlers = std::vector<std::unique_ptr<FileHandler>>;

FileHandler* taker(const Handlers& handlers, const FileFacts& facts) {
  for (const auto& handler : handlers) {
    if (handler->can_preserve(facts)) return handler.get();
  }
  return nullptr;
}

const char* expected(FileKind kind) {
  if (kind == FileKind::kMemfd) return "outlive-memfd-v1";
  if (kind == FileKind::kRegular || kind == FileKind::kDirectory) return "outlive-regular-v1";
  if (kind >= FileKind::kUnixListener && kind <= FileKind::kOtherSocket) return "outlive-socket-v1";
  return "outlive-opaque-v1";
}

TEST(RegistryDefaultsTest, EveryKindHasItsHandler) {
  Handlers handlers;
  register_default_handlers(handlers);
  ASSERT_EQ(handlers.size(), 4u);
  for (unsigned i = 0; i <= static_cast<unsigned>(FileKind::kOther); ++i) {
    const FileFacts facts = facts_of_kind(static_cast<FileKind>(i));
    const FileHandler* handler = taker(handlers, facts);
    ASSERT_NE(handler, nullptr);
    EXPECT_STREQ(handler->compatible(), expected(facts.kind)) << "kind " << i;
    EXPECT_LE(strlen(handler->compatible()), 47u);
    const bool exclusive =
        facts.kind == FileKind::kMemfd || strcmp(handler->compatible(), "outlive-socket-v1") == 0;
    EXPECT_EQ(handler->exclusive(facts), exclusive) << "kind " << i;
    EXPECT_GE(handler->survival(facts), abi::SurvivalClass::kHost);
  }
}

TEST(RegistryDefaultsTest, EachKindGoesThroughAllVerbs) {
  const TempDir dir;
  const OneOfEach made = one_of_each(dir);
  Handlers handlers;
  register_default_handlers(handlers);
  for (const MadeFile& file : made.files) {
    const Result<FileFacts> facts = classify(file.fd);
    ASSERT_TRUE(facts);
    FileHandler* handler = taker(handlers, *facts);
    const Result<luo::Preserved> preserved = handler->preserve(file.fd, *facts);
    ASSERT_TRUE(preserved) << file.what << ": " << preserved.error().text();
    luo::FileState state{file.fd, 1, preserved->data, preserved->size};
    EXPECT_TRUE(handler->freeze(state)) << file.what;
    handler->unfreeze(state);
    EXPECT_TRUE(handler->freeze(state)) << file.what;
    const Result<BorrowedFd> retrieved = handler->retrieve(state);
    ASSERT_TRUE(retrieved);
    EXPECT_EQ(*retrieved, file.fd.borrow()) << file.what;
    EXPECT_TRUE(handler->can_finish(state));
    handler->finish(state);
    handler->unpreserve(state);
    EXPECT_TRUE(classify(file.fd)) << file.what << ": a verb closed what it only borrows";
    EXPECT_EQ(handler->flb(), nullptr);
  }
}

}  // namespace
}  // namespace outlive::files
