"""An unmodified socket-activated server, Debian's gunicorn, that knows nothing of us: LISTEN_FDS
and READY=1. Requests go on all the time while it is updated again and again: none is refused,
none fails. A successor that never gets ready is rolled back."""

import http.client
import shutil
import threading

from harness import Skipped, check, contains, equal, free_port, main, wait_for

APP = """
VERSION = {version!r}
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [VERSION.encode()]
"""
HANGS = "import time\ntime.sleep(1000)\n"


class Client(threading.Thread):
    """A new connection for each request, as many as it gets done."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.stop = port, threading.Event()
        self.seen, self.requests, self.failure = [], 0, None

    def get(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", "/")
            response = connection.getresponse()
            body = response.read().decode()
            if response.status != 200:
                raise OSError(f"status {response.status}")
        finally:
            connection.close()
        if self.seen[-1:] != [body]:
            self.seen.append(body)
        self.requests += 1

    def run(self):
        try:
            while not self.stop.is_set():
                self.get()
        except BaseException as error:
            self.failure = error


def test(world):
    gunicorn = shutil.which("gunicorn", path="/usr/bin:/usr/local/bin")
    if gunicorn is None:
        raise Skipped("no gunicorn (package gunicorn)")
    world.start_outlived()
    world.write("app.py", APP.format(version="one"))
    port = free_port()
    world.must("run", "web", "--listen", f"http=tcp:127.0.0.1:{port}", "--notify",
               "--ready-timeout", "30s", "--env", "PYTHONDONTWRITEBYTECODE=1", "--", gunicorn,
               "--workers", "1", "--graceful-timeout", "10", "app:app", cwd=world.dir)
    clients = [Client(port) for _ in range(4)]
    for client in clients:
        client.start()
    wait_for("the first answers", lambda: all(c.requests > 5 or c.failure for c in clients))

    for version in ("two", "three"):
        world.write("app.py", APP.format(version=version))
        done = world.outlive("update", "web")
        equal(done.code, 0, f"update to {version}: {done.out}{done.err}")
        wait_for(f"{version} to answer everybody",
                 lambda: all(c.seen[-1:] == [version] or c.failure for c in clients))

    world.write("app.py", HANGS)  # imported by its worker: the master says READY, so hang that
    world.write("gunicorn_hangs.py", HANGS)
    before = world.service("web")
    done = world.outlive("update", "web", "--ready-timeout", "1s", "--", "/usr/bin/python3",
                         world.path("gunicorn_hangs.py"))
    equal(done.code, 3, f"one that never gets ready: {done.out}{done.err}")
    contains(done.out, "did not answer start in time", "the reason")
    equal(world.service("web")["pid"], before["pid"], "who serves")
    served = [client.requests for client in clients]
    wait_for("answers after the rollback",
             lambda: all(c.requests > n + 5 or c.failure for c, n in zip(clients, served)))
    for client in clients:
        client.stop.set()
    for client in clients:
        client.join(60)
        check(client.failure is None, f"after {client.requests} requests: {client.failure!r}")
    for client in clients:
        # While two overlap either may answer; from then on only the new one does.
        equal(client.seen[-1], "three", f"what was seen: {client.seen}")
    world.expect_clean()
    world.stop_outlived()


main(test)
