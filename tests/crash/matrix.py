"""The crash matrix's frame: kills at one point of one case, and what must be true after it."""

import random
import sys
import time
import traceback

from fault_page import FaultPage
from harness import is_alive, wait_for
from reference import Reference, Wrong

KEEPER, WORKER, SPARE, CLOSER, LAUNCHED = "keeper", "worker", "spare", "closer", "launched"
CONFIG = """
[limits]
worker-deaths = 1000000
[update]
attempts = 100
prepare-timeout-ms = 60000
freeze-timeout-ms = 60000
adopt-timeout-ms = 60000
finish-timeout-ms = 60000
retire-timeout-ms = 60000
[takeover]
probation-ms = 0
"""


class Matrix:
    """Counts what was killed, and what was found wrong."""

    def __init__(self, world, seed, share):
        self.world, self.random, self.share = world, random.Random(seed), share
        self.kills, self.by_role, self.wrong = 0, {}, {"lost": 0, "leaked": 0, "diverged": 0}
        self.points = set()
        self.most_wrong = 20  # then it ends
        self.page = FaultPage(world.path("faults"))
        world.start_outlived(CONFIG, env={"OUTLIVE_FAULTS": "@" + self.page.path})
        self.reference = Reference(world)
        self.wait_spare()
        self.began = time.monotonic()

    def say(self, text):
        print(f"{time.monotonic() - self.began:6.1f} s  {text}", flush=True)

    def report(self, kind, where, text):
        self.wrong[kind] += 1
        print(f"WRONG ({kind}) {where}: {text}", file=sys.stderr, flush=True)
        if sum(self.wrong.values()) >= self.most_wrong:
            raise SystemExit("that is enough")

    def killed(self, role, times=1):
        self.kills += times
        self.by_role[role] = self.by_role.get(role, 0) + times

    def wait_spare(self):
        """A keeper that may be killed: its spare waits."""
        def there():
            status = self.reference.status()
            spare = status["pid_spare"]
            return spare > 0 and spare != status["pid_keeper"] and is_alive(spare)

        wait_for("a spare", there)

    # ---- one case ------------------------------------------------------------------------------

    def guarded(self, where, what):
        """What differs is counted, and the case goes on to its end."""
        try:
            what()
        except Wrong as wrong:
            self.report(wrong.kind, where, wrong)
        except (OSError, AssertionError, KeyError, TypeError, ValueError) as error:
            traceback.print_exc()
            self.report("diverged", where, repr(error))

    def points_of(self, case):
        """{(role, point): hits} of an undisturbed run; with what it leaves to do."""
        case.setup()
        self.reference.sync()
        self.page.count()
        self.guarded(f"{case.name()} undisturbed", case.act)
        self.reference.sync()
        found = self.page.counts()
        self.guarded(f"{case.name()} undisturbed", self.reference.check)
        case.teardown()
        return found

    def kill_at(self, case, role, point, at, times=1):
        """Returns how often it was hit."""
        where = f"{case.name()} {role} {point}:{at}"
        if role == KEEPER:
            self.wait_spare()
        case.setup()
        keeper = self.reference.status()["pid_keeper"]
        self.page.arm(role, point, at, times)
        self.guarded(where, case.act)
        self.guarded(where, self.reference.sync)
        fired = self.page.disarm()
        if fired:
            # A clone of the keeper is called so until it has said what it is.
            of_clone = role == KEEPER and is_alive(keeper)
            self.killed("keeper's clone" if of_clone else role, fired)
            self.points.add((case.name(), role, point))
        self.guarded(where, self.reference.check)
        self.guarded(where, case.teardown)
        return fired

    def chosen(self, points):
        """All of them, or this run's share; each point's first hit sooner than its others."""
        if self.share >= 1:
            return points
        count = max(1, round(len(points) * self.share))
        return self.random.sample(points, min(count, len(points)))

    # ---- an update ------------------------------------------------------------------------------

    def walk_points(self, walk):
        """As points_of, of one request of a whole update."""
        found = {}
        walk.disturbed = lambda: False
        walk.at_target = self.page.count
        walk.after_target = lambda: found.update(self.page.counts())
        self.guarded(f"{walk.name()} undisturbed", walk.act)
        self.guarded(f"{walk.name()} undisturbed", self.reference.check)
        return found

    def kill_walk(self, walk, role, point, at):
        where = f"{walk.name()} {role} {point}:{at}"
        fired = []
        walk.at_target = lambda: self.page.arm(role, point, at)
        walk.after_target = lambda: fired.append(self.page.disarm())
        walk.disturbed = lambda: self.page.fired > 0
        if role == KEEPER:
            self.wait_spare()
        self.guarded(where, walk.act)
        if not fired:
            fired.append(self.page.disarm())
        if sum(fired):
            self.killed(role)
            self.points.add((walk.name(), role, point))
        self.guarded(where, self.reference.check)

    def run_walk(self, walk, roles=(WORKER, CLOSER)):
        found = self.walk_points(walk)
        every = sorted((role, point, at) for (role, point), hits in found.items()
                       for at in range(1, hits + 1) if role in roles)
        for role, point, at in self.chosen(every):
            self.kill_walk(walk, role, point, at)

    # ---- a request ------------------------------------------------------------------------------

    def run(self, case, roles=(WORKER, CLOSER)):
        found = self.points_of(case)
        every = sorted((role, point, at) for (role, point), hits in found.items()
                       for at in range(1, hits + 1) if role in roles)
        for role, point, at in self.chosen(every):
            self.kill_at(case, role, point, at)

    # ---- the whole ------------------------------------------------------------------------------

    def last_line(self):
        wrong = self.wrong
        return (f"crash-matrix: {self.kills} kills, {wrong['lost']} lost, {wrong['leaked']} leaked, "
                f"{wrong['diverged']} diverged")

    def expect_deaths(self):
        """The keepers have counted no fewer deaths of workers than there were kills."""
        counted = self.reference.status()["worker_deaths"]
        wanted = self.by_role.get(WORKER, 0) + self.by_role.get(KEEPER, 0)
        if counted < wanted:
            raise Wrong("diverged", f"{counted} deaths of workers are counted, {wanted} were")
