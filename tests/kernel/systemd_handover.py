"""`outlive kexec` by `systemctl kexec`: systemd carries the kernel's sessions in outlived's fd store, over its own
shutdown, and the service finds what it had. Where `systemctl kexec` fails it is a cancel, and nothing is left
in the store. A `systemctl kexec` that isn't `outlive kexec` brings an arena that was never frozen: dropped."""

from case import main
from harness import check, contains, equal, wait_for
from kexec_world import arrive, go
from systemd_machine import OUTLIVE, ServiceMachine, serves, told

KERNEL = ("--kernel", "/host/kernel")


class LastingMachine(ServiceMachine):
    more_files = {
        **ServiceMachine.more_files,
        "etc/systemd/system/outlived.service.d/kexec.conf":
            "[Service]\nFileDescriptorStorePreserve=yes\n"
            "StandardError=tty\nTTYPath=/dev/console\n",
        # systemd stops it before outlived, and that takes two seconds.
        "etc/systemd/system/slow.service":
            "[Unit]\nAfter=outlived.service\n[Service]\nType=exec\nKillSignal=SIGCONT\nTimeoutStopSec=2\n"
            "ExecStart=/usr/bin/systemd-socket-activate -l 1000 /nothing\n",
    }


def start(machine, how, live_updates):
    machine.systemctl("start", "outlived")
    status = told(machine, "status")
    equal((status["machine"].split(";")[0], status["live_update_number"]), ("kernel", live_updates),
          "the machine and the live update number")
    return serves(machine, how)


def stored(machine):
    return machine.show("NFileDescriptorStore")


def refused(machine):
    """systemd doesn't do it: everything serves, and what was put into the store has left it."""
    before, service = stored(machine), serves(machine, "saved")
    machine.systemctl("mask", "--runtime", "kexec.target")
    ran = machine.run(OUTLIVE, "kexec", *KERNEL, "--initrd", "/host/initrd", "--reuse-cmdline")
    equal(ran.code, 1, f"the exit code of a kexec that systemd refuses: {ran.out}")
    contains(ran.out, "systemctl kexec: exit code 1", "why")
    machine.systemctl("unmask", "--runtime", "kexec.target")
    equal(serves(machine, "saved")["pid"], service["pid"], "the service's process")
    wait_for("the store to be as before", lambda: stored(machine) == before)
    equal(told(machine, "list", "updates")["updates"][0]["result"], "rolled back", "the update")


def plain(machine):
    """systemctl kexec alone: outlived's stop leaves its store to systemd, who carries what it can of it."""
    machine.offer(machine.program("kernel-kexec"))
    machine.must("kernel-kexec", "load", "/host/kernel", "/host/initrd")
    machine.ask("run", "/usr/bin/systemctl", "kexec")
    arrive(machine)
    start(machine, "saved", 0)
    contains(machine.console_text(), "the fd store has an arena of another boot", "what is said")
    equal(stored(machine), told(machine, "status")["fd_store"].split()[0], "what is stored")


def test(machine):
    start(machine, "saved", 0)
    plan = machine.must(OUTLIVE, "kexec", "--dry-run")
    contains(plan, "by systemctl kexec, 2 sessions in the fd store of outlived.service", "the plan")
    refused(machine)
    machine.systemctl("start", "slow")
    go(machine, (OUTLIVE,), *KERNEL)
    contains(machine.farewell, "can't be cancelled any more", "what the command says")
    said = machine.console_text()
    contains(said, "holding: handed over to the service manager", "outlived, until it is stopped")
    check("Failed to preserve" not in said, f"only sessions were in the store:\n{said}")
    start(machine, "found", 1)
    equal(stored(machine), told(machine, "status")["fd_store"].split()[0], "what is stored")
    contains(machine.must(OUTLIVE, "timeline"), "all is stopped, kexec", "the timeline")
    plain(machine)


main(test, LastingMachine)
