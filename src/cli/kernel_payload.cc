#include "cli/kernel_payload.h"

#include <lz4.h>
#include <lzma.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <optional>

#include "abi/kernel_image.h"

namespace outlive::cli {
namespace {

constexpr uint64_t kMostXzMemory = 256 << 20;  // the kernel's dictionaries are 128 MiB at most

// Each: the bytes that it has unpacked; nullopt: damaged, or more than there is room for.
using Unpacked = std::optional<size_t>;

template <size_t kSize>
bool starts_with(Bytes bytes, const unsigned char (&magic)[kSize]) {
  return bytes.size() >= kSize && memcmp(bytes.data(), magic, kSize) == 0;
}

uint32_t number_at(Bytes bytes, size_t at) {
  uint32_t value = 0;
  memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

Unpacked lz4(Bytes packed, std::span<std::byte> room) {
  size_t done = 0;
  for (size_t at = 0; at != packed.size();) {
    if (packed.size() - at < sizeof(uint32_t)) return std::nullopt;
    const uint32_t size = number_at(packed, at);
    const bool magic = starts_with(packed.subspan(at), abi::kMagicLz4);  // of a next frame, too
    at += sizeof size;
    if (magic) continue;
    if (size > packed.size() - at) return std::nullopt;
    const int got =
        LZ4_decompress_safe(reinterpret_cast<const char*>(packed.data() + at),
                            reinterpret_cast<char*>(room.data() + done), static_cast<int>(size),
                            static_cast<int>(std::min(room.size() - done, abi::kLz4Block)));
    if (got < 0) return std::nullopt;
    done += static_cast<size_t>(got);
    at += size;
  }
  return done;
}

Unpacked gzip(Bytes packed, std::span<std::byte> room) {
  z_stream stream{};
  if (inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK) return std::nullopt;
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(packed.data()));
  stream.avail_in = static_cast<uInt>(packed.size());
  stream.next_out = reinterpret_cast<Bytef*>(room.data());
  stream.avail_out = static_cast<uInt>(room.size());
  const int ended = inflate(&stream, Z_FINISH);
  const size_t done = stream.total_out;
  inflateEnd(&stream);
  return ended == Z_STREAM_END ? Unpacked(done) : std::nullopt;
}

Unpacked xz(Bytes packed, std::span<std::byte> room) {
  uint64_t memory = kMostXzMemory;
  size_t at = 0;
  size_t done = 0;
  const lzma_ret ended = lzma_stream_buffer_decode(
      &memory, 0, nullptr, reinterpret_cast<const uint8_t*>(packed.data()), &at, packed.size(),
      reinterpret_cast<uint8_t*>(room.data()), &done, room.size());
  return ended == LZMA_OK && at == packed.size() ? Unpacked(done) : std::nullopt;
}

Unpacked zstd(Bytes packed, std::span<std::byte> room) {
  const size_t done = ZSTD_decompress(room.data(), room.size(), packed.data(), packed.size());
  return ZSTD_isError(done) == 0 ? Unpacked(done) : std::nullopt;
}

Result<sys::Mapping> room_for(size_t size, size_t most) {
  if (size > most) return fail(EFBIG, "unpacked it would have {} bytes", size);
  if (size == 0) return fail(EUCLEAN, "nothing is packed in it");
  // Taken page by page as it fills.
  return sys::mmap(size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   BorrowedFd());
}

}  // namespace

Result<sys::Mapping> unpack_payload(Bytes payload, size_t most) {
  constexpr size_t kSizeBytes = sizeof(uint32_t);
  if (payload.size() < kSizeBytes + sizeof abi::kMagicElf || payload.size() > most) {
    return fail(EUCLEAN, "what is packed in it can't be {} bytes", payload.size());
  }
  const Bytes packed = payload.first(payload.size() - kSizeBytes);
  Unpacked (*unpack)(Bytes, std::span<std::byte>) = nullptr;
  Bytes from = packed;
  if (starts_with(payload, abi::kMagicLz4)) unpack = &lz4;
  if (starts_with(payload, abi::kMagicXz)) unpack = &xz;
  if (starts_with(payload, abi::kMagicZstd)) unpack = &zstd;
  if (starts_with(payload, abi::kMagicGzip)) {
    unpack = &gzip;
    from = payload;  // the size is its own
  }
  if (unpack == nullptr) {
    return fail(EOPNOTSUPP,
                "it is packed in a way that isn't known here (LZ4, gzip, xz, zstd are)");
  }
  sys::Mapping room = TRY(room_for(number_at(payload, packed.size()), most));
  const Unpacked done = unpack(from, {room.data(), room.size()});
  if (done != room.size()) return fail(EUCLEAN, "what is packed in it is damaged");
  return room;
}

Result<sys::Mapping> unpack_gzip(Bytes packed, size_t most) {
  const sys::Mapping room = TRY(room_for(most, most));
  const Unpacked done = gzip(packed.first(std::min(packed.size(), most)), {room.data(), most});
  if (!done) return fail(EUCLEAN, "what is packed with gzip is damaged");
  sys::Mapping exact = TRY(room_for(*done, most));
  memcpy(exact.data(), room.data(), *done);
  return exact;
}

}  // namespace outlive::cli
