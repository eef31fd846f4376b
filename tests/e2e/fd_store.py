"""All of outlived's processes die at once under a service manager that keeps descriptors: the next
outlived has the arena, the sessions, the connections and the files, at their old places."""

import errno
import os
import signal
import socket

import protocol as p
from harness import check, contains, equal, free_port, is_alive, main, wait_for
from killed import Load
from manager import Manager


class Hello:
    """The service, and one connection to it that is never opened again."""

    def __init__(self, world):
        self.world, self.count = world, 0
        self.port = free_port()
        world.must("run", "hello", "--restart", "always", "--", world.program("hello"),
                   str(self.port))
        self.connection = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        self.lines = self.connection.makefile("r")

    def ask(self):
        self.connection.sendall(b"hello\n")
        self.count += 1
        equal(self.lines.readline().split()[:2], ["hello", str(self.count)], "the service")

    def pid(self):
        return self.world.service("hello")["pid"]


class Client:
    """A client of its own, which outlives outlived."""

    def __init__(self, world):
        self.device = p.Wire.connect(world.runtime)
        self.session = self.device.create_session("kept")
        self.files = {}
        for token in range(1, 21):
            self.files[token] = os.memfd_create(f"file{token}")
            os.write(self.files[token], b"%d" % token)
            self.session.preserve(token, self.files[token])
        for token in (3, 17):
            self.session.unpreserve(token)
            del self.files[token]

    def check(self):
        equal(self.session.files(), sorted(self.files), "the session's files")


def expect_stored(world, manager):
    """What is stored is as much as the records name, each once."""
    def right():
        names, told = manager.names(), world.status()["fd_store"]
        return len(names) == len(set(names)) and told == f"{len(names)} descriptors"
    wait_for("the store to be what is told of it", right)


def whole_cgroup(world, manager, hello, client):
    """Services die, too; a request that is sent while nobody is there is answered, once."""
    for _ in range(3):
        old = hello.pid()
        expect_stored(world, manager)
        manager.kill(services=True)
        waiting = client.session.send(p.PRESERVE_FD, p.fd_body(77), [os.memfd_create("late")])
        manager.start()
        equal(client.session.receive(waiting).result, 0, "the request that waited")
        client.session.unpreserve(77)
        client.check()
        hello.ask()
        check(hello.pid() != old, "the service's process")
        world.expect_clean()


def services_live(world, manager, hello, client):
    """Only outlived dies. The service runs on and is taken on: its end is seen, it is updated."""
    before = hello.pid()
    manager.kill(services=False)
    hello.ask()  # it needs nobody
    manager.start()
    client.check()
    equal(hello.pid(), before, "the service's process")
    hello.ask()
    world.must("update", "hello", "--", world.program("hello-v2"))
    check(hello.pid() != before, "the updated service's process")
    wait_for("the old one to leave", lambda: not is_alive(before))
    hello.ask()
    manager.kill(services=False)
    manager.start()
    before = hello.pid()
    world.kill(before)
    hello.ask()
    check(hello.pid() != before, "the restarted service's process")
    client.check()
    world.expect_clean()


def under_load(world, manager):
    """Nothing that was acknowledged is lost, whatever was in work."""
    loads = [Load(world.runtime, f"load{number}") for number in range(2)]
    for load in loads:
        load.start()
    for round_ in range(6):
        before = [load.rounds for load in loads]
        wait_for("requests to be answered", lambda: all(
            load.rounds > rounds or load.failure for load, rounds in zip(loads, before)))
        for load in loads:
            load.check()
        if round_ % 2:
            world.kill(world.status()["pid_worker"])  # maybe before it has stored what it had
        manager.kill(services=True)
        manager.start()
    for load in loads:
        load.end()
    print(f"{sum(load.requests for load in loads)} requests over 6 deaths of all")
    wait_for("the loads' sessions to end", lambda: world.status()["sessions"] <= 2)
    world.expect_clean()


def unheard(world, manager, client):
    """The manager was busy when a file was stored, and the worker that said so died and was buried meanwhile:
    the manager drops it, and the next worker says it again."""
    manager.drain()
    wait_for("the manager to have taken all that was before", lambda: manager.names())
    with manager.busy():
        client.files[30] = os.memfd_create("file30")
        client.session.preserve(30, client.files[30])
        worker = world.status()["pid_worker"]
        world.kill(worker)
        wait_for("the next worker", lambda: world.status()["pid_worker"] not in (0, worker))
        manager.buried.add(worker)
    expect_stored(world, manager)
    manager.kill(services=True)
    manager.start()
    client.check()
    equal([file for file in world.json("list", "files", "--session", "kept")["files"] if file["failed"]], [],
          "files that the manager didn't have")


def main_pid(world, manager):
    """The manager is told who is the keeper."""
    keeper = world.status()["pid_keeper"]
    equal(manager.main_pid(), keeper, "MAINPID")
    world.kill(keeper)
    wait_for("the new MAINPID", lambda: manager.main_pid() not in (0, keeper))
    equal(manager.main_pid(), world.status()["pid_keeper"], "MAINPID of who took over")
    wait_for("the spare", lambda: world.status()["pid_spare"] > 0)


def lost_file(world, manager, client):
    """One that the manager has lost: its token says so for ever, the others are there."""
    with manager.changed:
        names = [entry for entry in manager.stored if entry[0].startswith("o.") and
                 os.readlink(f"/proc/self/fd/{entry[1]}").startswith("/memfd:file9 ")]
        equal(len(names), 1, "the file's places in the store")
        manager.drop(names[0])
    manager.kill(services=True)
    manager.start()
    client.check()
    done = world.outlive("fsck")
    equal(done.code, 1, "fsck")
    contains(done.out, "session 'kept' file 0x9: lost", "fsck")
    files = {file["token"]: file for file in world.json("list", "files", "--session", "kept")["files"]}
    lost = [file for file in files.values() if file["failed"]]
    equal([file["failed"] for file in lost], [errno.EIO], "failed files")
    client.session.unpreserve(9)
    del client.files[9]
    client.check()
    world.expect_clean()


def terminated(world, manager, hello, client):
    """SIGTERM, as by a restart of the manager's service: it decides what it keeps, so all is left to it. Services
    are ended in order, and the next outlived starts them with what they had."""
    expect_stored(world, manager)
    old = hello.pid()
    names = sorted(manager.names())
    world.kill(world.status()["pid_keeper"], signal.SIGTERM)
    equal(world.daemon.wait(), 0, "the end in order")
    check(not is_alive(old), "the service was ended, too")
    manager.drain()
    left = sorted(manager.names())
    check("outlive-arena" in left and set(left) <= set(names) | {"o.0"}, f"all is left: {left}")
    waiting = client.session.send(p.PRESERVE_FD, p.fd_body(78), [os.memfd_create("later")])
    manager.start()
    equal(client.session.receive(waiting).result, 0, "the request that waited")
    client.session.unpreserve(78)
    client.check()
    hello.ask()
    check(hello.pid() != old, "the service's process")
    world.expect_clean()


def stubborn(world, manager, client):
    """One service says no to SIGTERM and is killed after its time; outlived's worker dies meanwhile, and the
    next one goes on with the end. Another one an operator has ended: it stays so."""
    for name in ("stubborn", "ended"):
        world.must("run", name, "--restart", "always", "--stop-timeout", "1s", "--", "/bin/sh", "-c",
                   "trap '' TERM; while :; do sleep 0.1; done" if name == "stubborn" else "sleep 1000")
    old = world.service("stubborn")["pid"]
    world.must("stop", "ended")
    begun = world.log().count("stopping: services first")
    world.kill(world.status()["pid_keeper"], signal.SIGTERM)
    wait_for("the end to begin", lambda: world.log().count("stopping: services first") > begun)
    world.kill(world.status()["pid_worker"])
    equal(world.daemon.wait(), 0, "the end in order")
    check(not is_alive(old), "it was killed")
    manager.drain()
    manager.start()
    client.check()
    wait_for("it to be started again", lambda: world.service("stubborn")["state"] == "running")
    check(world.service("stubborn")["pid"] != old, "its process")
    equal([one["name"] for one in world.json("list", "services")["services"] if one["name"] == "ended"], [],
          "what an operator has ended")
    world.must("stop", "stubborn")


def configured(world, manager):
    """A service of the configuration is started as the configuration says by then."""
    plain = manager.config
    for seconds in ("1000", "2000"):
        world.kill(world.status()["pid_keeper"], signal.SIGTERM)
        equal(world.daemon.wait(), 0, "the end in order")
        manager.drain()
        manager.config = f'{plain}[services.steady]\ncommand = ["/bin/sleep", "{seconds}"]\n'
        manager.start()
        wait_for("the service", lambda: (world.service("steady") or {}).get("state") == "running")
        with open(f"/proc/{world.service('steady')['pid']}/cmdline") as file:
            equal(file.read().split("\0")[1], seconds, "how it was started")
    world.must("stop", "steady")


def test(world):
    manager = Manager(world)
    manager.start()
    hello, client = Hello(world), Client(world)
    hello.ask()
    main_pid(world, manager)
    whole_cgroup(world, manager, hello, client)
    services_live(world, manager, hello, client)
    under_load(world, manager)
    unheard(world, manager, client)
    terminated(world, manager, hello, client)
    stubborn(world, manager, client)
    configured(world, manager)
    lost_file(world, manager, client)
    hello.ask()
    # An end for good leaves nothing that a next start could take for its own, once it is over.
    world.stop_outlived()
    equal(manager.names(), [], "the store")
    manager.start()
    equal(world.status()["sessions"], 0, "sessions of a fresh start")
    world.kill(world.status()["pid_keeper"], signal.SIGTERM)
    world.daemon.wait()


main(test)
