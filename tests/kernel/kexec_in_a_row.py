"""Ten kexecs in a row: the service counts on over all of them, and nothing grows: sessions, files, the arena, what the kernel holds."""

import functools
import json

from case import main
from harness import check, equal, wait_for
from kexec_world import counted, cross, outlive, said, start, status
from machine import Machine

TIMES = 10


def counts(machine):
    """What may not grow."""
    told = status(machine)
    wait_for("the update's end", lambda: status(machine)["state"] == "normal", seconds=120)
    found = outlive(machine, "fsck", "--json")
    equal(found.code, 0, f"fsck: {found.out}")
    return {key: told[key] for key in ("sessions", "files", "services")}


def test(machine):
    for program in ("outlive", "outlived", "kernel-counter"):
        machine.offer(machine.program(program))
    start(machine)
    said(machine, "fresh")
    before, least, used = counts(machine), 0, []
    for number in range(1, TIMES + 1):
        told = cross(machine)
        equal(told["live_update_number"], number, "the live update number")
        line = said(machine, "adopted at")
        check(counted(line) >= least, f"it counted on from {least}: {line}")
        least = counted(line) + 1
        equal(counts(machine), before, f"what is held after kexec {number}")
        used.append(status(machine)["arena_used"])
        plan = json.loads(outlive(machine, "kexec", "--dry-run", "--json").out)
        equal((len(plan["files"]), plan["lost"]), (2, 0), f"the plan after kexec {number}")
    # The timelines of the last updates are kept; from the third on there is nothing more to come.
    check(used[-1] <= used[2] + (1 << 20), f"the arena grows: {used}")


main(test, functools.partial(Machine, life=1700))
