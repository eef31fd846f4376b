"""kv with 100,000 keys in a quarter of a GiB and clients outside the machine, through `outlive kexec --policy skip`: its
sockets can't cross, which the plan names; it listens anew, the clients connect again, and every key has its value."""

import functools
import hashlib
import json
import re
import threading
import time

from case import main
from harness import check, contains, equal
from kexec_world import cross, kexec, outlive, run_outlived
from machine import Machine
from resp import Client, reach

PORT = 6380
KEYS = 100_000
IN_A_REQUEST = 50
LIMIT_MIB = 288  # 247 for the keys; kv needs room for requests that aren't whole yet, too
PATIENCE = 240.0
COMMAND = ("/host/kernel-kv", "--bind", "0.0.0.0", "--port", str(PORT), "--memory-limit", str(LIMIT_MIB))


def key(number):
    return b"key:%d" % number


def value(number):
    """2,176 bytes that no other key has."""
    return hashlib.blake2b(b"%d" % number).hexdigest().encode() * 17


def fill(port):
    with Client(port, PATIENCE) as client:
        waiting = 0
        for first in range(0, KEYS, IN_A_REQUEST):
            words = [word for n in range(first, first + IN_A_REQUEST) for word in (key(n), value(n))]
            client.send(b"MSET", *words)
            waiting += 1
            if waiting == 4:
                equal(client.reply(), b"OK", "MSET")
                waiting -= 1
        for _ in range(waiting):
            equal(client.reply(), b"OK", "MSET")


def look(port):
    """Every key's value, read by a new client."""
    with Client(port, PATIENCE) as client:
        starts = range(0, KEYS, IN_A_REQUEST)
        asked = iter(starts)

        def ask():
            first = next(asked, None)
            if first is not None:
                client.send(b"MGET", *(key(n) for n in range(first, first + IN_A_REQUEST)))
        for _ in range(4):
            ask()
        for first in starts:
            values = client.reply()
            ask()
            wrong = [first + i for i, got in enumerate(values) if got != value(first + i)]
            check(not wrong and len(values) == IN_A_REQUEST, f"keys with a wrong value: {wrong}")


class Pulse(threading.Thread):
    """A client that writes a rising number and reads a key, again and again, and connects again when it must."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port = port
        self.ended = threading.Event()
        self.crossed = threading.Event()
        self.written = 0   # acknowledged
        self.answered = 0.0
        self.last = self.first = 0.0  # the last answer before the kexec, the first one after it
        self.failed = None

    def run(self):
        try:
            while not self.ended.is_set():
                self.one_connection()
        except BaseException as error:
            self.failed = error
            self.crossed.set()

    def one_connection(self):
        client, answered = reach(self.port, PATIENCE)
        with client:
            try:
                client.socket.settimeout(5.0)
                self.came_back(client, answered)
                while not self.ended.wait(0.02):
                    self.beat(client)
            except OSError:
                pass  # the kexec; or the machine is slow: again

    def came_back(self, client, answered):
        """What it has been told is done, is done."""
        found = int(client.ask(b"GET", b"pulse") or 0)
        check(found >= self.written, f"{self.written} was acknowledged, {found} is there")
        if client.info()["generation"] > 1 and not self.crossed.is_set():
            self.last, self.first = self.answered, answered
            self.crossed.set()
        self.answered = answered

    def beat(self, client):
        number = self.written + 1
        equal(client.ask(b"SET", b"pulse", b"%d" % number), b"OK", "SET")
        self.written = number
        self.answered = time.monotonic()
        which = number * 7919 % KEYS
        equal(client.ask(b"GET", key(which)), value(which), f"the value of key {which}")


def begin(machine):
    """As an init does: the network, outlived with the services of its configuration."""
    machine.must("kernel-network")
    words = ", ".join(f'"{word}"' for word in COMMAND)
    return run_outlived(machine, f"[services.kv]\ncommand = [{words}]\n")


def plan_names_sockets(machine):
    """The listener is named, and is a refusal without --policy skip; the memory crosses."""
    dry = outlive(machine, "kexec", "--dry-run", "--json", "--policy", "skip")
    equal(dry.code, 4, "the plan's exit code")
    plan = json.loads(dry.out)
    files = {one["token"]: one for one in plan["files"] if one["session"] == "kv"}
    listener, memory = files["1"], files["2"]
    equal((listener["kind"], listener["crosses"]), ("TCP listener", False), "the listener in the plan")
    equal((memory["kind"], memory["crosses"]), ("memfd", True), "the memory in the plan")
    equal(plan["lost"], len(files) - 1, "what would be lost")
    refused = kexec(machine)
    equal(refused.code, 4, "without --policy skip")
    contains(refused.out, "TCP listener", "what would be lost")


def sockets_are_missed(machine):
    """Also the connections, which kv preserves when it is asked to prepare: after the plan."""
    log = machine.read("/outlived.log")
    for what, token in (("the listener", "0x1"), ("a connection", "0x1[0-9a-f]{2}")):
        check(re.search(f"session 'kv' token {token}: lost over the kexec", log), f"{what}:\n{log}")


def seconds(what, *arguments):
    start = time.monotonic()
    what(*arguments)
    return time.monotonic() - start


def test(machine):
    for program in ("outlive", "outlived", "kernel-kv", "kernel-network"):
        machine.offer(machine.program(program))
    equal(begin(machine)["live_update_number"], 0, "the start")
    port = machine.forwarded()
    reach(port, PATIENCE)[0].close()
    filled = seconds(fill, port)
    plan_names_sockets(machine)
    pulse = Pulse(port)
    pulse.start()
    asked = time.monotonic()
    told = cross(machine, "--policy", "skip", again=begin)
    equal((told["machine"], told["live_update_number"]), ("kernel", 1), "outlived after the kexec")
    check(pulse.crossed.wait(PATIENCE), "no client reached kv again")
    pulse.ended.set()
    pulse.join()
    if pulse.failed:
        raise pulse.failed
    check(pulse.written > 0, "nothing was written before the kexec")
    sockets_are_missed(machine)
    read = seconds(look, port)
    with Client(port, PATIENCE) as client:
        info = client.info()
    equal((info["keys"], info["generation"], info["repairs"]), (KEYS + 1, 2, 0), "kv")
    check(info["used_memory"] > KEYS * len(value(0)), f"the memory that is used: {info}")
    contains(outlive(machine, "log", "kv").out, "kv: restarted", "the log of kv")
    preserved = re.search("[0-9]+ files? preserved with the kernel in .*", machine.farewell)
    print(f"{KEYS} keys, {info['used_memory'] >> 20} MiB: filled in {filled:.1f} s, all read in {read:.1f} s; "
          f"served for {pulse.last - asked:.1f} s after `outlive kexec` was asked, then no answer for {pulse.first - pulse.last:.1f} s; "
          f"{preserved[0] if preserved else 'what the preserve took was not heard'}")


main(test, functools.partial(Machine, forward=PORT))
