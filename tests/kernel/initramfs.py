"""Writes an initramfs: an archive in cpio's "newc" format (the kernel's
Documentation/driver-api/early-userspace/buffer-format), with nothing in it but what is told."""

import os
import stat

FOLDER = 0o040755
PROGRAM = 0o100755
TEXT = 0o100644
LINK = 0o120777


def entry(number, name, mode, content):
    """One entry: 13 fields of 8 hex digits, the name and the content, each filled up to 4 bytes."""
    path = name.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(path), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + path
    return b"".join(part + bytes(-len(part) % 4) for part in (head, content))


def archive(entries):
    """The bytes of an initramfs with `entries`: (name, mode, content), a folder before what is in it."""
    entries = [*entries, ("TRAILER!!!", 0, b"")]
    return b"".join(entry(number, *one) for number, one in enumerate(entries, 1))


def pack(init, programs=()):
    """The bytes of an initramfs that has `init`, a static program, as PID 1, and (name, content) in /bin."""
    return archive([("dev", FOLDER, b""), ("init", PROGRAM, init), ("bin", FOLDER, b""),
                    *((f"bin/{name}", PROGRAM, content) for name, content in programs)])


def tree(top):
    """The entries of a folder of ours: its folders, links and files, all of them root's."""
    for folder, folders, files in os.walk(top):
        for name in sorted(folders + files):
            path = os.path.join(folder, name)
            mode = os.lstat(path).st_mode
            if stat.S_ISLNK(mode):
                content = os.readlink(path).encode()
            elif stat.S_ISREG(mode):
                with open(path, "rb") as file:
                    content = file.read()
            else:
                content = b""
            yield os.path.relpath(path, top), mode, content
