// Taking part in updates, against a scripted outlived: callbacks, answers, repeated events, and
// what an update forbids with memory.
#include "client/participation.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>

#include "client/fake_server.h"
#include "client/memory.h"
#include "outlive/outlive.h"

namespace outlive::client {
namespace {

using abi::Request;
using abi::Role;
using abi::Step;

bool readable(int fd) {
  pollfd entry{fd, POLLIN, 0};
  return ::poll(&entry, 1, 0) == 1;
}

// Writes down which callbacks ran; answers what it is told to.
struct Service {
  outlive_client* client = nullptr;
  outlive_session* session = nullptr;
  outlive_memory* memory = nullptr;
  std::string calls;
  int answer = 0;
  std::string reason;
  uint64_t last_update = 0;
  std::function<void()> in_callback;

  ~Service() {
    outlive_memory_close(memory);
    outlive_session_close(session);
    outlive_disconnect(client);
  }
  static int asked(void* context, const outlive_event* event, const char* what) {
    auto* self = static_cast<Service*>(context);
    self->calls += std::string(what) + event->reason + " ";
    self->last_update = event->update;
    if (self->in_callback) self->in_callback();
    if (!self->reason.empty()) outlive_set_reason(self->client, self->reason.c_str());
    return self->answer;
  }
  outlive_participant participant() {
    outlive_participant p{};
    p.size = sizeof p;
    p.state_version = 3;
    p.oldest_state_version = 2;
    p.context = this;
    p.prepare = [](void* c, const outlive_event* e) { return asked(c, e, "prepare"); };
    p.freeze = [](void* c, const outlive_event* e) { return asked(c, e, "freeze"); };
    p.cancel = [](void* c, const outlive_event* e) { asked(c, e, "cancel:"); };
    p.retire = [](void* c, const outlive_event* e) { asked(c, e, "retire"); };
    p.adopt = [](void* c, const outlive_event* e) { return asked(c, e, "adopt"); };
    p.committed = [](void* c, const outlive_event* e) { asked(c, e, "committed"); };
    return p;
  }
  // Connects and takes part; the role.
  int start(const FakeServer& server) {
    EXPECT_EQ(outlive_connect(server.dir().c_str(), 0, &client), 0) << outlive_error();
    const auto p = participant();
    return outlive_participate(client, &p);
  }
  // Waits for something to dispatch, and dispatches it.
  int dispatch() {
    pollfd entry{outlive_fd(client), POLLIN, 0};
    EXPECT_EQ(::poll(&entry, 1, 60'000), 1);
    return outlive_dispatch(client);
  }
  void dispatch_until(size_t length) {
    while (calls.size() < length) {
      if (dispatch() < 0) break;
    }
  }
};

TEST(Participate, SendsVersionsAndInstance) {
  FakeServer server([](FakePeer& peer) {
    const auto got = peer.expect(Request::kParticipate);
    const auto body = got.as<abi::ParticipateRequest>();
    EXPECT_EQ(uint32_t{body.state_version}, 3u);
    EXPECT_EQ(uint32_t{body.oldest_state_version}, 2u);
    EXPECT_EQ(uint64_t{body.instance}, 26u);
    auto reply = wire::sized<abi::ParticipateReply>();
    reply.role = static_cast<uint32_t>(Role::kFresh);
    peer.reply(got, reply);
    peer.answered(Request::kReady, Step::kStart, 0);
  });
  Service service;
  ASSERT_EQ(setenv("OUTLIVE_INSTANCE", "0x1a", 1), 0);
  EXPECT_EQ(service.start(server), OUTLIVE_ROLE_FRESH);
  unsetenv("OUTLIVE_INSTANCE");
  EXPECT_EQ(outlive_ready(service.client), 0);
  const auto p = service.participant();
  EXPECT_EQ(outlive_participate(service.client, &p), -EEXIST);
  EXPECT_EQ(service.calls, "");
}

TEST(Participate, TheStructureFollowsTheSizeRule) {
  FakeServer server([](FakePeer& peer) { peer.participate(Role::kNone); });
  Service service;
  ASSERT_EQ(outlive_connect(server.dir().c_str(), 0, &service.client), 0);
  auto p = service.participant();
  EXPECT_EQ(outlive_participate(service.client, nullptr), -EINVAL);
  p.size = sizeof p - 1;
  EXPECT_EQ(outlive_participate(service.client, &p), -EINVAL);
  struct {
    outlive_participant known;
    uint64_t later;
  } newer{service.participant(), 1};
  newer.known.size = sizeof newer;
  EXPECT_EQ(outlive_participate(service.client, &newer.known), -E2BIG);
  newer.later = 0;
  EXPECT_EQ(outlive_participate(service.client, &newer.known), OUTLIVE_ROLE_NONE);
}

TEST(OldOne, PreparesFreezesAndRetires) {
  FakeServer server([](FakePeer& peer) {
    peer.participate(Role::kFresh);
    peer.event(Step::kPrepare, 77);
    peer.answered(Request::kReady, Step::kPrepare, 77);
    peer.event(Step::kFreeze, 77);
    peer.answered(Request::kReady, Step::kFreeze, 77);
    peer.event(Step::kRetire, 77);
    peer.expect_end();
  });
  {
    Service service;
    ASSERT_EQ(service.start(server), OUTLIVE_ROLE_FRESH);
    EXPECT_EQ(service.dispatch(), 1);
    EXPECT_EQ(service.last_update, 77u);
    EXPECT_EQ(service.dispatch(), 1);
    EXPECT_EQ(service.dispatch(), 1);
    EXPECT_EQ(service.calls, "prepare freeze retire ");
    EXPECT_EQ(outlive_dispatch(service.client), 0) << "nothing there";
  }
  server.finish();
}

TEST(OldOne, RepeatedEventsAreAnsweredAgainAndRunOnce) {
  FakeServer server([](FakePeer& peer) {
    peer.participate(Role::kFresh);
    for (int i = 0; i < 3; ++i) {
      peer.event(Step::kPrepare, 5);
      peer.answered(Request::kReady, Step::kPrepare, 5);
    }
    for (int i = 0; i < 2; ++i) {
      peer.event(Step::kFreeze, 5);
      peer.answered(Request::kReady, Step::kFreeze, 5);
    }
    peer.event(Step::kCancel, 5, "why");
    peer.event(Step::kCancel, 5, "why");
    // Begun anew under its id after a cancel (outlived's worker was replaced): asked afresh.
    peer.event(Step::kFreeze, 6);
    peer.answered(Request::kReady, Step::kFreeze, 6);
    peer.event(Step::kCancel, 6);
    peer.event(Step::kCancel, 7);
    peer.event(Step::kPrepare, 7);
    peer.answered(Request::kReady, Step::kPrepare, 7);
    peer.event(Step::kRetire, 8);
    peer.event(Step::kRetire, 8);
    peer.event(Step::kFreeze, 9);  // so that the client doesn't leave before the second one came
    peer.answered(Request::kReady, Step::kFreeze, 9);
    peer.expect_end();
  });
  {
    Service service;
    ASSERT_EQ(service.start(server), OUTLIVE_ROLE_FRESH);
    const std::string all = "prepare freeze cancel:why freeze cancel: prepare retire freeze ";
    service.dispatch_until(all.size());
    EXPECT_EQ(service.calls, all);
  }
  server.finish();
}

TEST(OldOne, AVetoCarriesItsReasonAndIsRepeated) {
  FakeServer server([](FakePeer& peer) {
    peer.participate(Role::kFresh);
    for (int i = 0; i < 2; ++i) {
      peer.event(Step::kPrepare, 5);
      const auto veto = peer.answered(Request::kVeto, Step::kPrepare, 5);
      EXPECT_EQ(wire::text_of(veto.reason), "a backup is running");
    }
    peer.event(Step::kPrepare, 6);
    const auto veto = peer.answered(Request::kVeto, Step::kPrepare, 6);
    EXPECT_EQ(wire::text_of(veto.reason), "prepare said EBUSY");
    peer.event(Step::kPrepare, 9);
    peer.answered(Request::kReady, Step::kPrepare, 9);
    peer.expect_end();
  });
  {
    Service service;
    ASSERT_EQ(service.start(server), OUTLIVE_ROLE_FRESH);
    service.answer = -EBUSY;
    service.reason = "a backup is running";
    EXPECT_EQ(service.dispatch(), 1);
    EXPECT_EQ(service.dispatch(), 1);
    service.reason.clear();
    EXPECT_EQ(service.dispatch(), 1);
    service.answer = 0;
    EXPECT_EQ(service.dispatch(), 1);
    EXPECT_EQ(service.calls, "prepare prepare prepare ");
  }
  server.finish();
}

TEST(OldOne, CallbacksThatAreNotThereSayYes) {
  FakeServer server([](FakePeer& peer) {
    peer.participate(Role::kFresh);
    peer.event(Step::kPrepare, 1);
    peer.answered(Request::kReady, Step::kPrepare, 1);
    peer.event(Step::kCancel, 1);
  });
  Service service;
  ASSERT_EQ(outlive_connect(server.dir().c_str(), 0, &service.client), 0);
  outlive_participant p{};
  p.size = sizeof p;
  ASSERT_EQ(outlive_participate(service.client, &p), OUTLIVE_ROLE_FRESH);
  EXPECT_EQ(service.dispatch(), 1);
  server.finish();
  EXPECT_EQ(outlive_dispatch(service.client), 1);
}

TEST(OldOne, EventsThatComeBeforeAReplyWakeThePoller) {
  FakeServer server([](FakePeer& peer) {
    peer.participate(Role::kFresh);
    const auto ready = peer.expect(Request::kReady);
    peer.event(Step::kPrepare, 1);
    peer.event(Step::kFreeze, 1);
    peer.done(ready);
    peer.answered(Request::kReady, Step::kPrepare, 1);
    peer.answered(Request::kReady, Step::kFreeze, 1);
    peer.expect_end();
  });
  {
    Service service;
    ASSERT_EQ(service.start(server), OUTLIVE_ROLE_FRESH);
    EXPECT_FALSE(readable(outlive_fd(service.client)));
    EXPECT_EQ(outlive_ready(service.client), 0);
    EXPECT_EQ(service.calls, "") << "only dispatch runs callbacks";
    EXPECT_TRUE(readable(outlive_fd(service.client)));
    EXPECT_EQ(outlive_dispatch(service.client), 2);
    EXPECT_EQ(service.calls, "prepare freeze ");
    EXPECT_FALSE(readable(outlive_fd(service.client)));
  }
  server.finish();
}

TEST(OldOne, RequestsInACallbackWorkAndDispatchDoesNot) {
  FakeServer server([](FakePeer& peer) {
    peer.participate(Role::kFresh);
    peer.event(Step::kFreeze, 1);
    FakePeer session = peer.hand_out_session(Request::kCreateSession);
    session.done(session.expect(Request::kPreserveFd));
    peer.answered(Request::kReady, Step::kFreeze, 1);
    peer.expect_end();
  });
  {
    Service service;
    ASSERT_EQ(service.start(server), OUTLIVE_ROLE_FRESH);
    service.in_callback = [&] {
      EXPECT_EQ(outlive_session_create(service.client, "s", 0, &service.session), 0);
      EXPECT_EQ(outlive_preserve(service.session, 1, 0), 0) << outlive_error();
      EXPECT_EQ(outlive_dispatch(service.client), -EDEADLK);
    };
    EXPECT_EQ(service.dispatch(), 1);
  }
  server.finish();
}

TEST(OldOne, MayDisconnectInACallback) {
  FakeServer server([](FakePeer& peer) {
    peer.participate(Role::kFresh);
    peer.event(Step::kRetire, 1);
    peer.expect_end();
  });
  Service service;
  ASSERT_EQ(service.start(server), OUTLIVE_ROLE_FRESH);
  service.in_callback = [&] { outlive_disconnect(service.client); };
  EXPECT_EQ(service.dispatch(), 1);
  service.client = nullptr;
  server.finish();
}

TEST(OldOne, EventsBeforeTheEndAreRunBeforeItIsSaid) {
  FakeServer server([](FakePeer& peer) {
    peer.participate(Role::kFresh);
    peer.event(Step::kRetire, 1);
  });
  Service service;
  ASSERT_EQ(service.start(server), OUTLIVE_ROLE_FRESH);
  server.finish();
  EXPECT_EQ(outlive_dispatch(service.client), 1);
  EXPECT_EQ(service.calls, "retire ");
  EXPECT_EQ(outlive_dispatch(service.client), -ECONNRESET);
}

TEST(Participate, AStepOfANewerOutlivedIsVetoed) {
  FakeServer server([](FakePeer& peer) {
    peer.participate(Role::kFresh);
    peer.event(static_cast<Step>(99), 1);
    peer.answered(Request::kVeto, static_cast<Step>(99), 1);
    peer.expect_end();
  });
  {
    Service service;
    ASSERT_EQ(service.start(server), OUTLIVE_ROLE_FRESH);
    EXPECT_EQ(service.dispatch(), 1);
  }
  server.finish();
}

// ---- memory -------------------------------------------------------------------------------------

// A region that the old one has made, with `text` at its root.
UniqueFd old_region(const std::string& text) {
  auto file = Memory::new_file("state");
  EXPECT_TRUE(file);
  UniqueFd kept(sys::dup_cloexec(*file).take());
  auto memory = Memory::create(file.take(), "state", 65536, 64 << 20);
  EXPECT_TRUE(memory) << memory.error().text();
  const auto offset = (*memory)->allocate(text.size() + 1);
  EXPECT_TRUE(offset);
  memcpy((*memory)->base() + *offset, text.c_str(), text.size() + 1);
  EXPECT_TRUE((*memory)->set_root(*offset));
  return kept;
}

int copy_of(const UniqueFd& fd) {
  auto copy = sys::dup_cloexec(fd);
  EXPECT_TRUE(copy);
  return copy ? copy->release() : -1;
}

const char* root_text(const outlive_memory* memory) {
  return static_cast<const char*>(outlive_memory_base(memory)) + outlive_memory_root(memory);
}

TEST(Successor, MayWriteMemoryFromCommittedOn) {
  const UniqueFd region = old_region("state of v1");
  FakeServer server([&](FakePeer& peer) {
    peer.participate(Role::kSuccessor, 9);
    peer.answered(Request::kReady, Step::kStart, 9);
    peer.event(Step::kAdopt, 9);
    FakePeer session = peer.hand_out_session(Request::kRetrieveSession);
    const auto retrieve = session.expect(Request::kRetrieveFd);
    session.reply(retrieve, retrieve.as<abi::FdRequest>(), {region});
    peer.answered(Request::kReady, Step::kAdopt, 9);
    peer.event(Step::kCommitted, 9);
    peer.event(Step::kCommitted, 9);
    peer.done(peer.expect(Request::kAdoptAll));
    peer.expect_end();
  });
  {
    Service service;
    ASSERT_EQ(service.start(server), OUTLIVE_ROLE_SUCCESSOR);
    EXPECT_EQ(service.calls, "");
    ASSERT_EQ(outlive_memory_preview(service.client, copy_of(region), &service.memory), 0)
        << outlive_error();
    EXPECT_STREQ(root_text(service.memory), "state of v1");
    EXPECT_EQ(outlive_memory_writable(service.memory), -EPERM);
    ASSERT_EQ(outlive_ready(service.client), 0);
    service.in_callback = [&] {
      if (service.calls == "adopt ") {
        ASSERT_EQ(outlive_session_retrieve(service.client, "web", &service.session), 0);
        const outlive_memory* before = service.memory;
        EXPECT_EQ(outlive_memory_open(service.session, 4, &service.memory), 0) << outlive_error();
        EXPECT_EQ(service.memory, before);
        EXPECT_EQ(outlive_memory_writable(service.memory), -EPERM);
        EXPECT_EQ(outlive_memory_allocate(service.memory, 16), 0u);
      } else {
        EXPECT_EQ(outlive_memory_writable(service.memory), 0) << outlive_error();
        EXPECT_NE(outlive_memory_allocate(service.memory, 16), 0u) << outlive_error();
      }
    };
    service.dispatch_until(std::string("adopt committed ").size());
    EXPECT_STREQ(root_text(service.memory), "state of v1");
    EXPECT_EQ(outlive_adopt_all(service.client), 0) << outlive_error();
    EXPECT_GE(outlive_dispatch(service.client), 0) << "the second one may have come before";
    EXPECT_EQ(service.calls, "adopt committed ") << "committed twice";
  }
  server.finish();
}

TEST(Successor, AnotherFileThanThePreviewedOneIsRefused) {
  const UniqueFd region = old_region("a");
  const UniqueFd other = old_region("b");
  FakeServer server([&](FakePeer& peer) {
    peer.participate(Role::kSuccessor, 9);
    FakePeer session = peer.hand_out_session(Request::kRetrieveSession);
    const auto retrieve = session.expect(Request::kRetrieveFd);
    session.reply(retrieve, retrieve.as<abi::FdRequest>(), {other});
    session.expect_end();
  });
  {
    Service service;
    ASSERT_EQ(service.start(server), OUTLIVE_ROLE_SUCCESSOR);
    ASSERT_EQ(outlive_memory_preview(service.client, copy_of(region), &service.memory), 0);
    ASSERT_EQ(outlive_session_retrieve(service.client, "web", &service.session), 0);
    EXPECT_EQ(outlive_memory_open(service.session, 4, &service.memory), -EINVAL);
    EXPECT_STREQ(root_text(service.memory), "a") << "the previewed one is still there";
  }
  server.finish();
}

TEST(Restarted, AdoptsAndCommitsInParticipate) {
  const UniqueFd region = old_region("left behind");
  FakeServer server([&](FakePeer& peer) {
    peer.participate(Role::kRestarted);
    FakePeer session = peer.hand_out_session(Request::kRetrieveSession);
    const auto retrieve = session.expect(Request::kRetrieveFd);
    session.reply(retrieve, retrieve.as<abi::FdRequest>(), {region});
    session.expect_end();
  });
  {
    Service service;
    service.in_callback = [&] {
      if (service.calls == "adopt ") {
        EXPECT_EQ(outlive_session_retrieve(service.client, "web", &service.session), 0);
        EXPECT_EQ(outlive_memory_open(service.session, 4, &service.memory), 0) << outlive_error();
        EXPECT_EQ(outlive_memory_writable(service.memory), -EPERM);
      } else {
        EXPECT_EQ(outlive_memory_writable(service.memory), 0) << outlive_error();
      }
    };
    EXPECT_EQ(service.start(server), OUTLIVE_ROLE_RESTARTED);
    EXPECT_EQ(service.calls, "adopt committed ");
    EXPECT_EQ(service.last_update, 0u);
    EXPECT_STREQ(root_text(service.memory), "left behind");
  }
  server.finish();
}

TEST(Restarted, AnErrorOfAdoptIsReturnedAndNothingIsCommitted) {
  FakeServer server([](FakePeer& peer) { peer.participate(Role::kRestarted); });
  Service service;
  service.answer = -EUCLEAN;
  service.reason = "the table is torn";
  EXPECT_EQ(service.start(server), -EUCLEAN);
  EXPECT_EQ(service.calls, "adopt ");
  EXPECT_NE(std::string(outlive_error()).find("the table is torn"), std::string::npos);
}

TEST(OldOne, MemoryDoesNotGrowBetweenPrepareAndCancel) {
  FakeServer server([](FakePeer& peer) {
    peer.participate(Role::kFresh);
    FakePeer session = peer.hand_out_session(Request::kCreateSession);
    const auto preserve = session.expect(Request::kPreserveFd);
    EXPECT_EQ(uint64_t{preserve.as<abi::FdRequest>().token}, 1u);
    ASSERT_EQ(preserve.fds.size(), 1u);
    session.done(preserve);
    peer.event(Step::kPrepare, 1);
    peer.answered(Request::kReady, Step::kPrepare, 1);
    peer.answered(Request::kReady, Step::kStart, 0);  // the service has looked
    peer.event(Step::kCancel, 1);
    session.expect_end();
  });
  {
    Service service;
    ASSERT_EQ(service.start(server), OUTLIVE_ROLE_FRESH);
    ASSERT_EQ(outlive_session_create(service.client, "web", 0, &service.session), 0);
    ASSERT_EQ(outlive_memory_create(service.session, 1, "state", 65536, 0, &service.memory), 0)
        << outlive_error();
    service.dispatch_until(std::string("prepare ").size());
    const uint64_t size = outlive_memory_size(service.memory);
    EXPECT_EQ(outlive_memory_allocate(service.memory, 32 << 20), 0u);
    EXPECT_EQ(outlive_memory_size(service.memory), size);
    ASSERT_EQ(outlive_ready(service.client), 0);
    service.dispatch_until(std::string("prepare cancel: ").size());
    EXPECT_NE(outlive_memory_allocate(service.memory, 32 << 20), 0u) << outlive_error();
  }
  server.finish();
}

TEST(Memory, ThatOutlivedDoesNotTakeIsNotMade) {
  FakeServer server([](FakePeer& peer) {
    FakePeer session = peer.hand_out_session(Request::kCreateSession);
    session.refuse(session.expect(Request::kPreserveFd), EDQUOT, "quota full");
    session.expect_end();
  });
  {
    Service service;
    ASSERT_EQ(outlive_connect(server.dir().c_str(), 0, &service.client), 0);
    ASSERT_EQ(outlive_session_create(service.client, "web", 0, &service.session), 0);
    EXPECT_EQ(outlive_memory_create(service.session, 1, "state", 65536, 0, &service.memory),
              -EDQUOT);
    EXPECT_EQ(service.memory, nullptr);
    EXPECT_EQ(outlive_memory_create(service.session, 1, nullptr, 1, 0, &service.memory), -EINVAL);
  }
  server.finish();
}

}  // namespace
}  // namespace outlive::client
