"""Deaths in the middle: programs killed at any moment leave nothing in the device; a supervisor or a
holder that is killed leaves no process and no program waiting for ever."""

import os
import random
import signal
import subprocess
import time

from harness import PATIENCE, check, children_of, contains, descendants_of, equal, is_alive, wait_for
from liveupdate import (compat, create, main, memfd, open_device, preserve, program, words)


@program("busy")
def program_busy():
    device = open_device()
    print("ready", flush=True)
    number = 0
    while True:
        number += 1
        session = create(device, b"busy-%d" % number)
        preserve(session, memfd(b"x"), 1)
        if number % 3 == 0:
            os.close(session)


@program("idle")
def program_idle():
    """Asks for nothing, so nothing tells it that its supervisor is gone."""
    print("ready", flush=True)
    while True:
        signal.pause()


@program("empty")
def program_empty():
    """Nothing is open, and no name is taken."""
    device = open_device()
    for number in range(1, 60):
        equal(type(create(device, b"busy-%d" % number)), int, "left behind")
    print("done")


def start(world, *options, name="busy"):
    process = subprocess.Popen([world.program("outlive"), "compat", *options, "--", *words(name)],
                               env=world.environment, stdout=subprocess.PIPE, text=True)
    world.popen.append(process)
    equal(process.stdout.readline(), "ready\n", "the program")
    return process


def program_of(process):
    """The pid of what runs under it."""
    supervisor, = [pid for pid in children_of(process.pid) if children_of(pid)]
    return children_of(supervisor)[0]


def test(world):
    os.makedirs(world.runtime, exist_ok=True)
    chance = random.Random(7)
    device = ("--device", "d")
    for _ in range(15):
        process = start(world, *device)
        pid = program_of(process)
        time.sleep(chance.uniform(0, 0.02))  # no synchronisation: any moment will do
        os.kill(pid, signal.SIGKILL)
        equal(process.wait(timeout=PATIENCE), 137, "killed in the middle")
        contains(compat(world, "empty", options=device), "done", "the device afterwards")
    # The supervisor: its program ends with it; the device lives.
    for name in ("busy", "idle"):
        process = start(world, *device, name=name)
        pid = program_of(process)
        supervisor = children_of(process.pid)[0]
        check(pid in children_of(supervisor), "the program is its supervisor's child")
        os.kill(supervisor, signal.SIGKILL)
        equal(process.wait(timeout=PATIENCE), 1, "the supervisor died")
        wait_for("the program to end", lambda: not is_alive(pid))
    # The command itself: the program is killed as it was.
    process = start(world, *device, name="idle")
    pid = program_of(process)
    process.kill()
    process.wait(timeout=PATIENCE)
    wait_for("the program to end", lambda: not is_alive(pid))
    contains(compat(world, "empty", options=device), "done", "the device afterwards")
    # The holder: no device any more, and no program hangs.
    process = start(world, *device)
    for holder in descendants_of(os.getpid()):
        if holder in children_of(os.getpid()) and holder != process.pid and is_alive(holder):
            os.kill(holder, signal.SIGKILL)
    pid = program_of(process)
    os.kill(pid, signal.SIGKILL)
    equal(process.wait(timeout=PATIENCE), 137, "killed, with no holder")
    contains(compat(world, "empty", options=device), "done", "a new device in its place")
    world.must("compat", *device, "--stop")


if __name__ == "__main__":
    main(test)
