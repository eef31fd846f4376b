"""SIGKILL of a service: the next start finds its counter, its listener and its open connection; the
clients that wait are served by it."""

import socket

from harness import ask, check, equal, free_port, main, wait_for


def test(world):
    world.start_outlived()
    port = free_port()
    world.must("run", "hello", "--", world.program("hello"), str(port))
    equal(ask(port).split()[:2], ["hello", "1"], "the first hello")
    with socket.create_connection(("127.0.0.1", port), timeout=30) as kept:
        lines = kept.makefile("r")
        for kill in range(1, 4):
            kept.sendall(b"hello\n")
            equal(lines.readline().split()[1], str(2 * kill), "the kept connection's hello")
            before = world.service("hello")
            world.kill(before["pid"])
            words = ask(port).split()  # queued in the listener until the next one serves
            equal(words[1], str(2 * kill + 1), f"after kill {kill}")
            check(words[-1] != str(before["pid"]), "the same process")
    service = wait_for("it to be running", lambda: (one := world.service("hello"))["state"] ==
                       "running" and one)
    equal(service["restarts"], 3, "restarts")
    # An update after it goes as any other.
    world.must("update", "hello", "--", world.program("hello-v2"))
    words = ask(port).split()
    equal((words[1], words[4]), ("8", "2"), f"count and version in {words}")
    world.expect_clean()
    world.stop_outlived()


main(test)
