"""The keeper is killed, the spare becomes the keeper, and another spare is made: four times, under
load."""

from harness import equal, main, wait_for
from killed import kill_under_load

KILLS = 4


def test(world):
    world.start_outlived()
    wait_for("the spare", lambda: world.status()["pid_spare"] > 0)
    first = world.status()
    spares = []

    def settled():
        status = world.status()
        return status["pid_spare"] > 0 and status["pid_spare"] != status["pid_keeper"] and status

    for _ in range(KILLS):
        status = wait_for("a spare", settled)
        spares.append(status["pid_spare"])
        kill_under_load(world, "pid_keeper", 1)
        # The worker answers until it is told of its keeper's death.
        wait_for("the spare to be the keeper",
                 lambda: world.status()["pid_keeper"] == spares[-1])
    wait_for("a spare", settled)
    equal(len(set(spares)), KILLS, f"spares: {spares}")
    fds = world.fds_of(world.status()["pid_keeper"])
    kill_under_load(world, "pid_keeper", 1)
    wait_for("a spare", settled)
    wait_for("the fds to be as before",
             lambda: world.fds_of(world.status()["pid_keeper"]) <= fds + 2)
    wait_for("all sessions to end", lambda: world.status()["sessions"] == 0)
    world.expect_clean()
    equal(world.status()["runtime_dir"], first["runtime_dir"], "the folder")
    world.must("stop", "--daemon", "--force")


main(test)
