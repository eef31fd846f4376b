"""Inherited state that can't be right is refused whole, whatever is wrong with it: no device, status says
why and exits 78, nothing is changed. Then what on-incoming-failure says: hold, fresh, reboot.

The state is damaged in the arena of a living outlived, whose worker is killed: the next one inherits it.
"""

import errno
import hashlib
import json
import os
import shutil
import signal
import socket
import stat
import struct

import protocol as p
from harness import check, contains, equal, main, wait_for

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


def refused(one):
    def asked():
        done = one.outlive("status")
        return done if done.code == 78 else None

    return wait_for("status to say that it is refused", asked)


def said(one):
    """status, whatever its exit code."""
    return json.loads(one.outlive("status", "--json").out)


def is_absent(one):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        return client.connect_ex(one.runtime + "/liveupdate.sock") == errno.ENOENT


def expect_held(one, arena, after):
    done = refused(one)
    contains(done.out, "undefined", "status")
    check(is_absent(one), "the device's socket is there")
    contains(one.log(), "disabling live update", "the log")
    contains(one.log(), "inherited state refused: ", "the log")
    equal(said(one)["state"], "undefined", "state")
    equal(arena.digest(), after, "the image")


def end(one):
    one.daemon.terminate()
    wait_for("outlived to end", lambda: one.daemon.poll() is not None)


def hold(world, number, what, damage):
    print(what, flush=True)
    one, arena, after, peer = damaged(world, f"h{number}", "", damage)
    expect_held(one, arena, after)
    os.set_blocking(peer, False)
    try:
        equal(os.read(peer, 1), b"nothing", "a pipe that is held")
    except BlockingIOError:
        pass  # still open: no end of file
    if number == 0:
        hello = one.run(one.program("hello"), env=dict(one.environment, PORT="0"))
        check(hello.code != 0, "a client starts over state that is held")
        contains(hello.err + hello.out, "inherited state refused: ", "what the client says")
        # A death changes nothing: the next one refuses it as well.
        one.kill(said(one)["pid_worker"])
        wait_for("the next worker", lambda: one.log().count("disabling live update") == 2)
        expect_held(one, arena, after)
    os.close(arena.fd)
    os.close(peer)
    end(one)


def fresh(world):
    config = '[liveupdate]\non-incoming-failure = "fresh"\n'
    one, arena, after, peer = damaged(world, "fresh", config, DAMAGES["a cycle"])
    wait_for("a new start", lambda: one.outlive("status").code == 0)
    equal(one.status()["state"], "normal", "state")
    saved = [name for name in os.listdir(one.path("state")) if name.startswith("refused-")]
    equal(len(saved), 1, "saved images")
    path = one.path("state/" + saved[0])
    contains(one.log(), path, "the log")
    equal(stat.S_IMODE(os.stat(path).st_mode), 0o600, "its mode")
    with open(path, "rb") as file:
        equal(hashlib.sha256(file.read(1 << 22)).hexdigest(), after, "the saved image")
    equal(os.stat(path).st_size, os.fstat(arena.fd).st_size, "its size")
    equal(one.run(*one.daemon_words(config), "--check", path).code, 78, "outlived --check")
    equal(one.json("list", "sessions")["sessions"], [], "sessions of the new start")
    equal(wait_for("the pipe's end", lambda: os.read(peer, 1) == b""), True, "what was held")
    again = preserve_some(one)
    one.expect_clean()
    os.close(arena.fd)
    del again
    one.stop_outlived()


def fresh_without_room(world):
    """What can't be saved is held."""
    config = '[liveupdate]\non-incoming-failure = "fresh"\n'

    def damage(arena):
        shutil.rmtree(world.path("noroom/state"))
        DAMAGES["another version"](arena)

    one, arena, after, peer = damaged(world, "noroom", config, damage)
    expect_held(one, arena, after)
    contains(one.log(), "can't be saved, so it is held", "the log")
    os.close(arena.fd)
    os.close(peer)
    end(one)


def lines_of(path):
    with open(path) as file:
        return file.read().split()


def reboot(world):
    marker = world.path("rebooted")
    config = f"""[liveupdate]
on-incoming-failure = "reboot"
reboot-command = ["/bin/sh", "-c", "echo $$ >> {marker}"]
reboot-timeout-ms = 300
"""
    one, arena, after, peer = damaged(world, "reboot", config, DAMAGES["another version"])
    wait_for("the last try", lambda: "still here after 3 tries" in one.log())
    wait_for("its last run", lambda: len(lines_of(marker)) == 3)
    expect_held(one, arena, after)
    os.close(arena.fd)
    os.close(peer)
    end(one)


def test(world):
    for number, (what, damage) in enumerate(DAMAGES.items()):
        hold(world, number, what, damage)
    fresh(world)
    fresh_without_room(world)
    reboot(world)


main(test)
