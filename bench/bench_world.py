"""BenchWorld: the demo's World (processes and a folder, all ended and removed by close()), with room
for more files, the bench programs, and the clients' side of an update."""

import contextlib
import json
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tests", "demo"))
from world import Failed, Kv, World, wait_for  # noqa: E402,F401

CONFIG = "[limits]\nfiles-per-uid = 1000000\n"
PROGRAMS = ("bench-load", "bench-spawn", "bench-wire", "bench-arena")


def memory_available_gib():
    with open("/proc/meminfo") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) / (1 << 20)
    return 0


class BenchWorld(World):
    def __init__(self, bin_dir):
        super().__init__(bin_dir)
        for name in PROGRAMS:
            if not os.access(self.program(name), os.X_OK):
                self.close()
                raise Failed(f"{self.program(name)} is missing: build target bench_programs")

    def start(self, *words, log=None, **more):
        if words[0] == self.program("outlived"):
            # World has just made an empty one for it.
            with open(os.path.join(self.dir, "outlive.toml"), "w") as file:
                file.write(CONFIG)
        return super().start(*words, log=log, **more)

    def samples(self, *words, timeout=300):
        """Runs a bench program to its end: its samples."""
        process = self.start(*words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True)
        out, err = process.communicate(timeout=timeout)
        if process.returncode != 0:
            raise Failed(f"{os.path.basename(words[0])}: {err.strip() or process.returncode}")
        return json.loads(out.splitlines()[-1])

    def end(self, process):
        if process.poll() is None:
            process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream:
                stream.close()
        if process in self.children:
            self.children.remove(process)


@contextlib.contextmanager
def bench_world(bin_dir, outlived=True):
    world = BenchWorld(bin_dir)
    try:
        if outlived:
            world.start_outlived()
        yield world
    except Failed as why:
        if world.outlived:
            print("--- outlived's last words\n" + world.log_of("outlived.log"), flush=True)
        raise why
    finally:
        world.close()


class Talk:
    """A program that is told lines and answers with lines."""

    def __init__(self, world, *words, **more):
        self.name = os.path.basename(words[0])
        self.world = world
        self.process = world.start(*words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                   **more)

    def hear(self):
        line = self.process.stdout.readline()
        if not line:
            raise Failed(f"{self.name} ended with {self.process.wait()}")
        return line.strip()

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.hear()

    def end(self):
        self.world.end(self.process)


def missing(program, package):
    return None if shutil.which(program) else f"{program} is not installed (package {package})"
