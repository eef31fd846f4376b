"""The worker is confined, also after its death; keeper, spare and services are not."""

import os

from harness import Skipped, check, contains, equal, main, wait_for

KEPT = 0x42B  # CHOWN, DAC_OVERRIDE, FOWNER, KILL, NET_BIND_SERVICE


def facts(pid):
    with open(f"/proc/{pid}/status") as file:
        return dict(line.rstrip("\n").split(":\t") for line in file if ":\t" in line)


def expect_confined(pid):
    found = facts(pid)
    equal(found["Seccomp"], "2", "the worker's Seccomp")
    equal(found["NoNewPrivs"], "1", "the worker's NoNewPrivs")
    equal(int(found["CapEff"], 16) & ~KEPT, 0, "capabilities that the worker shouldn't have")
    equal(int(found["CapPrm"], 16) & ~KEPT, 0, "capabilities that it could take")


def expect_free(pid, who):
    found, own = facts(pid), facts(os.getpid())
    for name in ("Seccomp", "NoNewPrivs", "CapEff", "CapBnd"):
        equal(found[name], own[name], f"{name} of the {who}")


def test(world):
    world.start_outlived()
    if "sanitizer" in world.status()["confinement"]:
        raise Skipped("a sanitizer's build isn't confined")
    wait_for("the spare", lambda: world.status()["pid_spare"] > 0)
    status = world.status()
    contains(status["confinement"], "seccomp", "status")
    contains(world.must("status").out, "no new privileges", "status")
    expect_confined(status["pid_worker"])
    expect_free(status["pid_keeper"], "keeper")
    expect_free(status["pid_spare"], "spare")
    world.must("run", "idle", "--", "/bin/sleep", "1000")
    expect_free(world.service("idle")["pid"], "service")
    worker = status["pid_worker"]
    world.kill(worker)
    wait_for("another worker", lambda: world.status()["pid_worker"] != worker)
    expect_confined(world.status()["pid_worker"])
    world.must("stop", "idle")
    check("died" not in world.log().split("serves at")[0], "the first worker died")
    equal(world.status()["worker_deaths"], 1, "deaths of the worker")
    world.stop_outlived()

    # In a service manager's unit, or where a system is stranger than we know.
    world.start_outlived("[worker]\nconfine = false\n")
    equal(world.status()["confinement"], "off: [worker] confine = false", "status")
    expect_free(world.status()["pid_worker"], "worker")


main(test)
