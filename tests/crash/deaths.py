"""Deaths of others than the worker at work: at one request again and again, of keeper and spare, of clients,
and of services at every step of an update."""

import os
import signal

import cases
import protocol as p
from harness import ask, equal, free_port, is_alive, wait_for
from matrix import KEEPER, LAUNCHED, SPARE, WORKER
from reference import Reference, Wrong
from walk import Walk

NO_REQUEST = (cases.CloseSession, cases.Connect, cases.ControlCalls)


# ---- the worker, again and again at the same request --------------------------------------------

KILLS_OF_ONE = 4  # Control::most_deaths_of_one, of kills from outside


def of_one(matrix, only):
    """Then it is answered EIO, and nothing of it is there."""
    for kind in cases.ALL:
        if kind in NO_REQUEST or only not in "of one: " + kind.__name__:
            continue
        case = kind(matrix.reference)
        case.wanted = lambda: 5
        fired = matrix.kill_at(case, WORKER, "luo.commit.before", 1, KILLS_OF_ONE)
        if fired != KILLS_OF_ONE:
            matrix.report("diverged", f"deaths of {case.name()}", f"there were {fired}")


# ---- keeper and spare ---------------------------------------------------------------------------

class WorkerDies(cases.PreserveFd):
    """A request whose worker dies by a stranger's hand: its keeper has work to do."""

    def ask(self):
        os.kill(self.reference.status()["pid_worker"], signal.SIGKILL)
        self.matrix.killed("worker by hand")
        return super().ask()


def keepers(matrix, only, stage):
    case = WorkerDies(matrix.reference)
    case.matrix = matrix
    if only in "keeper: WorkerDies":
        matrix.run(case, roles=(KEEPER,))
    for target in ("Update", "READY freeze", "ADOPT_ALL"):
        walk = Walk(stage, target)
        if only in f"keeper: {walk.name()}":
            matrix.run_walk(walk, roles=(KEEPER,))
    walk = Walk(stage, "Update")
    walk.either = True  # a successor that dies before it is one
    if only in "launched: update":
        matrix.run_walk(walk, roles=(LAUNCHED,))


def spares(matrix, only):
    if only not in "spare":
        return
    for kind in cases.ALL:
        case = kind(matrix.reference)
        matrix.wait_spare()
        case.setup()
        spare = matrix.reference.status()["pid_spare"]
        os.kill(spare, signal.SIGKILL)
        matrix.guarded(f"{case.name()} without a spare", case.act)
        wait_for("the spare to be gone", lambda: not is_alive(spare))
        matrix.killed(SPARE)
        matrix.guarded(f"{case.name()} without a spare", matrix.reference.check)
        case.teardown()


# ---- clients ------------------------------------------------------------------------------------

class PreserveLingering(cases.PreserveMany):
    linger = True
    whole = ([1, 2], [1, 2, 7, 8, 9])


class UnpreserveLingering(cases.UnpreserveMany):
    linger = True
    whole = ([1, 2, 3, 4], [2, 4])


CLIENTS = [kind for kind in cases.ALL if kind not in NO_REQUEST] + [
    PreserveLingering, UnpreserveLingering]


def die():
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()


def client(world, kind, when):
    """The client's process: it is gone at the moment that was asked for."""
    reference = Reference(world)
    reference.made = 1_000_000 + os.getpid() * 100
    case = kind(reference)
    case.setup()
    send, receive = p.Wire.send, p.Wire.receive
    if when == "before":
        p.Wire.send = lambda *_, **__: die()
    elif when == "sent":
        p.Wire.receive = lambda *_: die()
    else:
        p.Wire.receive = lambda self, sequence: (receive(self, sequence), die())
    case.act()
    p.Wire.send, p.Wire.receive = send, receive


def clients(matrix, only, worker_too=False):
    """With worker_too, the worker dies of the same request."""
    for kind in CLIENTS:
        for when in ("before", "sent", "replied"):
            where = f"client: {kind.__name__} {when}{' and the worker' if worker_too else ''}"
            if only in where and (matrix.share >= 1 or matrix.random.random() < matrix.share * 3):
                matrix.guarded(where, lambda: one_client(matrix, kind, when, worker_too, where))


def one_client(matrix, kind, when, worker_too, where):
    pid = os.fork()
    if pid == 0:
        try:
            if worker_too:  # at its commit, or the one after it
                matrix.page.arm(WORKER, "luo.commit.after", 4)
            client(matrix.world, kind, when)
        finally:
            os._exit(1)
    status = os.waitpid(pid, 0)[1]
    if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
        raise Wrong("diverged", f"it was not killed: {status}")
    matrix.killed("client")
    matrix.killed(WORKER, matrix.page.disarm() if worker_too else 0)
    clear_up(matrix.reference, kind, when)
    matrix.reference.check()


def clear_up(reference, kind, when):
    """A session that doesn't linger ends by itself; what lingers and notes are whole, and go."""
    if kind.linger or kind is cases.CreateLingering:
        wait_for("its holder to be gone",
                 lambda: cases.SESSION not in reference.real_sessions()
                 or cases.SESSION in reference.orphans())
        found = reference.real_files().get(cases.SESSION)
        whole = getattr(kind, "whole", None)
        if whole and found not in whole:
            raise Wrong("diverged", f"half done: {found}")
        if whole and when == "replied" and found != whole[1]:
            raise Wrong("lost", f"acknowledged, and there is {found}")
        if cases.SESSION in reference.real_sessions():
            reference.device.call(p.END_SESSION, p.session_body(cases.SESSION))
    wait_for("the session to end", lambda: cases.SESSION not in reference.real_sessions())
    note = reference.device.ask(p.RETRIEVE_SUBTREE, cases.note_body(cases.NOTE))
    if not note.result:
        if note.body[72:] not in (b"n" * 5000, cases.RemoveSubtree.note, cases.RetrieveSubtree.note):
            raise Wrong("diverged", "half a note")
        reference.device.remove_note(cases.NOTE)
    elif kind is cases.AddSubtree and when == "replied":
        raise Wrong("lost", "an acknowledged note")


# ---- services -----------------------------------------------------------------------------------

# Who dies at which step, and whether the update is then done all the same.
STEPS = {"start": False, "adopt": False, "retrieved": False, "prepare": False, "freeze": False,
         "committed": True}


def services(matrix, only):
    """service.py counts in preserved memory: a lost or doubled effect shows."""
    for step, done in STEPS.items():
        if only in f"service: {step}":
            matrix.guarded(f"service: {step}", lambda: one_service(matrix, step, done))


def one_service(matrix, step, done):
    world, port, count = matrix.world, free_port(), 0

    def served():
        """The count is the next one, whoever answers."""
        nonlocal count
        count += 1
        answer = wait_for("an answer", lambda: try_answer(port))
        equal(int(answer[0]), count, f"{step}: the count")
        return int(answer[1])

    name = "count-" + step
    dies = ["--at", f"{step}=once:{world.path(name + '.died')}"]
    of_old = step in ("prepare", "freeze")
    world.run_service(name, port, *(dies if of_old else []), run=("--restart", "always"))
    served()
    result = world.update_service(name, port, *([] if of_old else dies))
    matrix.killed("service")
    if (result.code == 0) != done:
        raise Wrong("diverged", f"the update's exit was {result.code}: {result.err}")
    served()
    clean = world.update_service(name, port)
    if clean.code != 0:
        raise Wrong("diverged", f"the next update: {clean.err}")
    served()
    world.must("stop", name, "--force")
    wait_for("its session to end", lambda: name not in matrix.reference.real_sessions())
    matrix.reference.check()


def try_answer(port):
    try:
        words = ask(port, timeout=5).split()
        return words if len(words) == 2 else None
    except OSError:
        return None


