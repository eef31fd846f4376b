#include "daemon/kernel_store.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <string>
#include <thread>

#include "abi/kernel_carry.h"
#include "base/rights.h"
#include "base/sys.h"

namespace outlive::daemon {
namespace {

// A service manager: notes what it is told until it is told "end".
class Manager {
 public:
  Manager() {
    char name[] = "/tmp/outlive-manager-XXXXXX";
    folder_ = ::mkdtemp(name);
    socket_ = sys::socket(AF_UNIX, SOCK_DGRAM).take();
    const sys::UnixAddress address = sys::unix_address(path()).take();
    EXPECT_TRUE(
        sys::bind(socket_, reinterpret_cast<const sockaddr*>(&address.address), address.length));
    ::setenv("NOTIFY_SOCKET", path().c_str(), 1);
    thread_ = std::thread([this] { listen(); });
  }
  ~Manager() {
    ::unsetenv("NOTIFY_SOCKET");
    ::unsetenv("FDSTORE");
    EXPECT_TRUE(sys::unlink(path()));
    ::rmdir(folder_.c_str());
  }

  // All that it was told, each in one word; "+" before: with a descriptor. Once.
  std::string told() {
    EXPECT_EQ(notify_manager("end"), 0);
    thread_.join();
    return told_;
  }

 private:
  std::string path() const { return folder_ + "/notify"; }

  void listen() {
    for (;;) {
      char text[512];
      RightsRoom<4> room;
      iovec part{text, sizeof text};
      msghdr header{};
      header.msg_iov = &part;
      header.msg_iovlen = 1;
      header.msg_control = room.bytes;
      header.msg_controllen = sizeof room.bytes;
      const size_t size = sys::recvmsg(socket_, header, 0).take();
      const std::vector<UniqueFd> fds = take_rights(header);
      const std::string words(text, size);
      if (words == "end") return;
      const size_t name = words.find("FDNAME=");
      told_ += fds.empty() ? " " : " +";
      told_ += words.starts_with("FDSTOREREMOVE=1\n") ? "-" : "";
      told_ += name == std::string::npos ? words : words.substr(name + 7, words.size() - name - 8);
    }
  }

  std::string folder_;
  UniqueFd socket_;
  std::string told_;
  std::thread thread_;
};

struct KernelStoreTest : testing::Test {
  machine::Control control = machine::Control::create().take();
  UniqueFd file = sys::memfd_create("any", MFD_CLOEXEC).take();
  Manager manager;
};

TEST_F(KernelStoreTest, TheArenaIsStoredAfterAllThatItNames) {
  KernelStore store(true, control);
  store.keep({abi::kStoreKernelSession, file});
  EXPECT_TRUE(store.settled());
  EXPECT_TRUE(store.keep_adopted({{"o.7", file}, {kStoreDevice, file}}, file));
  store.drop({{"o.7", file}});
  EXPECT_EQ(manager.told(),
            " +outlive-kernel-session +BARRIER=1 +o.7 +outlive-device +outlive-arena +BARRIER=1"
            " -outlive-kernel-session +o.7");
}

TEST_F(KernelStoreTest, WithoutRoomNothingMoreIsStoredButWhatIsThereIsRemoved) {
  ::setenv("FDSTORE", "3", 1);
  KernelStore store(true, control);
  store.keep({abi::kStoreKernelSession, file});
  store.need_room_for(3);
  EXPECT_TRUE(store.settled());
  store.need_room_for(4);
  store.keep({abi::kStoreKernelSession, file});
  EXPECT_FALSE(store.settled());
  EXPECT_FALSE(store.keep_adopted({{"o.7", file}}, file));
  store.drop({});
  EXPECT_EQ(manager.told(), " +outlive-kernel-session +BARRIER=1 -outlive-kernel-session");
}

TEST_F(KernelStoreTest, OffItSaysNothing) {
  KernelStore store(false, control);
  store.need_room_for(1'000'000);
  store.keep({abi::kStoreKernelSession, file});
  EXPECT_FALSE(store.settled());
  EXPECT_FALSE(store.keep_adopted({{"o.7", file}}, file));
  store.drop({});
  EXPECT_EQ(manager.told(), "");
}

}  // namespace
}  // namespace outlive::daemon
