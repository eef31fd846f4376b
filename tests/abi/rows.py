"""Sequences that are in every run: each row of the table of results once for sure, whatever the seed."""

from script import (CREATE, FINISH, GET_NAME, PRESERVE, RETRIEVE, RETRIEVE_SESSION, Sequence, create, do,
                    file_body, finish, finish_body, get_name, ioctl, name_body, named, preserve, retrieve,
                    retrieve_session, session_body)

KINDS = ("pipe-read", "pipe-write", "unix-stream", "unix-packet", "tcp", "udp6", "eventfd", "epoll", "signalfd",
         "timerfd", "inotify", "pidfd", "null", "zero", "folder", "path", "proc", "program", "huge-memfd",
         "tmpfs-nameless", "tmpfs-unlinked", "tmpfs-linked", "tmpfs-folder")
OPEN = do("open d 2")
ALLOW_SEALING = 2
SEALS = {"SEAL": 1, "SHRINK": 2, "GROW": 4, "WRITE": 8, "FUTURE_WRITE": 16, "EXEC": 32}


def memfd(slot, size=5000, seed=1, flags=ALLOW_SEALING):
    return [do(f"memfd {slot} {flags}"), do(f"write {slot} 0 {size} {seed}")]


def one(*requests):
    return Sequence([(1, flat(requests))])


def two(before, after, kernel=1):
    return Sequence([(kernel, flat(before)), (kernel + 1, flat(after))])


def flat(requests):
    """Some helpers give several requests at once."""
    out = []
    for request in requests:
        out += request if isinstance(request, list) else [request]
    return out


def in_child(request):
    return do("child " + request.text, "child-" + request.kind)


def device():
    yield one(OPEN, do("open d2 2", "open-again"), do("dup d d3"), do("close d"), do("open d2 2", "open-again"),
              do("close d3"), do("open d2 0"), do("flags d2"))
    yield one(OPEN, do("child open d2 2", "child-open"), do("close d"), do("child open d 2", "child-open"), OPEN)
    for flags in (0, 1, 2, 0x802, 0x80002, 0x402, 0x202, 0x42, 0xC2, 0x10000, 0x200000):
        yield one(do(f"open d {flags:#x}", "open-flags"), create("s", named(b"x")), preserve("s", 1, "d"))


def names():
    yield one(OPEN, create("s", named(b"a")), create("s2", named(b"a"), kind="create-again"),
              create("s3", b"", kind="create-empty"), create("s3", b"x" * 64, kind="create-unterminated"),
              create("s3", named(b"x" * 59), kind="create-longest"), get_name("s3"),
              create("s4", named(b"\xff\x80 /\n"), kind="create-bytes"), get_name("s4"),
              create("s5", named(b"a\0b"), kind="create-behind-nul"),
              create("s5", named(b"b\0b"), kind="create-behind-nul"), get_name("s5"),
              do("close s"), create("s2", named(b"a")), do("close s2"))
    yield one(OPEN, retrieve_session("s", named(b"none"), kind="retrieve-session-unknown"),
              retrieve_session("s", b"", kind="retrieve-session-unknown"),
              retrieve_session("s", b"y" * 64, kind="retrieve-session-unknown"), create("s", named(b"o")),
              retrieve_session("s2", named(b"o"), kind="retrieve-session-unknown"))


def checks():
    """The order in which a request is looked at."""
    for slot, numbers, known in (("d", (CREATE, RETRIEVE_SESSION), session_body(named(b"z"))),
                                 ("s", (PRESERVE, RETRIEVE), file_body(7)), ("s", (FINISH,), finish_body()),
                                 ("s", (GET_NAME,), name_body())):
        for number in numbers:
            size = len(known)
            rest = known[4:]

            def sized(claimed, extra=b""):
                return claimed.to_bytes(4, "little") + rest + extra
            tries = [("bad-pointer", number, known, where) for where in ("null", "low", "top")]
            tries += [("bad-size", number, sized(claimed), "end") for claimed in (0, 4, size - 1)]
            tries += [("bad-size", number, sized(claimed), "plain") for claimed in (1, size - 4)]
            tries += [("cut-off", number, sized(claimed), "end")
                      for claimed in (size + 1, size + 8, 0x1000000, 0x7fffffff, 0xffffffff)]
            tries += [("cut-off", number, known[:4], "end"), ("cut-off", number, known[:-1], "end"),
                      ("cut-off", number, known[:3], "end"), ("cut-off", number, sized(0)[:4], "end")]
            tries += [("too-big", number, sized(size + 5, b"\0\0\0\0\1"), "end"),
                      ("too-big", number, sized(size + 1, b"\1"), "plain"),
                      ("too-big", number, sized(4096, bytes(600) + b"\1" + bytes(3423 - size + 72)), "plain")]
            tries += [("other-type", number & 0xff | 0x5400, known, "plain"),
                      ("other-type", number & 0xff | 0x5400, sized(0), "plain"),
                      ("other-type", number & 0xff | 0x5400, known, "null"),
                      ("other-direction", number | 0xC0480000, known, "plain"),
                      ("other-direction", number | 0x40000000, known, "null"),
                      ("other-direction", number | 0x20000000, sized(3), "end")]
            yield one(OPEN, create("s", named(b"s")), *(ioctl(*(t[0], slot, t[1], t[2]), memory=t[3]) for t in tries))
            yield two([OPEN, create("s", named(b"s"))],
                      [OPEN, retrieve_session("s", named(b"s")),
                       *(ioctl(*(t[0], slot, t[1], t[2]), memory=t[3]) for t in tries)])
            big = sized(size + 8, bytes(8))
            yield one(OPEN, create("s", named(b"s")), *memfd("m"),
                      ioctl("bigger-zero", slot, number, big, fd="m", memory="end", into="x"),
                      ioctl("read-only", slot, number, known, fd="m", memory="ro"), get_name("s"),
                      create("t", named(b"z"), kind="create-after"))
    unknown = [(number, "null") for number in (0xBA02, 0xBA3F, 0xBA40, 0xBA44, 0xBA7F, 0xBAFF, 0x5401, 0x541B)]
    yield one(OPEN, create("s", named(b"s")),
              *(ioctl("unknown-number", slot, number, b"", memory) for number, memory in unknown for slot in "ds"),
              ioctl("unknown-number", "s", CREATE, b"", "null"), ioctl("unknown-number", "s", RETRIEVE_SESSION, b"", "null"))
    yield one(OPEN, create("s", named(b"s")), *(
        ioctl("kvm-type", slot, number, b"", "null") for number in (0xAE00, 0xAE41) for slot in "ds"))
    yield one(OPEN, *(create("s", named(b"s"), memory=f"cross:{n}", kind="half-read-only") for n in (4, 8, 16, 68)),
              create("s", named(b"s")), get_name("s", memory="cross:8", kind="half-read-only"),
              get_name("s", memory="cross:40", kind="half-read-only"))
    generic = (0x5450, 0x5451, 0x5421, 0x5452, 0x5460, 0x2, 0x80086601, 0x40086602, 0x801C581F, 0x401C5820, 0xC020660B, 0x40049409, 0x4020940D)
    for memory, body in (("null", b""), ("plain", b"\1\0\0\0"), ("plain", b"\0\0\0\0")):
        yield one(OPEN, create("s", named(b"s")),
                  *(ioctl("generic", slot, number, body, memory) for number in generic for slot in "ds"),
                  do("flags s"), do("flags d"))


def preserving():
    yield one(OPEN, create("s", named(b"s")), *memfd("m"), preserve("s", 1, "m"),
              preserve("s", 1, "none", kind="preserve-used-token"), preserve("s", 1, "m", kind="preserve-used-token"),
              preserve("s", 2, "none", kind="preserve-bad-fd"), preserve("s", 2, "m", kind="preserve-again"),
              do("reopen m m2 0"), preserve("s", 2, "m2", kind="preserve-again"), do("dup m m3"),
              preserve("s", 2, "m3", kind="preserve-again"), create("t", named(b"t")),
              preserve("t", 1, "m", kind="preserve-again"), finish("s", kind="finish-outgoing"),
              retrieve("s", 1, "x", kind="retrieve-outgoing"), do("close s"), preserve("t", 1, "m"), get_name("t"),
              ioctl("reserved", "t", GET_NAME, name_body(reserved=1)))
    for kind in KINDS:
        yield one(OPEN, create("s", named(b"s")), do(f"make k {kind}", "make-" + kind),
                  preserve("s", 0xffffffffffffffff, "k", kind="preserve-" + kind))
    yield one(OPEN, create("s", named(b"s")), create("t", named(b"t")), preserve("s", 1, "s", kind="preserve-session"),
              preserve("s", 1, "t", kind="preserve-session"), preserve("s", 1, "d", kind="preserve-device"),
              do("queue q t"), preserve("s", 1, "q", kind="preserve-queue"))
    for bits in list(SEALS.values()) + [2 | 4, 63]:
        yield two([OPEN, create("s", named(b"s")), *memfd("m"), do(f"seals m {bits}"), preserve("s", 1, "m"),
                   do("seals m 4", "seals-late"), do("describe m"), do("write m 9 4 9"), do("store m 5 6")],
                  [OPEN, retrieve_session("s", named(b"s")), retrieve("s", 1, "r"), do("describe-all r"),
                   do("seals r 1"), do("write r 0 3 4"), do("truncate r 7"), do("truncate r 9000"), finish("s"),
                   do("describe r")])
    yield two([OPEN, create("s", named(b"s")), *memfd("m", flags=0), preserve("s", 1, "m")],
              [OPEN, retrieve_session("s", named(b"s")), retrieve("s", 1, "r"), do("describe-all r")])
    # No room for a descriptor: said before anything else is looked at.
    yield one(OPEN, create("s", named(b"s")), *memfd("m"), do("full"), create("t", named(b"s"), kind="create-full"),
              retrieve_session("t", named(b"s"), kind="retrieve-session-full"), do("open d2 2", "open-full"),
              retrieve("s", 1, "x", kind="retrieve-full"), preserve("s", 1, "m"), do("room"), create("t", named(b"t")))


def closing():
    """A session lives as long as somebody has it open."""
    last = [create("u", named(b"s"), kind="create-after-close"), preserve("u", 1, "m")]
    alive = create("u", named(b"s"), kind="create-again")
    begin = [OPEN, create("s", named(b"s")), *memfd("m"), preserve("s", 1, "m")]
    yield one(*begin, do("dup s s2"), do("close s"), alive, do("close s2"), *last)
    yield one(*begin, do("fork c"), do("close s"), alive, do("reap c"), *last)
    yield one(*begin, do("fork c"), do("close s"), alive, do("kill c"), *last)
    yield one(*begin, do("pass s s2"), do("close s"), alive, do("close s2"), *last)
    yield one(*begin, do("queue q s"), do("close s"), alive, do("close q"), *last)
    yield one(*begin, do("queue q s"), do("close s"), alive, do("unqueue q s3"), get_name("s3"), do("close s3"), *last)
    yield one(OPEN, *memfd("m"), in_child(create("s", named(b"s"))), create("s", named(b"s")),
              in_child(preserve("s", 1, "m")), preserve("s", 1, "m", kind="preserve-used-token"))
    yield one(*begin, do("reopen m m2 2"), do("close m"), do("dup m2 m"), do("close s"), *last)


def crossing():
    content = [OPEN, create("s", named(b"s")), *memfd("m", 12345, 3), do("seek m 77"), do("memfd e 0"),
               do("memfd h 2"), do("truncate h 100000"), do("write h 50000 10 4"), do("reopen m m2 0"),
               preserve("s", 5, "m"), preserve("s", 4, "e"), preserve("s", 3, "h"), do("write m 100 20 8"),
               do("seek m 4711"), do("seek h 99999999"), create("t", named(b"t")), create("u", named(b"u")),
               do("close u"), do("store m 12344 1")]
    look = [OPEN, retrieve_session("s", named(b"s")),
            retrieve_session("s2", named(b"s"), kind="retrieve-session-again"),
            retrieve_session("u", named(b"u"), kind="retrieve-session-unknown"), get_name("s"),
            retrieve("s", 5, "a"), do("describe-all a"), retrieve("s", 5, "b", kind="retrieve-again"),
            do("seek b 3"), do("describe-all a"), retrieve("s", 4, "e"), do("describe-all e"),
            retrieve("s", 3, "h"), do("describe-all h"), retrieve("s", 6, "x", kind="retrieve-unknown"),
            do("write a 0 9 5"), do("append a 9 6"), do("truncate a 20"), do("describe b"),
            preserve("s", 9, "a", kind="preserve-incoming"), create("n", named(b"s")),
            preserve("n", 1, "a", kind="preserve-again"), ioctl("reserved", "s", FINISH, finish_body(1)), finish("s"),
            finish("s"), retrieve("s", 5, "x", kind="retrieve-unknown"), preserve("n", 1, "a"), get_name("s"),
            retrieve_session("s2", named(b"s"), kind="retrieve-session-again"), do("close s"),
            retrieve_session("s2", named(b"s"), kind="retrieve-session-unknown"), retrieve_session("t", named(b"t")),
            retrieve("t", 1, "x", kind="retrieve-unknown"), do("close t"),
            retrieve_session("t", named(b"t"), kind="retrieve-session-unknown")]
    again = [OPEN, retrieve_session("s", named(b"s")), retrieve("s", 1, "a"), do("describe-all a"),
             retrieve("s", 5, "x", kind="retrieve-unknown"),
             retrieve_session("t", named(b"t"), kind="retrieve-session-unknown"), do("close s"), do("describe-all a"),
             create("w", named(b"w")), preserve("w", 1, "a")]
    yield two(content, look)
    yield two(content, look, kernel=2)
    yield Sequence([(1, flat(content)), (2, flat(look)), (3, flat(again))])
    # Whatever else is shared memory without a name crosses, too; and what is open for reading only.
    yield two([OPEN, create("s", named(b"s")), do("make a tmpfs-nameless"), do("write a 0 5000 1"),
               do("make b tmpfs-unlinked"), do("write b 4096 10 2"), *memfd("m", 300), do("reopen m c 0"),
               do("seek c 17"), do("seek m 18"), *memfd("n", 300), do("reopen n e 1"),
               *(preserve("s", number, slot) for number, slot in enumerate("abce")), do("close m"), do("seek a 5")],
              [OPEN, retrieve_session("s", named(b"s")),
               *(step for number in range(4) for step in (retrieve("s", number, "x"), do("describe-all x")))])
    # An answer that can't be written: what was done is undone, or not.
    yield two(content, [OPEN, retrieve_session("s", named(b"s"), memory="ro", kind="read-only"),
                        retrieve_session("s", named(b"s"), kind="retrieve-session-unknown")])
    yield two(content, [OPEN, retrieve_session("s", named(b"s")), retrieve("s", 5, "a", memory="ro", kind="read-only"),
                        retrieve("s", 5, "a"), do("describe-all a"), finish("s", memory="ro", kind="read-only"),
                        retrieve("s", 5, "x", kind="retrieve-unknown"), get_name("s", memory="ro", kind="read-only")])
    yield two(content, [OPEN, retrieve_session("s", named(b"s")), do("full"),
                        retrieve("s", 99, "x", kind="retrieve-full"), retrieve("s", 5, "x", kind="retrieve-full"),
                        retrieve_session("t", named(b"none"), kind="retrieve-session-full"), do("room"),
                        retrieve("s", 5, "x"), do("describe-all x")])
    # The last copy of an incoming session's descriptor acts as FINISH, wherever it is.
    for way in (["dup s s2", "close s", "close s2"], ["fork c", "close s", "kill c"], ["queue q s", "close s", "close q"]):
        yield two(content, [OPEN, retrieve_session("s", named(b"s")), retrieve("s", 5, "a"), create("n", named(b"n")),
                            *(do(step) for step in way), preserve("n", 1, "a"), do("describe-all a"),
                            retrieve_session("s", named(b"s"), kind="retrieve-session-unknown")])
    # Retrieved, not finished: gone with the next kernel. Not even retrieved: the same.
    yield Sequence([(1, flat(content)), (2, [OPEN, retrieve_session("s", named(b"s")), retrieve("s", 5, "a")]),
                    (3, [OPEN, retrieve_session("s", named(b"s"), kind="retrieve-session-unknown"),
                         retrieve_session("t", named(b"t"), kind="retrieve-session-unknown")])])


def all_rows():
    for part in (device, names, checks, preserving, closing, crossing):
        yield from part()
