"""No client can stop outlived with a path: the program of a service, its folder, the path of its
listener, the next version of a service and of outlived itself, each below a FUSE server that never
answers outlived's processes. Whoever asked hears so (ETIMEDOUT, which path), nothing is begun, and
meanwhile another client is served by the same worker.

    python3 tests/e2e/lookups.py BIN_DIR
"""

import os
import threading
from types import SimpleNamespace

import protocol as p
from blocking_fds import Victim
from fuse import LOOKUP, silent_file
from harness import check, contains, equal, free_port, main, try_ask, wait_for

TIMEOUT_MS = 1500  # of outlived; a worker that waits for the path stands still for as long
LONGEST = 1.0  # seconds that the other client may wait for an answer: a busy machine takes the CPU


class Call(threading.Thread):
    """A command beside what the test does; it ends in time, or the test does."""

    def __init__(self, world, *words):
        super().__init__(daemon=True)
        self.world, self.words, self.done = world, words, None

    def run(self):
        self.done = self.world.outlive(*self.words)


class RunIn(Call):
    """Run with a folder of its own: the command's is where it was called."""

    def run(self):
        error, reply = p.varlink(self.world.runtime, "Run", {
            "request_id": os.urandom(16).hex(), "name": "never", "argv": ["/bin/sleep", "1000"],
            "env": [], "cwd": self.words[-1], "listen": [], "restart": "no", "notify": False,
            "ready_timeout_ms": 0, "stop_timeout_ms": 0, "policy": "fail"})
        self.done = SimpleNamespace(code=75 if error else 0, err=str(reply.get("message")), out="")


def refused(world, server, victim, words, path, code=75, twice=False, how=Call):
    """The command hangs at its path, and then is refused; what others have goes on meanwhile."""
    waiting = len(server.asked)
    call = how(world, *words)
    call.start()
    wait_for(f"{words[:2]} to hang", lambda: len(server.asked) > waiting or not call.is_alive())
    check(len(server.asked) > waiting, f"{words}: it never asked for the path: {call.done}")
    before = victim.asked
    if twice:  # of the worker that dies in the middle nothing is left, and the call is not lost
        world.kill(world.status()["pid_worker"])
        wait_for("the next worker to look, too", lambda: len(server.asked) > waiting + 1)
    wait_for("the other client to be served meanwhile",
             lambda: victim.asked > before + 5 or victim.error)
    check(call.is_alive(), f"{words}: ended before the other client was served: {call.done}")
    call.join()
    text = call.done.err + call.done.out
    print(f"{' '.join(words)[:100]}: exit {call.done.code}: {text.strip()}")
    equal(call.done.code, code, f"{words}: exit code")
    contains(text, path, f"{words}: the path")
    contains(text, f"{TIMEOUT_MS} ms", f"{words}: the time")
    equal(victim.error, None, f"{words}: the other client")


def test(world):
    server = silent_file(world, (LOOKUP,))
    try:
        attack(world, server)
    finally:
        server.close()


def attack(world, server):
    world.start_outlived(f"[limits]\nlookup-timeout-ms = {TIMEOUT_MS}\n")
    slow = server.folder + "/program"
    port = free_port()
    world.run_service("web", port)
    serving = world.service("web")
    worker = world.status()["pid_worker"]
    victim = Victim(world)
    victim.start()

    refused(world, server, victim, ["run", "never", "--", slow], slow)
    equal(world.service("never"), None, "the service that never began")
    refused(world, server, victim, ["run", "never", "--listen", f"unix:{slow}.sock", "--",
                                    *world.service_command(str(free_port()))], f"{slow}.sock")
    equal(world.service("never"), None, "the service that never began")
    refused(world, server, victim, ["run", "in", slow], slow, how=RunIn)
    equal(world.service("never"), None, "the service that never began")
    refused(world, server, victim, ["update", "web", "--", slow], slow, code=3)
    refused(world, server, victim, ["update", "outlived", "--binary", slow], slow)
    refused(world, server, victim, ["reboot", "--soft", "--binary", slow], slow)

    victim.over = True
    victim.join()
    print(f"the other client asked {victim.asked} times, its longest wait was "
          f"{victim.longest * 1e3:.1f} ms")
    status = world.status()
    equal(victim.error, None, "the other client")
    equal(status["pid_worker"], worker, "the worker")
    equal(status["worker_deaths"], 0, "deaths of the worker")
    check(victim.longest < LONGEST, f"another client waited {victim.longest:.1f} s")
    check(status["turn_max_us"] < LONGEST * 1e6, f"a turn took {status['turn_max_us']} us")
    equal(world.service("web")["pid"], serving["pid"], "the service that was not updated")
    check(try_ask(port) != "", "the service that was not updated serves")
    # Processes that wait for the server and can't be killed hold up nobody.
    world.must("run", "quick", "--", "/bin/sleep", "1000")
    worker_dies(world, server, slow)
    world.expect_clean()


def worker_dies(world, server, slow):
    """In the middle: the next worker carries the call out, and the caller hears the same."""
    victim = Victim(world)
    victim.start()
    refused(world, server, victim, ["run", "never", "--", slow], slow, twice=True)
    victim.over = True
    victim.join()
    equal(victim.error, None, "the other client")
    found = world.service("never")
    check(found is None or found["state"] == "failed", f"the service that never began: {found}")


if __name__ == "__main__":
    main(test)
