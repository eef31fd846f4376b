"""The crash matrix. Real processes get a real SIGKILL at every fault point that a request passes;
then: what was acknowledged is there, nothing else is, nothing leaked.

    crash_matrix.py BIN_DIR [--share F] [--seed N] [--only TEXT]

--share: of all kills, so many (1: all of them). Last line, exit 0 only if its last three are 0:
    crash-matrix: KILLS kills, LOST lost, LEAKED leaked, DIVERGED diverged
"""

import argparse
import ctypes
import os
import random
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(os.path.dirname(HERE), "e2e"))

import cases  # noqa: E402
import deaths  # noqa: E402
from harness import PR_SET_CHILD_SUBREAPER, World  # noqa: E402
from matrix import Matrix  # noqa: E402
from reboots import reboots  # noqa: E402
from stage import Stage  # noqa: E402
from walk import Walk, all_walks  # noqa: E402


def options():
    parser = argparse.ArgumentParser()
    parser.add_argument("bin_dir")
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--only", default="")
    parser.add_argument("--most-wrong", type=int, default=20)
    return parser.parse_args()


def requests(matrix, only):
    for kind in cases.ALL:
        if only in kind.__name__:
            before = matrix.kills
            matrix.run(kind(matrix.reference))
            matrix.say(f"{kind.__name__}: {matrix.kills - before} kills")


def updates(matrix, only, stage):
    for walk in all_walks(stage):
        if only in walk.name():
            before = matrix.kills
            matrix.run_walk(walk)
            matrix.say(f"{walk.name()}: {matrix.kills - before} kills")


def others(matrix, only, stage):
    for what, run in (("one request again and again", lambda: deaths.of_one(matrix, only)),
                      ("keeper", lambda: deaths.keepers(matrix, only, stage)),
                      ("spare", lambda: deaths.spares(matrix, only)),
                      ("client", lambda: deaths.clients(matrix, only)),
                      ("client and worker", lambda: deaths.clients(matrix, only, True)),
                      ("service", lambda: deaths.services(matrix, only))):
        before = matrix.kills
        run()
        matrix.say(f"{what}: {matrix.kills - before} kills")


def everything(matrix, only):
    requests(matrix, only)
    reboots(matrix, only)  # of services that are real: nobody plays a part in it
    stage = Stage(matrix.world, matrix.reference, "staged").start()
    updates(matrix, only, stage)
    others(matrix, only, stage)
    # All that was killed, and still: an update of an untouched kind, nothing left over, a clean end.
    matrix.guarded("a clean update", Walk(stage, None).act)
    matrix.guarded("the end", matrix.reference.check)
    matrix.guarded("the end", matrix.expect_deaths)


def run_main(frame, what):
    """Also for its neighbours, with frames of their own."""
    chosen = options()
    print(f"seed {chosen.seed}, share {chosen.share}", flush=True)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    world = World(chosen.bin_dir)
    try:
        matrix = frame(world, chosen.seed, chosen.share)
        matrix.most_wrong = chosen.most_wrong
        what(matrix, chosen.only)
        if matrix.by_role:
            print(", ".join(f"{role} {kills}" for role, kills in sorted(matrix.by_role.items())))
        print(matrix.last_line())
        return 1 if sum(matrix.wrong.values()) else 0
    except BaseException:
        world.print_logs()
        raise
    finally:
        world.close()


if __name__ == "__main__":
    sys.exit(run_main(Matrix, everything))
