#include "compat/arguments.h"

#include <string.h>
#include <sys/ioctl.h>

#include <optional>

#include "abi/liveupdate.h"

namespace outlive::compat {
namespace {

using abi::CompatKind;

struct Known {
  uint32_t number;
  uint32_t least;
  uint32_t size;
  enum class For { kDevice, kOutgoing, kIncoming, kBoth } use;
  Kernel since;
};

constexpr uint32_t kSession = sizeof(abi::SessionRequest);
constexpr uint32_t kFd = sizeof(abi::FdRequest);
constexpr uint32_t kFinish = sizeof(abi::FinishRequest);
constexpr uint32_t kName = sizeof(abi::GetNameRequest);

// `least` ends with the last field that the first version had; until now that is all of it.
constexpr Known kKnown[] = {
    {abi::kIoctlCreateSession, kSession, kSession, Known::For::kDevice, Kernel::k619},
    {abi::kIoctlRetrieveSession, kSession, kSession, Known::For::kDevice, Kernel::k619},
    {abi::kIoctlPreserveFd, kFd, kFd, Known::For::kOutgoing, Kernel::k619},
    {abi::kIoctlRetrieveFd, kFd, kFd, Known::For::kIncoming, Kernel::k619},
    {abi::kIoctlFinish, kFinish, kFinish, Known::For::kIncoming, Kernel::k619},
    {abi::kIoctlGetName, kName, kName, Known::For::kBoth, Kernel::k703},
};

const Known* find(CompatKind kind, Kernel kernel, uint32_t number) {
  for (const Known& known : kKnown) {
    const bool of_device = known.use == Known::For::kDevice;
    if (known.number == number && of_device == (kind == CompatKind::kDevice) &&
        known.since <= kernel) {
      return &known;
    }
  }
  return nullptr;
}

bool fits(Known::For use, CompatKind kind) {
  if (use == Known::For::kOutgoing) return kind == CompatKind::kOutgoing;
  if (use == Known::For::kIncoming) return kind == CompatKind::kIncoming;
  return true;
}

}  // namespace

Result<Arguments> check_arguments(const Caller& caller, CompatKind kind, Kernel kernel,
                                  uint32_t command, uint64_t address) {
  const Known* known = find(kind, kernel, command & 0xff);
  if (known == nullptr) return fail(EINVAL, "no such number");
  Arguments arguments;
  arguments.size = TRY(caller.read_value<uint32_t>(address));
  if (command != _IO(abi::kLiveUpdateIoctlType, known->number))
    return fail(ENOTTY, "no such request");
  if (!fits(known->use, kind)) return fail(EINVAL, "a session of the other direction");
  if (arguments.size < known->least) return fail(EINVAL, "a size of {} bytes", arguments.size);
  if (arguments.size > known->size) {
    const bool zero =
        TRY(caller.all_zero(address + known->size, uint64_t{arguments.size} - known->size));
    if (!zero) return fail(E2BIG, "bytes that aren't known are not zero");
  }
  arguments.body.resize(known->size);
  TRY(caller.read(address, arguments.body));
  return arguments;
}

}  // namespace outlive::compat
