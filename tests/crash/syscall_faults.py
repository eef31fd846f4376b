"""Every system call of base/sys that a request or an update passes fails once, with every errno that
fits; so does every other fault point. Then: a clear error or success, the reference agrees, outlived
lives.

    syscall_faults.py BIN_DIR [--share F] [--seed N] [--only TEXT]

Last line, exit 0 only if its last three numbers are 0:
    syscall-faults: FAULTS faults, LOST lost, LEAKED leaked, DIVERGED diverged
"""

import errno
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(os.path.dirname(HERE), "e2e"))

import cases  # noqa: E402
import protocol as p  # noqa: E402
from crash_matrix import run_main  # noqa: E402
from matrix import WORKER, Matrix  # noqa: E402
from reference import Wrong  # noqa: E402
from stage import Stage  # noqa: E402
from walk import Walk, all_walks  # noqa: E402

ENOMEM, EMFILE, EIO, EINTR, ENOSPC = (
    errno.ENOMEM, errno.EMFILE, errno.EIO, errno.EINTR, errno.ENOSPC)
ERRORS = {"sys.fallocate": (ENOSPC, EINTR), "sys.epoll_wait": (EINTR,), "sys.epoll_pwait2": (EINTR,), "sys.close_range": (ENOMEM,),
          "sys.write": (EIO, ENOSPC, EINTR), "sys.accept": (EMFILE, ENOMEM, EINTR)}
MAKE_FDS = ("sys.open", "sys.socketpair", "sys.pipe", "sys.dup", "sys.memfd_create", "sys.eventfd",
            "sys.timerfd", "sys.pidfd_open", "sys.socket")

ON_SOCKETS = ("sys.recv", "sys.recvmsg", "sys.send", "sys.sendmsg")


def errors_of(point):
    if point in ERRORS:
        return ERRORS[point]
    if point in ("sys.pidfd_send_signal", "sys.kill"):
        return ()  # the signals that outlived sends need no memory: they can't fail this way
    if point.startswith("short."):
        return (1,)  # half of the bytes: no error at all
    if point in MAKE_FDS:
        return (EMFILE, ENOMEM, EINTR)
    if point in ON_SOCKETS:  # EIO would be the end of that connection, and is not what they report
        return (ENOMEM, EINTR)
    if point.startswith("sys."):
        return (ENOMEM, EIO, EINTR)
    if point in ("luo.slot", "luo.preserve", "luo.freeze", "kho.alloc", "kho.preserve",
                 "kho.subtree", "machine.clone"):
        return (ENOMEM,)
    return ()  # stores and commits can't fail


class Faults(Matrix):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.faults = self.refused = 0

    def every(self, found):
        return self.chosen(sorted(
            (point, at, code) for (role, point), hits in found.items() if role == WORKER
            for at in range(1, hits + 1) for code in errors_of(point)))

    def run(self, case):
        for point, at, code in self.every(self.points_of(case)):
            self.fail_at(case, point, at, code)

    def fail_at(self, case, point, at, code):
        where = f"{case.name()} {point}:{at} {errno.errorcode.get(code)}"
        case.setup()
        self.page.arm(WORKER, point, at, 1, code)
        self.guarded(where, lambda: self.tolerant(case))
        self.guarded(where, self.reference.sync)
        self.faults += self.page.disarm()
        self.guarded(where, self.reference.check)
        case.teardown()

    def tolerant(self, case):
        """A failure is answered as one, with a reason, and leaves nothing."""
        try:
            case.act()
        except p.Closed:
            if not isinstance(case, cases.Connect):
                raise
            self.refused += 1  # who has no record is turned away
        except Wrong as wrong:
            reply = getattr(wrong, "reply", None)
            if reply is None or not reply.result or not reply.text:
                raise
            self.refused += 1

    def run_walk(self, walk):
        walk.either = True
        for point, at, code in self.every(self.walk_points(walk)):
            where = f"{walk.name()} {point}:{at} {errno.errorcode.get(code)}"
            walk.at_target = lambda: self.page.arm(WORKER, point, at, 1, code)
            walk.after_target = self.page.disarm
            walk.disturbed = lambda: self.page.fired > 0
            self.guarded(where, walk.act)
            self.faults += self.page.disarm()
            self.guarded(where, self.reference.check)

    def last_line(self):
        return super().last_line().replace("crash-matrix", "syscall-faults").replace(
            f"{self.kills} kills", f"{self.faults} faults")


def everything(matrix, only):
    for kind in cases.ALL:
        if only in kind.__name__:
            before = matrix.faults
            matrix.run(kind(matrix.reference))
            matrix.say(f"{kind.__name__}: {matrix.faults - before} faults")
    stage = Stage(matrix.world, matrix.reference, "staged").start()
    for walk in all_walks(stage):
        if only in walk.name():
            before = matrix.faults
            matrix.run_walk(walk)
            matrix.say(f"{walk.name()}: {matrix.faults - before} faults")
    matrix.guarded("a clean update", Walk(stage, None).act)
    matrix.guarded("the end", matrix.reference.check)
    deaths = matrix.reference.status()["worker_deaths"]
    matrix.say(f"{matrix.refused} refused, the worker was replaced {deaths} times")


if __name__ == "__main__":
    sys.exit(run_main(Faults, everything))
