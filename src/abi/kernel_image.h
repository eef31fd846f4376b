// DOC: the images that kernels are booted from, as far as `outlive kexec` looks into them. The
// kernel's own formats: they are read, never written.
//
// x86 bzImage (Linux: Documentation/arch/x86/boot.rst, protocol 2.08 and later), little endian:
//   0x1f1  u8   setup_sects (0 means 4): what is loaded starts at (setup_sects + 1) * 512
//   0x202       "HdrS"
//   0x206  u16  protocol version
//   0x20e  u16  kernel_version: its text, "RELEASE (BUILDER) VERSION", is at 0x200 + this; 0: none
//   0x238  u32  cmdline_size, the most of a command line; kexec_file_load(2) counts the zero at its
//               end in
//   0x248  u32  payload_offset, from the start of what is loaded
//   0x24c  u32  payload_length
// The payload is packed as its first bytes say. Its last four are the unpacked size, u32: the
// build appends them where the format has none of its own (gzip has it there).
//   02 21 4c 18  LZ4, its legacy frame: blocks of {u32 packed size; bytes}, unpacked 8 MiB at most
//   1f 8b gzip   28 b5 2f fd zstd   fd 37 7a 58 5a 00 xz   7f 45 4c 46 an ELF file as it is
//
// arm64 Image (Documentation/arch/arm64/booting.rst): "ARM\x64" at 0x38, not packed.
//
// CONFIG_IKCONFIG: the configuration, gzip, behind the eight bytes "IKCFG_ST".
#pragma once

#include <cstddef>
#include <cstdint>

namespace outlive::abi {

inline constexpr size_t kSetupSectorsAt = 0x1f1;
inline constexpr size_t kBootMagicAt = 0x202;
inline constexpr char kBootMagic[] = "HdrS";
inline constexpr size_t kBootProtocolAt = 0x206;
inline constexpr uint16_t kBootProtocolWithPayload = 0x208;
inline constexpr size_t kBootVersionAt = 0x20e;
inline constexpr size_t kBootVersionFrom = 0x200;
inline constexpr size_t kCommandLineSizeAt = 0x238;
inline constexpr size_t kPayloadOffsetAt = 0x248;
inline constexpr size_t kPayloadLengthAt = 0x24c;
inline constexpr size_t kBootSector = 512;

// COMMAND_LINE_SIZE less one, where the image doesn't say it: of x86 and arm64; no kernel has less.
inline constexpr size_t kUsualCommandLine = 2047;

inline constexpr size_t kArm64MagicAt = 0x38;
inline constexpr char kArm64Magic[] = "ARM\x64";

inline constexpr unsigned char kMagicElf[] = {0x7f, 'E', 'L', 'F'};
inline constexpr unsigned char kMagicLz4[] = {0x02, 0x21, 0x4c, 0x18};
inline constexpr unsigned char kMagicGzip[] = {0x1f, 0x8b};
inline constexpr unsigned char kMagicXz[] = {0xfd, '7', 'z', 'X', 'Z', 0};
inline constexpr unsigned char kMagicZstd[] = {0x28, 0xb5, 0x2f, 0xfd};
inline constexpr size_t kLz4Block = 8 << 20;

inline constexpr char kConfigMagic[] = "IKCFG_ST";

// What a kernel calls the formats that it hands on, and takes over: whole strings, each with its
// number behind it ("luo-v5").
inline constexpr const char* kKernelFormats[] = {"kho-v", "luo-v", "memfd-v"};

}  // namespace outlive::abi
