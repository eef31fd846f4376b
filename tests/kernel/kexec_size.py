"""What the kernel preserves can't change its size: a service is told in prepare that it is an update of the
kernel, its memory's growth is refused with the reason, and after the cancel it grows again. A warm-up before asks
nobody."""

from case import main
from harness import check, contains, equal
from kexec_world import RUNTIME, kexec, outlive, run_outlived

KERNEL = "the kernel preserves it for an update of the kernel that is on its way"
UPDATE = "can't grow before the update is over"


def steps(machine):
    """The last of each step: what the service has said."""
    lines = outlive(machine, "log", "grower").out.splitlines()
    return {step: [line for line in lines if line.startswith(step)][-1]
            for step in ("prepare", "freeze", "cancel")}


def test(machine):
    for program in ("outlive", "outlived", "kernel-grower"):
        machine.offer(machine.program(program))
    run_outlived(machine, '[services.grower]\ncommand = ["/host/kernel-grower"]\n')

    warm = machine.must("outlive", "--runtime-dir", RUNTIME, "kexec", "--warm-up")
    contains(warm, "2 files preserved with the kernel in ", "the warm-up")
    check("prepare" not in outlive(machine, "log", "grower").out, "nobody was asked for it")

    equal(kexec(machine).code, 3, "a kexec that the service says no to")
    said = steps(machine)
    contains(said["prepare"], "kernel 1, file Operation not permitted, memory ", "told in prepare")
    contains(said["prepare"], KERNEL, "why its memory can't grow")
    contains(said["freeze"], "kernel 1, file Operation not permitted, memory ", "in freeze")
    contains(said["freeze"], UPDATE, "why its memory can't grow")
    equal(said["cancel"], "cancel: kernel 1, file grown, memory grown", "after the cancel")

    refused = outlive(machine, "update", "grower", "--", "/host/kernel-grower")
    equal(refused.code, 3, "an update of the service that it says no to")
    equal(steps(machine)["prepare"], "prepare: kernel 0, file grown, memory grown",
          "nobody but the kernel forbids it")


main(test)
