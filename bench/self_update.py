"""Self update of outlived: the pause that it reports, and the longest that a client, which asks one thing
after the other, waited for an answer meanwhile; beside a posix_spawn and wait of /bin/true."""

import importlib.util
import os
import struct
import threading
import time

from bench_world import HERE, bench_world
from report import spread

# The tests' client; there is a protocol here, too.
PATH = os.path.join(HERE, "..", "tests", "e2e", "protocol.py")
SPEC = importlib.util.spec_from_file_location("wire", PATH)
wire = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(wire)


class Asker(threading.Thread):
    """Asks on one connection, for ever; keeps the longest wait since it was last looked at."""

    def __init__(self, runtime_dir, files):
        super().__init__(daemon=True)
        self.device = wire.Wire.connect(runtime_dir)
        self.session = self.device.create_session("asker")
        for token in range(files):
            fd = os.memfd_create("f")
            self.session.preserve(token, fd)
            os.close(fd)
        self.longest, self.ending = 0, False

    def run(self):
        while not self.ending:
            began = time.monotonic_ns()
            self.device.call(wire.STATUS, struct.pack("<II", 8, 0))
            self.longest = max(self.longest, time.monotonic_ns() - began)

    def take(self):
        longest, self.longest = self.longest, 0
        return longest


def run(report, bin_dir, quick, spawn_us):
    report.section("self update of outlived")
    count = 50 if quick else 500
    for files in (0, 1000):
        pauses, waits = [], []
        with bench_world(bin_dir) as world:
            asker = Asker(world.runtime, files)
            asker.start()
            for _ in range(count):
                asker.take()
                done = world.outlive_json("update", "outlived")
                time.sleep(0.005)  # the last answer that it hindered
                waits.append(asker.take())
                pauses.append(done["pause_us"] * 1000)
            asker.ending = True
            asker.join()
        pause = report.times(f"pause, {files} preserved files", spread(pauses))
        report.times(f"longest wait of a client, {files} preserved files", spread(waits))
        if files == 0:
            report.target("self update, pause p50 / posix_spawn+wait", pause["p50"] / spawn_us, 1.5)
