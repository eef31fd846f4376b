#include "daemon/recorder.h"

#include "base/log.h"

namespace outlive::daemon {
namespace {
constexpr uint64_t kRecorderSize = (1 << 20) + abi::kPageSize;  // 1 MiB of lines and the header
}

Recorder::~Recorder() {
  set_log_recorder(nullptr, nullptr);
}

Status Recorder::open(kho::Arena& arena, const std::vector<RegionConfig>& regions) {
  kho::ReserveMem reserved = TRY(kho::ReserveMem::open(arena));
  for (const RegionConfig& one : regions) {
    // One of the life before keeps what it was made with, whatever the configuration says by now.
    const bool inherited = reserved.find(one.name).has_value();
    const auto region = reserved.reserve(one.name, one.size, one.align);
    if (!region && !inherited) {
      return fail(region.error().code, "reserve-mem '{}': {}", one.name, region.error().message);
    }
    if (!region) log_warning("{}: it stays as it is", region.error().message);
  }
  const auto region = TRY(reserved.reserve(abi::kRecorderRegion, kRecorderSize));
  std::byte* bytes = arena.at(region.start, region.size);
  if (bytes == nullptr) return fail(EUCLEAN, "flight recorder: outside the arena");
  kho::FlightRecorder recorder = TRY(kho::FlightRecorder::open({bytes, region.size}));
  previous_ = recorder.read();
  recorder_.emplace(std::move(recorder));
  header_ = reinterpret_cast<const abi::RecorderHeader*>(bytes);
  set_log_recorder(
      [](void* self, std::string_view line) {
        static_cast<Recorder*>(self)->recorder_->append(line);
      },
      this);
  return {};
}

std::string Recorder::read(bool previous) const {
  if (previous) return previous_;
  return recorder_ ? recorder_->read() : "";
}

uint64_t Recorder::written() const {
  return header_ != nullptr ? header_->written : 0;
}

}  // namespace outlive::daemon
