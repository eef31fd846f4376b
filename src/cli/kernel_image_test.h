// Kernel images for tests: a "kernel" with the strings wanted, packed as the kernel's build does
// it.
#pragma once

#include <gtest/gtest.h>
#include <lz4.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "abi/kernel_image.h"
#include "base/sys.h"

namespace outlive::cli::test {

template <size_t kSize>
std::string magic(const unsigned char (&bytes)[kSize]) {
  return {reinterpret_cast<const char*>(bytes), kSize};
}

inline std::string le32(size_t value) {
  const auto number = static_cast<uint32_t>(value);
  return {reinterpret_cast<const char*>(&number), sizeof number};
}

// An ELF file by its first bytes alone; the strings as a compiler leaves them.
inline std::string kernel_with(const std::string& strings, size_t filler = 100'000) {
  std::string text = magic(abi::kMagicElf);
  for (size_t i = 0; text.size() < std::min(filler, size_t{100'000}); ++i)
    text += fmt::format("filler {}\n", i * i);
  text.resize(std::max(text.size(), filler));  // zeros pack fast
  return text + '\0' + strings + '\0' + std::string(1000, '\0');
}

inline const std::string kGoodStrings("kho-v4\0something else\0luo-v5\0memfd-v2", 38);

inline std::string gzip(const std::string& text) {
  std::string out(text.size() + 1000, '\0');
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

// In blocks of 8 MiB, as the legacy frame wants them.
inline std::string lz4(const std::string& text) {
  std::string out = magic(abi::kMagicLz4);
  for (size_t at = 0; at < text.size(); at += abi::kLz4Block) {
    const std::string block = text.substr(at, abi::kLz4Block);
    std::string packed(static_cast<size_t>(LZ4_compressBound(static_cast<int>(block.size()))), 0);
    packed.resize(static_cast<size_t>(LZ4_compress_default(block.data(), packed.data(),
                                                           static_cast<int>(block.size()),
                                                           static_cast<int>(packed.size()))));
    out += le32(packed.size()) + packed;
  }
  return out + le32(text.size());
}

inline std::string xz(const std::string& text) {
  std::string out(text.size() + 1000, '\0');
  size_t size = 0;
  EXPECT_EQ(lzma_easy_buffer_encode(6, LZMA_CHECK_CRC32, nullptr,
                                    reinterpret_cast<const uint8_t*>(text.data()), text.size(),
                                    reinterpret_cast<uint8_t*>(out.data()), &size, out.size()),
            LZMA_OK);
  return out.substr(0, size) + le32(text.size());
}

inline std::string zstd(const std::string& text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 19));
  return out + le32(text.size());
}

template <typename T>
void put(std::string& bytes, size_t at, T value) {
  memcpy(bytes.data() + at, &value, sizeof value);
}

// One sector of setup, then some code, the payload, and some code again.
inline std::string bzimage(const std::string& payload, const std::string& version) {
  std::string bytes(2 * abi::kBootSector, '\0');
  bytes.replace(abi::kBootMagicAt, 4, abi::kBootMagic);
  bytes[abi::kSetupSectorsAt] = 1;
  put(bytes, abi::kBootProtocolAt, uint16_t{0x20f});
  put(bytes, abi::kBootVersionAt, uint16_t{0x100});
  bytes.replace(0x300, version.size(), version);
  put(bytes, abi::kPayloadOffsetAt, uint32_t{708});
  put(bytes, abi::kPayloadLengthAt, static_cast<uint32_t>(payload.size()));
  return bytes + std::string(708, 'c') + payload + std::string(300, 'd');
}

inline UniqueFd file_of(const std::string& bytes) {
  UniqueFd file = sys::memfd_create("image", 0).take();
  EXPECT_TRUE(sys::write_all(file, bytes));
  return file;
}

}  // namespace outlive::cli::test
