"""A soak: SIGKILL of worker, keeper, spare, closer and service, one after the other in any order,
each as soon as all are there again, while clients preserve and unpreserve and check every answer.

OUTLIVE_SOAK_SECONDS: how long (8). OUTLIVE_SEED: the order, printed by every run.
"""

import os
import random
import socket
import time

import protocol as p
from harness import children_of, equal, free_port, is_alive, main, wait_for
from killed import Load

SECONDS = float(os.environ.get("OUTLIVE_SOAK_SECONDS", "8"))
SEED = int(os.environ.get("OUTLIVE_SEED", str(random.SystemRandom().randrange(1 << 32))))
# A service that dies often is started again ever later, so it is hit less often.
WEIGHTS = {"worker": 8, "keeper": 6, "spare": 4, "closer": 4, "service": 1}


class Soak:
    def __init__(self, world):
        self.world = world
        self.port = free_port()
        self.kills = dict.fromkeys(WEIGHTS, 0)
        world.must("run", "hello", "--restart", "always", "--", world.program("hello"),
                   str(self.port))
        self.connection = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        self.lines = self.connection.makefile("r")
        self.count = 0
        self.loads = [Load(world.runtime, f"load{number}") for number in range(3)]
        for load in self.loads:
            load.start()

    def status(self):
        return p.varlink(self.world.runtime, "Status")[1]

    def all_there(self):
        status = self.status()
        pids = [status[f"pid_{name}"] for name in ("worker", "keeper", "spare")]
        return status if all(pid > 0 and is_alive(pid) for pid in pids) else None

    def closer_of(self, worker):
        for pid in children_of(worker):
            try:
                with open(f"/proc/{pid}/comm") as file:
                    if file.read().strip() == "outlived-closer":
                        return pid
            except OSError:
                pass
        return None

    def pid_of(self, victim, status):
        if victim == "closer":
            return self.closer_of(status["pid_worker"])
        if victim == "service":
            return (self.world.service("hello") or {}).get("pid")
        return status[f"pid_{victim}"]

    def ask_service(self):
        """One request of the connection that was never opened again: counted once."""
        self.connection.sendall(b"hello\n")
        self.count += 1
        equal(self.lines.readline().split()[:2], ["hello", str(self.count)], "the service's answer")

    def kill_one(self, victim):
        for load in self.loads:
            load.check()
        status = wait_for("the three to be there", self.all_there)
        pid = self.pid_of(victim, status)
        if not pid or not is_alive(pid):
            return
        rounds = [load.rounds for load in self.loads]
        self.world.kill(pid)
        self.kills[victim] += 1
        wait_for(f"the end of {victim} {pid}", lambda: not is_alive(pid))
        wait_for("requests to be answered after it", lambda: all(
            load.rounds > before or load.failure for load, before in zip(self.loads, rounds)))
        self.ask_service()

    def end(self):
        for load in self.loads:
            load.end()
        self.connection.close()


def test(world):
    print(f"OUTLIVE_SEED={SEED}", flush=True)
    order = random.Random(SEED)
    world.start_outlived()
    soak = Soak(world)
    wait_for("the three to be there", soak.all_there)
    keeper = soak.status()["pid_keeper"]
    fds = world.fds_of(keeper)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end or 0 in soak.kills.values():
        soak.kill_one(order.choices(list(WEIGHTS), WEIGHTS.values())[0])
    soak.end()
    status = wait_for("the three to be there", soak.all_there)
    equal(status["worker_deaths"], soak.kills["worker"] + soak.kills["keeper"], "deaths")
    wait_for("only the service's session to be left", lambda: soak.status()["sessions"] == 1)
    wait_for("the fds to be as few as before",
             lambda: world.fds_of(soak.status()["pid_keeper"]) <= fds)
    world.expect_clean()
    print(f"kills {soak.kills}, requests {sum(load.requests for load in soak.loads)}")
    world.stop_outlived()


main(test)
