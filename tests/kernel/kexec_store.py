"""All of outlived's processes die at once while it adopts what came through a kexec, at one step after the
other, and a service manager that keeps descriptors starts it again each time. All is there afterwards, a
client's direct session too, and the store has what it has always. What somebody else has put there under the
name of a session is refused. Then without room in the store."""

import functools
import json
import signal

from case import main
from harness import check, contains, equal, wait_for
from kexec_world import RUNTIME, begin, cross, outlive, said, status
from machine import Machine

FOLDER = "/tmp"
SESSIONS = ("one", "two", "three")
KERNEL = "outlive-kernel-session"
# In the order of an adoption: where, at which hit. Of RETRIEVE_FD the first two are the image and the notes.
BEFORE = (("daemon.arrival.claimed", 1), ("RETRIEVE_SESSION", 2), ("daemon.arrival.kept", 1), ("RETRIEVE_FD", 4),
          ("daemon.arrival.direct", 1), ("daemon.arrival.settled", 1), ("daemon.arrival.storing", 1))
# From here on the arena is in the store.
AFTER = (("daemon.arrival.stored", 1), ("FINISH", 1), ("FINISH", 2), ("daemon.arrival.finished", 1),
         ("daemon.arrival.dropped", 1))


def store(machine):
    return machine.read(f"{FOLDER}/store").split()


def starts(machine):
    return int(machine.read(f"{FOLDER}/starts"))


def arm(machine, number, name, at):
    machine.must("kernel-faults", "arm", f"{FOLDER}/page.{number}", "worker", name, str(at), "1", "stop")


def managed(machine, most=100):
    begin(machine, under=("kernel-manager", FOLDER, str(most)))


def stopped(machine, number, what):
    """The worker of the last start has come to where it stops."""
    def there():
        return machine.run("kernel-faults", "fired", f"{FOLDER}/page.{number}").out == "1"
    wait_for(f"the worker to stop at {what}", there, seconds=120)
    equal(starts(machine), number, "starts")


def keep(machine, what):
    machine.must("kernel-manager", FOLDER, "keep", KERNEL, what)


def kill(machine):
    machine.signal(int(machine.read(f"{FOLDER}/pid")), signal.SIGUSR1)


def killed_again_and_again(machine, points):
    """Each start dies as a whole at its point; the one after the last goes through."""
    arm(machine, 1, *points[0])
    managed(machine)
    for number, point in enumerate(points, 1):
        stopped(machine, number, point)
        names = store(machine)
        equal(("outlive-arena" in names, KERNEL in names), (point in AFTER, point != AFTER[-1]),
              f"the arena and the kernel's sessions are in the store at {point}: {names}")
        if number < len(points):
            arm(machine, number + 1, *points[number])
        if number == 1:
            keep(machine, "memfd")
        kill(machine)
    return status(machine)


def session(machine, verb, name):
    machine.must("kernel-session", verb, name, f"text of {name}",
                 environment=(f"OUTLIVE_RUNTIME_DIR={RUNTIME}",))


def hold_direct(machine, number):
    """Its client has it over the kexec that follows."""
    log = f"/direct{number}.log"
    machine.start("kernel-direct", RUNTIME, "hold", "vm", "a guest's memory", output=log)
    wait_for("the direct session", lambda: machine.read(log) == "preserved\n", seconds=120)


def as_always(machine):
    """Nothing of the kernel's is in the store, and all that records name is, once."""
    def right():
        names = store(machine)
        told = status(machine)["fd_store"]
        return len(names) == len(set(names)) and KERNEL not in names and told == f"{len(names)} descriptors"
    wait_for("the store to be as it is told", right, seconds=120)


def whole(machine, told, number):
    equal(told["live_update_number"], number, "the live update number")
    log = machine.read("/outlived.log")
    contains(log, "of an adoption that isn't over: it begins anew", "the log")
    contains(log, f"a descriptor named '{KERNEL}' is no session of outlived's in the kernel: /memfd:strange", "the log")
    contains(said(machine, "adopted at"), "16 bytes 'what was written', seals there, mode 640, owner 65534:65534, append 1, position 16", "the file")
    for name in SESSIONS:
        session(machine, "check", name)
    machine.must("kernel-direct", RUNTIME, "find", "vm", "a guest's memory")
    files = json.loads(outlive(machine, "list", "files", "--json").out)["files"]
    equal((len(files), [one for one in files if one["failed"]]), (2 + len(SESSIONS), []), "files")
    wait_for("the update's end", lambda: status(machine)["state"] == "normal", seconds=120)
    found = outlive(machine, "fsck")
    equal(found.code, 0, f"fsck: {found.out}")
    as_always(machine)


def one_that_never_crossed(machine):
    """A session that somebody has made for the next kexec is none that has come."""
    keep(machine, "session")
    wait_for("the store to have it", lambda: KERNEL in store(machine))
    number = starts(machine)
    kill(machine)
    wait_for("the next start", lambda: starts(machine) == number + 1, seconds=120)
    told = status(machine)
    equal(told["refused"], None, "it is no refusal")
    contains(machine.read("/outlived.log"), "was to cross a kexec that didn't come: given up", "the log")
    as_always(machine)
    for name in SESSIONS:
        session(machine, "check", name)


def without_room(machine):
    """It is said, and adopted all the same."""
    managed(machine, most=5)
    told = status(machine)
    contains(machine.read("/outlived.log"), "adopted without the service manager's fd store", "the log")
    check(KERNEL not in store(machine), "nothing is left in the store")
    return told


def test(machine):
    for program in ("outlive", "outlived", "kernel-counter", "kernel-session", "kernel-faults", "kernel-direct",
                    "kernel-manager"):
        machine.offer(machine.program(program))
    managed(machine)
    status(machine)
    said(machine, "fresh")
    for name in SESSIONS:
        session(machine, "save", name)
    hold_direct(machine, 1)
    whole(machine, cross(machine, again=functools.partial(killed_again_and_again, points=BEFORE + AFTER)), 1)
    hold_direct(machine, 2)
    one_that_never_crossed(machine)
    told = cross(machine, again=without_room)
    equal(told["live_update_number"], 2, "the live update number")
    machine.must("kernel-direct", RUNTIME, "find", "vm", "a guest's memory")
    for name in SESSIONS:
        session(machine, "check", name)


main(test, functools.partial(Machine, life=900))
