"""The successor dies at each step before commit: rolled back. After commit it is a service that died: the
next start has what it had."""

from harness import ask, equal, free_port, main, wait_for
from rolled_back import rolled_back


def test(world):
    rolled_back(world, [
        ([], ["--at", "start=die"], "signal 9"),
        ([], ["--at", "start=exit"], "exit code 3"),
        ([], ["--at", "adopt=die"], "at offer"),
        ([], ["--at", "retrieved=die"], "at offer"),
        ([], ["--at", "adopt=hangup"], "closed its connection"),
    ])
    world.start_outlived()
    port = free_port()
    world.run_service("web", port)
    equal(ask(port).split()[0], "1", "the first one")
    # It dies once, when it is told that the update is committed. No way back: it is started again.
    done = world.update_service("web", port, "--at", f"committed=once:{world.path('died')}")
    equal(done.code, 0, f"committed is committed: {done.out}{done.err}")
    wait_for("it to be started again", lambda: world.service("web")["restarts"] > 0)
    world.expect_clean()
    equal(ask(port).split()[0], "2", "the restarted one")
    world.stop_outlived()


main(test)
