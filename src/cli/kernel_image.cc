#include "cli/kernel_image.h"

#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <string_view>

#include "abi/kernel_image.h"

namespace outlive::cli {
namespace {

constexpr size_t kMost = 512 << 20;  // of a file, and of what is in it
constexpr size_t kMostConfig = 4 << 20;
constexpr size_t kMostVersion = 512;
constexpr size_t kMostDigits = 4;
constexpr const char* kOptions[] = {"CONFIG_KEXEC_HANDOVER", "CONFIG_LIVEUPDATE"};

std::string_view text_of(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

template <typename T>
T number_at(Bytes bytes, size_t at) {
  T value{};
  if (at <= bytes.size() && bytes.size() - at >= sizeof value) {
    memcpy(&value, bytes.data() + at, sizeof value);
  }
  return value;
}

bool has_at(Bytes bytes, size_t at, std::string_view what) {
  return text_of(bytes).substr(std::min(at, bytes.size())).starts_with(what);
}

bool is_elf(Bytes bytes) {
  return has_at(bytes, 0, {reinterpret_cast<const char*>(abi::kMagicElf), sizeof abi::kMagicElf});
}

bool is_bzimage(Bytes file) {
  return has_at(file, abi::kBootMagicAt, abi::kBootMagic);
}

Result<sys::Mapping> whole(BorrowedFd file) {
  const struct stat status = TRY(sys::fstat(file));
  if (!S_ISREG(status.st_mode)) return fail(EINVAL, "it is no file");
  if (static_cast<uint64_t>(status.st_size) > kMost) return fail(EFBIG, "it is too large");
  if (status.st_size == 0) return sys::Mapping();
  const auto size = static_cast<size_t>(status.st_size);
  // A copy: a mapping of the file would be a SIGBUS when somebody truncates it.
  sys::Mapping copy = TRY(sys::mmap(size, PROT_READ | PROT_WRITE,
                                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, BorrowedFd()));
  for (size_t at = 0; at != size;) {
    const ssize_t got = ::pread(file.get(), copy.data() + at, size - at, static_cast<off_t>(at));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno("reading it");
    if (got == 0) return fail(EUCLEAN, "it is getting shorter");
    at += static_cast<size_t>(got);
  }
  return copy;
}

std::string version_of(Bytes file) {
  const auto where = number_at<uint16_t>(file, abi::kBootVersionAt);
  if (where == 0) return {};
  const size_t at = std::min(abi::kBootVersionFrom + where, file.size());
  const std::string_view rest = text_of(file).substr(at, kMostVersion);
  return std::string(rest.substr(0, rest.find('\0')));
}

Result<Bytes> payload_of(Bytes file) {
  if (number_at<uint16_t>(file, abi::kBootProtocolAt) < abi::kBootProtocolWithPayload) {
    return fail(EOPNOTSUPP, "its header is too old to say where the kernel is");
  }
  const auto sectors = number_at<uint8_t>(file, abi::kSetupSectorsAt);
  const size_t start = ((sectors == 0 ? 4 : sectors) + size_t{1}) * abi::kBootSector;
  const uint64_t from = start + uint64_t{number_at<uint32_t>(file, abi::kPayloadOffsetAt)};
  const uint64_t size = number_at<uint32_t>(file, abi::kPayloadLengthAt);
  if (size == 0 || from > file.size() || size > file.size() - from) {
    return fail(EUCLEAN, "its header says that the kernel is at {} to {} of {} bytes", from,
                from + size, file.size());
  }
  return file.subspan(from, size);
}

void look_into(Bytes kernel, KernelImage& image) {
  image.formats = formats_in(kernel);
  image.missing = missing_in(kernel);
}

Status look(Bytes file, KernelImage& image) {
  if (is_elf(file) || has_at(file, abi::kArm64MagicAt, abi::kArm64Magic)) {
    look_into(file, image);
    return {};
  }
  if (!is_bzimage(file)) {
    return fail(EOPNOTSUPP, "it is no kernel of a kind that is known here (bzImage, ELF, Image)");
  }
  image.version = version_of(file);
  image.cmdline_size = number_at<uint32_t>(file, abi::kCommandLineSizeAt);
  const Bytes payload = TRY(payload_of(file));
  if (is_elf(payload)) {
    look_into(payload, image);
    return {};
  }
  const sys::Mapping kernel = TRY(unpack_payload(payload, kMost));
  if (!is_elf(bytes_of(kernel))) return fail(EUCLEAN, "what is packed in it is no ELF file");
  look_into(bytes_of(kernel), image);
  return {};
}

// "unknown luo-v5" is a message, no format. The linker may have put a format's own string into such
// a one, as its end: then it isn't found, and somebody has to vouch for the kernel.
bool is_an_end(std::string_view text, size_t at) {
  return at != 0 && text[at - 1] >= ' ' && text[at - 1] < 0x7f;
}

}  // namespace

std::vector<std::string> formats_in(Bytes kernel) {
  const std::string_view text = text_of(kernel);
  std::set<std::string> found;
  for (const std::string_view name : abi::kKernelFormats) {
    for (size_t at = 0;;) {
      const void* next = ::memmem(text.data() + at, text.size() - at, name.data(), name.size());
      if (next == nullptr) break;
      const size_t start = static_cast<size_t>(static_cast<const char*>(next) - text.data());
      at = start + name.size();
      const std::string_view digits = text.substr(at, kMostDigits + 1);
      const size_t count = digits.find_first_not_of("0123456789");
      if (count == 0 || count == std::string_view::npos || digits[count] != '\0') continue;
      if (!is_an_end(text, start)) found.emplace(text.substr(start, name.size() + count));
    }
  }
  return {found.begin(), found.end()};
}

std::vector<std::string> missing_in(Bytes kernel) {
  const std::string_view text = text_of(kernel);
  // The words of the kernel's scripts/extract-ikconfig: with the magic of gzip behind them.
  const std::string magic =
      std::string(abi::kConfigMagic) +
      std::string(reinterpret_cast<const char*>(abi::kMagicGzip), sizeof abi::kMagicGzip);
  const void* found = ::memmem(text.data(), text.size(), magic.data(), magic.size());
  if (found == nullptr) return {};
  const size_t at = static_cast<size_t>(static_cast<const char*>(found) - text.data()) +
                    strlen(abi::kConfigMagic);
  const auto config = unpack_gzip(kernel.subspan(at), kMostConfig);
  if (!config) return {};
  const std::string lines = "\n" + std::string(text_of(bytes_of(*config)));
  std::vector<std::string> missing;
  for (const char* option : kOptions) {
    if (!lines.contains(fmt::format("\n{}=y\n", option))) missing.emplace_back(option);
  }
  return missing;
}

Result<KernelImage> read_kernel_image(BorrowedFd file) {
  const sys::Mapping bytes = TRY(whole(file));
  KernelImage image;
  if (const Status looked = look(bytes_of(bytes), image); !looked) {
    image.unreadable = looked.error().message;
  }
  return image;
}

Result<KernelImage> read_kernel_image(const std::string& path) {
  const UniqueFd file = TRY(sys::open(path, O_RDONLY | O_NONBLOCK));
  return read_kernel_image(file).context("{}", path);
}

}  // namespace outlive::cli
