#include "kho/flight_recorder.h"

#include <algorithm>
#include <cstring>

#include "kho/store.h"

namespace outlive::kho {

namespace {

constexpr size_t kHeader = sizeof(abi::RecorderHeader);

Result<abi::RecorderHeader> check_region(std::span<const std::byte> region) {
  if (region.size() <= kHeader) {
    return fail(EINVAL, "flight recorder: {} bytes are too few", region.size());
  }
  abi::RecorderHeader header;
  std::memcpy(&header, region.data(), kHeader);
  if (std::memcmp(header.compatible, abi::kRecorderCompatible, sizeof(abi::kRecorderCompatible)) !=
      0) {
    std::string version;
    for (const char c : header.compatible) {
      if (c == 0) break;
      version += c >= ' ' && c <= '~' ? c : '?';
    }
    return fail(EPROTO, "flight recorder: version '{}' is not '{}'", version,
                abi::kRecorderCompatible);
  }
  if (header.capacity != region.size() - kHeader) {
    return fail(EUCLEAN, "flight recorder: capacity {}, but its region has {}", header.capacity,
                region.size() - kHeader);
  }
  if (header.writing < header.written || header.writing - header.written > header.capacity) {
    return fail(EUCLEAN, "flight recorder: {} bytes written, {} begun", header.written,
                header.writing);
  }
  return header;
}

}  // namespace

FlightRecorder::FlightRecorder(std::span<std::byte> region)
    : region_(region.data()), capacity_(region.size() - kHeader) {}

uint64_t* FlightRecorder::word(size_t offset) const {
  return reinterpret_cast<uint64_t*>(region_ + offset);
}

Result<FlightRecorder> FlightRecorder::open(std::span<std::byte> region) {
  if (region.size() <= kHeader || reinterpret_cast<uintptr_t>(region.data()) % 8 != 0) {
    return fail(EINVAL, "flight recorder: {} bytes are too few, or misaligned", region.size());
  }
  FlightRecorder recorder(region);
  abi::RecorderHeader empty{};
  if (std::memcmp(region.data(), empty.compatible, sizeof(empty.compatible)) == 0) {
    recorder.clear();
    char compatible[sizeof(empty.compatible)] = {};
    std::copy_n(abi::kRecorderCompatible, sizeof(abi::kRecorderCompatible), compatible);
    store_bytes(region.data(), compatible, sizeof(compatible));
  }
  const abi::RecorderHeader header = TRY(check_region(region));
  // A crash while bytes were written: nobody knows how many of them are there. They become a blank
  // line, so that what they overwrote is not taken for old text.
  if (header.writing != header.written) {
    std::string blank(header.writing - header.written, ' ');
    blank.back() = '\n';
    recorder.append(blank);
  }
  return recorder;
}

void FlightRecorder::clear() {
  store_word(word(offsetof(abi::RecorderHeader, written)), 0);
  store_word(word(offsetof(abi::RecorderHeader, writing)), 0);
  store_word(word(offsetof(abi::RecorderHeader, capacity)), capacity_);
}

void FlightRecorder::append(std::string_view line) {
  if (line.size() > capacity_) line.remove_prefix(line.size() - capacity_);
  uint64_t* const written = word(offsetof(abi::RecorderHeader, written));
  const uint64_t from = load_word(written);
  store_word(word(offsetof(abi::RecorderHeader, writing)), from + line.size());
  const uint64_t at = from % capacity_;
  const size_t first = std::min<size_t>(line.size(), capacity_ - at);
  if (first > 0) store_bytes(region_ + kHeader + at, line.data(), first);
  if (first < line.size()) {
    store_bytes(region_ + kHeader, line.data() + first, line.size() - first);
  }
  store_word(written, from + line.size());
}

std::string FlightRecorder::read() const {
  Result<std::string> text = read_recorder({region_, kHeader + capacity_});
  return text ? text.take() : std::string();
}

Result<std::string> read_recorder(std::span<const std::byte> region) {
  const abi::RecorderHeader header = TRY(check_region(region));
  const uint64_t capacity = header.capacity;
  const uint64_t oldest = header.writing > capacity ? header.writing - capacity : 0;
  std::string text;
  if (header.written <= oldest) return text;
  const uint64_t from = oldest % capacity;
  const uint64_t size = header.written - oldest;
  const auto* ring = reinterpret_cast<const char*>(region.data() + kHeader);
  const uint64_t first = std::min(size, capacity - from);
  text.assign(ring + from, first);
  text.append(ring, size - first);
  if (oldest > 0) {
    const size_t newline = text.find('\n');
    // But of one line that fills the ring the end is better than nothing.
    if (newline != text.npos && newline + 1 < text.size()) text.erase(0, newline + 1);
  }
  return text;
}

}  // namespace outlive::kho
