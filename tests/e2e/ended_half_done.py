"""The worker dies between the end of a service's process and what follows from it: the next worker
goes on there. The service is started again, or it is gone, as it was to be."""

from harness import ask, equal, free_port, main, wait_for


def test(world):
    # Each worker dies at the first end that it has noted.
    world.start_outlived(env={"OUTLIVE_FAULTS": "daemon.ended:1=kill"})
    port = free_port()
    world.run_service("web", port)
    equal(ask(port).split()[0], "1", "the first one")
    world.kill(world.service("web")["pid"])
    answer = ask(port).split()
    equal(answer[0], "2", "its restart has the count")
    equal(world.status()["worker_deaths"], 1, "deaths of the worker")
    equal(world.service("web")["pid"], int(answer[1]), "the process that serves")
    equal(world.service("web")["restarts"], 1, "restarts")

    # Its end was asked for. The command asks the next worker again, and may hear that it is gone.
    world.outlive("stop", "web", "--force")
    wait_for("the service to be gone", lambda: world.service("web") is None)
    equal(world.status()["worker_deaths"], 2, "deaths of the worker")
    world.expect_clean()
    world.stop_outlived()


main(test)
