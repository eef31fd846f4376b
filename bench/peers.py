"""The peers: what else keeps a service's state or its sockets over a new version of it.

  memcached -e   keeps its data in a file of /dev/shm; connections are lost, and it starts again
  haproxy -W     hands its listeners to the next worker (-x); the old one keeps its connections
"""

import os
import shutil
import signal
import socket
import tempfile
import threading
import time

from bench_world import Failed, bench_world, memory_available_gib, missing, wait_for
from protocol import free_port
from report import spread

VALUE = b"v" * 100_000


def connect(port):
    """Tries again at once until somebody listens."""
    end = time.monotonic() + 60
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=30)
        except ConnectionRefusedError:
            if time.monotonic() > end:
                raise Failed(f"nobody listens on port {port}") from None


# ---- memcached ------------------------------------------------------------------------------------

def room_mib(mib):
    """Its limit for so many MiB of values: the pages of its slabs are never quite full."""
    return mib + mib // 4 + 64


class Memcached:
    def __init__(self, world, folder, mib):
        self.world, self.port = world, free_port()
        self.words = ["memcached", "-l", "127.0.0.1", "-p", str(self.port), "-U", "0", "-m", str(room_mib(mib)),
                      "-e", os.path.join(folder, "memory")]
        if os.geteuid() == 0:
            self.words += ["-u", "root"]
        self.process = None
        self.start()

    def start(self):
        self.process = self.world.start(*self.words, log="memcached.log", stdin=-3)

    def ask(self, text, until):
        with connect(self.port) as connection:
            connection.sendall(text)
            reply = b""
            while not reply.endswith(until):
                got = connection.recv(1 << 20)
                if not got:
                    raise Failed("memcached closed the connection")
                reply += got
            return reply

    def fill(self, mib):
        count = mib * (1 << 20) // len(VALUE)
        with connect(self.port) as connection:
            for i in range(count):
                connection.sendall(b"set k%d 0 0 %d noreply\r\n%s\r\n" % (i, len(VALUE), VALUE))
        if VALUE not in self.ask(b"get k1\r\n", b"END\r\n"):
            raise Failed("memcached has evicted what it was filled with: it needs more room")

    def restart(self):
        """Asked to stop until it ended, and from its start until the first hit, ns."""
        stop = time.monotonic_ns()
        self.process.send_signal(signal.SIGUSR1)  # keeps its data, unlike SIGTERM
        self.process.wait(60)
        ended = time.monotonic_ns()
        self.world.children.remove(self.process)
        # In the second in which it ended it would refuse its data. In its favour: not counted.
        second = int(time.time())
        wait_for("the next second", lambda: int(time.time()) > second)
        start = time.monotonic_ns()
        self.start()
        if VALUE not in self.ask(b"get k1\r\n", b"END\r\n"):
            raise Failed("memcached lost its data in the restart")
        return ended - stop, time.monotonic_ns() - start


def memcached(report, bin_dir, quick):
    report.section("peer: memcached -e, restarted with its data")
    why = missing("memcached", "memcached")
    if why:
        return report.skip("memcached -e", why)
    mib = 256 if quick or memory_available_gib() < 4 else 1024
    if shutil.disk_usage("/dev/shm").free < (room_mib(mib) + 64) << 20:
        return report.skip("memcached -e", "/dev/shm is too small")
    folder = tempfile.mkdtemp(prefix="outlive-bench-", dir="/dev/shm")
    try:
        with bench_world(bin_dir, outlived=False) as world:
            server = Memcached(world, folder, mib)
            server.fill(mib)
            times = [server.restart() for _ in range(5 if quick else 20)]
        report.times(f"memcached -e, {mib} MiB: start to first hit", spread([b for _, b in times]))
        return report.times(f"memcached -e, {mib} MiB: stop, and start to first hit",
                            spread([a + b for a, b in times]))["p50"]
    except (OSError, Failed) as error:
        return report.skip("memcached -e", f"FAILED: {error}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# ---- haproxy --------------------------------------------------------------------------------------

HAPROXY = """global
  master-worker
  nbthread 1
  stats socket {dir}/haproxy.sock mode 600 level admin expose-fd listeners
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
listen kv
  bind 127.0.0.1:{port}
  server kv 127.0.0.1:{kv}
"""


class Clients(threading.Thread):
    """A new connection for each request, again and again; counts those that failed."""

    def __init__(self, port):
        super().__init__()
        self.port, self.times, self.failed, self.going_on = port, [], [], True

    def run(self):
        while self.going_on:
            start = time.monotonic_ns()
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
                    connection.sendall(b"PING\r\n")
                    if connection.recv(100) != b"+PONG\r\n":
                        raise ConnectionError("no answer")
            except OSError as error:
                self.failed.append(str(error))
            self.times.append((start, time.monotonic_ns() - start))


def workers_of(pid):
    workers = set()
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as file:
                if int(file.read().rpartition(")")[2].split()[1]) == pid:
                    workers.add(int(name))
        except OSError:
            pass  # it has just ended
    return workers


def reload(world, master):
    """Returns when it was asked, ns. A master that has just started drops signals: it is asked again."""
    before = workers_of(master.pid)
    for _ in range(20):
        start = time.monotonic_ns()
        master.send_signal(signal.SIGUSR2)
        try:
            wait_for("haproxy's next worker", lambda: workers_of(master.pid) - before, seconds=0.5)
            return start
        except Failed:
            continue
    raise Failed(f"haproxy started no next worker: {world.log_of('haproxy.log')}")


def reload_often(world, master, clients, count):
    """The longest request begun within 10 ms of each reload, ns."""
    stalls = []
    for _ in range(count):
        start = reload(world, master)
        time.sleep(0.1)
        end = time.monotonic_ns()
        stalls.append(max((ns for at, ns in list(clients.times) if start - 10**7 < at < end), default=0))
    return stalls


def haproxy(report, bin_dir, quick):
    report.section("peer: haproxy, reloaded with its listeners handed on")
    why = missing("haproxy", "haproxy")
    if why:
        return report.skip("haproxy -x", why)
    with bench_world(bin_dir, outlived=False) as world:
        kv, port = free_port(), free_port()
        world.start(world.program("kv-v1"), "--standalone", "--port", str(kv), log="kv.log", stdin=-3)
        config = os.path.join(world.dir, "haproxy.cfg")
        with open(config, "w") as file:
            file.write(HAPROXY.format(dir=world.dir, port=port, kv=kv))
        connect(kv).close()
        master = world.start("haproxy", "-W", "-f", config, log="haproxy.log", stdin=-3)
        connect(port).close()
        clients = Clients(port)
        clients.start()
        try:
            held = [connect(port) for _ in range(100)]
            stalls = reload_often(world, master, clients, 20)
        finally:
            clients.going_on = False
            clients.join()
            workers = workers_of(master.pid) if master.poll() is None else ()
            master.send_signal(signal.SIGTERM)
            master.wait(20)
        for one in held:
            one.close()
    report.times("haproxy reload: longest request around it", spread(stalls))
    report.note(f"haproxy: {len(clients.failed)} of {len(clients.times)} requests failed in 20 reloads"
                + (f" ({clients.failed[0]})" if clients.failed else "")
                + f"; {len(workers)} workers lived at the end, for 100 connections held open")
    return spread(stalls)["p50"]
