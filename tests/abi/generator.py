"""Random sequences, the same for the same seed. A rough picture of what is there makes most requests
meaningful; what they come to is for the two sides to say."""

import random

from rows import KINDS, SEALS
from script import (CREATE, FINISH, GET_NAME, PRESERVE, RETRIEVE, RETRIEVE_SESSION, Sequence, create, do,
                    file_body, finish, finish_body, get_name, ioctl, name_body, named, preserve, retrieve,
                    retrieve_session, session_body)

KERNELS = 3
SIZES = (0, 1, 100, 4095, 4096, 4097, 20000, 70000)
TOKENS = (0, 1, 2, 3, 0x7fffffffffffffff, 0xffffffffffffffff)
NAMES = (b"a", b"b", b"c", b"x" * 59, b"a ", b"\xff\xfe", b"/")
FIXED = (0x5450, 0x5451, 0x5421, 0x5452, 0x5460, 0x2, 0x80086601, 0x5401, 0x541B, 0xBA02, 0xBA44, 0xBA3F)
UNSAFE = {0x5877, 0x5878}  # FIFREEZE and FITHAW, by type and number: no test of ours stops a file system
OPEN_FLAGS = (2, 2, 2, 2, 0, 1, 0x802, 0x80002)


class Picture:
    """What the sequence probably has."""

    def __init__(self):
        self.device = False
        self.sessions = {}  # slot: (name, incoming)
        self.files = {}     # slot: size
        self.preserved = set()
        self.kept = {}      # name: {token: size}, of outgoing sessions
        self.children = set()
        self.full = False

    def next_kernel(self):
        """What comes in."""
        incoming = {}
        for name, incoming_one in self.sessions.values():
            if not incoming_one:
                incoming[name] = self.kept.get(name, {})
        self.__init__()
        return incoming


class Maker:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.picture = Picture()
        self.incoming = {}

    # ---- choices --------------------------------------------------------------------------------

    def chance(self, share):
        return self.random.random() < share

    def session(self):
        if self.picture.sessions and self.chance(0.97):
            return self.random.choice(sorted(self.picture.sessions))
        return self.random.choice(("s0", "s1", "s2", "d", "f0"))

    def file(self):
        if self.picture.files and self.chance(0.95):
            return self.random.choice(sorted(self.picture.files))
        return self.random.choice(("f0", "none", "s0", "d"))

    def name(self):
        return named(self.random.choice(NAMES))

    def token(self):
        return self.random.choice(TOKENS)

    # ---- requests -------------------------------------------------------------------------------

    def open(self):
        self.picture.device = True
        if self.chance(0.2):
            return [do("open d2 2", "open-again")]
        return [do(f"open d {self.random.choice(OPEN_FLAGS):#x}")]

    def create(self):
        name, slot = self.name(), self.random.choice(("s0", "s1", "s2"))
        if self.chance(0.1):
            return [create(slot, self.random.choice((b"", b"q" * 64, b"\0x")), kind="create-bad-name")]
        self.picture.sessions.setdefault(slot, (name, False))
        return [create(slot, name)]

    def retrieve_session(self):
        slot = self.random.choice(("s0", "s1", "s2"))
        names = sorted(self.incoming) or [self.name()]
        name = self.random.choice(names) if self.chance(0.9) else self.name()
        if name in self.incoming:
            self.picture.sessions[slot] = (name, True)
        return [retrieve_session(slot, name)]

    def memfd(self):
        slot = self.random.choice(("f0", "f1", "f2", "f3"))
        size = self.random.choice(SIZES)
        self.picture.files[slot] = size
        self.picture.preserved.discard(slot)
        out = [do(f"memfd {slot} {self.random.choice((0, 1, 2, 2, 2, 3, 8, 10)):#x}")]
        if self.chance(0.3):
            out.append(do(f"truncate {slot} {size}"))
        if self.chance(0.8):
            out.append(do(f"write {slot} 0 {size} {self.random.randrange(1000)}"))
        return out

    def preserve(self):
        session, slot, token = self.session(), self.file(), self.token()
        if self.chance(0.15):
            kind = self.random.choice(KINDS)
            return [do(f"make k {kind}", "make-" + kind), preserve(session, token, "k", kind="preserve-" + kind)]
        name, incoming = self.picture.sessions.get(session, (b"", True))
        if not incoming and slot in self.picture.files:
            self.picture.preserved.add(slot)
            self.picture.kept.setdefault(name, {}).setdefault(token, self.picture.files[slot])
        return [preserve(session, token, slot)]

    def retrieve(self):
        session, slot = self.session(), self.random.choice(("f0", "f1", "f2", "f3"))
        name, _ = self.picture.sessions.get(session, (b"", True))
        tokens = self.incoming.get(name, {})
        token = self.random.choice(sorted(tokens)) if tokens and self.chance(0.85) else self.token()
        if token in tokens:
            self.picture.files[slot] = tokens[token]
            self.picture.preserved.discard(slot)
        return [retrieve(session, token, slot), do(f"describe-all {slot}")]

    def finish(self):
        session = self.session()
        if self.chance(0.1):
            return [ioctl("reserved", session, FINISH, finish_body(self.random.choice((1, 0x80000000))))]
        return [finish(session)]

    def get_name(self):
        return [get_name(self.session(), memory=self.random.choice(("plain", "end")))]

    def close(self):
        slot = self.random.choice(("s0", "s1", "s2", "s3", "f0", "f1", "d", "q", "k"))
        self.picture.sessions.pop(slot, None)
        self.picture.files.pop(slot, None)
        self.picture.preserved.discard(slot)
        self.picture.device &= slot != "d"
        return [do(f"close {slot}")]

    def copy(self):
        slot = self.session() if self.chance(0.6) else self.file()
        target = "d3" if slot.startswith("d") else "s3" if slot.startswith("s") else "f4"
        if slot.startswith("f") and self.chance(0.4):
            return [do(f"reopen {slot} f4 {self.random.choice((0, 1, 2))}")]
        if self.chance(0.2):
            queue = "dq" if slot.startswith("d") else "q"
            return [do(f"queue {queue} {slot}"), do(f"close {slot}")] + \
                ([do(f"unqueue {queue} {target}")] if self.chance(0.5) else [])
        return [do(f"{self.random.choice(('dup', 'pass'))} {slot} {target}")]

    def processes(self):
        if self.picture.children:
            child = self.picture.children.pop()
            return [do(f"{self.random.choice(('reap', 'kill'))} {child}")]
        self.picture.children.add("c")
        return [do("fork c")]

    def change(self):
        """Of a file; one that is preserved keeps its size."""
        slot = self.file()
        size = self.picture.files.get(slot, 0)
        inside = self.random.randrange(size) if size else 0
        seed = self.random.randrange(1000)
        # Not far out: what is appended there makes a file whose holes PRESERVE fills with pages.
        choices = [do(f"write {slot} {inside} {min(50, size - inside)} {seed}"), do(f"seek {slot} {inside}"),
                   do(f"seek {slot} {self.random.choice((-1, 0, 1 << 20))}"), do(f"store {slot} {inside} {seed % 256}"),
                   do(f"seals {slot} {self.random.choice(sorted(SEALS.values()))}"), do(f"describe {slot}")]
        if slot not in self.picture.preserved or self.chance(0.02):
            resized = self.random.choice(SIZES)
            choices += [do(f"truncate {slot} {resized}"), do(f"fallocate {slot} 0 0 {resized}"),
                        do(f"fallocate {slot} 3 0 4096"), do(f"write {slot} {size} 10 {seed}"),
                        do(f"append {slot} 30 {seed}")]
        return [self.random.choice(choices)]

    def limit(self):
        self.picture.full = not self.picture.full
        return [do("full" if self.picture.full else "room")]

    def odd(self):
        """A request that is wrong in some way: where the two sides check in which order."""
        slot = self.random.choice(("d", "d", self.session(), self.session()))
        if not slot.startswith(("d", "s")):
            slot = "s0"  # what other files say to odd numbers is the business of their file systems
        number, body = self.random.choice((
            (CREATE, session_body(self.name())), (RETRIEVE_SESSION, session_body(self.name())),
            (PRESERVE, file_body(self.token())), (RETRIEVE, file_body(self.token())), (FINISH, finish_body()),
            (GET_NAME, name_body())))
        way = self.random.choice(("bad-size", "bad-pointer", "cut-off", "too-big", "bigger-zero", "other-type",
                                  "other-direction", "read-only", "unknown-number", "any-number", "two-wrong"))
        memory, command = "end", number
        both = way == "two-wrong"
        if way == "bad-size" or both and self.chance(0.5):
            body = self.random.choice((0, 1, 4, 7, len(body) - 1)).to_bytes(4, "little") + body[4:]
        if way == "bad-pointer" or both and self.chance(0.3):
            memory = self.random.choice(("null", "low", "top"))
        if way == "cut-off" or both and self.chance(0.3):
            body = body[:self.random.randrange(len(body))]
        if way in ("too-big", "bigger-zero") or both and self.chance(0.3):
            more = self.random.choice((1, 4, 8, 100))
            tail = bytes(more) if way == "bigger-zero" else bytes(more - 1) + b"\1"
            body = (len(body) + more).to_bytes(4, "little") + body[4:] + tail
        if way == "other-type" or both and self.chance(0.3):
            command = self.random.choice((0x00, 0x54, 0xB9, 0xBB, 0xFF)) << 8 | number & 0xff
        if way == "other-direction" or both and self.chance(0.3):
            command |= self.random.choice((0x40000000, 0x80000000, 0xC0000000, 0x00480000))
        if way == "read-only":
            memory = "ro"
        if way == "unknown-number":
            command = self.random.choice(FIXED)
        if way == "any-number":
            command = self.any_number()
        into = "x" if way in ("bigger-zero",) and number in (CREATE, RETRIEVE_SESSION, RETRIEVE) else None
        return [ioctl(way, slot, command, body, memory=memory, fd=None, into=into)]

    def any_number(self):
        while True:
            command = self.random.randrange(1 << 32) if self.chance(0.5) else self.random.randrange(0xBA00, 0xBB00)
            if command & 0xffff not in UNSAFE and command >> 8 & 0xff not in (0x54, 0x66, 0x94, 0x58):
                return command

    def in_child(self):
        made = self.random.choice((self.create, self.preserve, self.get_name, self.odd, self.finish))()
        return made[:-1] + [do("child " + made[-1].text, "child-" + made[-1].kind)]

    def request(self):
        later = bool(self.incoming)
        return self.random.choices(
            (self.open, self.create, self.retrieve_session, self.memfd, self.preserve, self.retrieve, self.finish,
             self.get_name, self.close, self.copy, self.processes, self.change, self.limit, self.odd, self.in_child),
            (2, 9, 9 if later else 1, 9, 14, 18 if later else 1, 5 if later else 1, 3, 6, 5, 3, 12, 1, 12, 2))[0]()

    # ---- sequences ------------------------------------------------------------------------------

    def phase(self):
        out = [] if self.chance(0.02) else [do("open d 2")]
        self.picture.device = bool(out)
        if self.incoming and self.chance(0.9):
            out += self.retrieve_session()
        elif self.chance(0.9):
            out += self.create() + self.memfd() + self.preserve()
        for _ in range(self.random.randrange(5, 25)):
            out += self.request()
        return out

    def sequence(self):
        self.picture, self.incoming = Picture(), {}
        length = self.random.choices((1, 2, 3), (3, 5, 2))[0]
        first = self.random.randrange(1, KERNELS - length + 2)
        phases = []
        for kernel in range(first, first + length):
            phases.append((kernel, self.phase()))
            self.incoming = self.picture.next_kernel()
        return Sequence(phases)


def generate(seed, requests):
    """Sequences of that many requests in all, or a few more."""
    maker = Maker(seed)
    made, count = [], 0
    while count < requests:
        made.append(maker.sequence())
        count += made[-1].requests()
    return made
