"""`outlive kexec` by reboot(2) under a real systemd, which leaves /dev/liveupdate to outlived: the next systemd
starts outlived, and that the service, which finds what it had. Before, all of outlived's own processes
are killed and the service lives on: systemd's watchdog tells, and what was held is there. Afterwards systemd
kills all of outlived while it adopts what came, and has it in its fd store."""

import signal

from case import main
from harness import check, equal, wait_for
from kexec_world import go
from systemd_machine import OUTLIVE, ServiceMachine, serves, told


PAGE = "/page"
EMPTY_PAGE = "OLFPAGE1".ljust(256 + 508 * 64, "\0")  # src/base/fault_page.h


class WatchedMachine(ServiceMachine):
    more_files = {
        **ServiceMachine.more_files,
        # Two minutes, as the unit says it, are too long for a test.
        "etc/systemd/system/outlived.service.d/watchdog.conf": "[Service]\nWatchdogSec=20\n",
        "etc/systemd/system/outlived.service.d/faults.conf": f"[Service]\nEnvironment=OUTLIVE_FAULTS=@{PAGE}\n",
        PAGE[1:]: EMPTY_PAGE,
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


def killed_while_it_adopts(machine):
    """Files are retrieved, nothing is finished: what is in systemd's fd store are sessions of the kernel's."""
    machine.must("kernel-faults", "arm", PAGE, "worker", "daemon.arrival.settled", "1", "1", "stop")
    machine.systemctl("start", "--no-block", "outlived")
    wait_for("the worker to be in the middle of it",
             lambda: machine.must("kernel-faults", "fired", PAGE) == "1", seconds=120)
    machine.systemctl("kill", "--signal=KILL", "outlived")
    wait_for("systemd to start it again", lambda: machine.show("SubState", "NRestarts") == ["running", "1"],
             seconds=120)


def test(machine):
    machine.offer(machine.program("kernel-faults"))
    machine.systemctl("start", "outlived")
    equal(told(machine, "status")["machine"], "kernel", "whose /dev/liveupdate is")
    watchdog(machine)
    equal(told(machine, "status")["machine"], "kernel", "whose it is after that")
    go(machine, (OUTLIVE,), "--kernel", "/host/kernel")
    killed_while_it_adopts(machine)
    status = told(machine, "status")
    equal((status["machine"], status["live_update_number"]), ("kernel", 1), "after the kexec")
    serves(machine, "found")
    wait_for("systemd to have what is told of its store, and no more", lambda: told(machine, "status")["fd_store"] ==
             f"{machine.show('NFileDescriptorStore')} descriptors", seconds=120)


main(test, WatchedMachine)
