"""SIGKILL of the worker every 50 ms with the default configuration, while redis-benchmark works on kv
and ten services preserve and unpreserve: no client sees an error, nothing is held back, and fsck
finds nothing.

OUTLIVE_STORM_SECONDS: how long (10).
"""

import os
import shutil
import sys
import time

import protocol as p
from harness import HERE, Skipped, check, children_of, equal, main, name_of, wait_for

SECONDS = float(os.environ.get("OUTLIVE_STORM_SECONDS", "10"))
PERIOD = 0.05
SERVICES = 10


def worker_of(keeper):
    return next((pid for pid in children_of(keeper) if name_of(pid) == "outlived-worker"), None)


def start_kv(world):
    world.must("run", "kv", "--", world.program("kv-v1"), "--port", "0", "--port-file",
               world.path("port"), "--memory-limit", "64")
    with open(world.path("port")) as file:
        port = file.read().strip()
    with open(world.path("benchmark.log"), "wb") as log:
        return world.start("redis-benchmark", "-p", port, "-c", "8", "-l", "-t", "get,set,incr",
                           "-r", "1000", stdout=log, stderr=log)


def start_services(world):
    for number in range(SERVICES):
        # One that ends was in error: it says so in its file, and is not started again.
        world.must("run", f"load{number}", "--restart", "no", "--", sys.executable, "-B",
                   os.path.join(HERE, "killed.py"), f"load{number}", world.path(f"load{number}"))


def report_of(world, number):
    """(requests answered, error)"""
    with open(world.path(f"load{number}")) as file:
        requests, _, failure = file.read().partition(" ")
    return int(requests or 0), failure


def test(world):
    if not shutil.which("redis-benchmark"):
        raise Skipped("redis-benchmark is missing: package redis-tools")
    world.start_outlived()
    benchmark = start_kv(world)
    start_services(world)
    keeper = world.status()["pid_keeper"]
    for number in range(SERVICES):
        wait_for(f"load{number} to work", lambda: os.path.exists(world.path(f"load{number}")))
    before = [report_of(world, number)[0] for number in range(SERVICES)]

    kills, due = 0, time.monotonic()
    end = due + SECONDS
    while due < end:
        worker = worker_of(keeper)
        if worker:
            os.kill(worker, 9)
            kills += 1
        due = max(due + PERIOD, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))

    status = wait_for("a worker that serves", lambda: p.varlink(world.runtime, "Status")[1])
    equal(status["held"], None, "hold mode")
    equal(status["pid_keeper"], keeper, "the keeper")
    check(kills >= 5 * SECONDS, f"only {kills} kills in {SECONDS} s")
    # On a busy machine a kill may hit one that is dying of the kill before.
    check(status["worker_deaths"] >= 0.9 * kills, f"{status['worker_deaths']} deaths, {kills} kills")
    for number in range(SERVICES):
        wait_for(f"load{number} to go on",
                 lambda: (now := report_of(world, number))[0] > before[number] or now[1])
        equal(report_of(world, number)[1], "", f"load{number}")
        equal(world.service(f"load{number}")["restarts"], 0, f"restarts of load{number}")
    equal(benchmark.poll(), None, "redis-benchmark")
    benchmark.terminate()
    benchmark.wait()
    with open(world.path("benchmark.log")) as file:
        log = file.read()
    check("rror" not in log and "closed" not in log, f"redis-benchmark: {log[-400:]}")
    equal(world.service("kv")["restarts"], 0, "restarts of kv")
    world.expect_clean()
    requests = sum(report_of(world, number)[0] for number in range(SERVICES))
    print(f"{kills} kills, {requests} requests of services answered")
    world.stop_outlived()


main(test)
