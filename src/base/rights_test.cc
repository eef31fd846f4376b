#include "base/rights.h"

#include <gtest/gtest.h>

#include "base/sys.h"

namespace outlive {
namespace {

class RightsTest : public testing::Test {
 protected:
  RightsTest() {
    int ends[2] = {-1, -1};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    left_ = UniqueFd(ends[0]);
    right_ = UniqueFd(ends[1]);
  }
  void send(std::span<const BorrowedFd> fds) {
    RightsRoom<3> room;
    msghdr message = with_byte();
    put_rights(fds, room.bytes, message);
    ASSERT_EQ(::sendmsg(left_.get(), &message, 0), 1);
  }
  std::vector<UniqueFd> receive() {
    RightsRoom<3> room;
    msghdr message = with_byte();
    message.msg_control = room.bytes;
    message.msg_controllen = sizeof room.bytes;
    EXPECT_EQ(::recvmsg(right_.get(), &message, MSG_CMSG_CLOEXEC), 1);
    return take_rights(message);
  }

 private:
  msghdr with_byte() {
    msghdr message{};
    message.msg_iov = &part_;
    message.msg_iovlen = 1;
    return message;
  }
  UniqueFd left_, right_;
  char byte_ = 'x';
  iovec part_{&byte_, 1};
};

TEST_F(RightsTest, AllInTheirOrder) {
  const UniqueFd one = sys::memfd_create("one", 0).take();
  const UniqueFd two = sys::memfd_create("two", 0).take();
  const BorrowedFd fds[] = {two, one, two};
  send(fds);
  const std::vector<UniqueFd> got = receive();
  ASSERT_EQ(got.size(), 3u);
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_EQ(sys::fstat(got[i]).take().st_ino, sys::fstat(fds[i]).take().st_ino);
  }
}

TEST_F(RightsTest, None) {
  send({});
  EXPECT_TRUE(receive().empty());
}

}  // namespace
}  // namespace outlive
