"""outlived on a kernel with LUO has /dev/liveupdate from its start, which nobody else can open then; it
says so in `outlive status`. When somebody else has it, that one is named, and kind = "kernel" holds."""

import json
import signal

from case import main
from harness import contains, equal, wait_for
from kexec_world import RUNTIME, answered, stop

def status(machine):
    """Once it answers: the exit code, and what `outlive status` says."""
    ran = answered(machine)
    return ran.code, json.JSONDecoder().raw_decode(ran.out)[0]


def start(machine, kind):
    with open(f"{machine.host}/{kind}.toml", "w") as file:
        file.write(f'[machine]\nkind = "{kind}"\n')
    machine.start("outlived", "--config", f"/host/{kind}.toml", "--runtime-dir", RUNTIME,
                  "--state-dir", RUNTIME, output="/outlived.log")
    return status(machine)


def test(machine):
    for program in ("outlive", "outlived", "kernel-memfd"):
        machine.offer(machine.program(program))
    code, told = start(machine, "auto")
    equal((code, told["machine"]), (0, "kernel"), "auto on a kernel with LUO")
    taken = machine.run("kernel-memfd", "check")
    equal(taken.code, 1, "opening the device while outlived has it")
    contains(taken.out, "EBUSY", "why")
    machine.signal(told["pid_worker"], signal.SIGKILL)
    again = wait_for("another worker", lambda: (
        lambda new: new if new["pid_worker"] != told["pid_worker"] else None)(status(machine)[1]))
    equal(again["machine"], "kernel", "after a death of the worker")
    contains(machine.run("kernel-memfd", "check").out, "EBUSY", "it is still outlived's")
    stop(machine, told)

    code, told = start(machine, "process")
    equal((code, told["machine"]), (0, "process: [machine] kind"), "process")
    contains(machine.run("kernel-memfd", "check").out, "RETRIEVE_SESSION", "the device is free")
    stop(machine, told)

    machine.must("kernel-memfd", "hold")
    code, told = start(machine, "auto")
    equal(code, 0, "auto while somebody else has the device")
    contains(told["machine"], "(EBUSY): pid ", "who has it")
    contains(told["machine"], "(kernel-memfd)", "who has it")
    stop(machine, told)
    code, told = start(machine, "kernel")
    equal(code, 78, "kernel while somebody else has the device")
    contains(told["refused"], "(kernel-memfd)", "who has it")


main(test)
