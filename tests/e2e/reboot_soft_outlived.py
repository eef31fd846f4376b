"""outlive reboot --soft where outlived's own next version is bad. A rehearsal that fails: nobody was
asked for anything. One that is bad only after its exec: all services are replaced all the same, under
the outlived that was there before, and the reason is told."""

import os

from harness import check, contains, equal, free_port, main, wait_for
from reboot_soft import lines_serve, pids_of, start

NAMES = ["a", "b", "c"]
CONFIG = """
[takeover]
ready-timeout-ms = 2000
rehearsal-timeout-ms = 3000
probation-ms = 60000
tries = 2
"""
FAILED, REFUSED, TRY_AGAIN = 1, 4, 75


class Host:
    """Three services under load-less lines; each `serve` is a count further on all of them."""

    def __init__(self, world):
        self.world = world
        self.lines = start(world, {name: free_port() for name in NAMES})
        self.counts = {name: 0 for name in NAMES}
        self.pids = self.serve()

    def serve(self):
        return lines_serve(self.lines, self.counts)

    def reboot(self, *options):
        return self.world.outlive("reboot", "--soft", *options)


def refused(world, host, path, code, reason, *options):
    """Nobody was asked for anything, no process is another one."""
    before, asked = world.status(), world.log().count("[normal] to [prepared]")
    done = host.reboot("--binary", path, *options)
    equal(done.code, code, f"exit code of: {done.out}{done.err}")
    contains(done.out + done.err, reason, "the reason")
    after = world.status()
    for word in ("live_update_number", "pid_worker", "pid_keeper", "state"):
        equal(after[word], before[word], word)
    equal(world.log().count("[normal] to [prepared]"), asked, "services that were asked")
    equal(host.serve(), host.pids, "who serves")
    world.expect_clean()


def stays(world, host, how, reason):
    """Outlived is the one before; the services are new, and have all they had."""
    before = world.status()
    done = host.reboot("--binary", world.broken(how), "--force")
    equal(done.code, FAILED, f"exit code of: {done.out}{done.err}")
    contains(done.out, "rolled back", "the result")
    contains(done.err, "the services were replaced, outlived was not", "what is told")
    contains(done.err, reason, "the reason")
    whole(world, host, before)


def whole(world, host, before):
    """The services are replaced and whole, a good outlived runs."""
    wait_for("the state to be normal", lambda: world.status()["state"] == "normal")
    status = world.status()
    equal(status["live_update_number"], before["live_update_number"] + 1, "live update number")
    exe = os.readlink(f"/proc/{status['pid_keeper']}/exe")
    equal(os.path.basename(exe).split(" ")[0], "outlived", "the binary that runs")
    new = host.serve()
    for name in NAMES:
        check(new[name] != host.pids[name], f"{name} was replaced")
    host.pids = new
    equal(pids_of(world), new, "who is told to serve")
    wait_for("a spare", lambda: world.status()["pid_spare"] > 0)
    world.expect_clean()


def bad_later(world, host, how):
    """It takes over, the services are started under it, and its own faults bring the one before back."""
    before = world.status()
    done = host.reboot("--binary", world.broken(how), "--force")
    check(done.code in (0, FAILED), f"exit code {done.code} of: {done.out}{done.err}")
    wait_for("the binary before to be back",
             lambda: world.status()["self_rollbacks"] == before["self_rollbacks"] + 1)
    whole(world, host, before)


def test(world):
    world.start_outlived(CONFIG)
    host = Host(world)
    refused(world, host, world.broken("rehearsal"), REFUSED, "signal 6")
    refused(world, host, world.broken("hang-rehearsal"), REFUSED, "not ready within 3000 ms")
    refused(world, host, world.broken("version"), REFUSED, "outlive-arena-v99")
    refused(world, host, world.path("nothing"), 1, "No such file")
    for how, reason in (("exec", "signal 6"), ("worker", "its worker"),
                        ("hang", "not ready within 2000 ms")):
        stays(world, host, how, reason)
    # The guard: one that has failed too often is not even rehearsed.
    stays(world, host, "exec", "signal 6")
    stays(world, host, "exec", "signal 6")
    refused(world, host, world.broken("exec"), TRY_AGAIN, "failed 2 times")
    bad_later(world, host, "later")
    equal(host.reboot().code, 0, "a good one at the end")
    host.serve()
    for line in host.lines.values():
        line.close()
    world.expect_clean()


if __name__ == "__main__":
    main(test)
