// outlive_error(): the text of this thread's last error, and how the C functions set it.
#pragma once

#include "base/result.h"

namespace outlive::client {

// Keeps the error's text for outlive_error() and returns -code: `return report(error);`.
int report(const Error& error);

}  // namespace outlive::client
