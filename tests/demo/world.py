"""What the demo starts and asks: outlived, outlive, kv over a socket, the load generators.

World owns every process it starts and its one temporary folder; close() ends and removes them all,
however far things got.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import sanitizers  # noqa: E402 - of tests/
from sanitizers import PATIENCE  # noqa: E402


class Failed(Exception):
    """The demo can't go on, or something was not as promised. The text says why."""


def wait_for(what, question, seconds=20.0 * PATIENCE):
    """Asks until the answer is true; returns it."""
    end = time.monotonic() + seconds
    while True:
        answer = question()
        if answer:
            return answer
        if time.monotonic() > end:
            raise Failed(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.01)


class Kv:
    """A connection of its own for each question: it is served by whoever serves at that moment."""

    def __init__(self, port):
        self.port = port

    def ask(self, *words, timeout=15.0 * PATIENCE):
        request = b"*%d\r\n" % len(words)
        for word in words:
            request += b"$%d\r\n%s\r\n" % (len(word), word.encode())
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as connection:
            connection.sendall(request)
            reply = connection.makefile("rb")
            line = reply.readline()
            if not line.endswith(b"\r\n"):
                raise ConnectionError("the connection ended before the reply")
            if line[:1] == b"$" and int(line[1:]) >= 0:
                return reply.read(int(line[1:])).decode()
            if line[:1] == b"-":
                raise Failed(f"kv: {' '.join(words)}: {line[1:].decode().strip()}")
            return line[1:].decode().strip()

    def info(self):
        lines = self.ask("INFO").splitlines()
        return {k: int(v) for k, v in (line.split(":") for line in lines if ":" in line)}

    def digest(self):
        return self.ask("DIGEST", "data:")


class World:
    def __init__(self, bin_dir):
        self.bin = os.path.abspath(bin_dir)
        for name in ("outlived", "outlive", "kv-v1", "kv-v2", "demo-load"):
            if not os.access(self.program(name), os.X_OK):
                raise Failed(f"{self.program(name)} is missing: build it first")
        if not shutil.which("redis-benchmark"):
            raise Failed("redis-benchmark is missing: package redis-tools")
        # Short: a socket's path has 107 bytes.
        self.dir = tempfile.mkdtemp(prefix="outlive-demo-", dir="/tmp")
        self.runtime = os.path.join(self.dir, "run")
        self.children = []
        self.services = set()  # pids of kv, for the case that outlived can't end them
        self.outlived = None
        self.environment = dict(sanitizers.environment(os.environ, self.dir),
                                OUTLIVE_RUNTIME_DIR=self.runtime)

    def program(self, name):
        return os.path.join(self.bin, name)

    def start(self, *words, log=None, **more):
        """A process of ours, in a session of its own: Ctrl-C is for us, we end the others in order."""
        if log:
            more.update(stdout=open(os.path.join(self.dir, log), "ab"), stderr=subprocess.STDOUT)
        process = subprocess.Popen(words, env=self.environment, start_new_session=True, **more)
        self.children.append(process)
        return process

    def log_of(self, log, lines=15):
        with open(os.path.join(self.dir, log), errors="replace") as file:
            return "".join(file.readlines()[-lines:])

    # ---- outlived -------------------------------------------------------------------------------

    def start_outlived(self):
        os.mkdir(self.runtime, 0o700)
        config = os.path.join(self.dir, "outlive.toml")
        open(config, "w").close()  # not the machine's own
        self.outlived = self.start(
            self.program("outlived"), "--config", config, "--runtime-dir", self.runtime,
            "--state-dir", os.path.join(self.dir, "state"), log="outlived.log",
            stdin=subprocess.DEVNULL)

        def answers():
            if self.outlived.poll() is not None:
                raise Failed("outlived ended at once:\n" + self.log_of("outlived.log"))
            return self.outlive("status", check=False).returncode == 0

        wait_for("outlived", answers)

    def outlive(self, *words, check=True, timeout=60 * PATIENCE):
        done = subprocess.run([self.program("outlive"), *words], env=self.environment, timeout=timeout,
                              capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if check and done.returncode != 0:
            raise Failed(f"outlive {' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
        return done

    def outlive_json(self, *words, check=True):
        done = self.outlive(*words, "--json", check=check)
        return json.loads(done.stdout) if done.stdout.strip() else {}

    def worker(self):
        return self.outlive_json("status")["pid_worker"]

    # ---- the end --------------------------------------------------------------------------------

    def findings(self):
        return sanitizers.findings(self.dir)

    def expect_no_findings(self):
        if self.findings():
            raise Failed("a sanitizer found something")

    def close(self):
        for process in self.children:
            if process is not self.outlived and process.poll() is None:
                process.kill()
                process.wait()
        if self.outlived is not None and self.outlived.poll() is None:
            self.stop_outlived()
        for pid in self.services:
            if self.is_kv(pid):
                os.kill(pid, signal.SIGKILL)
        for process in self.children:
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream:
                    stream.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def stop_outlived(self):
        try:
            self.outlive("stop", "--daemon", "--force", check=False, timeout=10 * PATIENCE)
            self.outlived.wait(timeout=10 * PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(self.outlived.pid, signal.SIGKILL)  # its own session: keeper, worker, spare
            self.outlived.wait()

    def is_kv(self, pid):
        try:
            return os.readlink(f"/proc/{pid}/exe").startswith(self.program("kv-v"))
        except OSError:
            return False
