"""Clients of the control socket can't keep an operator out: not by many connections, not with the
table of descriptors full, not as another uid."""

import os
import socket

from harness import check, contains, equal, main, wait_for
from protocol import Wire, fd_body


def connect_many(world, count):
    """Connections that say nothing, all held open."""
    held = []
    for _ in range(count):
        one = socket.socket(socket.AF_UNIX)
        one.settimeout(30)
        one.connect(world.runtime + "/control.sock")
        one.setblocking(False)
        held.append(one)
    return held


def count_open(held):
    """Those that outlived hasn't closed."""
    left = 0
    for one in held:
        try:
            left += one.recv(65536, socket.MSG_PEEK) != b""
        except BlockingIOError:
            left += 1
        except OSError:
            pass
    return left


def answer_of(one):
    try:
        return one.recv(65536)
    except BlockingIOError:
        return None


def many_idle_ones(world):
    held = connect_many(world, 400)
    world.must("status")
    # The newest are served, the ones that were idle for the longest made room.
    wait_for("no more than there are places for", lambda: count_open(held) <= 256)
    check(count_open(held) > 200, f"{count_open(held)} of 400 are left: too many were closed")
    check(count_open(held[:100]) < 100, "none of the oldest made room")
    for one in held:
        one.close()


def work_is_not_cut_off(world):
    """A call that outlived is busy with stays, however many come."""
    waits = world.start(world.program("outlive"), "run", "slow", "--notify", "--ready-timeout",
                        "120s", "--", "/bin/sleep", "1000", env=world.environment)
    wait_for("the service to be started", lambda: world.service("slow"))
    held = connect_many(world, 400)
    world.must("status")
    equal(waits.poll(), None, "the call that waits")
    for one in held:
        one.close()
    world.must("stop", "slow")
    check(waits.wait(timeout=30) != 0, "a service that was stopped before it was ready")


def table_is_full(world):
    """A table of 512, filled by a client of the device."""
    with Wire.connect(world.runtime) as device:
        session = device.create_session("fills")
        count, reply = 0, None
        while count < 600:
            fd = os.memfd_create("f")
            reply = session.ask(0x40, fd_body(count), [fd])
            os.close(fd)
            if reply.result:
                break
            count += 1
        equal(-reply.result, 24, f"EMFILE after {count}")
        held = connect_many(world, 100)
        world.must("status")
        equal(world.status()["files"], count, "files")
        world.must("run", "after", "--", "/bin/sleep", "1000")
        world.must("stop", "after", "--force")
        check(count_open(held) <= 32, f"{count_open(held)} of 100 are in the reserve")
        for one in held:
            one.close()
        session.close()
    wait_for("the session to end", lambda: world.status()["sessions"] == 0)


def another_uid(world, wanted, logged=True):
    """As root: who is no operator has few places, and is told so."""
    if os.geteuid() != 0:
        return
    reader, writer = os.pipe()
    hold_reader, hold_writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(hold_writer)
            os.setgid(65534)
            os.setuid(65534)
            held = connect_many(world, 60)
            said = wait_for("a refusal", lambda: answer_of(held[-1]))
            left = count_open(held[:-1])
            os.write(writer, f"{left} {said.decode()}".encode())
            os.read(hold_reader, 1)  # until the parent has tried
        finally:
            os._exit(0)
    os.close(writer)
    os.close(hold_reader)
    left, _, said = os.read(reader, 65536).decode().partition(" ")
    # A refusal that waits to be read counts as open: the line says what it is.
    contains(said, "org.outlive.Orchestrator.Busy", "the refusal")
    contains(said, wanted, "the refusal")
    if logged:  # once in a while
        contains(world.log(), f"control: {wanted}", "outlived's log")
    check(int(left) > 0, "all were closed")
    world.must("status")
    os.close(hold_writer)
    os.close(reader)
    os.waitpid(child, 0)


def configured(world):
    """So many as [limits] says, and at once when it says something else."""
    def limits(total, each):
        return f"[limits]\ncontrol-connections = {total}\ncontrol-connections-per-uid = {each}\n"

    def reload(total, each):
        world.write("outlive.toml", limits(total, each))
        contains("\n".join(world.json("reload")["applied"]), "[limits] control-connections", "applied")

    world.start_outlived(limits(16, 5))
    another_uid(world, "uid 65534 has 5 connections of 5 (control-connections-per-uid)")
    held = connect_many(world, 40)
    world.must("status")
    wait_for("no more than 16", lambda: count_open(held) <= 16)
    check(count_open(held) > 8, f"{count_open(held)} of 40 are left")
    reload(100, 5)
    more = connect_many(world, 60)
    world.must("status")
    equal(count_open(more), 60, "those that have their places now")
    for one in held + more:
        one.close()
    reload(16, 50)
    another_uid(world, "there are 8 connections of users, as many as half of control-connections",
                logged=False)
    world.stop_outlived()


def test(world):
    world.start_outlived("[limits]\nfds = 512\n")
    table_is_full(world)
    another_uid(world, "uid 65534 has 32 connections of 32")
    world.expect_clean()
    world.stop_outlived()
    world.start_outlived()
    many_idle_ones(world)
    work_is_not_cut_off(world)
    equal(world.status()["worker_deaths"], 0, "deaths of the worker")
    world.stop_outlived()
    configured(world)


main(test)
