"""Updates in a row, as fast as they go, while clients ask: generations rise by one each, and the
table of descriptors, the arena and the number of processes stay as they were.

$COUNT updates (make back-to-back COUNT=1000); without it as many as a test run has time for."""

import os
import threading

from harness import ask, check, equal, free_port, main, wait_for

COUNT = int(os.environ.get("COUNT", "34"))
WARM = 66  # of one service 64 are kept: only after them nothing grows


class Client(threading.Thread):
    """Asks on a connection of its own each time: each answer is one more than any before."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.stop, self.answers, self.failure = port, threading.Event(), 0, None

    def run(self):
        last = 0
        try:
            while not self.stop.is_set():
                words = ask(self.port).split()
                check(len(words) == 2 and int(words[0]) > last, f"after {last}: {words}")
                last = int(words[0])
                self.answers += 1
        except BaseException as error:
            self.failure = error


def measure(world):
    status = world.status()
    return {"fds": world.fds_of(status["pid_keeper"]), "arena": status["arena_used"],
            "files": status["files"], "sessions": status["sessions"]}


def settled(world, before):
    """Descriptors and arena are not above what they were, once connections are closed."""
    def flat():
        now = measure(world)
        return all(now[what] <= before[what] for what in before) and now
    return flat


def update(world, port, number):
    done = world.update_service("web", port)
    equal(done.code, 0, f"update {number}: {done.err}")


def test(world):
    world.start_outlived()
    port = free_port()
    world.run_service("web", port)
    for number in range(WARM):
        update(world, port, number)
    wait_for("the last one to be gone", lambda: world.service("web")["update"] is None)
    before = measure(world)
    clients = [Client(port) for _ in range(2)]
    for client in clients:
        client.start()
    for number in range(COUNT):
        update(world, port, WARM + number)
        for client in clients:
            check(client.failure is None, f"update {number}: {client.failure!r}")
    for client in clients:
        client.stop.set()
        client.join(60)
        check(client.failure is None, repr(client.failure))
        check(client.answers > COUNT, f"only {client.answers} answers")
    wait_for("the last one to be gone", lambda: world.service("web")["update"] is None)
    service = world.service("web")
    equal((service["generation"], service["updates"], service["rollbacks"], service["restarts"]),
          (WARM + COUNT + 1, WARM + COUNT, 0, 0), "generation, updates, rollbacks, restarts")
    after = wait_for("nothing to be left over", settled(world, before))
    equal(world.status()["worker_deaths"], 0, "deaths of the worker")
    world.expect_clean()
    print(f"{COUNT} updates, {sum(c.answers for c in clients)} answers: {before} before, {after} after")
    world.stop_outlived()


main(test)
