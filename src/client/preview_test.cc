// A successor's look ahead, against a scripted outlived.
#include "client/preview.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>

#include <algorithm>
#include <set>

#include "client/fake_server.h"
#include "outlive/outlive.h"

namespace outlive::client {
namespace {

using abi::Request;

// What outlived's session holds, token and order; descriptors are told apart by their inode.
class Held {
 public:
  void preserve(uint64_t token) {
    entries_.push_back({token, next_++});
    files_.push_back(sys::eventfd(0).take());
  }
  void unpreserve(uint64_t token) {
    for (size_t i = 0; i < entries_.size(); ++i) {
      if (entries_[i].token != token) continue;
      entries_.erase(entries_.begin() + static_cast<std::ptrdiff_t>(i));
      files_.erase(files_.begin() + static_cast<std::ptrdiff_t>(i));
      return;
    }
  }
  void list(FakePeer& peer, size_t a_part = SIZE_MAX) const {
    for (;;) {
      const auto got = peer.expect(Request::kPreviewList);
      if (answer_list(peer, got, a_part)) return;
    }
  }
  bool answer_list(FakePeer& peer, const FakeRequest& got, size_t a_part = SIZE_MAX) const {
    const auto request = got.as<abi::PreviewRequest>();
    EXPECT_EQ(*wire::read_name(request.name), "web");
    std::vector<abi::PreviewEntry> part;
    auto reply = wire::sized<abi::ListReply>();
    for (const auto& entry : entries_) {
      if (entry.order <= request.after) continue;
      if (part.size() == a_part) {
        reply.next = part.back().order;
        break;
      }
      part.push_back(entry);
    }
    reply.count = static_cast<uint32_t>(part.size());
    peer.reply(got, reply, {}, std::as_bytes(std::span(part)));
    return reply.next == 0;
  }
  std::vector<uint64_t> fetch(FakePeer& peer) const {
    const auto got = peer.expect(Request::kPreviewMany);
    const auto tokens = got.tokens(got.as<abi::PreviewRequest>().count);
    std::vector<BorrowedFd> fds;
    for (const uint64_t token : tokens) {
      for (size_t i = 0; i < entries_.size(); ++i) {
        if (entries_[i].token == token) fds.push_back(files_[i]);
      }
    }
    peer.reply(got, got.as<abi::PreviewRequest>(), fds);
    return tokens;
  }

 private:
  std::vector<abi::PreviewEntry> entries_;
  std::vector<UniqueFd> files_;
  uint64_t next_ = 1;
};

using Tokens = std::vector<uint64_t>;

// The C API's handles, closed with the test.
struct Looking {
  explicit Looking(const FakeServer& server) {
    EXPECT_EQ(outlive_connect(server.dir().c_str(), 0, &client), 0) << outlive_error();
  }
  ~Looking() {
    outlive_preview_close(preview);
    outlive_session_close(session);
    outlive_disconnect(client);
  }
  Looking(const Looking&) = delete;
  Looking& operator=(const Looking&) = delete;

  int open() { return outlive_preview_open(client, "web", &preview); }
  int refresh() { return outlive_preview_refresh(preview); }
  int retrieve() { return outlive_preview_retrieve(preview, &session); }
  // Two at a time: the room is what the caller says.
  Tokens added() {
    Tokens all;
    uint64_t tokens[2];
    int fds[2];
    for (size_t count = 2; count == 2;) {
      count = outlive_preview_added(preview, tokens, fds, 2);
      for (size_t i = 0; i < count; ++i) {
        EXPECT_NE(::fcntl(fds[i], F_GETFD), -1) << "an open descriptor";
        held.emplace_back(fds[i]);
        all.push_back(tokens[i]);
      }
    }
    return all;
  }
  Tokens gone() {
    Tokens all;
    uint64_t token = 0;
    while (outlive_preview_gone(preview, &token, 1) == 1) all.push_back(token);
    return all;
  }

  outlive_client* client = nullptr;
  outlive_preview* preview = nullptr;
  outlive_session* session = nullptr;
  std::vector<UniqueFd> held;
};

TEST(Preview, HasAllAndThenWhatChanged) {
  FakeServer server([](FakePeer& peer) {
    Held held;
    for (const uint64_t token : {7u, 3u, 5u}) held.preserve(token);
    held.list(peer);
    EXPECT_EQ(held.fetch(peer), (Tokens{7, 3, 5}));
    held.unpreserve(3);
    held.preserve(9);
    held.unpreserve(5);
    held.preserve(5);  // the same token, another file
    const auto claim = peer.expect(Request::kRetrieveSession);
    const auto list = peer.expect(Request::kPreviewList);  // posted before the claim's answer
    auto pair = sys::socketpair(SOCK_SEQPACKET);
    peer.reply(claim, claim.as<abi::SessionRequest>(), {pair->second});
    held.answer_list(peer, list);
    EXPECT_EQ(held.fetch(peer), (Tokens{9, 5}));
    peer.expect_end();
  });
  {
    Looking looking(server);
    ASSERT_EQ(looking.open(), 0) << outlive_error();
    EXPECT_EQ(looking.added(), (Tokens{7, 3, 5}));
    EXPECT_EQ(looking.gone(), Tokens{});
    EXPECT_EQ(looking.added(), Tokens{});
    ASSERT_EQ(looking.retrieve(), 0) << outlive_error();
    EXPECT_EQ(looking.gone(), (Tokens{3, 5}));
    EXPECT_EQ(looking.added(), (Tokens{9, 5}));
  }
  server.finish();
}

TEST(Preview, NothingChangedCostsNoMoreThanTheClaim) {
  // Both ends are in this process: more files than a login's usual soft limit.
  rlimit files{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &files), 0);
  if (files.rlim_max < 4096) GTEST_SKIP() << "needs a hard limit of 4096 open files";
  files.rlim_cur = std::max<rlim_t>(files.rlim_cur, 4096);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &files), 0);
  FakeServer server([](FakePeer& peer) {
    Held held;
    for (uint64_t token = 0; token < 1000; ++token) held.preserve(token);
    held.list(peer, 300);  // in parts
    for (int i = 0; i < 4; ++i) held.fetch(peer);
    const auto claim = peer.expect(Request::kRetrieveSession);
    const auto list = peer.expect(Request::kPreviewList);
    auto pair = sys::socketpair(SOCK_SEQPACKET);
    peer.reply(claim, claim.as<abi::SessionRequest>(), {pair->second});
    held.answer_list(peer, list);
    peer.expect_end();
  });
  {
    Looking looking(server);
    ASSERT_EQ(looking.open(), 0) << outlive_error();
    EXPECT_EQ(looking.added().size(), 1000u);
    std::set<int> numbers;
    for (const UniqueFd& fd : looking.held) numbers.insert(fd.get());
    EXPECT_EQ(numbers.size(), 1000u);
    ASSERT_EQ(looking.retrieve(), 0) << outlive_error();
    EXPECT_EQ(looking.gone(), Tokens{});
    EXPECT_EQ(looking.added(), Tokens{});
  }
  server.finish();
}

TEST(Preview, WhatCameAndWentUnseenNeverWas) {
  FakeServer server([](FakePeer& peer) {
    Held held;
    held.preserve(1);
    held.list(peer);
    held.fetch(peer);
    held.preserve(2);
    held.list(peer);
    held.fetch(peer);
    held.unpreserve(2);
    held.list(peer);
    peer.expect_end();
  });
  {
    Looking looking(server);
    ASSERT_EQ(looking.open(), 0) << outlive_error();
    ASSERT_EQ(looking.refresh(), 0) << outlive_error();
    ASSERT_EQ(looking.refresh(), 0) << outlive_error();
    EXPECT_EQ(looking.added(), Tokens{1});
    EXPECT_EQ(looking.gone(), Tokens{});
  }
  server.finish();
}

// The old one serves: a connection closes between the list and the descriptors.
TEST(Preview, WhatGoesBeforeItIsFetchedIsLeftOut) {
  FakeServer server([](FakePeer& peer) {
    Held held;
    for (const uint64_t token : {1u, 2u, 3u}) held.preserve(token);
    held.list(peer);
    held.unpreserve(2);
    peer.refuse(peer.expect(Request::kPreviewMany), ENOENT, "no token 0x2");
    EXPECT_EQ(held.fetch(peer), Tokens{1});
    peer.refuse(peer.expect(Request::kPreviewMany), ENOENT, "no token 0x2");
    EXPECT_EQ(held.fetch(peer), Tokens{3});
    held.preserve(2);  // another one, with its token
    held.list(peer);
    EXPECT_EQ(held.fetch(peer), Tokens{2});
    peer.expect_end();
  });
  {
    Looking looking(server);
    ASSERT_EQ(looking.open(), 0) << outlive_error();
    EXPECT_EQ(looking.added(), (Tokens{1, 3}));
    ASSERT_EQ(looking.refresh(), 0) << outlive_error();
    EXPECT_EQ(looking.gone(), Tokens{});
    EXPECT_EQ(looking.added(), Tokens{2});
  }
  server.finish();
}

TEST(Preview, ARefusedClaimLeavesItAsItWas) {
  FakeServer server([](FakePeer& peer) {
    Held held;
    held.preserve(1);
    held.list(peer);
    held.fetch(peer);
    held.preserve(2);
    const auto claim = peer.expect(Request::kRetrieveSession);
    const auto list = peer.expect(Request::kPreviewList);
    peer.refuse(claim, EAGAIN, "not offered yet");
    held.answer_list(peer, list);
    held.list(peer);
    EXPECT_EQ(held.fetch(peer), Tokens{2});
    peer.expect_end();
  });
  {
    Looking looking(server);
    ASSERT_EQ(looking.open(), 0) << outlive_error();
    EXPECT_EQ(looking.added(), Tokens{1});
    EXPECT_EQ(looking.retrieve(), -EAGAIN);
    EXPECT_EQ(looking.added(), Tokens{});
    ASSERT_EQ(looking.refresh(), 0) << outlive_error();
    EXPECT_EQ(looking.added(), Tokens{2});
  }
  server.finish();
}

TEST(Preview, AListThatLiesIsRefused) {
  for (const bool backwards : {true, false}) {
    FakeServer server([&](FakePeer& peer) {
      const auto got = peer.expect(Request::kPreviewList);
      auto reply = wire::sized<abi::ListReply>();
      const abi::PreviewEntry entries[] = {{1, 5}, {2, 4}};
      reply.count = backwards ? 2 : 0;
      reply.next = backwards ? 0 : 5;
      peer.reply(got, reply, {}, std::as_bytes(std::span(entries).first(reply.count)));
      peer.expect_end();
    });
    {
      Looking looking(server);
      EXPECT_EQ(looking.open(), -EPROTO);
    }
    server.finish();
  }
}

// The old one has preserved connections in prepare: the successor is told, once.
TEST(Preview, TheCallbackSaysWhenToLookAgain) {
  FakeServer server([](FakePeer& peer) {
    peer.participate(abi::Role::kSuccessor, 9);
    Held held;
    held.preserve(1);
    held.list(peer);
    held.fetch(peer);
    peer.answered(Request::kReady, abi::Step::kStart, 9);
    held.preserve(2);
    peer.event(abi::Step::kPreview, 9);
    held.list(peer);
    held.fetch(peer);
    peer.answered(Request::kReady, abi::Step::kPreview, 9);
    peer.event(abi::Step::kPreview, 9);  // outlived's worker was replaced
    peer.answered(Request::kReady, abi::Step::kPreview, 9);
    peer.event(abi::Step::kAdopt, 9);
    peer.answered(Request::kReady, abi::Step::kAdopt, 9);
    peer.expect_end();
  });
  {
    Looking looking(server);
    int looks = 0;
    bool adopted = false;
    struct Context {
      Looking& looking;
      int& looks;
      bool& adopted;
    } context{looking, looks, adopted};
    outlive_participant participant{};
    participant.size = sizeof participant;
    participant.context = &context;
    participant.preview = [](void* given, const outlive_event*) {
      const auto* c = static_cast<Context*>(given);
      ++c->looks;
      return c->looking.refresh();
    };
    participant.adopt = [](void* given, const outlive_event*) {
      static_cast<Context*>(given)->adopted = true;
      return 0;
    };
    ASSERT_EQ(outlive_participate(looking.client, &participant), OUTLIVE_ROLE_SUCCESSOR);
    ASSERT_EQ(looking.open(), 0) << outlive_error();
    ASSERT_EQ(outlive_ready(looking.client), 0) << outlive_error();
    while (!adopted) {
      pollfd wait{outlive_fd(looking.client), POLLIN, 0};
      ASSERT_EQ(::poll(&wait, 1, 20'000), 1) << "no event in 20 s";
      ASSERT_GE(outlive_dispatch(looking.client), 0) << outlive_error();
    }
    EXPECT_EQ(looks, 1);
    EXPECT_EQ(looking.added(), (Tokens{1, 2}));
  }
  server.finish();
}

}  // namespace
}  // namespace outlive::client
