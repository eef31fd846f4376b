"""State that an outlived inherits, with something wrong in it: what tests of its refusal start from.

The state is damaged in the arena of a living outlived, whose worker is killed: the next one inherits it.
"""

import hashlib
import os
import signal
import struct

import protocol as p
from harness import check, wait_for

# abi/records.h
ROOT_NAME = b"outlive-records-v1"
COMMITTED, REDO_NUMBER, REDO_COUNT, POOLS = 32, 40, 48, 64
SESSIONS, FILES = 0, 1
FIRST_SLOT, FILE_SLOT, SESSION_NAME = 128, 152, 16
FILE_SESSION, FILE_FD, FILE_COMPATIBLE = 16, 32, 104


class Arena:
    """The bytes that outlived's processes share, through the keeper's descriptor."""

    def __init__(self, world):
        folder = f"/proc/{world.status()['pid_keeper']}/fd"
        self.fd = -1
        for name in sorted(os.listdir(folder), key=int):
            link = os.readlink(f"{folder}/{name}")
            if not link.startswith("/memfd:"):
                continue
            fd = os.open(f"{folder}/{name}", os.O_RDWR)
            if ROOT_NAME in os.pread(fd, 1 << 22, 0):
                self.fd = fd
                break
            os.close(fd)
        check(self.fd >= 0, "outlived has no arena")
        self.root = self.bytes().index(ROOT_NAME)

    def bytes(self):
        return os.pread(self.fd, 1 << 22, 0)

    def digest(self):
        return hashlib.sha256(self.bytes()).hexdigest()

    def word(self, at):
        return struct.unpack("<Q", os.pread(self.fd, 8, at))[0]

    def set(self, at, value):
        os.pwrite(self.fd, struct.pack("<Q", value % 2**64), at)

    def pool(self, kind):
        return self.word(self.root + POOLS + 8 * kind)

    def file(self, number):
        return self.pool(FILES) + FIRST_SLOT + number * FILE_SLOT


def swap_fds(arena):
    first, second = arena.file(0) + FILE_FD, arena.file(1) + FILE_FD
    a, b = arena.word(first), arena.word(second)
    arena.set(first, b)
    arena.set(second, a)


def another_kind(arena):
    """The pipe's record, third, names the descriptor of a memfd, and the other way round."""
    first, third = arena.file(0) + FILE_FD, arena.file(2) + FILE_FD
    a, b = arena.word(first), arena.word(third)
    for at in (0, 8):  # its identity goes along: only the kind is wrong
        check(arena.word(arena.file(2) + 80 + at) == 0, "a pipe has no identity in its record")
    arena.set(third, a)
    arena.set(first, b)


def redo_that_lies(arena):
    arena.set(arena.root + REDO_COUNT, 2**40)
    arena.set(arena.root + REDO_NUMBER, arena.word(arena.root + COMMITTED))


DAMAGES = {
    "another version": lambda a: os.pwrite(a.fd, b"outlive-records-v9", a.root),
    "a flipped bit in the arena's header": lambda a: os.pwrite(a.fd, b"\x6e", 0),
    "a cut": lambda a: os.pwrite(a.fd, bytes(4096), a.pool(FILES)),
    "a cycle": lambda a: a.set(a.pool(FILES), a.pool(FILES)),
    "a chain that leads out": lambda a: a.set(a.pool(SESSIONS), 2**50),
    "a count that lies": redo_that_lies,
    "a name without end":
        lambda a: os.pwrite(a.fd, b"x" * 64, a.pool(SESSIONS) + FIRST_SLOT + SESSION_NAME),
    "a handler that is missing":
        lambda a: os.pwrite(a.fd, b"outlive-nobody-v1\0", a.file(0) + FILE_COMPATIBLE),
    "a descriptor that isn't open": lambda a: a.set(a.file(0) + FILE_FD, 19_999),
    "two descriptors swapped": swap_fds,
    "a descriptor of another kind": another_kind,
}


def preserve_some(world):
    client = p.Wire.connect(world.runtime)
    session = client.create_session("held", linger=True)
    peer, pipe = os.pipe()
    for token, file in enumerate([os.memfd_create("one"), os.memfd_create("two"), pipe], start=1):
        session.preserve(token, file)
        os.close(file)
    return peer, session, client


def state_of(pid):
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]


def damaged(world, name, config, damage):
    """An outlived whose worker was killed over what `damage` has left; its arena; its pipe."""
    one = world.second(name, config)
    peer, _session, _client = preserve_some(one)
    arena = Arena(one)
    worker = one.status()["pid_worker"]
    one.kill(worker, signal.SIGSTOP)  # it would go on writing
    wait_for("the worker to stop", lambda: state_of(worker) == "T")
    damage(arena)
    after = arena.digest()
    one.kill(worker)
    wait_for("the next worker", lambda: "The incoming tree failed to initialize" in one.log())
    return one, arena, after, peer
