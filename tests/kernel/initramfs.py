"""Writes an initramfs: an archive in cpio's "newc" format (the kernel's
Documentation/driver-api/early-userspace/buffer-format), with nothing in it but what is told."""

FOLDER = 0o040755
PROGRAM = 0o100755


def entry(number, name, mode, content):
    """One entry: 13 fields of 8 hex digits, the name and the content, each filled up to 4 bytes."""
    path = name.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(path), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + path
    return b"".join(part + bytes(-len(part) % 4) for part in (head, content))


def pack(init):
    """The bytes of an initramfs that has `init`, a static program, as PID 1."""
    entries = [("dev", FOLDER, b""), ("init", PROGRAM, init), ("TRAILER!!!", 0, b"")]
    return b"".join(entry(number, *one) for number, one in enumerate(entries, 1))
