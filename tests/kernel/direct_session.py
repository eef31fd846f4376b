"""Direct sessions: a client has the kernel's own session through outlived, within its quota, and preserves by
ioctls what it wants. outlived has no copy. After a kexec its owner, and nobody else, fetches it, once."""

import json
import signal

from case import main
from harness import check, contains, equal, wait_for
from kexec_world import RUNTIME, cross, outlive, run_outlived, status

TEXT = "a guest's memory"
LIMITS = '[limits]\nsessions-per-uid = 4\n'


def sessions(machine):
    found = json.loads(outlive(machine, "list", "sessions", "--json").out)["sessions"]
    return sorted((one["name"], one["direction"], one["claimed"], one["direct"]) for one in found)


def direct(machine, *words):
    return machine.must("kernel-direct", RUNTIME, *words).strip()


def hold(machine, name):
    machine.start("kernel-direct", RUNTIME, "hold", name, TEXT, output=f"/{name}.log")
    wait_for(f"{name} to be preserved", lambda: machine.read(f"/{name}.log") == "preserved\n",
             seconds=120)


def deaths(machine, expected):
    """A request that the worker dies of is done all the same, by the next one."""
    equal(status(machine)["worker_deaths"], expected, "deaths of the worker")


def kill_worker(machine):
    told = status(machine)
    machine.signal(told["pid_worker"], signal.SIGKILL)
    wait_for("another worker", lambda: status(machine)["pid_worker"] != told["pid_worker"],
             seconds=120)


def test(machine):
    for program in ("outlive", "outlived", "kernel-direct"):
        machine.offer(machine.program(program))
    run_outlived(machine, LIMITS)
    hold(machine, "vm")
    hold(machine, "left")
    equal(direct(machine, "fill"), "2, then Disk quota exceeded", "within the quota")
    direct(machine, "twice", "copy")
    direct(machine, "keep")
    deaths(machine, 0)
    kill_worker(machine)
    outgoing = [(name, "outgoing", True, True) for name in ("left", "vm")]
    equal(sessions(machine), outgoing, "what is there before")
    plan = json.loads(outlive(machine, "kexec", "--dry-run", "--json").out)
    equal((sorted(plan["direct_sessions"]), plan["lost"]), (["left", "vm"], 0), "the plan")

    cross(machine, again=lambda machine: run_outlived(machine, LIMITS))
    incoming = [(name, "incoming", False, True) for name in ("left", "vm")]
    equal(sessions(machine), incoming, "what came")
    equal(direct(machine, "as", "65534", "vm"), "No such file or directory", "somebody else's")
    kill_worker(machine)
    equal(sessions(machine), incoming, "over a death of the worker")
    direct(machine, "find", "vm", TEXT)
    machine.must("outlive", "--runtime-dir", RUNTIME, "end", "left")
    wait_for("both to have ended", lambda: sessions(machine) == [], seconds=120)
    deaths(machine, 1)
    clean = outlive(machine, "fsck")
    equal(clean.code, 0, f"fsck: {clean.out}")
    check("lost over the kexec" not in machine.read("/outlived.log"), "nothing was lost")


main(test)
