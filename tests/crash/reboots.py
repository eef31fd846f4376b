"""Deaths in the middle of `outlive reboot --soft`: of outlived's processes, also of those of its next
version, at every point that they pass from the rehearsal to the services' new start.

A service counts in preserved memory and keeps a connection; a client of no service has a session. The
reboot is done (with outlived replaced, or not), or cancelled, or refused: all of it is whole each time."""

import os
import signal
import socket
import threading

import protocol as p
from fault_page import STOP
from harness import children_of, free_port, wait_for
from matrix import KEEPER, SPARE, WORKER
from reference import Wrong

OUTLIVED, REHEARSAL = "outlived", "rehearsal"  # the next version, before it has another role
ROLES = (WORKER, KEEPER, OUTLIVED, REHEARSAL)
KILLS = 150  # of a whole run; `share` of them else
NAME, LEFT = "rebooted", "reboot.left"
# What the command may end with: done; done but for outlived; cancelled; refused; try again.
DONE, BUT_OUTLIVED, CANCELLED, REFUSED, AGAIN = 0, 1, 3, 4, 75


def named(pid):
    return proc_field(pid, 1).strip("()")


def state_of(pid):
    return proc_field(pid, 2)


def proc_field(pid, number):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().split()[number]
    except OSError:
        return ""


class Reboots:
    def __init__(self, matrix):
        self.matrix, self.world, self.reference = matrix, matrix.world, matrix.reference
        self.count, self.codes = 0, {}

    def start(self):
        port = free_port()
        self.world.run_service(NAME, port, "--name", NAME, run=("--restart", "always"))
        self.line = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.file = self.line.makefile("r")
        self.reference.of_services.add(NAME)
        self.ask()
        self.leave()

    def leave(self):
        """A session that nobody holds: the reboot must neither lose nor give it."""
        reference = self.reference
        with p.Wire.connect(self.world.runtime, timeout=60) as device:
            with device.create_session(LEFT, linger=True) as session:
                fd, name = reference.file()
                session.preserve(1, fd)
                os.close(fd)
        wait_for("its holder to be gone", lambda: LEFT in reference.orphans())
        reference.sessions[LEFT] = [(1, name)]
        reference.incoming.add(LEFT)

    def ask(self):
        self.line.sendall(b"x\n")
        words = self.file.readline().split()
        self.count += 1
        if len(words) != 2 or int(words[0]) != self.count:
            raise Wrong("lost", f"the old connection is answered {words}, not {self.count}")

    def number(self):
        return self.reference.status()["live_update_number"]

    def settled(self):
        status = self.reference.status()
        service = self.world.service(NAME)
        return status["state"] == "normal" and service["state"] == "running" and \
            service["update"] is None

    def reboot(self, disturbed):
        """One reboot, and what must be true after it."""
        before = self.number()
        done = self.world.outlive("reboot", "--soft", "--force")
        code = done.code
        self.codes[code] = self.codes.get(code, 0) + 1
        wait_for("all to serve again", self.settled)
        self.ask()
        number = self.number() - before
        wanted = {DONE: (1,), CANCELLED: (0,), REFUSED: (0,), AGAIN: (0,), BUT_OUTLIVED: (1,)}
        if code not in wanted or (code != DONE and not disturbed):
            raise Wrong("diverged", f"exit code {code}: {done.out}{done.err}")
        if number not in wanted[code]:
            raise Wrong("diverged", f"exit code {code}, and {number} live updates: {done.err}")

    def points(self):
        found = {}
        page = self.matrix.page
        page.count()
        self.matrix.guarded("reboot undisturbed", lambda: self.reboot(False))
        for (role, point), hits in page.counts().items():
            if role in ROLES:
                found[role, point] = hits
        self.check("reboot undisturbed")
        return found

    def check(self, where):
        matrix = self.matrix
        matrix.guarded(where, matrix.wait_spare)
        matrix.guarded(where, matrix.reference.check)

    def kill(self, role, point, at):
        matrix = self.matrix
        where = f"reboot {role} {point}:{at}"
        matrix.wait_spare()
        matrix.page.arm(role, point, at)
        matrix.guarded(where, lambda: self.reboot(True))
        if matrix.page.disarm():
            matrix.killed("reboot: " + role)  # nobody counts deaths between exec and commit
            matrix.points.add(("reboot", role, point))
        self.check(where)

    def kill_spares(self, role, point, at):
        """A spare passes no points: all of them die while somebody else stands still at one."""
        matrix = self.matrix
        where = f"reboot spares at {role} {point}:{at}"
        matrix.wait_spare()
        keeper = self.reference.status()["pid_keeper"]
        matrix.page.arm(role, point, at, action=STOP)
        over = threading.Event()

        def spares():
            while not matrix.page.fired:
                if over.wait(0.001):
                    return
            mine = [keeper] + children_of(keeper)
            for pid in [one for one in mine if named(one) == "outlived-spare"]:
                os.kill(pid, signal.SIGKILL)
                matrix.killed("reboot: " + SPARE)
            while not over.wait(0.001):  # it may not have stopped yet
                for pid in [one for one in mine if state_of(one) == "T"]:
                    os.kill(pid, signal.SIGCONT)

        killer = threading.Thread(target=spares)
        killer.start()
        try:
            matrix.guarded(where, lambda: self.reboot(True))
        finally:
            over.set()
            killer.join()
            matrix.page.disarm()
        self.check(where)

    def run(self):
        found = self.points()
        for role in ROLES:
            if not any(one == role for one, _ in found):
                raise Wrong("diverged", f"a reboot passes no point of {role}")
        share = min(1, self.matrix.share)
        dice = self.matrix.random
        for number in range(max(2 * len(ROLES), round(KILLS * share))):
            # Each role as often as the others, each of its points likewise.
            role = ROLES[number % len(ROLES)]
            point = dice.choice(sorted(name for one, name in found if one == role))
            kill = self.kill_spares if role != REHEARSAL and number % 5 == 4 else self.kill
            kill(role, point, dice.randint(1, found[role, point]))
        self.matrix.guarded("a clean reboot", lambda: self.reboot(False))
        self.matrix.say(f"reboots ended with {dict(sorted(self.codes.items()))}")

    def end(self):
        self.line.close()
        self.file.close()
        self.world.must("stop", NAME, "--force")
        wait_for("its session to end", lambda: NAME not in self.reference.real_sessions())
        self.reference.of_services.discard(NAME)
        self.reference.device.call(p.END_SESSION, p.session_body(LEFT))
        self.reference.incoming.discard(LEFT)
        del self.reference.sessions[LEFT]


def reboots(matrix, only):
    if only not in "reboot":
        return
    before = matrix.kills
    case = Reboots(matrix)
    case.start()
    case.run()
    case.end()
    matrix.guarded("after reboots", matrix.reference.check)
    matrix.say(f"reboot: {matrix.kills - before} kills")
