"""A session ends with the last copy of its descriptor, and before the next call is answered: after
close, dup, fork, exec, a pass to another process, and the death of who held it."""

import os
import socket
import sys

from harness import contains, equal
from liveupdate import (compat, create, main, memfd, open_device, preserve, program)


@program("close")
def program_close():
    device = open_device()
    memory = memfd(b"x")

    def ended(what):
        session = create(device, b"s")
        equal(type(session), int, f"the session has ended: {what}")
        equal(preserve(session, memory, 1), 0, f"and gave its file back: {what}")
        return session

    def lives(what):
        equal(create(device, b"s"), "EEXIST", f"the session lives: {what}")

    for _ in range(200):  # a close that came before a call is done before it
        os.close(ended("close"))
    session = ended("close")
    copy = os.dup(session)
    os.close(session)
    lives("dup")
    os.close(copy)
    session = ended("dup")
    ready, go = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.write(ready[1], b"x")
        os.read(go[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    os.close(session)
    lives("in a child")
    os.write(go[1], b"x")
    os.waitpid(child, 0)
    session = ended("the child's end")
    here, there = socket.socketpair()
    socket.send_fds(here, [b"x"], [session])
    os.close(session)
    lives("on its way to somebody")
    _, fds, _, _ = socket.recv_fds(there, 1, 1)
    lives("passed on")
    equal(preserve(fds[0], memory, 1), "EEXIST", "and is the same one there")
    os.close(fds[0])
    session = ended("passed on and closed")
    child = os.fork()
    if child == 0:
        os.close(device)
        os.execv(sys.executable, [sys.executable, "-c", "pass"])
    os.waitpid(child, 0)
    lives("exec in a child closes only the child's")
    os.close(session)
    child = os.fork()
    if child == 0:
        ended("in a child that is killed")
        os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    os.close(ended("SIGKILL"))
    # The device: exclusive over all of them, and free with the last copy.
    copy = os.dup(device)
    os.close(device)
    equal(opens(), "EBUSY", "a copy of the device is open")
    os.close(copy)
    equal(opens(), "opened", "none is")
    print("done")


def opens():
    import errno
    try:
        os.close(open_device())
    except OSError as error:
        return errno.errorcode[error.errno]
    return "opened"


def test(world):
    contains(compat(world, "close"), "done", "close")


if __name__ == "__main__":
    main(test)
