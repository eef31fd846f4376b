// What the kernel's own memfd handler (mm/memfd_luo.c of Linux 7.x) accepts: six seals, no huge
// pages.
#pragma once

#include <fcntl.h>

namespace outlive::files {

#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x0020
#endif

inline constexpr int kKernelSeals =
    F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE | F_SEAL_EXEC;

}  // namespace outlive::files
