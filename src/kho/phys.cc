#include "kho/phys.h"

#include <bit>

namespace outlive::kho {

unsigned order_for(uint64_t bytes) {
  if (bytes <= abi::kPageSize) return 0;
  return static_cast<unsigned>(std::bit_width((bytes - 1) >> abi::kPageShift));
}

}  // namespace outlive::kho
