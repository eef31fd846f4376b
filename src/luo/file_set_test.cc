#include "luo/file_set.h"

#include "luo/luo_test.h"

namespace outlive::luo {
namespace {

int code_of(const Status& status) {
  return status ? 0 : status.error().code;
}

TEST(FileSet, PreservesInOrderAndUnpreservesLastFirst) {
  LuoWorld w;
  Session& s = w.session("s");
  const BorrowedFd a = w.fds.make(FileKind::kTcpConnection);
  const BorrowedFd b = w.fds.make(FileKind::kTcpConnection);
  const BorrowedFd c = w.fds.make(FileKind::kTcpConnection);
  ASSERT_TRUE(w.preserve(s, {{3, a}, {1, b}}));
  ASSERT_TRUE(w.preserve(s, 2, c));
  EXPECT_EQ(w.script.take(),
            (Journal{"socket.preserve 10", "socket.preserve 11", "socket.preserve 12"}));
  std::vector<uint64_t> tokens;
  for (const abi::FileSlot* slot : s.files.ordered()) tokens.push_back(slot->token);
  EXPECT_EQ(tokens, (std::vector<uint64_t>{3, 1, 2}));
  EXPECT_EQ(s.files.find(1)->data, 110u);
  EXPECT_EQ(w.core->files().count_of(0), 3u);
  ASSERT_TRUE(w.core->end_session(s, false));
  EXPECT_EQ(w.script.take(),
            (Journal{"socket.unpreserve 12", "socket.unpreserve 11", "socket.unpreserve 10"}));
  EXPECT_TRUE(w.fds.open.empty());
  EXPECT_EQ(w.core->files().count_of(0), 0u);
  EXPECT_EQ(w.core->sessions().size(), 0u);
}

TEST(FileSet, OrderSurvivesTheWorker) {
  LuoWorld w;
  Session& s = w.session("s");
  for (uint64_t token : {9, 4, 7}) {
    ASSERT_TRUE(w.preserve(s, token, w.fds.make(FileKind::kPipe)));
  }
  ASSERT_TRUE(w.reattach());
  Session* found = w.core->sessions().find({}, "s");
  ASSERT_NE(found, nullptr);
  ASSERT_TRUE(w.preserve(*found, 1, w.fds.make(FileKind::kPipe)));
  std::vector<uint64_t> tokens;
  for (const abi::FileSlot* slot : found->files.ordered()) tokens.push_back(slot->token);
  EXPECT_EQ(tokens, (std::vector<uint64_t>{9, 4, 7, 1}));
}

TEST(FileSet, EveryErrorOfPreserveInTheKernelsOrder) {
  LuoWorld w;
  w.limits.files = 4;
  ASSERT_TRUE(w.reattach());
  Session& s = w.session("s");
  Session& other = w.session("other");
  const BorrowedFd memory = w.fds.make(FileKind::kMemfd, 55);
  ASSERT_TRUE(w.preserve(s, 1, memory));
  // The token is looked at before the fd.
  EXPECT_EQ(code_of(w.preserve(s, 1, BorrowedFd(999))), EEXIST);
  const BorrowedFd pipe = w.fds.make(FileKind::kPipe);
  EXPECT_EQ(code_of(w.preserve(s, {{5, pipe}, {5, pipe}})), EEXIST);
  EXPECT_EQ(code_of(w.preserve(s, 2, BorrowedFd(999))), EBADF);
  EXPECT_EQ(code_of(w.preserve(s, 2, w.fds.make(FileKind::kRegular))), ENOENT);
  // The same inode, in this session or in any other, also by another fd, also in one request.
  EXPECT_EQ(code_of(w.preserve(s, 2, memory)), EBUSY);
  EXPECT_EQ(code_of(w.preserve(other, 1, w.fds.make(FileKind::kMemfd, 55))), EBUSY);
  EXPECT_EQ(code_of(w.preserve(other, {{1, w.fds.make(FileKind::kMemfd, 66)},
                                       {2, w.fds.make(FileKind::kMemfd, 66)}})),
            EBUSY);
  // A pipe may be preserved twice.
  EXPECT_TRUE(w.preserve(s, {{7, pipe}, {8, pipe}}));
  // The quota: as many as fit, not one more; all or none.
  EXPECT_EQ(code_of(w.preserve(
                s, {{20, w.fds.make(FileKind::kPipe)}, {21, w.fds.make(FileKind::kPipe)}})),
            EDQUOT);
  EXPECT_TRUE(w.preserve(other, 20, w.fds.make(FileKind::kPipe)));
  EXPECT_EQ(code_of(w.preserve(other, 21, w.fds.make(FileKind::kPipe))), EDQUOT);
  EXPECT_EQ(w.core->files().count_of(0), 4u);
}

TEST(FileSet, IdentityIsFreeAgainAndIsKeptOverAnAttach) {
  LuoWorld w;
  Session& s = w.session("s");
  ASSERT_TRUE(w.preserve(s, 1, w.fds.make(FileKind::kMemfd, 55)));
  ASSERT_TRUE(w.reattach());
  Session& again = *w.core->sessions().find({}, "s");
  const BorrowedFd same = w.fds.make(FileKind::kMemfd, 55);
  EXPECT_EQ(code_of(w.preserve(again, 2, same)), EBUSY);
  w.remove(again, {1});
  EXPECT_TRUE(w.preserve(again, 2, same));
}

TEST(FileSet, OneBadFileOfManyLeavesNone) {
  LuoWorld w;
  Session& s = w.session("s");
  const std::string before = kho::structure(*w.arena);
  const BorrowedFd a = w.fds.make(FileKind::kMemfd);
  const BorrowedFd b = w.fds.make(FileKind::kPipe);
  w.script.failing["pipe.preserve"] = ENOMEM;
  EXPECT_EQ(code_of(w.preserve(s, {{1, a}, {2, w.fds.make(FileKind::kTcpConnection)}, {3, b}})),
            ENOMEM);
  EXPECT_EQ(
      w.script.take(),
      (Journal{"memfd.preserve 10", "pool.preserve 700", "socket.preserve 12", "pipe.preserve 11",
               "socket.unpreserve 12", "memfd.unpreserve 10", "pool.unpreserve 700"}));
  EXPECT_EQ(s.files.size(), 0u);
  EXPECT_EQ(w.core->records().count(abi::PoolKind::kFile), 0u);
  EXPECT_EQ(w.core->records().count(abi::PoolKind::kFlb), 0u);
  expect_free_slots_zero(*w.arena, w.core->records());
  EXPECT_TRUE(w.fds.released.empty()) << "what was not taken is the caller's to close";
  w.script.failing.clear();
  EXPECT_TRUE(w.preserve(s, {{1, a}, {3, b}})) << "neither tokens nor the inode are used up";
}

TEST(FileSet, RetrieveGivesTheSameFileAgain) {
  LuoWorld w;
  Session& s = w.session("s");
  ASSERT_TRUE(w.preserve(s, 1, w.fds.make(FileKind::kPipe)));
  EXPECT_EQ(w.retrieve(s, 1).take().get(), 10);
  EXPECT_EQ(s.files.find(1)->flags, abi::kFileRetrieved);
  EXPECT_EQ(w.retrieve(s, 1).take().get(), 10);
  EXPECT_EQ(w.retrieve(s, 2).error().code, ENOENT);
}

TEST(FileSet, AFailedRetrieveIsTheAnswerForEver) {
  LuoWorld w;
  Session& s = w.session("s");
  ASSERT_TRUE(w.preserve(s, 1, w.fds.make(FileKind::kPipe)));
  w.script.failing["pipe.retrieve"] = ENODEV;
  EXPECT_EQ(w.retrieve(s, 1).error().code, ENODEV);
  w.script.failing.clear();
  w.script.take();
  EXPECT_EQ(w.retrieve(s, 1).error().code, ENODEV);
  ASSERT_TRUE(w.reattach());
  EXPECT_EQ(w.retrieve(*w.core->sessions().find({}, "s"), 1).error().code, ENODEV);
  EXPECT_TRUE(w.script.journal.empty()) << "the handler is not asked again";
}

TEST(FileSet, EagainIsNotRemembered) {
  LuoWorld w;
  Session& s = w.session("s");
  ASSERT_TRUE(w.preserve(s, 1, w.fds.make(FileKind::kPipe)));
  w.script.failing["pipe.retrieve"] = EAGAIN;
  EXPECT_EQ(w.retrieve(s, 1).error().code, EAGAIN);
  w.script.failing.clear();
  EXPECT_TRUE(w.retrieve(s, 1));
}

TEST(FileSet, FinishIsAllOrNothingAndLastFirst) {
  LuoWorld w;
  Session& s = w.session("s");
  for (uint64_t token = 1; token <= 3; ++token) {
    ASSERT_TRUE(w.preserve(s, token, w.fds.make(FileKind::kTcpConnection)));
  }
  w.script.take();
  w.script.failing["socket.can_finish 11"] = EINVAL;
  EXPECT_EQ(code_of(w.core->finish_files(s)), EBUSY);
  EXPECT_EQ(code_of(w.core->end_session(s, true)), EBUSY);
  for (const std::string& line : w.script.take()) {
    EXPECT_EQ(line.find("socket.finish"), line.npos) << line;
  }
  EXPECT_EQ(s.files.size(), 3u);
  w.script.failing.clear();
  ASSERT_TRUE(w.core->finish_files(s));
  EXPECT_EQ(w.script.take(),
            (Journal{"socket.can_finish 10", "socket.can_finish 11", "socket.can_finish 12",
                     "socket.finish 12", "socket.finish 11", "socket.finish 10"}));
  EXPECT_EQ(s.files.size(), 0u);
  EXPECT_EQ(w.fds.released, (std::vector<int>{12, 11, 10}));
  EXPECT_NE(w.core->sessions().find({}, "s"), nullptr) << "the empty session stays";
}

TEST(FileSet, ManyFilesTakeSeveralChangesAndADeathBetweenIsFinished) {
  LuoWorld w;
  Session& s = w.session("s");
  constexpr uint64_t kMany = 1700;
  for (uint64_t token = 0; token < kMany;) {
    std::vector<NewFile> some;
    for (int i = 0; i < 250 && token < kMany; ++i) {
      some.push_back({token++, w.fds.make(FileKind::kTcpConnection)});
    }
    ASSERT_TRUE(w.preserve(s, some));
  }
  // Somebody holds it: the connection must not come to hold what takes the slot next.
  {
    Change change(w.core->records());
    auto* connection = change.add<abi::ConnectionSlot>().take();
    connection->session = s.address;
    connection->fd = connection->reply_fd = -1;
    change.commit();
  }
  const uint64_t address = s.address;
  FileImage image;
  FdTable fds;
  {
    int commits = 0;
    set_fault_hook([&](const char* name) {
      if (std::string_view(name) == "luo.commit.after" && ++commits == 2) {
        image = FileImage::take(w.arena->view());
        fds = w.fds;
      }
      return 0;
    });
    ASSERT_TRUE(w.core->end_session(s, false));
    set_fault_hook({});
    EXPECT_EQ(commits, 3);
  }
  EXPECT_TRUE(w.fds.open.empty());
  w.core.reset();
  w.arena.reset();
  image.put(w.file);
  w.fds = fds;
  ASSERT_TRUE(w.reattach());
  EXPECT_EQ(w.core->sessions().size(), 0u);
  EXPECT_EQ(w.core->records().count(abi::PoolKind::kFile), 0u);
  EXPECT_EQ(w.session("next").address, address) << "the slot is used again";
  w.core->records().for_each<abi::ConnectionSlot>(
      [](abi::ConnectionSlot& slot) { EXPECT_EQ(slot.session, 0u); });
}

TEST(FileSet, FreezeFailureUnfreezesThoseFrozenInReverse) {
  LuoWorld w;
  Session& s = w.session("s");
  Session& t = w.session("t");
  ASSERT_TRUE(w.preserve(s, 1, w.fds.make(FileKind::kMemfd)));
  ASSERT_TRUE(w.preserve(t, 1, w.fds.make(FileKind::kPipe)));
  ASSERT_TRUE(w.preserve(s, 2, w.fds.make(FileKind::kTcpConnection)));
  ASSERT_TRUE(w.preserve(t, 2, w.fds.make(FileKind::kTcpConnection)));
  w.script.take();
  const std::vector<Session*> both = {&t, &s};
  w.script.failing["socket.freeze 12"] = EBUSY;
  EXPECT_EQ(code_of(w.core->files().freeze(both)), EBUSY);
  EXPECT_EQ(w.script.take(), (Journal{"memfd.freeze 10", "pipe.freeze 11", "socket.freeze 12",
                                      "pipe.unfreeze 11", "memfd.unfreeze 10"}));
  w.script.failing.clear();
  w.script.failing["pool.freeze"] = EIO;
  EXPECT_EQ(code_of(w.core->files().freeze(both)), EIO);
  EXPECT_EQ(w.script.take(),
            (Journal{"memfd.freeze 10", "pipe.freeze 11", "socket.freeze 12", "socket.freeze 13",
                     "pool.freeze 700", "socket.unfreeze 13", "socket.unfreeze 12",
                     "pipe.unfreeze 11", "memfd.unfreeze 10"}));
  w.script.failing.clear();
  ASSERT_TRUE(w.core->files().freeze(both));
  w.script.take();
  w.core->files().unfreeze(both);
  EXPECT_EQ(w.script.take(), (Journal{"pool.cancel 700", "socket.unfreeze 13", "socket.unfreeze 12",
                                      "pipe.unfreeze 11", "memfd.unfreeze 10"}));
  // Sessions that hold no global state leave it alone.
  Session& u = w.session("u");
  ASSERT_TRUE(w.preserve(u, 1, w.fds.make(FileKind::kTcpConnection)));
  w.script.take();
  ASSERT_TRUE(w.core->files().freeze({&u}));
  EXPECT_EQ(w.script.take(), (Journal{"socket.freeze 14"}));
}

TEST(FileSet, InjectedFreezeFailure) {
  LuoWorld w;
  Session& s = w.session("s");
  ASSERT_TRUE(w.preserve(s, 1, w.fds.make(FileKind::kTcpConnection)));
  ASSERT_TRUE(w.preserve(s, 2, w.fds.make(FileKind::kTcpConnection)));
  w.script.take();
  kho::FailNth fail("luo.freeze", 1, EIO);
  EXPECT_EQ(code_of(w.core->files().freeze({&s})), EIO);
  EXPECT_EQ(w.script.take(), (Journal{"socket.freeze 10", "socket.unfreeze 10"}));
}

TEST(FileSet, FdDataQueryRoomTotalOrder) {
  LuoWorld w;
  Session& s = w.session("s");
  Session& t = w.session("t");
  ASSERT_TRUE(w.preserve(t, 5, w.fds.make(FileKind::kPipe)));
  ASSERT_TRUE(w.preserve(s, 4, w.fds.make(FileKind::kTcpConnection)));
  ASSERT_TRUE(w.preserve(s, 3, w.fds.make(FileKind::kPipe)));
  ASSERT_TRUE(w.preserve(t, 2, w.fds.make(FileKind::kPipe)));
  const uint64_t s_id = s.slot->header.id;
  const uint64_t t_id = t.slot->header.id;
  ASSERT_TRUE(w.reattach()) << "valid from attach, before anyone retrieves";
  Files& files = w.core->files();
  EXPECT_EQ(files.fd_data_query("pipe", {}), 3u);
  EXPECT_EQ(files.fd_data_query("nothing", {}), 0u);
  std::vector<Files::DataEntry> room(2, {0, 0, 0});
  EXPECT_EQ(files.fd_data_query("pipe", room), 3u) << "the total, the first ones filled in";
  EXPECT_EQ(room[0].session, t_id);
  EXPECT_EQ(room[0].token, 5u);
  EXPECT_EQ(room[0].data, 100u);
  EXPECT_EQ(room[1].session, s_id);
  EXPECT_EQ(room[1].token, 3u);
  room.assign(5, {0, 0, 0});
  EXPECT_EQ(files.fd_data_query("pipe", room), 3u);
  EXPECT_EQ(room[2].token, 2u);
  EXPECT_EQ(room[3].token, 0u);
}

TEST(FileSet, AttachWithoutTheHandlerIsRefused) {
  LuoWorld w;
  Session& s = w.session("s");
  ASSERT_TRUE(w.preserve(s, 1, w.fds.make(FileKind::kPipe)));
  strcpy(s.files.find(1)->compatible, "vfio");
  const Status refused = w.reattach();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, EPROTO);
  EXPECT_NE(refused.error().message.find("'vfio'"), std::string::npos) << refused.error().message;
}

TEST(FileSet, AttachWithAForeignGlobalStateIsRefused) {
  LuoWorld w;
  Session& s = w.session("s");
  ASSERT_TRUE(w.preserve(s, 1, w.fds.make(FileKind::kPipe)));
  strcpy(s.files.find(1)->compatible, "socket");  // which has none
  EXPECT_EQ(code_of(w.reattach()), EUCLEAN);
}

TEST(Files, VerifyKnowsWhatItHolds) {
  LuoWorld w;
  Session& s = w.session("s");
  const BorrowedFd memfd = w.fds.make(FileKind::kMemfd);
  const BorrowedFd other = w.fds.make(FileKind::kMemfd);
  const BorrowedFd pipe = w.fds.make(FileKind::kPipe);
  ASSERT_TRUE(w.preserve(s, {{1, memfd}, {2, other}, {3, pipe}}));
  EXPECT_TRUE(w.core->files().verify());
  const auto with_fd = [&](uint64_t token, int64_t fd) {
    abi::FileSlot& slot = *s.files.find(token);
    const int64_t before = slot.fd;
    slot.fd = fd;
    const Status verified = w.core->files().verify();
    slot.fd = before;
    return verified ? "" : verified.error().message;
  };
  EXPECT_NE(with_fd(1, 9999).find("not open"), std::string::npos);
  EXPECT_NE(with_fd(1, -1).find("is none"), std::string::npos);
  EXPECT_NE(with_fd(1, other.get()).find("is another file"), std::string::npos);
  EXPECT_NE(with_fd(3, memfd.get()).find("is no file for 'pipe'"), std::string::npos);
  EXPECT_TRUE(w.core->files().verify());
}

}  // namespace
}  // namespace outlive::luo
