"""What tests of `outlive kexec` share: outlived in the machine with a service that counts (kernel-counter),
and the way through a kexec."""

import json
import re
import signal
import time

from harness import Failed, check, equal, wait_for

PATIENCE = 240.0
RUNTIME = "/run-outlive"


def outlive(machine, *words):
    return machine.run("outlive", "--runtime-dir", RUNTIME, *words)


def answered(machine):
    """`outlive status --json`, once outlived answers."""
    def answer():
        ran = outlive(machine, "status", "--json")
        return ran if ran.out.startswith("{") else None
    try:
        return wait_for("outlived to answer", answer, seconds=120)
    except Failed as failed:
        raise Failed(f"{failed}: {outlive(machine, 'status').out}\n{machine.read('/outlived.log')}") from None


def status(machine):
    return json.JSONDecoder().raw_decode(answered(machine).out)[0]


def start(machine, *arguments, environment=(), under=()):
    """With the service that counts."""
    begin(machine, *arguments, environment=environment, under=under)
    return status(machine)


def begin(machine, *arguments, environment=(), under=()):
    """The same, but it needn't answer yet."""
    command = ", ".join(f'"{word}"' for word in ("/host/kernel-counter", *arguments))
    launch_outlived(machine, f"[services.counter]\ncommand = [{command}]\n", environment, under)


def run_outlived(machine, services):
    """As init does it: with the services of its configuration."""
    launch_outlived(machine, services)
    return status(machine)


def launch_outlived(machine, services, environment=(), under=()):
    """`under`: the program that starts it, and its arguments."""
    with open(f"{machine.host}/outlive.toml", "w") as file:
        file.write(f'[machine]\nkind = "kernel"\n[kho]\narena-max = "64M"\nreserve-mem = ["notes 64K 4K"]\n'
                   f'[update]\nprepare-timeout-ms = 120000\nfreeze-timeout-ms = 120000\n{services}')
    words = (*under, "/host/outlived") if under else ("outlived",)
    machine.start(*words, "--config", "/host/outlive.toml", "--runtime-dir", RUNTIME,
                  "--state-dir", RUNTIME, output="/outlived.log", environment=environment)


def stop(machine, told):
    """Ends outlived; the keeper ends as its last one."""
    machine.signal(told["pid_keeper"], signal.SIGTERM)

    def gone():
        machine.run("kernel-memfd")  # PID 1 buries the dead with it
        try:
            machine.read(f"/proc/{told['pid_keeper']}/comm")
            return False
        except Failed:
            return True
    wait_for("outlived's end", gone, seconds=120)


def said(machine, words):
    """The last line with these words that the service has said, once there is one."""
    def found():
        lines = [line for line in outlive(machine, "log", "counter").out.splitlines()
                 if words in line]
        return lines[-1] if lines else None
    try:
        return wait_for(f"the service to say '{words}'", found, seconds=120)
    except Failed as failed:
        raise Failed(f"{failed}\n{machine.read('/outlived.log')}") from None


def kexec(machine, *options, kernel="/host/kernel"):
    """Only comes back when it was refused: its exit code, and what it said."""
    line = machine.read("/proc/cmdline").strip().split(" outlive.stage=")[0]
    return outlive(machine, "kexec", "--kernel", kernel, "--initrd", "/host/initrd", "--cmdline",
                   f"{line} outlive.stage={machine.stage + 1}", *options)


def go(machine, program, *words):
    """Through the kexec that this `outlive` makes; `words`: after `kexec`. machine.farewell: what it has said, as
    far as it got out before the kernel ended."""
    line = machine.read("/proc/cmdline").strip().split(" outlive.stage=")[0]
    machine.ask("run", *program, "kexec", "--initrd", "/host/initrd", "--cmdline",
                f"{line} outlive.stage={machine.stage + 1}", *words)
    machine.farewell = arrive(machine)


def arrive(machine):
    """Waits for the next kernel; what was said on the way to it."""
    end = time.monotonic() + PATIENCE
    text = b""
    while True:
        kind, value = machine.header(end, text)
        if kind == "ready":
            break
        if (kind, value) == ("exit", "0"):
            continue  # systemd takes its time
        check(kind == "out", f"the kexec came back: {kind} {value}\n{text.decode()}")
        text += machine.take(int(value), end, text)
    equal(int(value), machine.stage + 1, "the stage of the kernel that has started")
    machine.stage += 1
    return text.decode()


def cross(machine, *options, again=start, kernel="/host/kernel"):
    """Through the kexec, and outlived is started again, by `again`."""
    go(machine, (f"{machine.home}/outlive", "--runtime-dir", RUNTIME), "--kernel", kernel, *options)
    return again(machine)


def counted(line):
    return int(re.search(r"at (\d+)", line).group(1))
