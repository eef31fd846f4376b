"""outlived under a real systemd, with its unit as it is installed: started, all of its processes killed
at once, reloaded, restarted, replaced by itself. systemd knows the right main process after each, and
a session with its content is there, and a service with its own. After a stop nothing is."""

import json

from case import main
from harness import check, contains, equal, wait_for
from systemd_machine import OUTLIVE, SystemdMachine

SESSION = "/usr/bin/kernel-session"
TEXT = "kept over all that systemd does"


def is_well(machine, restarts):
    """systemd's view is right: it runs, the main process is the keeper, all that is stored is told."""
    state, main_pid, count, result, stored = machine.show(
        "SubState", "MainPID", "NRestarts", "Result", "NFileDescriptorStore")
    equal((state, count, result), ("running", str(restarts), "success"), "systemd's view")
    told = machine.must(OUTLIVE, "status")
    contains(told, f"keeper {main_pid},", "the main process")
    contains(told, f"{stored} descriptors", "what is stored")
    machine.must(SESSION, "check", "kept", TEXT)
    service = json.loads(machine.must(OUTLIVE, "list", "services", "--json"))["services"][0]
    # It ends where it doesn't find its own. One death was not outlived's doing: of all at once.
    check(service["state"] == "running" and service["restarts"] <= 1, f"the service: {service}")
    return main_pid


def killed(machine):
    """Nobody of outlived is left: what it held is in systemd's fd store alone."""
    before = is_well(machine, 0)
    machine.systemctl("kill", "--signal=KILL", "outlived")
    wait_for("systemd to start it again", lambda: machine.show("SubState", "NRestarts") ==
             ["running", "1"])
    check(is_well(machine, 1) != before, "another process is the main one")


def reloaded(machine):
    before = machine.show("MainPID")
    machine.systemctl("reload", "outlived")
    equal(is_well(machine, 1), before, "the main process after a reload")


def restarted(machine):
    before = machine.show("MainPID")
    machine.systemctl("restart", "outlived")
    check(is_well(machine, 0) != before, "another process is the main one")


def replaced(machine):
    contains(machine.must(OUTLIVE, "update", "outlived"), "updated outlived", "the update")
    is_well(machine, 0)


def stopped(machine):
    machine.systemctl("stop", "outlived")
    equal(machine.show("SubState", "NFileDescriptorStore"), ["dead", "0"], "after the stop")
    machine.systemctl("start", "outlived")
    equal(json.loads(machine.must(OUTLIVE, "list", "sessions", "--json"))["sessions"], [], "sessions")


def test(machine):
    machine.systemctl("start", "outlived")
    machine.must(OUTLIVE, "run", "holder", "--restart", "always", "--", SESSION, "serve", "held", TEXT)
    machine.must(SESSION, "save", "kept", TEXT)
    contains(machine.run(SESSION, "check", "kept", "other").out, "the memfd has", "a wrong text")
    for step in (killed, reloaded, restarted, replaced, stopped):
        step(machine)
        print(f"{step.__name__}: well", flush=True)


main(test, SystemdMachine)
