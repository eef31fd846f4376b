"""The old one dies in an update. Before it has answered freeze: the update is cancelled and its
restart policy applies. After that: the update goes forward, nothing is lost."""

import os
import threading

from harness import ask, check, contains, equal, free_port, main, wait_for


def test(world):
    world.start_outlived()
    for step in ("prepare", "freeze"):
        port, name = free_port(), f"dies-at-{step}"
        world.run_service(name, port, "--at", f"{step}=die")
        equal(ask(port).split()[0], "1", "the first one")
        done = world.update_service(name, port)
        equal(done.code, 3, f"{step}: {done.out}{done.err}")
        contains(done.out, f"at {step}", "the reason")
        equal(ask(port).split()[0], "2", f"{step}: its restart has the count")
        equal(world.service(name)["rollbacks"], 1, "rollbacks")

    # It has frozen; the successor takes its time over adopt, and meanwhile the old one is killed.
    port = free_port()
    world.run_service("frozen", port)
    equal(ask(port).split()[0], "1", "the first one")
    old = world.service("frozen")["pid"]
    gate = world.path("gate")
    result = []
    update = threading.Thread(target=lambda: result.append(
        world.update_service("frozen", port, "--at", f"adopt=wait:{gate}")))
    update.start()
    try:
        wait_for("the successor to be at adopt", lambda: os.path.exists(gate + ".waits"))
        world.kill(old)
        wait_for("its death to be seen", lambda: f"pid {old} ended" in world.log())
    finally:
        world.write("gate", "")
        update.join(60)
    check(result and result[0].code == 0, f"forward: {result and result[0].out + result[0].err}")
    answer = ask(port).split()
    equal(answer[0], "2", "the successor has the count")
    equal(world.service("frozen")["pid"], int(answer[1]), "the process that serves")
    equal(world.service("frozen")["restarts"], 0, "restarts")
    world.expect_clean()
    world.stop_outlived()


main(test)
