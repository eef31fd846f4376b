"""The service manager that waits for WATCHDOG=1 hears it: from every worker, of every version, and from
one that holds everything."""

import signal

from harness import equal, main, wait_for
from manager import Manager

SECONDS = 2  # of the manager: it is to hear more often than that


def heard(manager):
    with manager.changed:
        return manager.said.count({"WATCHDOG": "1"})


def expect_heard(manager, who):
    """Twice, so that one on the way doesn't count."""
    before = heard(manager)
    wait_for(f"WATCHDOG=1 of {who}", lambda: heard(manager) >= before + 2)


def next_worker(world, how):
    status = world.json("status")
    world.kill(status["pid_worker"], how)
    wait_for("the next worker", lambda: world.outlive("status").code == 78 or
             world.status()["worker_deaths"] > status["worker_deaths"])


def test(world):
    manager = Manager(world, "[machine]\nfd-store = \"off\"\n[limits]\nworker-deaths = 2\n"
                             "[takeover]\nprobation-ms = 1\n")
    manager.start({"WATCHDOG_USEC": str(SECONDS * 1_000_000)})
    expect_heard(manager, "the first worker")
    next_worker(world, signal.SIGKILL)
    expect_heard(manager, "the next worker")
    equal(world.outlive("update", "outlived").code, 0, "update of outlived")
    expect_heard(manager, "the next outlived")
    while world.outlive("status").code == 0:
        next_worker(world, signal.SIGABRT)
    equal(world.outlive("status").code, 78, "exit code of status")
    expect_heard(manager, "the worker that holds everything")
    world.kill(manager.main_pid(), signal.SIGTERM)
    world.daemon.wait()


main(test)
