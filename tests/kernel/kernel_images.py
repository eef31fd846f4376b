"""Kernel images for the tests of `outlive kexec`: copies of the test's own with a few bytes changed. What
Image.has() makes can't be booted: it is to be refused before that."""

import re
import struct
import subprocess
import zlib

from harness import check, equal

KERNEL_VERSION, SETUP_SECTORS, PAYLOAD = 0x20e, 0x1f1, 0x248  # abi/kernel_image.h
FORMAT = re.compile(rb"(?<![ -~])(kho|luo|memfd)-v[0-9]+\0")


class Image:
    def __init__(self, path):
        with open(path, "rb") as file:
            self.bytes = bytearray(file.read())

    def says_version(self, digit):
        """The header says that it is another version; the kernel in it is the same."""
        at = 0x200 + struct.unpack_from("<H", self.bytes, KERNEL_VERSION)[0]
        check(self.bytes[at:at + 1].isdigit(), "the version in the image")
        self.bytes[at:at + 1] = digit.encode()
        return self

    def has_in_place(self, name):
        """The next version of this format, in a kernel that can be booted: the digit stands as it is among
        what is packed, and nothing else refers to it."""
        start, packed = self.payload()
        kernel = lz4("-dc", packed)
        found = re.search(rb"%s-v([0-9])" % name, packed)
        check(found is not None, f"{name}-vN as it is among what is packed")
        equal(len(re.findall(rb"(?<![ -~])%s-v[0-9]\0" % name, kernel)), 1, f"{name}-vN in the kernel")
        at = found.start(1)
        changed = packed[:at] + b"%d" % ((int(found[1]) + 1) % 10) + packed[at + 1:]
        other = lz4("-dc", changed)
        equal(sum(a != b for a, b in zip(kernel, other)), 1, "bytes that differ")
        self.bytes[start:start + len(changed)] = changed
        return self

    def payload(self):
        """Where it is, and what is packed: without the size behind it."""
        offset, size = struct.unpack_from("<II", self.bytes, PAYLOAD)
        start = (self.bytes[SETUP_SECTORS] + 1) * 512 + offset
        return start, bytes(self.bytes[start:start + size - 4])

    def has(self, change):
        """Another kernel in it: what `change` makes of the bytes of this one. At the end of the file, where
        there is room: as the header says it."""
        start = (self.bytes[SETUP_SECTORS] + 1) * 512
        kernel = change(lz4("-dc", self.payload()[1]))
        packed = lz4("-lc1", kernel) + struct.pack("<I", len(kernel))
        struct.pack_into("<II", self.bytes, PAYLOAD, len(self.bytes) - start, len(packed))
        self.bytes += packed
        return self

    def save(self, path):
        with open(path, "wb") as file:
            file.write(self.bytes)


def lz4(option, data):
    return subprocess.run(["lz4", option, "-"], input=data, stdout=subprocess.PIPE, check=True).stdout


def without_luo(kernel):
    """As one that was built without it: its strings are blanked, and its configuration says so."""
    kernel, count = FORMAT.subn(lambda found: bytes(len(found[0])), kernel)
    check(count >= 3, f"{count} names of formats in the kernel")
    start = kernel.index(b"IKCFG_ST\x1f\x8b") + 8
    end = kernel.index(b"IKCFG_ED", start)
    config = zlib.decompress(kernel[start:end], 31)
    config, count = re.subn(rb"\nCONFIG_LIVEUPDATE=y\n", b"\n# CONFIG_LIVEUPDATE is not set\n", config)
    check(count == 1, "CONFIG_LIVEUPDATE in the configuration")
    pack = zlib.compressobj(9, wbits=31)
    packed = pack.compress(config) + pack.flush()
    check(len(packed) <= end - start, "room for the configuration")
    return kernel[:start] + packed.ljust(end - start, b"\0") + kernel[end:]


def with_other_luo(kernel):
    """The next version of the orchestrator's format."""
    found = re.search(rb"\0luo-v([0-9])\0", kernel)
    check(found is not None, "luo-vN in the kernel")
    return kernel.replace(found[0], b"\0luo-v%d\0" % ((int(found[1]) + 1) % 10))
