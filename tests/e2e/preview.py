"""A successor that fetches descriptors ahead: what closes and what comes between its look and adopt
is seen in adopt, nothing is lost; and nobody but a successor gets such a look."""

import errno
import os
import socket
import subprocess

import protocol as p
from harness import check, contains, equal, free_port, main, wait_for


class Client:
    def __init__(self, port):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.lines = self.sock.makefile("r")

    def ask(self):
        self.sock.sendall(b"hello\n")
        return [int(word) for word in self.lines.readline().split()]

    def close(self):
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


def refused(world):
    """Who is no successor; and what a successor may not ask, told by the service's own log."""
    with p.Wire.connect(world.runtime) as wire:
        wire.create_session("mine")
        for request, body in ((p.PREVIEW_LIST, p.preview_body("mine")),
                              (p.PREVIEW_MANY, p.preview_body("mine", [1]))):
            equal(-wire.ask(request, body).result, errno.EINVAL, f"request {request:#x}")


def update(world, port, between):
    """One update, with `between` done after the successor's first look."""
    gate = world.path("gate")
    words = world.update_words("web", port, "--preview", "--at", f"start=wait:{gate}")
    process = world.start(world.program("outlive"), *words, env=world.environment,
                          stdout=subprocess.DEVNULL)
    wait_for("the successor's look", lambda: os.path.exists(gate + ".waits"))
    between()
    open(gate, "w").close()
    equal(process.wait(timeout=60), 0, "exit code of the update")
    for name in (gate, gate + ".waits"):
        os.unlink(name)


def test(world):
    world.start_outlived()
    port = free_port()
    world.run_service("web", port, "--preview")
    refused(world)
    clients = [Client(port) for _ in range(5)]
    count = 0
    for client in clients:
        count += 1
        equal(client.ask()[0], count, "count")

    def change():
        """One closes, so that its token's number comes again with another file; two are new."""
        nonlocal count
        clients.pop().close()
        clients.append(Client(port))
        clients.append(Client(port))
        for client in clients[-2:]:
            count += 1
            equal(client.ask()[0], count, "count of a new one")

    old = world.service("web")["pid"]
    update(world, port, change)
    for client in clients:
        count += 1
        got, pid = client.ask()
        equal(got, count, "count after the update")
        check(pid != old, "the old one answered")
    log = world.must("log", "web").out
    contains(log, "looked ahead, 7 came, 0 went", "listener, memory and 5 connections at first")
    contains(log, "looked ahead, 2 came, 1 went\nservice: looked ahead, 0 came, 0 went",
             "behind prepare only what changed, in adopt nothing")

    # A look that is abandoned: the next version starts again, and everything is there.
    done = world.outlive(*world.update_words("web", port, "--preview", "--at", "start=die"))
    check(done.code != 0, "a successor that dies after its look")
    update(world, port, lambda: None)
    for client in clients:
        count += 1
        equal(client.ask()[0], count, "count at the end")
    world.expect_clean()
    world.stop_outlived()


main(test)
