#include "daemon/fd_store.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/rights.h"
#include "base/sys.h"

namespace outlive::daemon {

using machine::load_word;
using machine::store_word;

namespace {

constexpr uint64_t kPatienceNs = 30'000'000'000;
constexpr uint64_t kBarrierNs = 100'000'000;  // at least between two: each wakes the manager
constexpr int kEndTries = 1000;               // of a ms

BorrowedFd fd_of(int64_t number) {
  return BorrowedFd(static_cast<int>(number));
}

// Files and connections; what else records name can be made again or done without.
template <typename Visit>
void each_stored(luo::Records& records, const Visit& visit) {
  records.for_each<abi::FileSlot>([&](abi::FileSlot& slot) { visit(slot.header.id, slot.fd); });
  records.for_each<abi::ConnectionSlot>(
      [&](abi::ConnectionSlot& slot) { visit(slot.header.id, slot.fd); });
}

bool hangs_up(const UniqueFd& barrier, int timeout_ms) {
  pollfd wait{barrier.get(), POLLIN, 0};
  return ::poll(&wait, 1, timeout_ms) == 1;
}

void await_manager() {
  UniqueFd barrier;
  for (int tries = kEndTries; !barrier.valid() && tries > 0; --tries) {
    barrier = send_barrier();
    if (!barrier.valid()) ::poll(nullptr, 0, 1);
  }
  if (!barrier.valid() || !hangs_up(barrier, kEndTries)) {
    log_warning("the service manager doesn't say that it has taken all there is");
  }
}

// Ids of slots begin with the number of the change that made them (luo/records.cc).
constexpr unsigned kChangeShift = 12;

}  // namespace

std::string stored_name(BorrowedFd fd) {
  return fmt::format("{}{}", kStoreFd, fd.get());
}

std::string store_text(const std::string& name) {
  return fmt::format("FDSTORE=1\nFDPOLL=0\nFDNAME={}\n", name);
}

std::string remove_text(const std::string& name) {
  return fmt::format("FDSTOREREMOVE=1\nFDNAME={}\n", name);
}

bool is_full(int code) {
  return code == EAGAIN || code == ENOBUFS || code == ETOOMANYREFS || code == EINTR;
}

UniqueFd send_barrier() {
  auto pipe = sys::pipe();
  if (!pipe || notify_manager("BARRIER=1", pipe->write) != 0) return {};
  return std::move(pipe->read);
}

bool use_fd_store(std::string_view wanted, bool inherits) {
  if (wanted == "off" || getenv("NOTIFY_SOCKET") == nullptr) return false;
  const char* most = getenv("FDSTORE");
  return wanted == "on" || inherits || (most != nullptr && atoi(most) > 0);
}

int notify_manager(std::string_view text, BorrowedFd fd) {
  const char* path = getenv("NOTIFY_SOCKET");
  if (path == nullptr) return 0;
  // Never kept: one that outlived its process would be an orphan of the table.
  const Result<UniqueFd> socket = sys::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK);
  const Result<sys::UnixAddress> address = sys::unix_address(path);
  if (!address || !socket) return address ? socket.error().code : address.error().code;
  iovec part{const_cast<char*>(text.data()), text.size()};
  RightsRoom<1> room;
  msghdr message{};
  message.msg_name = const_cast<sockaddr_un*>(&address->address);
  message.msg_namelen = address->length;
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  put_rights({&fd, fd.valid() ? size_t{1} : 0}, room.bytes, message);
  const Result<size_t> sent = sys::sendmsg(*socket, message, MSG_DONTWAIT | MSG_NOSIGNAL);
  return sent ? 0 : sent.error().code;
}

FdStore::FdStore(bool on, machine::Control& control, machine::Closer& closer)
    : on_(on && load_word(control.block().store_failed) == 0), control_(control), closer_(closer) {}

void FdStore::resume(luo::Records& records, const std::vector<Named>& base) {
  if (!on_) return;
  for (const Named& one : base) {
    add({one.name, BorrowedFd(), true});  // of a life before
    add({one.name, one.fd, false});
  }
  const uint64_t mark = load_word(control_.block().store_mark);
  each_stored(records, [&](uint64_t id, int64_t number) {
    if (id >> kChangeShift > mark && number >= 0) hold(fd_of(number));
  });
}

void FdStore::hold(BorrowedFd fd) {
  if (on_) add({stored_name(fd), fd, false});
}

void FdStore::release(BorrowedFd fd) {
  on_ ? add({stored_name(fd), fd, true}) : closer_.close(fd);
}

// What has come before goes first: a number's name is removed before it is given again.
void FdStore::add(Step step) {
  if (!queue_.empty() || !carry_out(step)) queue_.push_back(std::move(step));
}

// False: it has to wait.
bool FdStore::carry_out(const Step& step) {
  int code = 0;
  if (on_) {
    code = notify_manager(step.remove ? remove_text(step.name) : store_text(step.name),
                          step.remove ? BorrowedFd() : step.fd);
  }
  if (is_full(code)) return false;
  if (code != 0) give_up(strerrordesc_np(code));
  if (step.remove && step.fd.valid()) closer_.close(step.fd);
  return true;
}

void FdStore::give_up(const std::string& why) {
  if (!on_) return;
  log_error("the service manager's fd store is given up ({}): {} descriptors are not in it", why,
            queue_.size());
  on_ = false;
  store_word(control_.block().store_failed, uint64_t{1});
}

void FdStore::flush(uint64_t now_ns, uint64_t committed) {
  const bool waited = !queue_.empty();
  bool moved = false;
  while (!queue_.empty() && carry_out(queue_.front())) {
    queue_.pop_front();
    moved = true;
  }
  if (queue_.empty()) {
    note_taken(now_ns, committed);
    stuck_since_ns_ = 0;
    return;
  }
  if (moved || !waited || stuck_since_ns_ == 0) stuck_since_ns_ = now_ns;
  if (now_ns - stuck_since_ns_ > kPatienceNs) give_up("it takes nothing");
}

void FdStore::note_taken(uint64_t now_ns, uint64_t committed) {
  if (!on_) return;
  if (barrier_.valid() && hangs_up(barrier_, 0)) {
    store_word(control_.block().store_mark, barrier_mark_);
    barrier_.reset();
  }
  if (barrier_.valid() || now_ns < next_barrier_ns_) return;
  if (load_word(control_.block().store_mark) == committed) return;
  barrier_ = send_barrier();
  barrier_mark_ = committed;
  next_barrier_ns_ = now_ns + kBarrierNs;
}

std::vector<BorrowedFd> FdStore::fds() const {
  if (!barrier_.valid()) return {};
  return {barrier_.borrow()};
}

void FdStore::settle(uint64_t committed) {
  for (int tries = kEndTries; on_ && waiting() != 0 && tries > 0; --tries) {
    flush(system_clock().now_ns(), committed);
    ::poll(nullptr, 0, 1);
  }
  flush(system_clock().now_ns(), committed);
  if (on_ && waiting() != 0) give_up("it takes nothing");
  if (on_) await_manager();
}

void FdStore::clear(luo::Records& records) {
  if (!on_) return;
  // The arena first: without it nobody takes the others for anything.
  std::vector<std::string> names = {kStoreArena, kStoreDevice, kStoreControl};
  each_stored(records,
              [&](uint64_t, int64_t number) { names.push_back(stored_name(fd_of(number))); });
  int tries = kEndTries;
  for (const std::string& name : names) {
    while (is_full(notify_manager(remove_text(name))) && tries-- > 0) ::poll(nullptr, 0, 1);
  }
  await_manager();
}

std::string FdStore::text(const luo::Records& records) const {
  if (load_word(control_.block().store_failed) != 0) return "given up";
  if (!on_) return {};
  const uint64_t all =
      3 + records.count(abi::PoolKind::kFile) + records.count(abi::PoolKind::kConnection);
  return queue_.empty() ? fmt::format("{} descriptors", all)
                        : fmt::format("{} descriptors, {} changes wait", all, queue_.size());
}

}  // namespace outlive::daemon
