"""100 SIGKILLs of outlived's worker under load: nothing acknowledged is lost, nothing is done
twice, and neither descriptors nor pages leak."""

from harness import check, equal, main, wait_for
from killed import kill_under_load

KILLS = 100


def test(world):
    # So many deaths in so short a time would be taken for a crash loop.
    world.start_outlived(f"[limits]\nworker-deaths = {2 * KILLS}\n")
    wait_for("the spare", lambda: world.status()["pid_spare"] > 0)
    keeper = world.status()["pid_keeper"]
    kill_under_load(world, "pid_worker", 1)  # now all is there that is made at its first use
    wait_for("all sessions to end", lambda: world.status()["sessions"] == 0)
    before = world.fds_of(keeper)
    requests = kill_under_load(world, "pid_worker", KILLS - 1)
    status = world.status()
    equal(status["pid_keeper"], keeper, "the keeper's pid")
    equal(status["worker_deaths"], KILLS, "deaths of the worker")
    equal(status["in_progress"], False, "in progress")
    wait_for("all sessions to end", lambda: world.status()["sessions"] == 0)
    world.expect_clean()
    wait_for("the keeper's fds to be as before", lambda: world.fds_of(keeper) <= before)
    check(requests > KILLS * 10, f"only {requests} requests were answered")
    print(f"{KILLS} kills, {requests} requests")
    world.stop_outlived()


main(test)
