"""outlived is killed after the boot, before it claimed everything that came: at every step of it, again and
again, its keeper too, and until it holds and is replaced by another binary. Nothing is lost, nor is what a client
has preserved in a session of the kernel's own."""

import functools
import json
import signal

from case import main
from harness import check, contains, equal, wait_for
from kexec_world import RUNTIME, counted, cross, launch_outlived, outlive, said, status
from machine import Machine

PAGE = "/tmp/page"
SESSIONS = ("one", "two", "three")
MANY = 100  # more files than share one session of the kernel's
SERVICES = f"""[services.counter]
command = ["/host/kernel-counter"]
[services.many]
command = ["/host/kernel-many", "{MANY}", "{MANY * 4096}"]
"""
# Where one worker after the other is killed: points and hits of each. Of RETRIEVE_FD the first two are the image and
# the notes; of RETRIEVE_SESSION the first is outlived's own, then come two of files.
FETCHING = (("RETRIEVE_SESSION", 2), ("RETRIEVE_SESSION", 2), ("RETRIEVE_FD", 4), ("RETRIEVE_FD", 1), ("RETRIEVE_FD", 80))
SETTLING = (("daemon.arrival.direct", 1), ("daemon.arrival.direct", 1), ("daemon.arrival.arena", 1), ("FINISH", 2))


def arm(machine, name, at, action="stop", times=1, verb="arm"):
    machine.must("kernel-faults", verb, PAGE, "worker", name, str(at), str(times), action)


def launch(machine):
    launch_outlived(machine, SERVICES, (f"OUTLIVE_FAULTS=@{PAGE}",))


def killed_at(points, machine):
    """As init: starts it. Its workers stop there, and are killed once the next one's point is set."""
    arm(machine, *points[0])
    launch(machine)
    for point in points[1:]:
        arm(machine, *point, verb="next")


def fetching(machine):
    """At last the keeper dies while its worker is in the middle of it."""
    killed_at((*FETCHING, ("RETRIEVE_FD", 5)), machine)
    wait_for("the worker to be in the middle of it", lambda: fired(machine) == 1, seconds=120)
    keeper = int(machine.read(f"{RUNTIME}/outlived.lock"))
    machine.signal(keeper, signal.SIGKILL)
    told = status(machine)
    check(told["pid_keeper"] != keeper, "another keeper")
    return told


def settling(machine):
    killed_at((*SETTLING, ("no point", 1)), machine)
    return status(machine)


def fired(machine):
    return int(machine.must("kernel-faults", "fired", PAGE))


def replaced(machine):
    """Its worker aborts until everything is held: another binary is the way out."""
    arm(machine, "daemon.arrival.file", 1, "abort", times=100)
    launch(machine)
    status(machine)
    contains(outlive(machine, "status").out, "died too often", "what it says")
    machine.must("kernel-faults", "disarm", PAGE)
    machine.must("outlive", "--runtime-dir", RUNTIME, "update", "outlived")
    return status(machine)


def session(machine, verb, name):
    machine.must("kernel-session", verb, name, f"text of {name}",
                 environment=(f"OUTLIVE_RUNTIME_DIR={RUNTIME}",))


def many(machine, words):
    wait_for(f"many to say '{words}'", lambda: words in outlive(machine, "log", "many").out, seconds=120)


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
    many(machine, f"adopted {MANY}, 0 differ")
    files = json.loads(outlive(machine, "list", "files", "--json").out)["files"]
    equal((len(files), [one for one in files if one["failed"]]), (2 + len(SESSIONS) + MANY, []), "files")
    wait_for("the update's end", lambda: status(machine)["state"] == "normal", seconds=120)
    found = outlive(machine, "fsck")
    equal(found.code, 0, f"fsck: {found.out}")
    return counted(line)


def test(machine):
    for program in ("outlive", "outlived", "kernel-counter", "kernel-many", "kernel-session", "kernel-faults",
                    "kernel-direct"):
        machine.offer(machine.program(program))
    arm(machine, "no point", 1)
    launch(machine)
    status(machine)
    said(machine, "fresh")
    many(machine, "fresh")
    for name in SESSIONS:
        session(machine, "save", name)
    least = 0
    for number, again in enumerate((fetching, settling, replaced), 1):
        hold_direct(machine, number)
        least = whole(machine, cross(machine, again=again), number, least)


main(test, functools.partial(Machine, life=900))
