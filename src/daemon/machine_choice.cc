#include "daemon/machine_choice.h"

#include "base/log.h"
#include "machine/kernel/device_refusal.h"
#include "machine/kernel/liveupdate_device.h"

namespace outlive::daemon {

MachineChoice MachineChoice::make(const std::string& kind, const AwaitedState& awaited,
                                  const machine::Control& control) {
  MachineChoice choice;
  if (kind == "process") {
    choice.text = "process: [machine] kind";
    return choice;
  }
  Result<UniqueFd> device = machine::open_liveupdate();
  if (device) {
    choice.device = BorrowedFd(device->release());
    machine::store_word(control.block().liveupdate_fd, static_cast<uint64_t>(choice.device.get()));
    choice.text = "kernel";
    return choice;
  }
  return without(kind, awaited, device.error(), machine::liveupdate_log());
}

MachineChoice MachineChoice::without(const std::string& kind, const AwaitedState& awaited,
                                     const Error& error, const std::vector<std::string>& log) {
  MachineChoice choice;
  std::string why = machine::device_refusal(error, log);
  if (awaited.is_due()) why += "; " + awaited.text();
  choice.text = "process: " + why;
  if (kind == "kernel" || awaited.is_due() || error.code == EIO ||
      machine::gave_up_early(error, log)) {
    choice.refused = why;
  } else if (error.code == EBUSY) {
    log_warning("[machine] kind = auto: {}", why);
  } else {
    log_debug("[machine] kind = auto: {}", why);
  }
  return choice;
}

MachineChoice MachineChoice::inherit(const machine::Control& control) {
  MachineChoice choice;
  const uint64_t word = machine::load_word(control.block().liveupdate_fd);
  choice.text = word != 0 ? "kernel" : "process: as before the update of outlived";
  if (word != 0) choice.device = BorrowedFd(static_cast<int>(word));
  return choice;
}

}  // namespace outlive::daemon
