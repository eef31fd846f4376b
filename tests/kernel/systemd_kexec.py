"""`outlive kexec` by reboot(2) under a real systemd, which leaves /dev/liveupdate to outlived: the next systemd
starts outlived, and that the service, which finds what it had. Before, all of outlived's own processes
are killed and the service lives on: systemd's watchdog tells, and what was held is there."""

import signal

from case import main
from harness import check, equal, wait_for
from kexec_world import go
from systemd_machine import OUTLIVE, ServiceMachine, serves, told


class WatchedMachine(ServiceMachine):
    more_files = {
        **ServiceMachine.more_files,
        # Two minutes, as the unit says it, are too long for a test.
        "etc/systemd/system/outlived.service.d/watchdog.conf": "[Service]\nWatchdogSec=20\n",
    }


def watchdog(machine):
    """All of outlived's own processes die at once, and the service doesn't."""
    before = serves(machine, "saved")
    status = told(machine, "status")
    own = [status[name] for name in ("pid_keeper", "pid_spare", "pid_worker")]
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in own:
            machine.signal(pid, number)
    equal(machine.show("SubState", "NRestarts"), ["running", "0"], "the service alone keeps it up")
    wait_for("systemd to miss its watchdog",
             lambda: machine.show("SubState", "NRestarts") == ["running", "1"], seconds=120)
    check(serves(machine, "found")["pid"] != before["pid"], "the service was started anew")


def test(machine):
    machine.systemctl("start", "outlived")
    equal(told(machine, "status")["machine"], "kernel", "whose /dev/liveupdate is")
    watchdog(machine)
    equal(told(machine, "status")["machine"], "kernel", "whose it is after that")
    go(machine, (OUTLIVE,), "--kernel", "/host/kernel")
    machine.systemctl("start", "outlived")
    status = told(machine, "status")
    equal((status["machine"], status["live_update_number"]), ("kernel", 1), "after the kexec")
    serves(machine, "found")


main(test, WatchedMachine)
