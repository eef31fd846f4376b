"""outlived is killed after the boot, before it claimed everything that came: at every step of it, again and
again, its keeper too, and until it holds and is replaced by another binary. Nothing is lost, nor is what a client
has preserved in a session of the kernel's own."""

import functools
import json
import signal

from case import main
from harness import check, contains, equal, wait_for
from kexec_world import RUNTIME, begin, counted, cross, outlive, said, start, status
from machine import Machine

PAGE = "/tmp/page"
SESSIONS = ("one", "two", "three")
# Where, at which hit, so many times in a row. Of RETRIEVE_FD the first two are the image and the notes.
POINTS = (("RETRIEVE_SESSION", 2, 1), ("RETRIEVE_FD", 4, 3), ("daemon.arrival.direct", 1, 2),
          ("daemon.arrival.arena", 1, 1), ("FINISH", 2, 1))


def arm(machine, name, at, times, action):
    machine.must("kernel-faults", "arm", PAGE, "worker", name, str(at), str(times), action)
    return (f"OUTLIVE_FAULTS=@{PAGE}",)


def fired(machine):
    return int(machine.must("kernel-faults", "fired", PAGE))


def killed_at(name, at, times, machine):
    """As init: starts it; its worker is killed there."""
    return start(machine, environment=arm(machine, name, at, times, "kill"))


def keeper_killed(machine):
    """The keeper dies while its worker is in the middle of it."""
    begin(machine, environment=arm(machine, "RETRIEVE_FD", 5, 1, "stop"))
    wait_for("the worker to be in the middle of it", lambda: fired(machine) == 1, seconds=120)
    keeper = int(machine.read(f"{RUNTIME}/outlived.lock"))
    machine.signal(keeper, signal.SIGKILL)
    told = status(machine)
    check(told["pid_keeper"] != keeper, "another keeper")
    return told


def replaced(machine):
    """Its worker aborts until everything is held: another binary is the way out."""
    start(machine, environment=arm(machine, "daemon.arrival.file", 1, 100, "abort"))
    contains(outlive(machine, "status").out, "died too often", "what it says")
    machine.must("kernel-faults", "disarm", PAGE)
    machine.must("outlive", "--runtime-dir", RUNTIME, "update", "outlived")
    return status(machine)


def session(machine, verb, name):
    machine.must("kernel-session", verb, name, f"text of {name}",
                 environment=(f"OUTLIVE_RUNTIME_DIR={RUNTIME}",))


def direct(machine, *words):
    return machine.must("kernel-direct", RUNTIME, *words)


def hold_direct(machine, number):
    """Its client has it over the kexec that follows."""
    log = f"/direct{number}.log"
    machine.start("kernel-direct", RUNTIME, "hold", "vm", "a guest's memory", output=log)
    wait_for("the direct session", lambda: machine.read(log) == "preserved\n", seconds=120)


def whole(machine, told, number, least):
    """Everything is there. Where the service has counted to."""
    equal(told["live_update_number"], number, "the live update number")
    line = said(machine, "adopted at")
    contains(line, "16 bytes 'what was written', seals there, mode 640, owner 65534:65534, append 1, position 16", "the file")
    check(counted(line) >= least, f"it counted on from {least}: {line}")
    for name in SESSIONS:
        session(machine, "check", name)
    direct(machine, "find", "vm", "a guest's memory")
    files = json.loads(outlive(machine, "list", "files", "--json").out)["files"]
    equal((len(files), [one for one in files if one["failed"]]), (2 + len(SESSIONS), []), "files")
    wait_for("the update's end", lambda: status(machine)["state"] == "normal", seconds=120)
    found = outlive(machine, "fsck")
    equal(found.code, 0, f"fsck: {found.out}")
    return counted(line)


def test(machine):
    for program in ("outlive", "outlived", "kernel-counter", "kernel-session", "kernel-faults", "kernel-direct"):
        machine.offer(machine.program(program))
    start(machine)
    said(machine, "fresh")
    for name in SESSIONS:
        session(machine, "save", name)
    ways = [(one, functools.partial(killed_at, *one), one[2]) for one in POINTS]
    ways += [("the keeper", keeper_killed, 1), ("until it holds", replaced, None)]
    least = 0
    for number, (what, again, times) in enumerate(ways, 1):
        hold_direct(machine, number)
        told = cross(machine, again=again)
        if times is not None:
            equal(fired(machine), times, f"kills at {what}")
        least = whole(machine, told, number, least)


main(test, functools.partial(Machine, life=900))
