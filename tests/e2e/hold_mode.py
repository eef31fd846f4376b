"""A worker that dies too often by its own fault: everything is held, `outlive status` says so and how
to go on, clients wait and get no error, and all of it is there after another try, or after an update
of outlived to another binary, which is the way out of a fault of this one."""

import ctypes
import json
import os
import shutil
import signal
import socket
import stat
import threading
import time

import protocol as p
from blocking_fds import Slow
from harness import PATIENCE, check, contains, equal, main, wait_for

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
        # An end of its own making; sanitizers would call SIGSEGV a finding.
        world.kill(status["pid_worker"], signal.SIGABRT)
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


def take_descriptors_again(world, pid):
    """Linux 6.16 refuses descriptors on a control connection by itself: as before it."""
    PASS_RIGHTS, PIDFD_GETFD = 83, 438
    pidfd = os.pidfd_open(pid)
    for name in os.listdir(f"/proc/{pid}/fd"):
        fd = ctypes.CDLL(None).syscall(PIDFD_GETFD, pidfd, int(name), 0)
        if fd < 0:
            continue
        if not stat.S_ISSOCK(os.fstat(fd).st_mode):
            os.close(fd)
            continue
        with socket.socket(fileno=fd) as sock:
            if sock.family == socket.AF_UNIX and sock.getsockname() == world.runtime + "/control.sock":
                try:
                    sock.setsockopt(socket.SOL_SOCKET, PASS_RIGHTS, 1)
                except OSError:
                    pass  # an older kernel takes them anyway
    os.close(pidfd)


def descriptors_that_block(world, status):
    """A client's descriptors, whose close blocks, don't stop who holds everything: neither what
    comes with a call, nor what was never read."""
    if os.geteuid() == 0:
        take_descriptors_again(world, status["pid_keeper"])
    slow, call = Slow(), b'{"method":"org.outlive.Orchestrator.Status","parameters":{}}'
    for end in (b"\0", b""):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(PATIENCE)
        sock.connect(world.runtime + "/control.sock")
        fd = slow.lingering()
        world.kill(status["pid_worker"], signal.SIGSTOP)  # it must be the last to have it
        try:
            socket.send_fds(sock, [call + end], [fd])
            os.close(fd)
        except PermissionError:  # nothing of it was sent
            threading.Thread(target=os.close, args=(fd,), daemon=True).start()
            sock.sendall(call + end)
        world.kill(status["pid_worker"], signal.SIGCONT)
        if end:
            check(sock.recv(1), "no answer to a call with a descriptor")
        sock.close()
    start = time.monotonic()
    for _ in range(20):
        equal(held_status(world)["pid_worker"], status["pid_worker"], "the worker that holds")
    check(time.monotonic() - start < 8, "answers took long")


def has_open(world, path):
    folder = f"/proc/{world.status()['pid_keeper']}/fd"
    return path in [os.readlink(os.path.join(folder, name)) for name in os.listdir(folder)]


def another_binary(world, session):
    """One that won't do is refused, or rolled back into holding; a good one serves."""
    broken = world.broken("exec")
    good = shutil.copy(world.program("outlived"), world.path("outlived-good"))
    waiting = session.send(p.PRESERVE_FD, p.fd_body(3), [os.memfd_create("three")])
    for binary, code, reason in (("/bin/true", 4, "said nothing"), (broken, 3, "signal 6")):
        done = world.outlive("update", "outlived", "--binary", binary)
        equal(done.code, code, f"exit code of the update: {done.out}{done.err}")
        contains(done.out + done.err, reason, "the reason")
        wait_for("it to hold on", lambda: status_of(world)[0] == 78)
    updated = world.json("update", "outlived", "--binary", good)
    equal((updated["result"], updated["number"]), ("updated", 1), "the update")
    equal(session.receive(waiting).result, 0, "the request that waited")
    equal(session.files(), [1, 2, 3], "what is preserved")
    status = world.status()
    equal((status["state"], status["self_rollbacks"]), ("normal", 1), "state, rollbacks")
    equal(os.readlink(f"/proc/{status['pid_keeper']}/exe"), good, "the binary that runs")
    world.expect_clean()


def test(world):
    world.start_outlived("[takeover]\nprobation-ms = 100\n")
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
    descriptors_that_block(world, status)

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

    # The bound is counted anew; out of it by another binary.
    crash_until_held(world)
    another_binary(world, session)

    # And a third time, once the new one is no more on probation: a stop works in hold mode too.
    wait_for("the binary before to be given up", lambda: not has_open(world, world.program("outlived")))
    crash_until_held(world)
    world.kill(held_status(world)["pid_keeper"], signal.SIGTERM)
    wait_for("the end", lambda: world.outlive("status").code == 69)


main(test)
