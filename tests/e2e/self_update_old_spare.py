"""The spare of the table before leaves with it: also one that has been stopped in the middle of the
update is gone when the update has settled, and an outlived that ends leaves nobody who has its lock."""

import os
import signal

from harness import check, children_of, equal, is_alive, main, name_of, wait_for

TRIES = 200


def update_with_old_spare_stopped(world):
    """None: it was gone before it could be stopped."""
    keeper, old = (world.status()[name] for name in ("pid_keeper", "pid_spare"))
    update = world.start(world.program("outlive"), "update", "outlived", env=world.environment,
                         stdout=-3, stderr=-3)
    while update.poll() is None and not any(
            name_of(pid) == "outlived-spare" for pid in children_of(keeper) if pid != old):
        pass
    caught = name_of(old) == "outlived-spare"
    if caught:
        try:
            os.kill(old, signal.SIGSTOP)
        except ProcessLookupError:
            caught = False
    equal(update.wait(), 0, "the update's exit code")
    return old if caught else None


def test(world):
    caught = 0
    for _ in range(TRIES):
        world.start_outlived()
        wait_for("a spare", lambda: world.status()["pid_spare"] > 0)
        old = update_with_old_spare_stopped(world)
        if old is not None:
            wait_for("the old spare's end", lambda: not is_alive(old))
            caught += 1
        world.stop_outlived()
        if caught == 5:
            break
    check(caught == 5, f"an old spare was stopped {caught} times in {TRIES} updates")


main(test)
