"""A worker that dies too often by its own fault: everything is held, `outlive status` says so and how
to go on, clients wait and get no error, and all of it is there after another try."""

import json
import os
import signal
import socket

import protocol as p
from harness import check, contains, equal, main, wait_for

DEATHS = 10  # the default bound


def status_of(world):
    """(exit code, what it says), also in hold mode."""
    done = world.outlive("status", "--json")
    return done.code, json.loads(done.out)


def held_status(world):
    code, status = status_of(world)
    equal(code, 78, f"exit code of status: {status}")
    return status


def crash_until_held(world):
    for _ in range(DEATHS + 1):
        code, status = status_of(world)
        equal(code, 0, f"exit code of status: {status}")
        world.kill(status["pid_worker"], signal.SIGSEGV)
        wait_for("the next worker",
                 lambda: status_of(world)[1]["worker_deaths"] > status["worker_deaths"])
    held_status(world)


def idle_connections(world):
    """One that says nothing never keeps an operator out."""
    idle = []
    for _ in range(100):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.connect(world.runtime + "/control.sock")
        idle.append(sock)
    held_status(world)
    for sock in idle:
        sock.close()


def test(world):
    world.start_outlived()
    device = p.Wire.connect(world.runtime)
    session = device.create_session("held")
    session.preserve(1, os.memfd_create("one"))
    crash_until_held(world)
    status = held_status(world)
    equal(status["state"], "undefined", "its state")
    equal(status["refused"], None, "nothing was refused")
    contains(status["held"], f"kill -HUP {status['pid_keeper']}", "how to try again")
    contains(world.outlive("status").out, "died too often", "status")
    equal(world.outlive("list").code, 78, "another command")
    contains(world.outlive("list").err, "everything is held", "another command")
    idle_connections(world)

    # An old client's request and a new client's wait, over deaths of the holding worker and of the
    # keeper too.
    waiting = session.send(p.PRESERVE_FD, p.fd_body(2), [os.memfd_create("two")])
    new = p.Wire.connect(world.runtime)
    created = new.send(p.CREATE_SESSION, p.session_body("new"))
    world.kill(status["pid_worker"])
    wait_for("another holding worker",
             lambda: held_status(world)["pid_worker"] not in (0, status["pid_worker"]))
    wait_for("the spare", lambda: held_status(world)["pid_spare"] > 0)
    world.kill(status["pid_keeper"])
    wait_for("the spare to hold", lambda: held_status(world)["pid_keeper"] != status["pid_keeper"])
    for wire in (session, new):
        wire.sock.setblocking(False)
        try:
            check(not wire.sock.recv(1), "an answer in hold mode")
        except BlockingIOError:
            pass
        wire.sock.settimeout(60)

    world.kill(held_status(world)["pid_keeper"], signal.SIGHUP)
    equal(session.receive(waiting).result, 0, "the request that waited")
    equal(new.receive(created).result, 0, "the new client's")
    equal(world.status()["state"], "normal", "after another try")
    equal(session.files(), [1, 2], "what is preserved")
    world.expect_clean()

    # The bound is counted anew, and a stop works in hold mode too.
    crash_until_held(world)
    world.kill(held_status(world)["pid_keeper"], signal.SIGTERM)
    wait_for("the end", lambda: world.outlive("status").code == 69)


main(test)
