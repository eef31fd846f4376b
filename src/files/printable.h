// Text that others chose (paths, socket names, memfd names), made fit for terminals and JSON: valid
// UTF-8 of one line.
#pragma once

#include <string>
#include <string_view>

namespace outlive::files {

// Control characters and bytes that aren't UTF-8 become \xHH; cut after about `most` bytes.
std::string printable(std::string_view text, size_t most = 256);

}  // namespace outlive::files
