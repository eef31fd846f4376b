"""What every test here starts from: outlived of its own, the command line, processes, waiting.

    from harness import World, check, equal, main
    def test(world): ...
    main(test)                 # python3 thing.py BIN_DIR; exit 0 passed, 77 skipped, 1 failed

A test has one temporary folder and owns every process below it: it is their subreaper, so also what
lost its parent (a keeper was killed) is found and ended, by pid, however far things got. Waiting is
always for a condition, with a deadline. Everything works as root and as any user.
"""

import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.dirname(HERE))
import sanitizers  # noqa: E402 - of tests/

SERVICE = os.path.join(HERE, "service.py")
PATIENCE = 30.0 * sanitizers.PATIENCE  # seconds; the machine may be busy
PR_SET_CHILD_SUBREAPER = 36


class Failed(AssertionError):
    """Something is not as it was promised. The text says what."""


class Skipped(Exception):
    """Can't be tried on this machine. The text says why."""


def check(condition, what):
    if not condition:
        raise Failed(what)


def equal(got, wanted, what):
    if got != wanted:
        raise Failed(f"{what}: got {got!r}, wanted {wanted!r}")


def contains(text, wanted, what):
    if wanted not in text:
        raise Failed(f"{what}: '{wanted}' is not in:\n{text}")


def reap_strays():
    """Buries what fell to us as subreaper; Popen's own children are waited for by Popen."""
    mine = {process.pid for process in World.popen}
    for pid in children_of(os.getpid()):
        if pid in mine:
            continue
        try:
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            pass


def wait_for(what, question, seconds=PATIENCE):
    """Asks until the answer is true, and returns it."""
    end = time.monotonic() + seconds
    while True:
        reap_strays()
        answer = question()
        if answer:
            return answer
        if time.monotonic() > end:
            raise Failed(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.005)


def children_of(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


def descendants_of(pid):
    found = []
    for child in children_of(pid):
        found += [child] + descendants_of(child)
    return found


def name_of(pid):
    """What a process calls itself: outlived-worker; "": it is gone."""
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().strip()
    except OSError:
        return ""


def is_alive(pid):
    """Runs, or is stopped: not one that only waits to be buried."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(port, line=b"hello\n", timeout=PATIENCE):
    """One connection, one line, the reply's line; "" when it ended before."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
        connection.sendall(line)
        return connection.makefile("r").readline().strip()


def try_ask(port):
    try:
        return ask(port)
    except OSError:
        return ""


class Done:
    """What a command said."""

    def __init__(self, process):
        self.code = process.returncode
        self.out = process.stdout
        self.err = process.stderr

    def one_line(self):
        """The only line of an error."""
        lines = [line for line in self.err.splitlines() if not line.startswith("  | ")]
        check(len(lines) == 1, f"one line was expected, got:\n{self.err}")
        return lines[0]


class World:
    """The temporary folder, outlived in it, and all that was started."""

    popen = []

    def __init__(self, bin_dir):
        self.bin = os.path.abspath(bin_dir)
        self.dir = tempfile.mkdtemp(prefix="oe", dir="/tmp")  # short: a socket's path has 107 bytes
        self.runtime = self.dir + "/run"
        self.daemon = None
        self.environment = dict(sanitizers.environment(os.environ, self.dir),
                                OUTLIVE_RUNTIME_DIR=self.runtime, PYTHONDONTWRITEBYTECODE="1")
        for name in ("NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID"):
            self.environment.pop(name, None)

    def path(self, name):
        return os.path.join(self.dir, name)

    def program(self, name):
        path = os.path.join(self.bin, name)
        if not os.access(path, os.X_OK):
            raise Failed(f"{path} is missing: build it first")
        return path

    def broken(self, how):
        """outlived-broken under a name that tells how (src/daemon/broken.h)."""
        path = self.path(f"outlived-broken.{how}")
        if not os.path.exists(path):
            shutil.copy(self.program("outlived-broken"), path)
        return path

    def write(self, name, text):
        with open(self.path(name), "w") as file:
            file.write(text)
        return self.path(name)

    def start(self, *words, **more):
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, start_new_session=True, **more)
        World.popen.append(process)
        return process

    def run(self, *words, env=None, timeout=2 * PATIENCE, **more):
        """A command to its end."""
        return Done(subprocess.run(words, env=env or self.environment, timeout=timeout, text=True,
                                   capture_output=True, stdin=subprocess.DEVNULL, **more))

    # ---- outlived -------------------------------------------------------------------------------

    def daemon_words(self, config="", *options):
        self.write("outlive.toml", config)
        return [self.program("outlived"), "--config", self.path("outlive.toml"), "--runtime-dir",
                self.runtime, "--state-dir", self.path("state"), *options]

    def start_outlived(self, config="", *options, env=None):
        os.makedirs(self.runtime, mode=0o755, exist_ok=True)
        if os.geteuid() == 0:
            os.chmod(self.dir, 0o755)  # a test may try it as another uid
        with open(self.path("outlived.log"), "ab") as log:
            self.daemon = self.start(*self.daemon_words(config, *options), stdout=log, stderr=log,
                                     env=dict(self.environment, **(env or {})))
        wait_for("outlived", self.answers)
        return self

    def second(self, name, config="", *options, env=None):
        """Another outlived, in a folder of its own, beside the first."""
        other = World.__new__(World)
        other.bin, other.dir = self.bin, os.path.join(self.dir, name)
        os.mkdir(other.dir, 0o700)
        other.runtime, other.daemon = other.dir + "/run", None
        other.environment = dict(self.environment, OUTLIVE_RUNTIME_DIR=other.runtime)
        return other.start_outlived(config, *options, env=env)

    def answers(self):
        if self.daemon.poll() is not None:
            raise Failed(f"outlived ended with {self.daemon.returncode}")
        return self.outlive("status").code in (0, 78)

    def outlive(self, *words, **more):
        return self.run(self.program("outlive"), *words, **more)

    def must(self, *words, **more):
        """outlive, which has to succeed."""
        done = self.outlive(*words, **more)
        if done.code != 0:
            raise Failed(f"outlive {' '.join(words)}: exit {done.code}: {done.err or done.out}")
        return done

    def json(self, *words):
        return json.loads(self.must(*words, "--json").out)

    def status(self):
        return self.json("status")

    def service(self, name):
        for service in self.json("list", "services")["services"]:
            if service["name"] == name:
                return service
        return None

    def service_command(self, *options):
        return [sys.executable, SERVICE, *options]

    def run_service(self, name, port, *options, run=()):
        """Starts service.py and returns when it serves (--notify: a slow start is no answer)."""
        return self.must("run", name, "--notify", *run, "--",
                         *self.service_command(str(port), "--name", name, *options))

    def update_words(self, name, port, *options, run=()):
        return ["update", name, *run, "--",
                *self.service_command(str(port), "--name", name, *options)]

    def update_service(self, name, port, *options, run=()):
        return self.outlive(*self.update_words(name, port, *options, run=run))

    def log(self):
        try:
            with open(self.path("outlived.log"), errors="replace") as file:
                return file.read()
        except OSError:
            return ""

    def print_logs(self):
        """The ends of outlived's log and of its services', for who looks into a failure."""
        logs = self.path("state/log")
        names = os.listdir(logs) if os.path.isdir(logs) else []
        for path in [self.path("outlived.log")] + [os.path.join(logs, name) for name in names]:
            if os.path.exists(path):
                with open(path, errors="replace") as file:
                    lines = file.readlines()[-60:]
                print(f"--- {os.path.basename(path)}, its end:\n{''.join(lines)}", file=sys.stderr)
        print(sanitizers.findings(self.dir), end="", file=sys.stderr)

    def expect_clean(self):
        """fsck finds nothing wrong."""
        done = self.outlive("fsck", "--json")
        check(done.code == 0, f"fsck: {done.out or done.err}")
        found = json.loads(done.out)
        check(found["clean"], f"fsck: {found}")
        return found

    def fds_of(self, pid):
        return len(os.listdir(f"/proc/{pid}/fd"))

    def kill(self, pid, how=signal.SIGKILL):
        """Only what this test started."""
        check(pid in descendants_of(os.getpid()), f"pid {pid} is none of this test's")
        os.kill(pid, how)

    def stop_outlived(self):
        done = self.must("stop", "--daemon", "--force")
        if self.daemon is not None:
            self.daemon.wait(timeout=PATIENCE)
        return done

    # ---- the end --------------------------------------------------------------------------------

    def expect_no_findings(self):
        found = sanitizers.findings(self.dir)
        check(not found, f"a sanitizer found:\n{found}")

    def close(self):
        """Ends whatever is still there; returns what would have been left behind."""
        end = time.monotonic() + 10
        while True:
            left = [pid for pid in descendants_of(os.getpid()) if is_alive(pid)]
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            for process in World.popen:
                process.poll()
            reap_strays()
            if not left or time.monotonic() > end:
                break
            time.sleep(0.005)
        shutil.rmtree(self.dir, ignore_errors=True)


def main(test):
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} BIN_DIR")
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    world = World(sys.argv[1])

    def stop(*_):
        raise KeyboardInterrupt  # ctest's time-out, Ctrl-C: still end what we started

    signal.signal(signal.SIGTERM, stop)
    try:
        test(world)
        world.expect_no_findings()
    except Skipped as reason:
        print(f"skipped: {reason}")
        code = 77
    except BaseException as error:  # whatever it was: say it, show the log, leave nothing behind
        traceback.print_exc()
        print(f"FAILED: {error}", file=sys.stderr)
        world.print_logs()
        code = 1
    else:
        code = 0
    finally:
        world.close()
    sys.exit(code)
