"""A service that takes its time to get ready keeps all of it, also when outlived's worker dies
meanwhile."""

import os

from harness import ask, equal, free_port, main, wait_for


def test(world):
    world.start_outlived()
    gate, port = world.path("gate"), free_port()
    out = open(world.path("run.out"), "w+")
    run = world.start(world.program("outlive"), "run", "web", "--notify", "--",
                      *world.service_command(str(port), "--at", f"start=wait:{gate}"),
                      env=world.environment, stdout=out, stderr=out)
    wait_for("it to start", lambda: os.path.exists(gate + ".waits"))
    pid = world.service("web")["pid"]
    world.kill(world.status()["pid_worker"])
    # Longer than what a service without --notify is given to end again.
    wait_for("the next worker to be there for a while",
             lambda: world.status()["worker_deaths"] == 1 and world.status()["uptime_us"] > 1_000_000)
    equal((world.service("web")["state"], world.service("web")["pid"]), ("starting", pid), "it starts")
    open(gate, "w").close()
    out.flush()
    code = run.wait(timeout=60)
    out.seek(0)
    equal(code, 0, f"exit code of run: {out.read()}")
    out.close()
    equal(ask(port).split()[1], str(pid), "who serves")


main(test)
