"""Clients that hang up in the middle: of a request, with unread replies, in half a Varlink call,
while their update goes on. What they had is cleaned up; everybody else is served."""

import os
import socket
import threading

import protocol as p
from harness import ask, check, equal, free_port, main, wait_for
from protocol import Wire, fd_body, session_body


def flood(world, name="flood"):
    """Requests without reading one reply, until the socket is full; then hangs up."""
    device = Wire.connect(world.runtime)
    session = device.create_session(name)
    session.sock.setblocking(False)
    fd = os.memfd_create("flood")
    try:
        for token in range(100000):
            session.send(p.PRESERVE_FD, fd_body(token), [fd])
    except BlockingIOError:
        pass
    session.sock.close()
    device.close()


def half_a_message(world):
    with Wire.connect(world.runtime) as device:
        device.sock.send(b"\x4f\x56\x4c")
    with Wire.connect(world.runtime) as device:
        device.send(p.CREATE_SESSION, session_body("unread"))  # its fd is never received


def half_a_call(world):
    whole = b'{"method": "org.outlive.Orchestrator.Status"}\0'
    for part in (b"", whole[:20], 3 * whole):
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(world.runtime + "/control.sock")
            control.sendall(part)


def operator_leaves(world, port):
    """The one who asked for an update hangs up: it goes on."""
    update = world.start(world.program("outlive"), "update", "web", "--",
                         *world.service_command(str(port), "--name", "web", "--at",
                                                f"start=wait:{world.path('gate')}"),
                         env=world.environment)
    wait_for("the successor", lambda: os.path.exists(world.path("gate.waits")))
    world.kill(update.pid)
    update.wait()
    world.write("gate", "")
    wait_for("the update", lambda: world.service("web")["updates"] == 1)


def test(world):
    world.start_outlived()
    port = free_port()
    world.run_service("web", port)
    keeper = world.status()["pid_keeper"]
    flood(world)
    wait_for("the flood's session to end", lambda: world.status()["sessions"] == 1)
    wait_for("what it left to be closed", lambda: world.expect_clean())
    fds = world.fds_of(keeper)
    failed = []

    def attempt(what, *more):
        try:
            what(world, *more)
        except Exception as error:
            failed.append(f"{what.__name__}: {error!r}")

    whats = [(flood, f"flood{number}") for number in range(3)]
    whats += 3 * [(half_a_message,), (half_a_call,)]
    threads = [threading.Thread(target=attempt, args=what) for what in whats]
    for thread in threads:
        thread.start()
    for count in range(1, 11):
        equal(ask(port).split()[0], str(count), "somebody else's request")
    for thread in threads:
        thread.join(60)
        check(not thread.is_alive(), "a client hangs")
    equal(failed, [], "what clients ran into")
    wait_for("their sessions to end", lambda: world.status()["sessions"] == 1)
    wait_for("their fds to be closed", lambda: world.fds_of(keeper) <= fds)
    operator_leaves(world, port)
    equal(ask(port).split()[0], "11", "after the update")
    equal(world.status()["worker_deaths"], 0, "deaths of the worker")
    world.expect_clean()
    world.stop_outlived()


main(test)
