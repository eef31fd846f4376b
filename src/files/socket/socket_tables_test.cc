#include "files/socket/socket_tables.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace outlive::files {
namespace {

using luo::FileKind;

constexpr char kTcp[] =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout "
    "inode\n"
    "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 "
    "111 1 0000000000000000 100 0 0 10 0\n"
    "   1: 0100007F:1F90 0200007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 "
    "112 1 0000000000000000 20 4 30 10 -1\n"
    "   2: 0100007F:1F90 0200007F:C351 06 00000000:00000000 03:00000000 00000000     0        0 0 "
    "3 0000000000000000\n"
    "   3: garbage\n";

TEST(SocketTablesTest, Tcp) {
  SocketTables tables;
  tables.parse_inet(kTcp, false, false);
  ASSERT_NE(tables.find(111), nullptr);
  EXPECT_EQ(tables.find(111)->kind, FileKind::kTcpListener);
  EXPECT_EQ(tables.find(111)->detail, "tcp 127.0.0.1:8080");
  EXPECT_FALSE(tables.find(111)->connected);
  ASSERT_NE(tables.find(112), nullptr);
  EXPECT_EQ(tables.find(112)->kind, FileKind::kTcpConnection);
  EXPECT_EQ(tables.find(112)->detail, "tcp 127.0.0.1:8080 -> 127.0.0.2:50000");
  EXPECT_TRUE(tables.find(112)->connected);
  EXPECT_EQ(tables.find(0), nullptr);
}

TEST(SocketTablesTest, Tcp6AndUdp) {
  SocketTables tables;
  tables.parse_inet(
      "head\n 0: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A "
      "0:0 0:0 0 0 0 7\n",
      false, true);
  tables.parse_inet("head\n 0: 0100007F:0035 00000000:0000 07 0:0 0:0 0 0 0 8", true, false);
  ASSERT_NE(tables.find(7), nullptr);
  EXPECT_EQ(tables.find(7)->detail, "tcp6 [::1]:80");
  ASSERT_NE(tables.find(8), nullptr);
  EXPECT_EQ(tables.find(8)->kind, FileKind::kUdp);
  EXPECT_FALSE(tables.find(8)->connected);
}

TEST(SocketTablesTest, Unix) {
  SocketTables tables;
  tables.parse_unix(
      "Num RefCount Protocol Flags Type St Inode Path\n"
      "0000000000000000: 00000002 00000000 00010000 0001 01 21 /run/with space\n"
      "0000000000000000: 00000003 00000000 00000000 0001 03 22 @abstract\n"
      "0000000000000000: 00000003 00000000 00000000 0005 03 23\n"
      "0000000000000000: 00000002 00000000 00000000 0002 01    24\n");
  ASSERT_NE(tables.find(21), nullptr);
  EXPECT_EQ(tables.find(21)->kind, FileKind::kUnixListener);
  EXPECT_EQ(tables.find(21)->name, "/run/with space");
  EXPECT_EQ(tables.find(22)->name, "@abstract");
  EXPECT_TRUE(tables.find(22)->connected);
  EXPECT_EQ(tables.find(23)->kind, FileKind::kUnixConnection);
  EXPECT_EQ(tables.find(23)->name, "");
  EXPECT_EQ(tables.find(24)->kind, FileKind::kUnixDatagram);
  EXPECT_FALSE(tables.find(24)->connected);
}

TEST(SocketTablesTest, CutAnywhereIsReadWithoutFault) {
  const std::string_view text(kTcp);
  for (size_t length = 0; length < text.size(); ++length) {
    SocketTables tables;
    tables.parse_inet(text.substr(0, length), false, false);
    tables.parse_unix(text.substr(0, length));
    EXPECT_EQ(tables.find(12345), nullptr);
  }
}

TEST(SocketTablesTest, ReadsThisProcess) {
  EXPECT_TRUE(SocketTables::read(getpid()));
}

}  // namespace
}  // namespace outlive::files
