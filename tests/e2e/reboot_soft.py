"""outlive reboot --soft: three services and a client of none in one barrier, and outlived itself. All
their data is there afterwards and connections are open; one veto, one deadline, one death cancels all;
a death of the worker does one or the other."""

import os
import socket

import protocol as p
from harness import check, contains, equal, free_port, main, try_ask, wait_for

NAMES = ["a", "b", "c"]


class Line:
    """A connection that stays open."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.file = self.socket.makefile("r")

    def ask(self):
        self.socket.sendall(b"x\n")
        count, pid = self.file.readline().split()
        return int(count), int(pid)

    def close(self):
        self.file.close()
        self.socket.close()


def start(world, ports, options=None):
    for name in NAMES:
        world.run_service(name, ports[name], *(options or {}).get(name, []))
    return {name: Line(ports[name]) for name in NAMES}


def lines_serve(lines, counts):
    """Each answers on its old connection, with the count that follows."""
    pids = {}
    for name, line in lines.items():
        count, pids[name] = line.ask()
        equal(count, counts[name] + 1, f"the count of {name}")
        counts[name] = count
    return pids


def pids_of(world):
    return {name: world.service(name)["pid"] for name in NAMES}


def plain(world, text):
    """A client of no service; its session goes away with its descriptor."""
    client = p.Wire.connect(world.runtime)
    session = client.create_session("plain")
    file = os.memfd_create("plain")
    os.write(file, text)
    session.preserve(1, file)
    os.close(file)
    return client, session


def everything(world):
    ports = {name: free_port() for name in NAMES}
    # `a` is gone long before outlived is replaced, the others take their time.
    lines = start(world, ports, {"a": ["--at", "retire=die"]})
    counts = {name: 0 for name in NAMES}
    before = lines_serve(lines, counts)
    client, session = plain(world, b"plain text")
    dry = world.json("reboot", "--soft", "--dry-run")
    equal(sorted(one["service"] for one in dry["services"]), NAMES, "services of the plan")
    equal(len(dry["sessions_of_no_service"]), 1, "other sessions of the plan")
    equal(pids_of(world), before, "after a dry run")

    outlived = world.status()
    done = world.json("reboot", "--soft")
    equal([one["result"] for one in done["services"]], ["updated"] * 3, "results")
    equal(done["outlived"]["result"], "updated", "outlived itself")
    check(done["outlived"]["pause_us"] > 0, "its pause is told")
    wait_for("the state to be normal", lambda: world.status()["state"] == "normal")
    status = world.status()
    equal(status["live_update_number"], 1, "live update number")
    equal(status["self_updates"], outlived["self_updates"] + 1, "updates of outlived")
    equal(status["pid_keeper"], outlived["pid_keeper"], "the keeper is executed anew")
    check(status["pid_worker"] != outlived["pid_worker"], "the worker is another one")
    log = world.log()
    at = [log.find(text) for text in (
        "update of the host committed", "worker info: host: Switched from [undefined] to [updated] state",
        "worker info: host: Switched from [updated] to [normal] state")]
    check(0 < at[0] < at[1] < at[2], f"lines of the log: {at}")
    for name in NAMES:
        text = f"service '{name}': started"
        check(log.find(text, at[0]) > at[1], f"{name} is started by the next outlived")
        equal(log.count(text), 2, f"starts of {name}")
    after = lines_serve(lines, counts)
    for name in NAMES:
        check(after[name] != before[name], f"{name} was replaced")
        check(try_ask(ports[name]), f"{name} takes new connections")
        counts[name] += 1
        equal(world.service(name)["generation"], 2, f"version of {name}")
    try:
        session.files()
        raise AssertionError("the old holder's descriptor still works")
    except p.Refused as refused:
        contains(str(refused), "has ended", "what it is told")
    again = client.retrieve_session("plain")
    file = again.retrieve(1)
    equal(os.pread(file, 100, 0), b"plain text", "what the client had")
    os.close(file)
    bars = world.json("timeline")["entries"]
    named = {(one["who"], one["what"]): one for one in bars}
    for bar in (("outlived", "rehearsal"), ("old", "retire"), ("outlived", "replace"),
                ("outlived", "blackout")):
        check(bar in named and named[bar]["end_us"] is not None, f"{bar} is in the timeline: {bars}")
    check(named["outlived", "rehearsal"]["end_us"] <= named["old", "prepare"]["start_us"],
          "nobody is asked before the rehearsal is over")
    world.expect_clean()
    return ports, lines, counts, (client, session, again)


def cancelled(world, lines, counts, what):
    """A reboot that is cancelled: the same processes serve on, outlived's too."""
    before, worker = pids_of(world), world.status()["pid_worker"]
    done = world.outlive("reboot", "--soft")
    equal(done.code, 3, f"exit code: {done.out}{done.err}")
    contains(done.out, what, "the reason")
    equal(done.out.count("rolled back"), 3, "all of them are rolled back")
    equal(world.status()["state"], "normal", "state")
    equal(world.status()["live_update_number"], 0, "live update number")
    equal(lines_serve(lines, counts), before, "who serves")
    equal(world.status()["pid_worker"], worker, "outlived's worker")
    world.expect_clean()


def one_cancels_all(world, options, what):
    ports = {name: free_port() for name in NAMES}
    lines = start(world, ports, {"b": options})
    counts = {name: 0 for name in NAMES}
    lines_serve(lines, counts)
    cancelled(world, lines, counts, what)
    for line in lines.values():
        line.close()
    world.stop_outlived()


def a_deadline(world):
    """One that never answers: the others serve on."""
    ports = {name: free_port() for name in NAMES}
    lines = start(world, ports, {"b": ["--at", "freeze=hang"]})
    counts = {name: 0 for name in NAMES}
    before = lines_serve(lines, counts)
    done = world.outlive("reboot", "--soft")
    equal(done.code, 3, f"exit code: {done.out}{done.err}")
    contains(done.out, "did not answer freeze in time", "the reason")
    for name in ("a", "c"):
        equal(lines[name].ask(), (2, before[name]), f"{name} serves on")
    for line in lines.values():
        line.close()
    world.stop_outlived()


def a_death_in_the_middle(world):
    """Of a service, in freeze: all are cancelled, it is restarted by its policy."""
    ports = {name: free_port() for name in NAMES}
    lines = start(world, ports, {"b": ["--at", "freeze=die"]})
    counts = {name: 0 for name in NAMES}
    before = lines_serve(lines, counts)
    done = world.outlive("reboot", "--soft")
    equal(done.code, 3, f"exit code: {done.out}{done.err}")
    wait_for("b to be restarted", lambda: world.service("b")["state"] == "running" and
             world.service("b")["pid"] != before["b"])
    for name in ("a", "c"):
        equal(lines[name].ask(), (2, before[name]), f"{name} serves on")
    for line in lines.values():
        line.close()
    world.expect_clean()
    world.stop_outlived()


def a_start_that_fails_once(world):
    """After commit it is like any service that died: it is tried again, by its policy."""
    marker = world.write("died", "")
    ports = {name: free_port() for name in NAMES}
    lines = start(world, ports, {"b": ["--at", f"start=once:{marker}"]})
    counts = {name: 0 for name in NAMES}
    lines_serve(lines, counts)
    os.unlink(marker)
    done = world.json("reboot", "--soft")
    check(os.path.exists(marker), "its first start has failed")
    equal([one["result"] for one in done["services"]], ["updated"] * 3, "results")
    lines_serve(lines, counts)
    equal(world.service("b")["restarts"], 1, "restarts")
    for line in lines.values():
        line.close()
    world.expect_clean()
    world.stop_outlived()


def a_death_of_the_worker(world):
    """While one service takes its time in freeze: a cancel, and the next one goes through."""
    gate = world.path("gate")
    ports = {name: free_port() for name in NAMES}
    lines = start(world, ports, {"b": ["--at", f"freeze=wait:{gate}"]})
    counts = {name: 0 for name in NAMES}
    before = lines_serve(lines, counts)
    words = [world.program("outlive"), "reboot", "--soft"]
    log = open(world.path("reboot.log"), "w")
    command = world.start(*words, env=world.environment, stdout=log, stderr=log)
    wait_for("b to be asked to freeze", lambda: os.path.exists(gate + ".waits"))
    world.kill(world.status()["pid_worker"])
    wait_for("the next worker", lambda: world.status()["worker_deaths"] == 1)
    open(gate, "w").close()
    equal(command.wait(timeout=60), 3, "exit code of the command that was cut off")
    log.close()
    equal(lines_serve(lines, counts), before, "who serves")
    done = world.json("reboot", "--soft")
    equal([one["result"] for one in done["services"]], ["updated"] * 3, "results of the next")
    lines_serve(lines, counts)
    for line in lines.values():
        line.close()
    world.expect_clean()
    world.stop_outlived()


def test(world):
    world.start_outlived()
    _ports, lines, counts, kept = everything(world)
    worker = world.status()["pid_worker"]
    done = world.json("reboot", "--soft", "--keep-outlived")  # and again
    equal(done["outlived"]["result"], "kept", "outlived itself")
    equal(world.status()["pid_worker"], worker, "outlived's worker")
    lines_serve(lines, counts)
    progress = world.must("reboot", "--soft", "--progress")
    contains(progress.err, "outlived: ", "progress of outlived itself")
    lines_serve(lines, counts)
    for line in lines.values():
        line.close()
    del kept
    world.stop_outlived()
    one_cancels_all(world.second("veto"), ["--at", "prepare=veto"], "vetoed prepare")
    one_cancels_all(world.second("late"), ["--at", "freeze=veto"], "vetoed freeze")
    a_deadline(world.second("hang", "[update]\nfreeze-timeout-ms = 1000\n"))
    a_death_in_the_middle(world.second("death"))
    a_start_that_fails_once(world.second("start"))
    a_death_of_the_worker(world.second("worker", "[update]\nfreeze-timeout-ms = 60000\n"))


if __name__ == "__main__":
    main(test)
