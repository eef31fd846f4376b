"""After commit there is no way back. A new one that dies before it has said finish is started
again, and the update ends; one that never says it can be stopped, and the old one goes with it."""

import os
import threading

from harness import ask, check, contains, equal, free_port, is_alive, main, wait_for


def update_beside(world, port, what):
    done = []
    thread = threading.Thread(target=lambda: done.append(
        world.update_service("web", port, "--at", f"committed={what}")))
    thread.start()
    return thread, done


def test(world):
    world.start_outlived()
    port = free_port()
    world.run_service("web", port)
    equal(ask(port).split()[0], "1", "the first one")
    old = world.service("web")["pid"]
    thread, done = update_beside(world, port, f"once:{world.path('died')}")
    thread.join(60)
    check(done and done[0].code == 0, f"committed is committed: {done and done[0].err}")
    equal(ask(port).split()[0], "2", "the restarted one has the count")
    wait_for("the first one to be gone", lambda: not is_alive(old))
    service = wait_for("the update's end", lambda: (one := world.service("web"))["update"] is None
                       and one)
    equal((service["restarts"], service["updates"]), (1, 1), "restarts and updates")

    # One that never comes up again: who waits is told, and the next one finds what there was.
    other = free_port()
    world.run_service("once", other, run=["--restart", "no"])
    equal(ask(other).split()[0], "1", "the first one")
    first = world.service("once")["pid"]
    lost = world.update_service("once", other, "--at", "committed=die")
    check(lost.code == 1, f"exit code {lost.code}")
    contains(lost.err, "ended for good", "why")
    wait_for("the one before to be gone", lambda: not is_alive(first))
    wait_for("the update's end", lambda: world.service("once")["update"] is None)
    equal(world.service("once")["state"], "failed", "the service")
    world.run_service("once", other)
    equal(ask(other).split()[0], "2", "the count in the next one")
    world.must("stop", "once", "--force")

    # One that gets stuck where it should say finish.
    old = service["pid"]
    gate = world.path("gate")
    thread, done = update_beside(world, port, f"wait:{gate}")
    wait_for("it to be stuck", lambda: os.path.exists(gate + ".waits"))
    stuck = world.service("web")["pid"]
    check(stuck != old and is_alive(old), "both are there")
    world.must("stop", "web", "--force")
    thread.join(60)
    check(done and done[0].code == 1, "who waits for the update is told")
    for pid in (old, stuck):
        wait_for(f"pid {pid} to be gone", lambda: not is_alive(pid))
    equal(world.service("web"), None, "the service")
    equal(world.status()["worker_deaths"], 0, "deaths of the worker")
    world.expect_clean()
    world.stop_outlived()


main(test)
