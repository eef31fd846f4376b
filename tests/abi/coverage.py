"""Which requests and which results must have occurred: the rows of the table of results in the kernel's
interface. A run in which one is missing has shown nothing about it."""

# (prefix of the request's kind, what it comes to): the row
ROWS = {
    ("open", "ok"): "the device opens",
    ("open-again", "EBUSY"): "second open while it is open",
    ("open-full", "EMFILE"): "no room for a descriptor",
    ("create", "ok"): "create",
    ("create-empty", "EINVAL"): "create: name empty",
    ("create-unterminated", "EINVAL"): "create: 64 bytes without NUL",
    ("create-longest", "ok"): "create: 63 bytes",
    ("create-again", "EEXIST"): "create: name in use by an outgoing session",
    ("create-full", "EMFILE"): "create: no room",
    ("create-after-close", "ok"): "create: the name is free after the last close",
    ("retrieve-session", "ok"): "retrieve session",
    ("retrieve-session-unknown", "ENOENT"): "retrieve session: no such incoming one",
    ("retrieve-session-again", "EINVAL"): "retrieve session: already retrieved",
    ("retrieve-session-full", "EMFILE"): "retrieve session: no room",
    ("preserve", "ok"): "preserve",
    ("preserve-used-token", "EEXIST"): "preserve: token used, checked before the fd",
    ("preserve-bad-fd", "EBADF"): "preserve: bad fd",
    ("preserve-path", "EBADF"): "preserve: only a path",
    ("preserve-pipe-read", "ENOENT"): "preserve: no handler takes the file",
    ("preserve-huge-memfd", "ENOENT"): "preserve: huge pages",
    ("preserve-tmpfs-linked", "ENOENT"): "preserve: a file with a name",
    ("preserve-session", "ENOENT"): "preserve: a session",
    ("preserve-device", "ENOENT"): "preserve: the device",
    ("preserve-again", "EBUSY"): "preserve: already preserved, by inode, in any session",
    ("preserve-incoming", "EINVAL"): "preserve on an incoming session",
    ("retrieve", "ok"): "retrieve fd",
    ("retrieve-again", "ok"): "retrieve fd again",
    ("retrieve-unknown", "ENOENT"): "retrieve fd: unknown token",
    ("retrieve-outgoing", "EINVAL"): "retrieve fd on an outgoing session",
    ("retrieve-full", "EMFILE"): "retrieve fd: no room",
    ("finish", "ok"): "finish",
    ("finish-outgoing", "EINVAL"): "finish on an outgoing session",
    ("reserved", "EINVAL"): "reserved not 0",
    ("get-name", "ok"): "get name",
    ("unknown-number", "EINVAL"): "number of none of the object's requests",
    ("bad-pointer", "EFAULT"): "size can't be read",
    ("other-type", "ENOTTY"): "known number, another type",
    ("other-direction", "ENOTTY"): "known number, direction bits",
    ("bad-size", "EINVAL"): "size smaller than the least",
    ("too-big", "E2BIG"): "unknown bytes that aren't zero",
    ("bigger-zero", "ok"): "unknown bytes that are zero",
    ("cut-off", "EFAULT"): "memory ends before the structure",
    ("read-only", "EFAULT"): "an answer that can't be written",
    ("describe-all", "access=rw"): "a retrieved file",
}
# Kinds that come from the random part; all others are in ROWS or in rows.py.
KINDS = ("bad-pointer", "bad-size", "bigger-zero", "child-create", "close", "create-bad-name", "cut-off", "describe",
         "dup", "fallocate", "finish", "fork", "full", "generic", "get-name", "kill", "memfd", "pass", "queue", "reap",
         "reopen", "retrieve", "seals", "seek", "store", "too-big", "truncate", "two-wrong", "any-number", "unqueue",
         "append", "write", "other-type", "other-direction", "unknown-number")


def missing(kinds):
    """What didn't occur: text, [] when all is there. `kinds`: (kind, result) -> how often."""
    seen = {kind for kind, _ in kinds}
    return ([f"{row} ({kind}: {result})" for (kind, result), row in ROWS.items() if not kinds[kind, result]] +
            [f"a request of kind {kind}" for kind in KINDS if kind not in seen])


def table(kinds):
    """How often each kind came to what."""
    lines = []
    for kind in sorted({kind for kind, _ in kinds}):
        results = sorted(((count, result) for (k, result), count in kinds.items() if k == kind), reverse=True)
        text = " ".join(f"{result}={count}" for count, result in results[:8])
        lines.append(f"  {kind:26} {text}{' ...' if len(results) > 8 else ''}")
    return "\n".join(lines)
