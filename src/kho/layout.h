// Where the parts of an arena are. The layout follows from the number of pages alone.
#pragma once

#include "kho/phys.h"

namespace outlive::kho {

inline constexpr uint64_t kFirstFdtPage = 1;
inline constexpr uint64_t kSecondFdtPage = 2;
inline constexpr uint64_t kDescriptorPage = 3;
inline constexpr uint64_t kDescriptorsPerPage = abi::kPageSize / sizeof(uint64_t);
// What the file is allocated in. A page of descriptors describes just one chunk.
inline constexpr uint64_t kChunkPages = kDescriptorsPerPage;
inline constexpr uint64_t kChunkBytes = kChunkPages * abi::kPageSize;
inline constexpr uint64_t kMinPages = 16;
// Keys of the tracker have room for more; page numbers of the allocator too.
inline constexpr uint64_t kMaxPages = uint64_t{1} << 36;

constexpr uint64_t descriptor_pages(uint64_t pages) {
  return (pages + kDescriptorsPerPage - 1) / kDescriptorsPerPage;
}
// Pages below this one are the arena's own (kOwnerMeta).
constexpr uint64_t first_free_page(uint64_t pages) {
  return kDescriptorPage + descriptor_pages(pages);
}
inline constexpr uint64_t kMetaDescriptor =
    abi::make_descriptor(abi::PageState::kLive, 0, abi::kOwnerMeta, 0);

}  // namespace outlive::kho
