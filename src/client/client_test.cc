// liboutlive's C API against a scripted outlived: connecting, requests, sessions, notes.
#include "client/client.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include "client/connect.h"
#include "client/fake_server.h"
#include "outlive/outlive.h"
#include "wire/varlink.h"

namespace outlive::client {
namespace {

struct Handles {
  outlive_client* client = nullptr;
  outlive_session* session = nullptr;
  ~Handles() {
    outlive_session_close(session);
    outlive_disconnect(client);
  }
  void connect(const FakeServer& server) {
    ASSERT_EQ(outlive_connect(server.dir().c_str(), 0, &client), 0) << outlive_error();
  }
};

bool error_has(const std::string& text) {
  return std::string(outlive_error()).find(text) != std::string::npos;
}

bool readable(int fd) {
  pollfd entry{fd, POLLIN, 0};
  return ::poll(&entry, 1, 0) == 1;
}

// ---- connecting ---------------------------------------------------------------------------------

TEST(Connect, NobodyThereIsEnoentWithThePaths) {
  const FakeRuntime runtime;
  outlive_client* client = nullptr;
  EXPECT_EQ(outlive_connect(runtime.dir().c_str(), 0, &client), -ENOENT);
  EXPECT_TRUE(error_has(runtime.dir() + "/liveupdate.sock")) << outlive_error();
  EXPECT_TRUE(error_has("not running")) << outlive_error();
  EXPECT_EQ(outlive_connect(runtime.dir().c_str(), OUTLIVE_OPTIONAL, &client), 0);
  EXPECT_EQ(client, nullptr);
}

TEST(Connect, ADeadSocketIsNobodyToo) {
  FakeRuntime runtime;
  runtime.listen("liveupdate.sock", SOCK_SEQPACKET).reset();
  outlive_client* client = nullptr;
  EXPECT_EQ(outlive_connect(runtime.dir().c_str(), 0, &client), -ENOENT);
}

TEST(Connect, AllPathsOfAnOrdinaryUserAreNamed) {
  const FakeRuntime runtime;
  wire::RuntimeEnvironment user{.uid = 65534, .given = {}, .xdg_runtime = runtime.dir()};
  user.system = runtime.dir() + "/system";
  const auto socket = connect_device(std::nullopt, false, user);
  ASSERT_FALSE(socket);
  EXPECT_EQ(socket.error().code, ENOENT);
  EXPECT_NE(socket.error().message.find("/outlive/liveupdate.sock, "), std::string::npos);
  EXPECT_NE(socket.error().message.find("/system/liveupdate.sock"), std::string::npos);
}

TEST(Connect, AFolderThatIsNotTrustedIsSaid) {
  const FakeRuntime runtime;
  wire::RuntimeEnvironment user{.uid = 65534, .given = {}, .xdg_runtime = {}};
  user.temporary = runtime.dir();
  user.system = runtime.dir() + "/system";
  std::filesystem::create_symlink("/tmp", runtime.dir() + "/outlive-65534");
  const auto socket = connect_device(std::nullopt, true, user);
  ASSERT_FALSE(socket);
  EXPECT_EQ(socket.error().code, EPERM);
}

// A control socket that answers one Status with this text.
int connect_with_status(const std::string& reply, unsigned flags) {
  FakeRuntime runtime;
  const UniqueFd listener = runtime.listen("control.sock", SOCK_STREAM);
  std::thread control([&] {
    const auto socket = sys::accept(listener, 0);
    ASSERT_TRUE(socket);
    std::byte bytes[512];
    ASSERT_TRUE(sys::read(*socket, bytes));
    EXPECT_TRUE(sys::write_all(*socket, reply));
  });
  outlive_client* client = nullptr;
  const int result = outlive_connect(runtime.dir().c_str(), flags, &client);
  control.join();
  return result;
}

TEST(Connect, RefusedInheritanceIsAnErrorAlsoForOptional) {
  const auto reply = wire::reply_text({{"refused", "records of version 'x'"}});
  EXPECT_EQ(connect_with_status(reply, 0), -ESTALE);
  EXPECT_TRUE(error_has("inherited state refused: records of version 'x'")) << outlive_error();
  EXPECT_EQ(connect_with_status(reply, OUTLIVE_OPTIONAL), -ESTALE);
}

TEST(Connect, AControlSocketAloneIsStarting) {
  EXPECT_EQ(connect_with_status(wire::reply_text({{"refused", nullptr}}), OUTLIVE_OPTIONAL),
            -EAGAIN);
  EXPECT_EQ(connect_with_status(std::string("{]\0", 3), 0), -EPROTO);
}

TEST(Connect, BadArguments) {
  outlive_client* client = nullptr;
  EXPECT_EQ(outlive_connect(nullptr, 0, nullptr), -EINVAL);
  EXPECT_EQ(outlive_connect("/tmp", 8, &client), -EINVAL);
  EXPECT_EQ(outlive_connect(std::string(120, 'x').c_str(), 0, &client), -ENAMETOOLONG);
  outlive_disconnect(nullptr);
  outlive_session_close(nullptr);
}

TEST(Instance, DecimalAndHex) {
  EXPECT_EQ(*parse_instance(nullptr), 0u);
  EXPECT_EQ(*parse_instance("17"), 17u);
  EXPECT_EQ(*parse_instance("0x1f"), 31u);
  EXPECT_EQ(*parse_instance("ffffffffffffffff"), UINT64_MAX);
  EXPECT_EQ(*parse_instance("18446744073709551615"), UINT64_MAX);
  for (const char* bad : {"x", "-1", "0x", "18446744073709551616", "1 "}) {
    const auto parsed = parse_instance(bad);
    ASSERT_FALSE(parsed) << bad;
    EXPECT_EQ(parsed.error().code, EINVAL);
  }
}

// ---- sessions -----------------------------------------------------------------------------------

TEST(Sessions, CreatePreserveRetrieveUnpreserveFinishAdopt) {
  FakeServer server([](FakePeer& peer) {
    FakePeer session = peer.hand_out_session(abi::Request::kCreateSession);
    auto preserve = session.expect(abi::Request::kPreserveFd);
    EXPECT_EQ(uint64_t{preserve.as<abi::FdRequest>().token}, 7u);
    ASSERT_EQ(preserve.fds.size(), 1u);
    session.done(preserve);
    auto retrieve = session.expect(abi::Request::kRetrieveFd);
    EXPECT_TRUE(retrieve.fds.empty());
    session.reply(retrieve, retrieve.as<abi::FdRequest>(), {preserve.fds[0]});
    for (const auto request :
         {abi::Request::kUnpreserveFd, abi::Request::kFinish, abi::Request::kAdopt}) {
      session.done(session.expect(request));
    }
    session.expect_end();
    peer.expect_end();
  });
  {
    Handles h;
    h.connect(server);
    ASSERT_EQ(outlive_session_create(h.client, "web", OUTLIVE_LINGER, &h.session), 0);
    auto pipe = sys::pipe();
    EXPECT_EQ(outlive_preserve(h.session, 7, pipe->write.get()), 0) << outlive_error();
    const UniqueFd again(outlive_retrieve(h.session, 7));
    ASSERT_TRUE(again);
    EXPECT_EQ(*sys::get_fd_flags(again), FD_CLOEXEC);
    ASSERT_EQ(::write(again.get(), "x", 1), 1);
    EXPECT_TRUE(readable(pipe->read.get()));
    EXPECT_EQ(outlive_unpreserve(h.session, 7), 0);
    EXPECT_EQ(outlive_finish(h.session), 0);
    EXPECT_EQ(outlive_adopt(h.session), 0);
  }
  server.finish();
}

TEST(Sessions, FlagsAndNameCrossTheSocket) {
  FakeServer server([](FakePeer& peer) {
    const auto create = peer.expect(abi::Request::kCreateSession);
    EXPECT_EQ(uint32_t{create.header.flags}, abi::kFlagLinger);
    EXPECT_EQ(*wire::read_name(create.as<abi::SessionRequest>().name), "web");
    peer.refuse(create, EEXIST, "session 'web' is there already");
    const auto retrieve = peer.expect(abi::Request::kRetrieveSession);
    EXPECT_EQ(uint32_t{retrieve.header.flags}, 0u);
    peer.refuse(retrieve, EAGAIN, "not offered yet");
  });
  Handles h;
  h.connect(server);
  EXPECT_EQ(outlive_session_create(h.client, "web", OUTLIVE_LINGER, &h.session), -EEXIST);
  EXPECT_TRUE(error_has("session 'web' is there already")) << outlive_error();
  EXPECT_EQ(outlive_session_retrieve(h.client, "web", &h.session), -EAGAIN);
  EXPECT_EQ(h.session, nullptr);
}

TEST(Sessions, BadNamesAreNotSent) {
  FakeServer server([](FakePeer& peer) { peer.expect_end(); });
  Handles h;
  h.connect(server);
  EXPECT_EQ(outlive_session_create(h.client, "", 0, &h.session), -EINVAL);
  EXPECT_EQ(outlive_session_create(h.client, "\xff", 0, &h.session), -EINVAL);
  EXPECT_EQ(outlive_session_create(h.client, nullptr, 0, &h.session), -EINVAL);
  EXPECT_EQ(outlive_session_create(h.client, "a", 4, &h.session), -EINVAL);
  EXPECT_EQ(outlive_session_retrieve(h.client, std::string(64, 'n').c_str(), &h.session),
            -ENAMETOOLONG);
  EXPECT_TRUE(error_has("64 bytes")) << outlive_error();
}

TEST(Sessions, AnFdThatIsNotOpenIsEbadfByToken) {
  FakeServer server([](FakePeer& peer) {
    FakePeer session = peer.hand_out_session(abi::Request::kCreateSession);
    session.expect_end();
  });
  Handles h;
  h.connect(server);
  ASSERT_EQ(outlive_session_create(h.client, "web", 0, &h.session), 0);
  EXPECT_EQ(outlive_preserve(h.session, 9, -1), -EBADF);
  EXPECT_TRUE(error_has("token 9")) << outlive_error();
  const uint64_t token = 1;
  const int fd = 999'999;
  size_t done = 5;
  EXPECT_EQ(outlive_preserve_many(h.session, &token, &fd, 1, &done), -EBADF);
  EXPECT_EQ(done, 0u);
}

TEST(Sessions, AReplyWithoutItsFdIsEproto) {
  FakeServer server([](FakePeer& peer) {
    peer.done(peer.expect(abi::Request::kRetrieveSession));
    peer.expect_end();
  });
  Handles h;
  h.connect(server);
  EXPECT_EQ(outlive_session_retrieve(h.client, "web", &h.session), -EPROTO);
}

std::vector<uint64_t> counting(size_t count) {
  std::vector<uint64_t> tokens(count);
  for (size_t i = 0; i < count; ++i) tokens[i] = i + 100;
  return tokens;
}

TEST(Many, AreSentInPartsOf253) {
  FakeServer server([](FakePeer& peer) {
    FakePeer session = peer.hand_out_session(abi::Request::kCreateSession);
    uint64_t next = 100;
    for (const size_t part : {253u, 253u, 94u}) {
      auto request = session.expect(abi::Request::kPreserveMany);
      EXPECT_EQ(request.fds.size(), part);
      EXPECT_EQ(uint32_t{request.as<abi::ManyRequest>().count}, part);
      for (const uint64_t token : request.tokens(part)) EXPECT_EQ(token, next++);
      session.done(request);
    }
    session.done(session.expect(abi::Request::kUnpreserveMany));
    session.refuse(session.expect(abi::Request::kUnpreserveMany), ENOENT, "no token 400");
  });
  Handles h;
  h.connect(server);
  ASSERT_EQ(outlive_session_create(h.client, "web", 0, &h.session), 0);
  const auto tokens = counting(600);
  const std::vector<int> fds(600, STDERR_FILENO);
  size_t done = 0;
  EXPECT_EQ(outlive_preserve_many(h.session, tokens.data(), fds.data(), 600, &done), 0);
  EXPECT_EQ(done, 600u);
  EXPECT_EQ(outlive_unpreserve_many(h.session, tokens.data(), 600, &done), -ENOENT);
  EXPECT_EQ(done, 253u);
}

TEST(Many, RetrievedFdsAreInOrderAndCountedOnError) {
  auto pipe = sys::pipe();
  const BorrowedFd ends[] = {pipe->read, pipe->write};
  FakeServer server([&](FakePeer& peer) {
    FakePeer session = peer.hand_out_session(abi::Request::kCreateSession);
    auto first = session.expect(abi::Request::kRetrieveMany);
    EXPECT_EQ(first.tokens(253).front(), 100u);
    std::vector<BorrowedFd> fds(252, ends[0]);
    fds.push_back(ends[1]);  // the last one can be told from the others
    session.reply(first, wire::sized<abi::ManyRequest>(), fds);
    session.refuse(session.expect(abi::Request::kRetrieveMany), ENOENT, "no token 353");
  });
  Handles h;
  h.connect(server);
  ASSERT_EQ(outlive_session_create(h.client, "web", 0, &h.session), 0);
  const auto tokens = counting(300);
  std::vector<int> fds(300, -1);
  size_t done = 0;
  EXPECT_EQ(outlive_retrieve_many(h.session, tokens.data(), fds.data(), 300, &done), -ENOENT);
  ASSERT_EQ(done, 253u);
  EXPECT_EQ(fds[253], -1);
  EXPECT_EQ(::write(fds[252], "x", 1), 1);
  EXPECT_EQ(::write(fds[251], "x", 1), -1);
  for (size_t i = 0; i < done; ++i) UniqueFd(fds[i]).reset();
}

TEST(Tokens, ComeInPartsAndInOrder) {
  FakeServer server([](FakePeer& peer) {
    FakePeer session = peer.hand_out_session(abi::Request::kCreateSession);
    for (int round = 0; round < 2; ++round) {
      for (const uint64_t after : {0u, 5u}) {
        const auto request = session.expect(abi::Request::kListFiles);
        EXPECT_EQ(uint64_t{request.as<abi::ListRequest>().after}, after);
        auto list = wire::sized<abi::ListReply>();
        list.count = 2;
        list.next = after == 0 ? 5 : 0;
        abi::FileEntry files[2]{};
        files[0].token = after == 0 ? 42 : 3;
        files[1].token = after == 0 ? 7 : 1;
        session.reply(request, list, {}, std::as_bytes(std::span(files)));
      }
    }
  });
  Handles h;
  h.connect(server);
  ASSERT_EQ(outlive_session_create(h.client, "web", 0, &h.session), 0);
  uint64_t tokens[4] = {};
  EXPECT_EQ(outlive_tokens(h.session, tokens, 3), 4);
  EXPECT_EQ(tokens[3], 0u) << "more than there was room for";
  EXPECT_EQ(outlive_tokens(h.session, tokens, 4), 4);
  EXPECT_EQ(std::vector<uint64_t>(tokens, tokens + 4), (std::vector<uint64_t>{42, 7, 3, 1}));
}

TEST(Sessions, AnFdFromElsewhereLearnsTheSequence) {
  auto pair = sys::socketpair(SOCK_SEQPACKET);
  std::thread server([&] {
    FakePeer peer(std::move(pair->first));
    auto ask = peer.next();
    EXPECT_EQ(uint64_t{ask.header.sequence}, abi::kAskSequence);
    ask.header.sequence = 41;
    peer.refuse(ask, EPROTO, "the last sequence is 41");
    peer.set_sequence(41);
    peer.done(peer.expect(abi::Request::kFinish));
    peer.expect_end();
  });
  outlive_session* session = nullptr;
  ASSERT_EQ(outlive_session_from_fd(pair->second.release(), &session), 0) << outlive_error();
  EXPECT_EQ(outlive_finish(session), 0) << outlive_error();
  UniqueFd detached(outlive_session_detach(session));
  EXPECT_TRUE(sys::get_fd_flags(detached));
  detached.reset();
  server.join();
  auto pipe = sys::pipe();
  EXPECT_EQ(outlive_session_from_fd(pipe->read.release(), &session), -ENOTSOCK);
}

// ---- replies that are late, twice, or never come ------------------------------------------------

TEST(Replies, OfOtherSequencesAreDropped) {
  FakeServer server([](FakePeer& peer) {
    const auto first = peer.expect(abi::Request::kReady);
    peer.done(first);
    peer.done(first);
    const auto second = peer.expect(abi::Request::kReady);
    peer.refuse(first, EIO, "twice");
    peer.done(second);
    peer.done(second);
  });
  Handles h;
  h.connect(server);
  EXPECT_EQ(outlive_ready(h.client), 0);
  EXPECT_EQ(outlive_ready(h.client), 0) << outlive_error();
  server.finish();
  EXPECT_EQ(outlive_dispatch(h.client), -ECONNRESET) << "a late reply is no event";
}

TEST(Replies, AServerThatClosesIsEconnresetForGood) {
  FakeServer server([](FakePeer& peer) { peer.expect(abi::Request::kReady); });
  Handles h;
  h.connect(server);
  EXPECT_EQ(outlive_ready(h.client), -ECONNRESET);
  EXPECT_EQ(outlive_ready(h.client), -ECONNRESET);
  EXPECT_EQ(outlive_dispatch(h.client), -ECONNRESET);
  EXPECT_TRUE(readable(outlive_fd(h.client))) << "the end must wake who polls";
}

TEST(Replies, AfterAResetWhatCameBeforeIsStillRead) {
  FakeServer server([](FakePeer& peer) {
    // The request stays unread, so that closing is a reset; its reply is on its way already.
    const auto header = wire::reply_header(wire::request_header(abi::Request::kReady, 1), 0);
    pollfd entry{peer.socket().get(), POLLIN, 0};
    ASSERT_EQ(::poll(&entry, 1, 60'000), 1);
    peer.send(header, wire::bytes_of(wire::sized<abi::StepRequest>()), {}, {});
  });
  Handles h;
  h.connect(server);
  EXPECT_EQ(outlive_ready(h.client), 0) << outlive_error();
  server.finish();
  EXPECT_EQ(outlive_ready(h.client), -ECONNRESET);
}

TEST(Replies, WhatIsNotTheProtocolIsEproto) {
  FakeServer server([](FakePeer& peer) {
    auto header = wire::reply_header(peer.expect(abi::Request::kReady).header, 0);
    header.magic = 1;
    peer.send(header, {}, {}, {});
    peer.expect_end();
  });
  Handles h;
  h.connect(server);
  EXPECT_EQ(outlive_ready(h.client), -EPROTO);
  EXPECT_EQ(outlive_ready(h.client), -EPROTO) << "for good";
}

// ---- notes --------------------------------------------------------------------------------------

TEST(Notes, AreWrittenReadAndRemoved) {
  FakeServer server([](FakePeer& peer) {
    const auto add = peer.expect(abi::Request::kAddSubtree);
    EXPECT_EQ(uint32_t{add.as<abi::SubtreeRequest>().length}, 5u);
    EXPECT_EQ(wire::body_tail(add.body).size(), 5u);
    peer.done(add);
    for (int i = 0; i < 2; ++i) {
      const auto read = peer.expect(abi::Request::kRetrieveSubtree);
      EXPECT_EQ(uint32_t{read.as<abi::SubtreeRequest>().length}, 0u);
      auto body = wire::sized<abi::SubtreeRequest>();
      body.length = 5;
      peer.reply(read, body, {}, wire::body_tail(add.body));
    }
    peer.done(peer.expect(abi::Request::kRemoveSubtree));
    peer.refuse(peer.expect(abi::Request::kRetrieveSubtree), ENOENT, "no note 'n'");
  });
  Handles h;
  h.connect(server);
  EXPECT_EQ(outlive_note_write(h.client, "n", "hello", 5), 0) << outlive_error();
  char text[8] = {};
  EXPECT_EQ(outlive_note_read(h.client, "n", text, sizeof text), 5);
  EXPECT_STREQ(text, "hello");
  char two[3] = {};
  EXPECT_EQ(outlive_note_read(h.client, "n", two, 2), 5);
  EXPECT_STREQ(two, "he");
  EXPECT_EQ(outlive_note_remove(h.client, "n"), 0);
  EXPECT_EQ(outlive_note_read(h.client, "n", text, sizeof text), -ENOENT);
  const std::string large(abi::kMaxSubtreeBytes + 1, 'x');
  EXPECT_EQ(outlive_note_write(h.client, "n", large.data(), large.size()), -EFBIG);
}

}  // namespace
}  // namespace outlive::client
