// The entry that libFuzzer calls.
#include "base/log.h"
#include "fuzz.h"

extern "C" __attribute__((visibility("default"))) int LLVMFuzzerInitialize(int*, char***) {
  outlive::set_log_level(outlive::LogLevel::kError);
  return 0;
}

extern "C" __attribute__((visibility("default"))) int LLVMFuzzerTestOneInput(const uint8_t* data,
                                                                             size_t size) {
  outlive::fuzz::run({reinterpret_cast<const std::byte*>(data), size});
  return 0;
}
