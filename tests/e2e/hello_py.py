"""examples/hello.py, the bare protocol in forty lines, under outlived: over an update and a
SIGKILL."""

import os
import socket
import sys

from harness import HERE, check, equal, free_port, main, wait_for

HELLO = os.path.join(os.path.dirname(os.path.dirname(HERE)), "examples", "hello.py")


def greet(port):
    """(count, pid)"""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        words = connection.makefile("r").readline().split()
    return int(words[1]), int(words[-1])


def test(world):
    world.start_outlived()
    port = free_port()
    world.must("run", "hello", "--notify", "--", sys.executable, HELLO, str(port))
    first = world.service("hello")["pid"]
    equal(greet(port), (1, first), "the first one")
    world.must("update", "hello")
    second = world.service("hello")["pid"]
    check(second != first, "the pid after an update")
    equal(greet(port), (2, second), "the second one")
    world.kill(second)
    count, third = greet(port)  # waits in the listener until the next start serves
    equal(count, 3, "the count after a SIGKILL")
    check(third not in (first, second), "the pid after a SIGKILL")
    wait_for("it to be running", lambda: world.service("hello")["state"] == "running")
    world.must("update", "hello")
    equal(greet(port)[0], 4, "the count after all")
    world.expect_clean()
    world.stop_outlived()


main(test)
