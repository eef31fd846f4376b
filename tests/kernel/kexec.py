"""`outlive kexec`: a service's memory and files are there after it, with seals, mode and position. A veto and an image that is none are cancels: the service counts on."""

import json

from case import main
from harness import check, contains, equal, wait_for
from kexec_world import RUNTIME, counted, cross, kexec, outlive, said, start, status


def test(machine):
    for program in ("outlive", "outlived", "kernel-counter"):
        machine.offer(machine.program(program))
    told = start(machine)
    equal((told["machine"], told["live_update_number"]), ("kernel", 0), "the start")
    said(machine, "fresh")

    plan = json.loads(outlive(machine, "kexec", "--dry-run", "--json").out)
    equal((len(plan["files"]), plan["lost"]), (2, 0), "the plan")

    least = 0
    for number in range(1, 3):
        told = cross(machine)
        equal(told["live_update_number"], number, "the live update number")
        line = said(machine, "adopted at")
        contains(line, "16 bytes 'what was written', seals there, mode 640, position 16", "the file")
        check(counted(line) >= least, f"it counted on from {least}: {line}")
        least = counted(line) + 1
        wait_for("the update's end", lambda: status(machine)["state"] == "normal", seconds=120)

    refusals(machine)


def refusals(machine):
    """Each is a cancel, or comes before anybody was asked: the same process of the service counts on."""
    def pid():
        return json.loads(outlive(machine, "list", "services", "--json").out)["services"][0]["pid"]
    before = pid()
    bad = kexec(machine, "--trust-kernel", kernel="/host/outlive.toml")
    equal(bad.code, 1, "a kernel that is none")
    contains(bad.out, "kexec_file_load", "why")
    equal(status(machine)["state"], "normal", "the state after it")
    equal(pid(), before, "the service's process")
    machine.must("outlive", "--runtime-dir", RUNTIME, "update", "counter", "--", "/host/kernel-counter",
                 "veto")
    before = pid()
    vetoed = kexec(machine)
    equal(vetoed.code, 3, "a service that says no to the freeze")
    contains(vetoed.out, "vetoed freeze", "why")
    equal(status(machine)["state"], "normal", "the state after it")
    equal(pid(), before, "the service's process")
    machine.must("outlive", "--runtime-dir", RUNTIME, "update", "counter", "--", "/host/kernel-counter")


main(test)
