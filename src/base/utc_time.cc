#include "base/utc_time.h"

#include <chrono>

#include "base/result.h"

namespace outlive {

std::string utc_text(uint64_t realtime_ns, int digits) {
  using namespace std::chrono;
  const sys_time<nanoseconds> at{nanoseconds(realtime_ns)};
  const auto day = floor<days>(at);
  const year_month_day date(day);
  const hh_mm_ss<nanoseconds> time(at - day);
  const auto fraction = static_cast<uint64_t>(time.subseconds().count());
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:0{}}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     time.hours().count(), time.minutes().count(), time.seconds().count(),
                     digits == 3 ? fraction / 1'000'000 : fraction / 1'000, digits);
}

}  // namespace outlive
