#include "client/state_header.h"

#include <string.h>

#include <limits>

#include "base/crc32c.h"
#include "client/last_error.h"
#include "outlive/outlive.h"

namespace outlive::client {
namespace {

Status check_name(std::string_view name) {
  constexpr size_t kMost = sizeof(abi::StateHeader::compatible) - 1;
  if (!name.empty() && name.size() <= kMost) return {};
  return fail(EINVAL, "state format's name '{}' must have 1 to {} bytes", name, kMost);
}

}  // namespace

Result<abi::StateHeader> seal_state(const StateFormat& format, std::span<const std::byte> bytes) {
  TRY(check_name(format.compatible));
  if (format.oldest_reader > format.version) {
    return fail(EINVAL, "state '{}': version {} can't have {} as its oldest reader",
                format.compatible, format.version, format.oldest_reader);
  }
  if (bytes.size() > std::numeric_limits<uint32_t>::max()) {
    return fail(EINVAL, "state '{}': {} bytes are too many", format.compatible, bytes.size());
  }
  abi::StateHeader header{};
  header.magic = abi::kStateMagic;
  memcpy(header.compatible, format.compatible.data(), format.compatible.size());
  header.version = format.version;
  header.oldest_reader = format.oldest_reader;
  header.layout_hash = format.layout_hash;
  header.size = static_cast<uint32_t>(bytes.size());
  header.crc = crc32c(bytes);
  return header;
}

Result<uint32_t> check_state(const StateFormat& format, uint32_t oldest_readable,
                             const abi::StateHeader& header, std::span<const std::byte> bytes) {
  TRY(check_name(format.compatible));
  if (header.magic != abi::kStateMagic) {
    return fail(EPROTO, "state '{}': no '{}' header", format.compatible, abi::kStateCompatible);
  }
  const std::string_view found(header.compatible,
                               strnlen(header.compatible, sizeof header.compatible));
  if (found != format.compatible) {
    return fail(EPROTO, "state '{}' version {}, this program reads '{}' version {}", found,
                uint32_t{header.version}, format.compatible, format.version);
  }
  if (header.version < oldest_readable) {
    return fail(EPROTO, "state '{}' has version {}, this program (version {}) reads {} and newer",
                found, uint32_t{header.version}, format.version, oldest_readable);
  }
  if (header.oldest_reader > format.version) {
    return fail(EPROTO,
                "state '{}' has version {}, which {} and newer can read; this program is {}", found,
                uint32_t{header.version}, uint32_t{header.oldest_reader}, format.version);
  }
  // Another version may have another layout; the same one must not.
  if (header.version == format.version && header.layout_hash != 0 && format.layout_hash != 0 &&
      header.layout_hash != format.layout_hash) {
    return fail(EPROTO,
                "state '{}' version {} has layout {:#x}, this program's version {} has {:#x}",
                found, uint32_t{header.version}, uint64_t{header.layout_hash}, format.version,
                format.layout_hash);
  }
  if (header.size != bytes.size()) {
    return fail(EUCLEAN, "state '{}': {} bytes, its header says {}", found, bytes.size(),
                uint32_t{header.size});
  }
  if (header.crc != crc32c(bytes)) return fail(EUCLEAN, "state '{}': wrong checksum", found);
  return uint32_t{header.version};
}

}  // namespace outlive::client

namespace {

outlive::client::StateFormat format_of(const outlive_state_format& format) {
  return {format.compatible == nullptr ? "" : format.compatible, format.version,
          format.oldest_reader, format.layout_hash};
}
std::span<const std::byte> bytes_of(const void* bytes, uint32_t size) {
  return {static_cast<const std::byte*>(bytes), size};
}

}  // namespace

static_assert(OUTLIVE_STATE_HEADER_SIZE == sizeof(outlive::abi::StateHeader));

int outlive_state_seal(const outlive_state_format* format, const void* bytes, uint32_t size,
                       void* header) {
  const auto made = outlive::client::seal_state(format_of(*format), bytes_of(bytes, size));
  if (!made) return outlive::client::report(made.error());
  memcpy(header, &*made, sizeof *made);
  return 0;
}

long outlive_state_check(const outlive_state_format* format, uint32_t oldest_readable,
                         const void* header, const void* bytes, uint32_t size) {
  outlive::abi::StateHeader copy;  // `header` may not be aligned
  memcpy(&copy, header, sizeof copy);
  const auto version = outlive::client::check_state(format_of(*format), oldest_readable, copy,
                                                    bytes_of(bytes, size));
  if (!version) return outlive::client::report(version.error());
  return *version;
}
