// Messages over real SEQPACKET pairs: what arrives, what is refused, and that no fd is left open.
#include "wire/message.h"

#include <dirent.h>
#include <gtest/gtest.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>

#include "base/sys.h"
#include "wire/body.h"

namespace outlive::wire {
namespace {

size_t open_fds() {
  size_t count = 0;
  DIR* folder = opendir("/proc/self/fd");
  while (readdir(folder) != nullptr) ++count;
  closedir(folder);
  return count;
}

class MessageTest : public testing::Test {
 protected:
  void SetUp() override {
    auto pair = sys::socketpair(SOCK_SEQPACKET);
    ASSERT_TRUE(pair) << pair.error().text();
    client = std::move(pair->first);
    server = std::move(pair->second);
  }

  void send_raw(std::span<const std::byte> bytes) {
    ASSERT_TRUE(sys::send(client, bytes, MSG_DONTWAIT));
  }
  // A message with `count` copies of one pipe end.
  void send_fds(size_t count) {
    auto pipe = sys::pipe();
    ASSERT_TRUE(pipe);
    const std::vector<BorrowedFd> fds(count, pipe->read.borrow());
    const auto body = sized<abi::SizeOnly>();
    const auto sent = send(client, request_header(abi::Request::kAdopt, 1), bytes_of(body), fds);
    ASSERT_TRUE(sent) << sent.error().text();
  }
  Received peeked(FdFlag flag = FdFlag::kKeep) {
    auto result = peek(server, buffer, flag);
    EXPECT_TRUE(result) << result.error().text();
    return result ? result.take() : Received{};
  }
  int peek_error() {
    auto result = peek(server, buffer);
    EXPECT_FALSE(result);
    return result ? 0 : result.error().code;
  }

  UniqueFd client;
  UniqueFd server;
  Buffer buffer;
};

TEST_F(MessageTest, CarriesHeaderBodyTailAndFds) {
  auto request = sized<abi::ManyRequest>();
  request.count = 2;
  const uint64_t tokens[] = {7, 8};
  auto pipe = sys::pipe();
  const BorrowedFd fds[] = {pipe->read, pipe->write};
  ASSERT_TRUE(send(client, request_header(abi::Request::kPreserveMany, 5), bytes_of(request), fds,
                   Blocking::kNo, std::as_bytes(std::span(tokens))));

  auto received = receive(server, buffer);
  ASSERT_TRUE(received);
  ASSERT_EQ(received->arrival, Arrival::kMessage);
  const Message& message = received->message;
  EXPECT_EQ(message.request(), abi::Request::kPreserveMany);
  EXPECT_EQ(message.header.sequence, 5u);
  EXPECT_EQ(message.header.flags, 0u);
  auto body = read_body<abi::ManyRequest>(message.body);
  ASSERT_TRUE(body);
  EXPECT_EQ((*body).count, 2u);
  auto read = read_tail<uint64_t>(message.body, 2);
  ASSERT_TRUE(read);
  EXPECT_EQ(*read, (std::vector<uint64_t>{7, 8}));
  ASSERT_EQ(message.fds.size(), 2u);
  ASSERT_EQ(::write(message.fds[1].get(), "x", 1), 1);
  char got = 0;
  ASSERT_EQ(::read(message.fds[0].get(), &got, 1), 1);
  EXPECT_EQ(got, 'x');
}

TEST_F(MessageTest, NothingThereIsNoError) {
  EXPECT_EQ(peeked().arrival, Arrival::kNothing);
}

TEST_F(MessageTest, EveryPeekInstallsNewFdsAndConsumeNone) {
  send_fds(3);
  const size_t before = open_fds();
  {
    const Received first = peeked();
    const Received second = peeked();
    ASSERT_EQ(first.message.fds.size(), 3u);
    ASSERT_EQ(second.message.fds.size(), 3u);
    EXPECT_EQ(open_fds(), before + 6);
  }
  EXPECT_EQ(open_fds(), before);
  ASSERT_TRUE(consume(server));
  EXPECT_EQ(open_fds(), before);
  EXPECT_EQ(peeked().arrival, Arrival::kNothing);
}

TEST_F(MessageTest, ConsumeTakesExactlyOneMessage) {
  const auto body = sized<abi::SizeOnly>();
  ASSERT_TRUE(send(client, request_header(abi::Request::kAdopt, 1), bytes_of(body)));
  ASSERT_TRUE(send(client, request_header(abi::Request::kAdopt, 2), bytes_of(body)));
  ASSERT_TRUE(consume(server));
  EXPECT_EQ(peeked().message.header.sequence, 2u);
  ASSERT_TRUE(consume(server));
  const Status none = consume(server);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, EAGAIN);
}

TEST_F(MessageTest, CloexecIsTheCallersChoice) {
  send_fds(1);
  const Received held = peeked(FdFlag::kKeep);
  const Received own = peeked(FdFlag::kCloexec);
  EXPECT_EQ(*sys::get_fd_flags(held.message.fds[0]), 0);
  EXPECT_EQ(*sys::get_fd_flags(own.message.fds[0]), FD_CLOEXEC);
}

TEST_F(MessageTest, TheMostFdsFitAndOneMoreIsRefusedBySend) {
  send_fds(abi::kMaxFds);
  EXPECT_EQ(peeked().message.fds.size(), abi::kMaxFds);
  const std::vector<BorrowedFd> fds(abi::kMaxFds + 1, client.borrow());
  const auto sent = send(client, request_header(abi::Request::kAdopt, 1), {}, fds);
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().code, E2BIG);
}

// Lowers the soft limit of fds for as long as it lives.
class FdLimit {
 public:
  explicit FdLimit(rlim_t limit) {
    getrlimit(RLIMIT_NOFILE, &before_);
    const rlimit lower{limit, before_.rlim_max};
    setrlimit(RLIMIT_NOFILE, &lower);
  }
  ~FdLimit() { setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

TEST_F(MessageTest, LostFdsAreEmfileAndNothingStaysOpen) {
  send_fds(200);
  const size_t before = open_fds();
  {
    // Room for some of them, but not for all.
    auto probe = sys::dup_cloexec(server);
    ASSERT_TRUE(probe);
    const FdLimit limit(static_cast<rlim_t>(probe->get()) + 50);
    const Received received = peeked();
    EXPECT_EQ(received.arrival, Arrival::kRefused);
    EXPECT_EQ(received.refusal.code, EMFILE);
    EXPECT_EQ(received.message.header.sequence, 1u);
    EXPECT_TRUE(received.message.fds.empty());
  }
  EXPECT_EQ(open_fds(), before);
  // With room again, the same message comes whole.
  EXPECT_EQ(peeked().message.fds.size(), 200u);
}

TEST_F(MessageTest, NoSlotAtAllIsEmfileToo) {
  send_fds(1);
  auto probe = sys::dup_cloexec(server);
  ASSERT_TRUE(probe);
  const int next = probe->get();
  probe->reset();
  const FdLimit limit(static_cast<rlim_t>(next));
  const Received received = peeked();
  EXPECT_EQ(received.arrival, Arrival::kRefused);
  EXPECT_EQ(received.refusal.code, EMFILE);
}

TEST_F(MessageTest, TooLargeABodyIsRefusedWithItsHeader) {
  std::vector<std::byte> bytes(sizeof(abi::MessageHeader) + abi::kMaxBody + 1);
  const auto header = request_header(abi::Request::kAddSubtree, 9);
  memcpy(bytes.data(), &header, sizeof header);
  send_raw(bytes);
  const Received received = peeked();
  EXPECT_EQ(received.arrival, Arrival::kRefused);
  EXPECT_EQ(received.refusal.code, E2BIG);
  EXPECT_EQ(received.message.header.sequence, 9u);
  ASSERT_TRUE(consume(server));
  EXPECT_EQ(peeked().arrival, Arrival::kNothing);
}

TEST_F(MessageTest, TheLargestBodyFits) {
  const std::vector<std::byte> body(abi::kMaxBody, std::byte{1});
  ASSERT_TRUE(send(client, request_header(abi::Request::kAddSubtree, 1), body));
  EXPECT_EQ(peeked().message.body.size(), abi::kMaxBody);
  const auto more = send(client, request_header(abi::Request::kAddSubtree, 1), body, {},
                         Blocking::kNo, std::as_bytes(std::span("x", 1)));
  ASSERT_FALSE(more);
  EXPECT_EQ(more.error().code, E2BIG);
}

TEST_F(MessageTest, HalfAHeaderIsEproto) {
  const std::byte bytes[sizeof(abi::MessageHeader) - 1]{};
  send_raw(bytes);
  EXPECT_EQ(peek_error(), EPROTO);
}

TEST_F(MessageTest, WrongMagicIsEproto) {
  auto header = request_header(abi::Request::kAdopt, 1);
  header.magic ^= 1;
  send_raw(bytes_of(header));
  EXPECT_EQ(peek_error(), EPROTO);
}

TEST_F(MessageTest, WrongVersionIsEprotoAndNamed) {
  auto header = request_header(abi::Request::kAdopt, 1);
  header.version = 77;
  send_raw(bytes_of(header));
  auto result = peek(server, buffer);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, EPROTO);
  EXPECT_NE(result.error().message.find("77"), std::string::npos);
}

TEST_F(MessageTest, BadMessagesLeaveNoFdOpen) {
  auto header = request_header(abi::Request::kAdopt, 1);
  header.magic = 0;
  const BorrowedFd fds[] = {client, client};
  ASSERT_TRUE(send(client, header, {}, fds));
  const size_t before = open_fds();
  EXPECT_EQ(peek_error(), EPROTO);
  EXPECT_EQ(open_fds(), before);
}

TEST_F(MessageTest, AnEmptyPacketIsNotTheEnd) {
  send_raw({});
  EXPECT_EQ(peek_error(), EPROTO);
}

TEST_F(MessageTest, TheEndIsClosed) {
  client.reset();
  EXPECT_EQ(peeked().arrival, Arrival::kClosed);
  EXPECT_EQ(peeked().arrival, Arrival::kClosed);
}

TEST_F(MessageTest, AResetStillGivesWhatThePeerSentBefore) {
  const auto body = sized<abi::SizeOnly>();
  ASSERT_TRUE(send(client, request_header(abi::Request::kAdopt, 1), bytes_of(body)));
  // A reply that the client never reads makes its death a reset.
  const auto reply = reply_header(request_header(abi::Request::kAdopt, 1), 0);
  ASSERT_TRUE(send(server, reply, bytes_of(body)));
  client.reset();
  EXPECT_EQ(peeked().arrival, Arrival::kReset);
  EXPECT_EQ(peeked().arrival, Arrival::kMessage);
  ASSERT_TRUE(consume(server));
  EXPECT_EQ(peeked().arrival, Arrival::kClosed);
}

TEST_F(MessageTest, SendingToNobodyIsEpipeAndNoSignal) {
  server.reset();
  const auto sent = send(client, request_header(abi::Request::kAdopt, 1), {});
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().code, EPIPE);
}

TEST_F(MessageTest, AFullSocketIsEagain) {
  const std::vector<std::byte> body(abi::kMaxBody);
  Status sent;
  for (int i = 0; i < 10'000 && sent; ++i) {
    sent = send(client, request_header(abi::Request::kAddSubtree, 1), body);
  }
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().code, EAGAIN);
}

TEST_F(MessageTest, ExpectFdsTellsTooFewFromTooMany) {
  send_fds(2);
  const Received received = peeked();
  EXPECT_TRUE(expect_fds(received.message, 2));
  EXPECT_EQ(expect_fds(received.message, 3).error().code, EBADF);
  EXPECT_EQ(expect_fds(received.message, 1).error().code, EINVAL);
}

TEST_F(MessageTest, RepliesAnswerTheirRequest) {
  const auto header = reply_header(request_header(abi::Request::kFinish, 12), -EBUSY);
  EXPECT_EQ(header.sequence, 12u);
  EXPECT_EQ(header.request, static_cast<uint16_t>(abi::Request::kFinish));
  EXPECT_EQ(header.flags, abi::kFlagReply);
  EXPECT_EQ(header.result, -EBUSY);
  EXPECT_EQ(event_header().sequence, 0u);
  EXPECT_EQ(event_header().flags, abi::kFlagEvent);
}

}  // namespace
}  // namespace outlive::wire
