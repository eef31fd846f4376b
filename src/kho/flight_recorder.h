// FlightRecorder: the last part of a log, in memory that outlives the process
// (abi/flight_recorder.h has the format). An append is three stores: what will be overwritten, the
// bytes, how far they reach; so a reader after a crash at any byte gets whole old text and no half
// of a new line.
//
// Threads: one writer. Readers of a dead writer's region need no writer.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "abi/flight_recorder.h"
#include "base/result.h"

namespace outlive::kho {

class FlightRecorder {
 public:
  // Takes over the recorder in these bytes (8-aligned, which outlive it), or makes one when they
  // are zero. EPROTO: another version; EUCLEAN: damaged; EINVAL: too small.
  static Result<FlightRecorder> open(std::span<std::byte> region);

  // Of a text longer than the ring only its end is kept.
  void append(std::string_view line);
  // Oldest first.
  std::string read() const;
  // Starts over: what was in it is gone.
  void clear();
  uint64_t capacity() const { return capacity_; }

 private:
  explicit FlightRecorder(std::span<std::byte> region);
  uint64_t* word(size_t offset) const;

  std::byte* region_;
  uint64_t capacity_;
};

// Reads a region that nobody writes, also one of an image. When text was lost at the front, what is
// given starts at the beginning of a line.
Result<std::string> read_recorder(std::span<const std::byte> region);

}  // namespace outlive::kho
