"""The spare is killed: another one is made, and nobody notices."""

from harness import equal, main, wait_for
from killed import kill_under_load


def test(world):
    world.start_outlived()
    first = world.status()
    kill_under_load(world, "pid_spare", 3)
    status = wait_for("a new spare", lambda: (now := world.status())["pid_spare"] > 0 and now)
    equal(status["pid_keeper"], first["pid_keeper"], "the keeper")
    equal(status["pid_worker"], first["pid_worker"], "the worker")
    wait_for("all sessions to end", lambda: world.status()["sessions"] == 0)
    world.expect_clean()
    world.stop_outlived()


main(test)
