"""Any one process of outlived is killed at a random moment of its own update, again and again, under
load: the update is done, refused or rolled back, and nothing is lost either way."""

import os
import random
import time

import protocol as p
from harness import PATIENCE, Failed, check, children_of, equal, is_alive, main, name_of, wait_for
from killed import Load

TIMES = 40
LONGEST = 0.012  # seconds; an update takes about half as long on an idle machine


def processes(world):
    """All of outlived's that live: keeper, worker, spares, rehearsal, whatever they are called now."""
    keeper = world.keeper
    return [pid for pid in [keeper] + children_of(keeper) if is_alive(pid)]


def complete(world):
    """The status, once all three are there and no update goes on."""
    def whole():
        status = world.status()
        three = [status[name] for name in ("pid_keeper", "pid_worker", "pid_spare")]
        return all(pid > 0 and is_alive(pid) for pid in three) and status
    return wait_for("keeper, worker and spare", whole)


def test(world):
    # No probation: a kill would count as the new binary's fault where the kernel doesn't tell it.
    world.start_outlived("[takeover]\nprobation-ms = 0\n")
    device = p.Wire.connect(world.runtime)
    session = device.create_session("kept")
    for token in range(1, 20):
        session.preserve(token, os.memfd_create("kept"))
    loads = [Load(world.runtime, f"load{number}") for number in range(2)]
    for load in loads:
        load.start()
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    codes, hit = {}, {}
    for _ in range(TIMES):
        world.keeper = complete(world)["pid_keeper"]
        update = world.start(world.program("outlive"), "update", "outlived",
                             env=world.environment, stdout=-3, stderr=-3)
        time.sleep(dice.uniform(0.002, LONGEST))  # the moment of the kill, not a wait for anything
        victim = dice.choice(processes(world))
        hit[name_of(victim)] = hit.get(name_of(victim), 0) + 1
        try:
            world.kill(victim)
        except (Failed, ProcessLookupError):
            check(not is_alive(victim), f"pid {victim} could not be killed")  # it ended by itself
        wait_for("the victim's end", lambda: not is_alive(victim))  # or it is taken for one that lives
        code = update.wait(timeout=PATIENCE)
        codes[code] = codes.get(code, 0) + 1
        check(code in (0, 1, 3, 4, 75), f"exit code {code} after a kill of {victim}")
        for load in loads:
            load.check()
        equal(session.files(), list(range(1, 20)), "what is preserved")
    print(f"exit codes: {codes}; killed: {hit}")
    complete(world)
    equal(world.outlive("update", "outlived").code, 0, "an update that nobody disturbs")
    for load in loads:
        load.end()
    world.expect_clean()
    device.close()
    world.stop_outlived()


main(test)
