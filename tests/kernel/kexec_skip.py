"""A file that the kernel can't carry: `outlive kexec` is refused, and with --policy skip it is left behind,
which is said, and everything else is there. A worker of outlived died before."""

import json
import signal

from case import main
from harness import check, contains, equal, wait_for
from kexec_world import RUNTIME, counted, cross, kexec, outlive, said, start, status


def test(machine):
    for program in ("outlive", "outlived", "kernel-counter"):
        machine.offer(machine.program(program))
    told = start(machine)
    said(machine, "fresh")
    machine.signal(told["pid_worker"], signal.SIGKILL)
    wait_for("another worker", lambda: status(machine)["pid_worker"] != told["pid_worker"],
             seconds=120)
    machine.must("outlive", "--runtime-dir", RUNTIME, "run", "--name", "other", "--",
                 "/host/kernel-counter", "pipe", "other")
    wait_for("the other service", lambda: "fresh" in outlive(machine, "log", "other").out, seconds=120)
    refused = kexec(machine)
    equal(refused.code, 4, "a file that would be lost")
    contains(refused.out, "pipe", "which one")
    cross(machine, "--policy", "skip")
    check(counted(said(machine, "adopted at")) > 0, "the other file")
    files = json.loads(outlive(machine, "list", "files", "--json").out)["files"]
    equal([(one["session"], one["token"]) for one in files if one["failed"]], [("other", "3")],
          "what was left behind")
    contains(machine.read("/outlived.log"), "session 'other' token 0x3: lost over the kexec", "the log")


main(test)
