#include "daemon/hand_over.h"

#include "abi/kernel_carry.h"
#include "base/log.h"
#include "daemon/reboot_hold.h"

namespace outlive::daemon {
namespace {

abi::HandOverState state_of(const machine::Control& control) {
  return static_cast<abi::HandOverState>(machine::load_word(control.block().hand_over));
}

void enter(machine::Control& control, abi::HandOverState state) {
  machine::store_word(control.block().hand_over, static_cast<uint64_t>(state));
}

}  // namespace

bool HandOver::is_begun(const machine::Control& control) {
  return state_of(control) != abi::HandOverState::kNone;
}

bool HandOver::is_complete(const machine::Control& control) {
  return state_of(control) == abi::HandOverState::kComplete;
}

void HandOver::note_complete(machine::Control& control) {
  enter(control, abi::HandOverState::kComplete);
}

void HandOver::begin(BorrowedFd connection, uint64_t now_ns) {
  begin_reboot_hold(control_, connection, now_ns + kPatienceNs);
  enter(control_, abi::HandOverState::kBegun);
}

Status HandOver::complete(luo::Records& records) {
  if (!is_begun(control_)) return fail(EPROTO, "nothing was handed over");
  enter(control_, abi::HandOverState::kComplete);
  end_reboot_hold(control_);
  store_.clear(records);
  log_notice("handed over to the service manager, for the next kernel: it can't be cancelled");
  return {};
}

void HandOver::undo() {
  if (state_of(control_) != abi::HandOverState::kBegun) return;
  store_.remove(abi::kStoreKernelSession);
  end_reboot_hold(control_);
  enter(control_, abi::HandOverState::kNone);
}

bool HandOver::turn(uint64_t now_ns) {
  if (state_of(control_) != abi::HandOverState::kBegun) return is_begun(control_);
  if (now_ns < machine::load_word(control_.block().reboot_until_ns)) return true;
  log_warning("who wanted to hand over to the service manager has said nothing more: cancelled");
  undo();
  return false;
}

}  // namespace outlive::daemon
